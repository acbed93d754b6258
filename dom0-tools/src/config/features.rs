//! `features = 'dom0|pae_pgdir_above_4gb'`: what the kernel must be able to do, by its own notes.

use super::error::Wrong;
use crate::builder::error::feature_names as names;
use guest_abi::features::Features;

/// What a guest of a kernel that can do it is given.
const GIVEN: Features = Features::WRITABLE_PAGE_TABLES
    .union(Features::PAE_PGDIR_ABOVE_4GB)
    .union(Features::DOM0)
    .union(Features::LINUX_RSDP_UNRESTRICTED);

/// Reads names with `|` between them; one that is required is required with `!` before it, too.
///
/// # Errors
///
/// A name is no feature's, or a guest can't have it.
pub fn parse(text: &str) -> Result<Features, Wrong> {
    let words = text
        .split('|')
        .map(str::trim)
        .filter(|word| !word.is_empty());
    let feature = |word: &str| {
        let name = word.trim_start_matches('!').replace('-', "_");
        let mut given = GIVEN.iter_names();
        let found = given.find(|(known, _)| known.eq_ignore_ascii_case(&name));
        found.map(|(_, feature)| feature).ok_or_else(|| {
            Wrong::new(
                format!("{name} is no feature that a guest has here"),
                format!("write some of {}", names(GIVEN)),
            )
        })
    };
    words
        .map(feature)
        .try_fold(Features::empty(), |all, one| Ok(all | one?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_read_by_name() {
        assert_eq!(parse(""), Ok(Features::empty()));
        let both = Features::WRITABLE_PAGE_TABLES | Features::PAE_PGDIR_ABOVE_4GB;
        for text in [
            "writable_page_tables|pae_pgdir_above_4gb",
            "!pae-pgdir-above-4gb | writable_page_tables|",
        ] {
            assert_eq!(parse(text), Ok(both), "{text}");
        }
        assert_eq!(parse(&names(GIVEN)), Ok(GIVEN));
        for wrong in [
            "pae",
            "auto_translated_physmap",
            "dom0|supervisor_mode_kernel",
            "dom0,x",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        let said = parse("pae").unwrap_err().to_string();
        let right = "pae is no feature that a guest has here; write some of \
                     writable_page_tables|pae_pgdir_above_4gb|dom0|linux_rsdp_unrestricted";
        assert_eq!(said, right);
    }
}
