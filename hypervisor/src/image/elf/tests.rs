//! Kernels that load, and each reason why one does not.

use super::*;
use crate::image::testing::{NotesIn, TestKernel, VIRT_BASE};
use guest_abi::elf_note::ElfNote;
use proptest::prelude::*;

const OFFERED: Features = Features::MMU_PT_UPDATE_PRESERVE_AD
    .union(Features::GNTTAB_MAP_AVAIL_BITS)
    .union(Features::DOM0);

fn refusal(file: &[u8]) -> ElfError {
    Kernel::parse(file).unwrap_err()
}

fn feature_refusal(kernel: &TestKernel, kind: DomainKind) -> Option<ElfError> {
    Kernel::parse(&kernel.elf())
        .unwrap()
        .check_features(kind, OFFERED)
        .err()
}

#[test]
fn a_linux_is_read_with_its_notes() {
    for notes_in in [NotesIn::Segment, NotesIn::Section] {
        let mut made = TestKernel::linux();
        made.notes_in = notes_in;
        let file = made.elf();
        let kernel = Kernel::parse(&file).unwrap();
        let notes = kernel.notes();
        assert_eq!(notes.entry, Vaddr(VIRT_BASE + 0x100_61C0));
        assert_eq!(notes.hypercall_page, None);
        assert_eq!(notes.virt_base, Vaddr(VIRT_BASE));
        assert_eq!(notes.paddr_offset, 0);
        assert_eq!(notes.required_features, Features::WRITABLE_PAGE_TABLES);
        assert_eq!(notes.supported_features.bits(), 0x8811);
        assert!(notes.has_supported_features);
        assert_eq!(notes.init_p2m, Some(Vaddr(0x80_0000_0000)));
        assert!(notes.takes_unmapped_initrd && notes.suspend_cancel);
        assert_eq!(notes.l1_mfn_valid, Some(MaskValue { mask: 1, value: 1 }));
        assert_eq!(notes.guest_os.to_string(), "linux");
        assert_eq!(notes.guest_version.as_bytes(), b"2.6");
        assert_eq!(notes.loader.as_bytes(), b"generic");
        assert_eq!(kernel.pfns(), Pfns::new(Pfn(0x1000), Pfn(0x1027)));
        for kind in [DomainKind::Dom0, DomainKind::DomU] {
            assert_eq!(kernel.check_features(kind, OFFERED), Ok(()));
        }
    }
}

#[test]
fn pages_hold_segments_at_their_physical_address_and_zeros_elsewhere() {
    let mut made = TestKernel::linux();
    // Segments may share a page.
    made.segments[2].paddr = 0x100_2345;
    let file = made.elf();
    let kernel = Kernel::parse(&file).unwrap();
    let mut expected = vec![0; 0x2_7000];
    for segment in &made.segments {
        let at = segment.paddr as usize - 0x100_0000;
        expected[at..at + segment.bytes.len()].copy_from_slice(&segment.bytes);
    }
    let mut page = [0xAA; PAGE_SIZE];
    for pfn in kernel.pfns().iter() {
        kernel.fill_page(pfn, &mut page);
        let at = (pfn.0 as usize - 0x1000) * PAGE_SIZE;
        assert!(page == expected[at..at + PAGE_SIZE], "{pfn}");
    }
    for outside in [0, 0xFFF, 0x1027, u64::MAX] {
        kernel.fill_page(Pfn(outside), &mut page);
        assert!(page.iter().all(|byte| *byte == 0));
    }
}

#[test]
fn a_physical_offset_is_subtracted() {
    let mut made = TestKernel::linux().with_number(ElfNote::PaddrOffset, 0x4000_0000);
    for segment in &mut made.segments {
        segment.paddr += 0x4000_0000;
    }
    let file = made.elf();
    assert_eq!(Kernel::parse(&file).unwrap().pfns().start(), Pfn(0x1000));
    made.segments[0].paddr = 0x3FFF_FFFF;
    assert_eq!(
        refusal(&made.elf()),
        ElfError::BelowOffset {
            paddr: 0x3FFF_FFFF,
            paddr_offset: 0x4000_0000
        }
    );
}

#[test]
fn segments_are_sorted_and_empty_ones_ignored() {
    let mut made = TestKernel::linux();
    made.segments.reverse();
    made.segments[1].memory_len = 0;
    made.segments[1].bytes.clear();
    let file = made.elf();
    let kernel = Kernel::parse(&file).unwrap();
    assert_eq!(kernel.segments().len(), 3);
    assert!(kernel.segments().is_sorted_by_key(|segment| segment.start));
}

#[test]
fn the_last_segment_may_end_where_the_mapping_ends() {
    let made = TestKernel::of_size(0x100_0000, MAX_EXTENT - 0x100_0000);
    let file = made.elf();
    assert_eq!(
        Kernel::parse(&file).unwrap().pfns().end(),
        Pfn(MAX_EXTENT >> 12)
    );
}

