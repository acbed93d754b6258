//! What a guest of the tools does: it runs beside the first domain, and those who booted both judge it from there.

pub(crate) mod balloon;
pub(crate) mod console_flood;
pub(crate) mod device_attack;
pub(crate) mod hog;
pub(crate) mod idle;
pub(crate) mod last_words;
pub(crate) mod store_attack;
pub(crate) mod store_use;
