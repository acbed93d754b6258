//! What a guest's kernel says of itself, as nodes in the store: for people, and for tools that look whether a guest can do
//! what they are about to ask of it.

use guest_abi::ids::Vaddr;
use hypervisor::image::elf::{NoteText, Notes};

/// Names below the guest's node `image`, and values.
pub(super) fn nodes(notes: &Notes) -> Vec<(String, String)> {
    let address = |address: Vaddr| address.0.to_string();
    let text = |text: &NoteText| text.to_string();
    let flag = |is_set: bool| u8::from(is_set).to_string();
    let mut nodes = vec![
        ("entry", address(notes.entry)),
        ("loader", text(&notes.loader)),
        ("guest-os", text(&notes.guest_os)),
        ("guest-version", text(&notes.guest_version)),
        ("virt-base", address(notes.virt_base)),
        ("paddr-offset", notes.paddr_offset.to_string()),
        ("suspend-cancel", flag(notes.suspend_cancel)),
        ("mod-start-pfn", flag(notes.takes_unmapped_initrd)),
    ];
    nodes.extend(
        notes
            .hypercall_page
            .map(|page| ("hypercall-page", address(page))),
    );
    nodes.extend(notes.init_p2m.map(|place| ("init-p2m", address(place))));
    let nodes = nodes
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value));
    let features = notes.required_features | notes.supported_features;
    let features = features.iter_names().map(|(name, _)| {
        let name = name.to_ascii_lowercase().replace('_', "-");
        (format!("features/{name}"), "1".to_owned())
    });
    nodes.chain(features).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::notes;
    use super::*;
    use guest_abi::features::Features;

    #[test]
    fn what_a_kernel_says_is_told_and_nothing_else() {
        let mut said = notes();
        let shown = |notes: &Notes| -> Vec<String> {
            let nodes = nodes(notes).into_iter();
            nodes
                .map(|(name, value)| format!("{name}={value}"))
                .collect()
        };
        let usual = [
            "entry=18446744071578845248",
            "loader=generic",
            "guest-os=linux",
            "guest-version=2.6",
            "virt-base=18446744071562067968",
            "paddr-offset=0",
            "suspend-cancel=1",
            "mod-start-pfn=1",
        ];
        assert_eq!(shown(&said), usual);
        said.required_features = Features::WRITABLE_PAGE_TABLES;
        said.supported_features =
            Features::PAE_PGDIR_ABOVE_4GB | Features::from_bits_retain(1 << 30);
        said.hypercall_page = Some(Vaddr(4096));
        said.init_p2m = Some(Vaddr(1 << 39));
        let more = [
            "hypercall-page=4096",
            "init-p2m=549755813888",
            "features/writable-page-tables=1",
            "features/pae-pgdir-above-4gb=1",
        ];
        assert_eq!(shown(&said)[usual.len()..], more);
    }
}
