//! Ports and interrupts of the machine, as configurations name them. The hypervisor gives neither to guests: what is right
//! is refused for that, and what is wrong for what is wrong with it.

use super::error::Wrong;

const REMEDY_PORTS: &str = "write a port or a range in hexadecimal, such as '02f8-02ff'";
const REMEDY_IRQ: &str = "write the number of an interrupt, such as 5";
/// More than any machine has.
const MOST_IRQ: i64 = 0xFFFF;

/// Checks an item of `ioports`.
///
/// # Errors
///
/// What is wrong with it.
pub(super) fn check_ports(text: &str) -> Result<(), Wrong> {
    let port = |text: &str| {
        let digits = text.trim();
        let is_hexadecimal = digits.chars().all(|c| c.is_ascii_hexdigit());
        let port = u16::from_str_radix(digits, 16).ok();
        port.filter(|_| is_hexadecimal)
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (port(first), port(last)) {
        (Some(first), Some(last)) if first <= last => Err(Wrong::new(
            "only the first domain may use ports of the machine",
            "leave it out",
        )),
        (Some(_), Some(_)) => Err(Wrong::new("the range ends before it begins", REMEDY_PORTS)),
        _ => Err(Wrong::new("there are ports from 0 to ffff", REMEDY_PORTS)),
    }
}

/// Checks an item of `irq`.
///
/// # Errors
///
/// What is wrong with it.
pub(super) fn check_irq(text: &str) -> Result<(), Wrong> {
    match super::value::integer(text) {
        Some(0..=MOST_IRQ) => Err(Wrong::new(
            "only the first domain may use interrupts of the machine",
            "leave it out",
        )),
        _ => Err(Wrong::new("it is no interrupt", REMEDY_IRQ)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_told_apart_from_what_is_not_given() {
        for right in ["02f8-02ff", "3f8", "0-ffff", " 2f8 - 2ff "] {
            let wrong = check_ports(right).unwrap_err();
            assert_eq!(wrong.remedy, "leave it out", "{right}");
        }
        for wrong in ["", "x", "10000", "2f8-", "-2f8", "2ff-2f8", "+5", "1-2-3"] {
            assert_eq!(
                check_ports(wrong).unwrap_err().remedy,
                REMEDY_PORTS,
                "{wrong}"
            );
        }
        assert_eq!(check_irq("5").unwrap_err().remedy, "leave it out");
        for wrong in ["", "-1", "x", "65536"] {
            assert_eq!(check_irq(wrong).unwrap_err().remedy, REMEDY_IRQ, "{wrong}");
        }
    }
}