#[test]
fn files_that_are_not_our_kind_of_elf_are_refused() {
    let good = TestKernel::linux().elf();
    let patched = |at: usize, bytes: &[u8]| {
        let mut file = good.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        refusal(&file)
    };
    assert_eq!(refusal(b"MZ"), ElfError::NotElf([b'M', b'Z', 0, 0]));
    assert_eq!(patched(4, &[1]), ElfError::Is32Bit);
    assert_eq!(patched(4, &[3]), ElfError::UnknownClass(3));
    assert_eq!(patched(5, &[2]), ElfError::OtherMachine(62));
    assert_eq!(patched(18, &[183, 0]), ElfError::OtherMachine(183));
    assert_eq!(patched(16, &[3, 0]), ElfError::NotExecutable(3));
    assert_eq!(
        patched(56, &[0xFF, 0xFF]),
        ElfError::TooManyHeaders {
            count: 0xFFFF,
            limit: 64
        }
    );
    assert_eq!(
        patched(54, &[55, 0]),
        ElfError::HeaderSize {
            what: "program headers",
            size: 55,
            expected: 56
        }
    );
    // 32 bits is said even of a file that is too short for a 64-bit header.
    assert_eq!(refusal(b"\x7FELF\x01"), ElfError::Is32Bit);
    assert!(matches!(
        refusal(b"\x7FELF\x02"),
        ElfError::Truncated {
            what: "file header",
            ..
        }
    ));
}

#[test]
fn every_truncation_is_refused() {
    for notes_in in [NotesIn::Segment, NotesIn::Section] {
        let mut made = TestKernel::linux();
        made.notes_in = notes_in;
        let file = made.elf();
        for len in 5..file.len() {
            let error = refusal(&file[..len]);
            assert!(
                matches!(error, ElfError::Truncated { .. }),
                "{len}: {error:?}"
            );
        }
    }
}

#[test]
fn segments_that_cannot_be_placed_are_refused() {
    let with = |change: fn(&mut TestKernel)| {
        let mut made = TestKernel::linux();
        change(&mut made);
        refusal(&made.elf())
    };
    assert_eq!(with(|made| made.segments.clear()), ElfError::NoSegments);
    assert_eq!(
        with(|made| made.segments[0].memory_len = 0x2344),
        ElfError::FileLongerThanMemory {
            paddr: 0x100_0000,
            file_len: 0x2345,
            memory_len: 0x2344
        }
    );
    assert_eq!(
        with(|made| made.segments[1].paddr = 0x100_2344),
        ElfError::Overlap {
            start: 0x100_2344,
            end: 0x100_2345
        }
    );
    for (start, memory_len) in [
        (MAX_EXTENT - 1, 0x400),
        (u64::MAX, 0x400),
        (0x100_5000, u64::MAX),
    ] {
        let mut made = TestKernel::linux();
        (made.segments[2].paddr, made.segments[2].memory_len) = (start, memory_len);
        assert_eq!(
            refusal(&made.elf()),
            ElfError::TooLarge {
                start,
                memory_len,
                limit: MAX_EXTENT
            }
        );
    }
    let mut made = TestKernel::linux();
    made.segments = (0..17)
        .map(|at| made.segments[2].clone_at(0x100_0000 + at * 0x1000))
        .collect();
    assert_eq!(
        refusal(&made.elf()),
        ElfError::TooManySegments { limit: 16 }
    );
}

impl crate::image::testing::TestSegment {
    fn clone_at(&self, paddr: u64) -> Self {
        Self {
            paddr,
            ..self.clone()
        }
    }
}

#[test]
fn kernels_without_the_notes_are_refused() {
    let mut made = TestKernel::linux();
    made.notes.clear();
    assert_eq!(refusal(&made.elf()), ElfError::NoNotes);
    let made = TestKernel::linux().without(ElfNote::Entry);
    assert_eq!(
        refusal(&made.elf()),
        ElfError::NoEntry {
            has_other_entry: false
        }
    );
    let made = made.with_number(ElfNote::Phys32Entry, 0x100_0850);
    assert_eq!(
        refusal(&made.elf()),
        ElfError::NoEntry {
            has_other_entry: true
        }
    );
}

