//! The hypercalls of page tables: what each does, how far it gets, and what it refuses.

pub(crate) mod clear_and_copy;
pub(crate) mod flush_cache;
pub(crate) mod flush_others;
pub(crate) mod flush_owed;
pub(crate) mod flush_uninvolved;
pub(crate) mod invlpg;
pub(crate) mod long_list;
pub(crate) mod machphys;
pub(crate) mod mmuext_refusals;
pub(crate) mod mmuext_stops_at_error;
pub(crate) mod new_baseptr;
pub(crate) mod new_user_baseptr;
pub(crate) mod no_translate;
pub(crate) mod normal_update;
pub(crate) mod pin;
pub(crate) mod pin_refusals;
pub(crate) mod plain_store;
pub(crate) mod preserve_ad;
pub(crate) mod refusals;
pub(crate) mod stops_at_error;
pub(crate) mod update_va_mapping;
pub(crate) mod update_va_mapping_otherdomain;
pub(crate) mod update_va_mapping_refusals;
