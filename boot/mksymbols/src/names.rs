//! Function names as they are printed.

/// A function's name as it is in the source: demangled, without the hash that tells instances apart, and
/// without generic arguments. They can be longer than all the rest of a backtrace, and the line of source
/// says which function is meant.
pub fn printed(mangled: &str) -> String {
    without_generic_arguments(&format!("{:#}", rustc_demangle::demangle(mangled)))
}

/// Drops each `<…>` that follows a name (`Vec<u8>`, `parse::<u8>`) and keeps those that begin a path
/// (`<T as Trait>::method`).
fn without_generic_arguments(name: &str) -> String {
    let mut kept = String::with_capacity(name.len());
    let mut dropped_depth = 0;
    let mut previous = ' ';
    for character in name.chars() {
        let is_arrow = previous == '-' && character == '>';
        if dropped_depth > 0 {
            match character {
                '<' => dropped_depth += 1,
                '>' if !is_arrow => dropped_depth -= 1,
                _ => {}
            }
        } else if character == '<'
            && (previous.is_alphanumeric() || matches!(previous, '_' | ':' | '}'))
        {
            let end = kept.trim_end_matches(':').len();
            kept.truncate(end);
            dropped_depth = 1;
        } else {
            kept.push(character);
        }
        previous = character;
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::{printed, without_generic_arguments};

    #[test]
    fn hashes_are_dropped() {
        assert_eq!(
            printed("_ZN10hypervisor5panic17h0123456789abcdefE"),
            "hypervisor::panic"
        );
        assert_eq!(printed("entry_stub"), "entry_stub");
    }

    #[test]
    fn generic_arguments_are_dropped_and_self_types_are_kept() {
        for (name, expected) in [
            ("core::str::parse::<u8>", "core::str::parse"),
            ("a::<b::<c>, d>::e::{closure#0}", "a::e::{closure#0}"),
            (
                "<core::slice::iter::Iter<u8> as core::iter::Iterator>::fold::<usize, fn() -> u8>",
                "<core::slice::iter::Iter as core::iter::Iterator>::fold",
            ),
            ("<[u8]>::sort_by::<fn(u8) -> u8, x>", "<[u8]>::sort_by"),
            ("a::{closure#0}<u8>", "a::{closure#0}"),
        ] {
            assert_eq!(without_generic_arguments(name), expected);
        }
    }
}