#[test]
fn malformed_notes_are_refused() {
    let with =
        |note, description: &[u8]| refusal(&TestKernel::linux().with(note, description).elf());
    assert_eq!(
        with(ElfNote::Entry, &[1, 2, 3]),
        ElfError::NoteSize {
            note: ElfNote::Entry,
            len: 3
        }
    );
    assert_eq!(
        with(ElfNote::VirtBase, &[0; 16]),
        ElfError::NoteSize {
            note: ElfNote::VirtBase,
            len: 16
        }
    );
    let ElfError::OtherInterface(version) = with(ElfNote::InterfaceVersion, b"xen-2.0\x1B[2J\0")
    else {
        panic!()
    };
    assert_eq!(version.to_string(), "xen-2.0\\x1b[2J");
    assert!(matches!(
        with(ElfNote::Entry, &(VIRT_BASE + 0x102_7000).to_le_bytes()),
        ElfError::AddressOutside {
            what: "entry point",
            ..
        }
    ));
    assert!(matches!(
        with(ElfNote::Entry, &(VIRT_BASE + 0xFF_FFFF).to_le_bytes()),
        ElfError::AddressOutside {
            what: "entry point",
            ..
        }
    ));
    assert!(matches!(
        with(ElfNote::HypercallPage, &VIRT_BASE.to_le_bytes()),
        ElfError::AddressOutside {
            what: "hypercall page",
            ..
        }
    ));
    assert!(matches!(
        with(
            ElfNote::HypercallPage,
            &(VIRT_BASE + 0x100_0800).to_le_bytes()
        ),
        ElfError::Misaligned {
            what: "hypercall page",
            ..
        }
    ));
    let page = (VIRT_BASE + 0x100_4000).to_le_bytes();
    let file = TestKernel::linux()
        .with(ElfNote::HypercallPage, &page)
        .elf();
    assert_eq!(
        Kernel::parse(&file).unwrap().notes().hypercall_page,
        Some(Vaddr(VIRT_BASE + 0x100_4000))
    );
}

#[test]
fn numbers_in_notes_may_have_four_bytes() {
    let file = TestKernel::linux().with(ElfNote::SupportedFeatures, &0x8801_u64.to_le_bytes());
    let file = file
        .with(ElfNote::PaddrOffset, &[0; 4])
        .with(ElfNote::L1MfnValid, &[1, 0, 0, 0, 1, 0, 0, 0])
        .elf();
    let kernel = Kernel::parse(&file).unwrap();
    assert_eq!(kernel.notes().supported_features.bits(), 0x8811);
    assert_eq!(
        kernel.notes().l1_mfn_valid,
        Some(MaskValue { mask: 1, value: 1 })
    );
}

#[test]
fn required_features_must_be_offered() {
    let made = TestKernel::linux().with(ElfNote::Features, b"!auto_translated_physmap|dom0\0");
    assert_eq!(
        feature_refusal(&made, DomainKind::DomU),
        Some(ElfError::MissingFeatures(Features::AUTO_TRANSLATED_PHYSMAP))
    );
    let made = TestKernel::linux().with(
        ElfNote::Features,
        b"!mmu_pt_update_preserve_ad|!dom0|unheard_of",
    );
    assert_eq!(feature_refusal(&made, DomainKind::Dom0), None);
    let ElfError::UnknownFeature(name) = refusal(
        &TestKernel::linux()
            .with(ElfNote::Features, b"dom0|!unheard_of")
            .elf(),
    ) else {
        panic!()
    };
    assert_eq!(name.as_bytes(), b"unheard_of");
}

#[test]
fn the_first_domain_needs_a_kernel_that_says_so_or_says_nothing() {
    let made = TestKernel::linux().with(ElfNote::SupportedFeatures, &0x8001_u32.to_le_bytes());
    assert!(matches!(
        feature_refusal(&made, DomainKind::Dom0),
        Some(ElfError::NotDom0(_))
    ));
    assert_eq!(feature_refusal(&made, DomainKind::DomU), None);
    let made = TestKernel::linux().without(ElfNote::SupportedFeatures);
    assert_eq!(feature_refusal(&made, DomainKind::Dom0), None);
}

#[test]
fn notes_are_limited_in_number() {
    let mut made = TestKernel::linux();
    made.notes.extend((0..5000).map(|_| (99, Vec::new())));
    assert_eq!(refusal(&made.elf()), ElfError::TooManyNotes { limit: 4096 });
}

proptest! {
    #[test]
    fn damaged_files_are_refused_or_read_without_a_panic(
        changes in proptest::collection::vec((0_usize..1200, any::<u8>()), 1..20),
        notes_in in prop_oneof![Just(NotesIn::Segment), Just(NotesIn::Section)],
        len in 0_usize..20_000,
    ) {
        let mut made = TestKernel::linux();
        made.notes_in = notes_in;
        // Headers and notes close together, so that most changes hit them.
        for segment in &mut made.segments {
            segment.bytes.truncate(8);
        }
        let mut file = made.elf();
        file.truncate(len.max(100));
        for (at, value) in changes {
            let at = at % file.len();
            file[at] = value;
        }
        match Kernel::parse(&file) {
            Ok(kernel) => {
                let mut page = [0; PAGE_SIZE];
                kernel.fill_page(kernel.pfns().start(), &mut page);
                prop_assert!(kernel.pfns().end().0 <= MAX_EXTENT >> 12);
                let _ = kernel.check_features(DomainKind::Dom0, OFFERED);
            }
            Err(error) => prop_assert!(error.to_string().len() > 20),
        }
    }
}
