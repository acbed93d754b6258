//! Keys that are read, checked, and of no effect for a paravirtualized guest here, and why: who writes one is told. Nothing is said
//! of those that only fully virtualized guests have, because files are shared between both kinds.

use super::value::Value;

/// A key, and why it has no effect.
pub(crate) const WITHOUT_EFFECT: [(&str, &str); 14] = [
    ("blkif", NO_DRIVERS),
    ("netif", NO_DRIVERS),
    ("superpages", "guests' memory comes in pages of 4 KiB"),
    (
        "machine_address_size",
        "guests' memory may be anywhere in the machine",
    ),
    (
        "suppress_spurious_page_faults",
        "guests get page faults as they happen",
    ),
    ("access_control", "there are no security labels"),
    ("cpuid", "guests see what the hypervisor offers to all"),
    ("cpuid_check", "what CPUID shows is not compared"),
    ("target", "there are no stub domains"),
    ("vncviewer", NO_VIEWER),
    ("vncconsole", NO_VIEWER),
    ("keymap", NO_SCREENS),
    ("videoram", NO_SCREENS),
    ("device_model", NO_SCREENS),
];

const NO_DRIVERS: &str = "only the first domain has disks and networks for others yet";
const NO_VIEWER: &str = "no viewer is started";
const NO_SCREENS: &str = "guests have no screens yet";

/// Whether a value is as if there were none.
pub(super) fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Text(text) => text.is_empty() || text == "0",
        Value::Integer(number) => *number == 0,
        Value::Float(number) => *number == 0.0,
        Value::List(items) => items.is_empty(),
    }
}
