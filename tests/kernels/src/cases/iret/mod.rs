//! The return from an entry.

pub(crate) mod event_on_return;
pub(crate) mod flags;
pub(crate) mod in_syscall;
pub(crate) mod into_nowhere;
pub(crate) mod iopl;
pub(crate) mod local_selector;
pub(crate) mod non_canonical;
pub(crate) mod null_selector;
pub(crate) mod registers;
pub(crate) mod to_user;
pub(crate) mod unreadable_frame;
pub(crate) mod without_user_root;
