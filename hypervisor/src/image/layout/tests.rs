//! Where things lie, and why some domains have no layout.

use super::*;
use crate::image::testing::{TestKernel, VIRT_BASE};
use guest_abi::elf_note::ElfNote;

const MIB: u64 = 1 << 20;
/// Pages of a MiB.
const MIB_PAGES: u64 = MIB >> 12;

fn request(kind: DomainKind, nr_pages: u64) -> Request<'static> {
    Request {
        kind,
        nr_pages,
        initrd_len: 0,
        screen_info_len: 0,
        holes: &[],
    }
}

fn lay_out(kernel: &TestKernel, request: &Request<'_>) -> Result<Layout, LayoutError> {
    Layout::new(&Kernel::parse(&kernel.elf()).unwrap(), request)
}

fn pfns(start: u64, len: u64) -> Pfns {
    Pfns::new(Pfn(start), Pfn(start + len))
}

#[test]
fn a_guest_has_its_items_in_the_documented_order() {
    let layout = lay_out(
        &TestKernel::linux(),
        &request(DomainKind::DomU, 128 * MIB_PAGES),
    )
    .unwrap();
    assert_eq!(layout.kernel, pfns(0x1000, 0x27));
    // 32768 entries of 8 bytes.
    assert_eq!(layout.p2m, pfns(0x1027, 64));
    assert_eq!(layout.start_info, pfns(0x1067, 1));
    assert_eq!(layout.store_ring, Some(Pfn(0x1068)));
    assert_eq!(layout.console_ring, Some(Pfn(0x1069)));
    // 20 MiB: ten tables of level 1.
    assert_eq!(layout.page_tables, pfns(0x106A, 13));
    assert_eq!(layout.stack, Pfn(0x1077));
    assert_eq!(layout.mapped, pfns(0, 20 * MIB_PAGES));
    assert_eq!(layout.end(), Vaddr(VIRT_BASE + 20 * MIB));
    assert_eq!(layout.initrd, None);
    assert_eq!(layout.entry, Vaddr(VIRT_BASE + 0x100_61C0));
}

#[test]
fn the_first_domain_has_no_rings_and_room_for_its_screen() {
    let mut request = request(DomainKind::Dom0, 128 * MIB_PAGES);
    request.screen_info_len = 40;
    let layout = lay_out(&TestKernel::linux(), &request).unwrap();
    assert_eq!((layout.store_ring, layout.console_ring), (None, None));
    assert_eq!(layout.start_info.len(), 1);
    assert_eq!(layout.page_tables.start(), layout.start_info.end());
    request.screen_info_len = 4096 - 1168 + 1;
    assert_eq!(
        lay_out(&TestKernel::linux(), &request)
            .unwrap()
            .start_info
            .len(),
        2
    );
}

#[test]
fn an_initrd_lies_behind_the_mapping_or_in_it_as_the_kernel_can() {
    let mut request = request(DomainKind::DomU, 128 * MIB_PAGES);
    request.initrd_len = 5 * 4096 + 1;
    let unmapped = lay_out(&TestKernel::linux(), &request).unwrap();
    let initrd = unmapped.initrd.unwrap();
    assert_eq!(
        initrd,
        Initrd {
            pfns: pfns(20 * MIB_PAGES, 6),
            len: 5 * 4096 + 1,
            is_mapped: false
        }
    );

    for kernel in [
        TestKernel::linux().without(ElfNote::ModStartPfn),
        TestKernel::linux().with(ElfNote::ModStartPfn, &[0; 4]),
    ] {
        let mapped = lay_out(&kernel, &request).unwrap();
        let initrd = mapped.initrd.unwrap();
        assert_eq!(
            initrd,
            Initrd {
                pfns: pfns(0x1027, 6),
                len: 5 * 4096 + 1,
                is_mapped: true
            }
        );
        assert_eq!(mapped.p2m.start(), initrd.pfns.end());
    }
}

#[test]
fn nothing_that_matters_is_placed_on_a_hole() {
    let mut request = request(DomainKind::Dom0, 256 * MIB_PAGES);
    request.initrd_len = 8 * MIB;
    // Unsorted; one touches the kernel's end, one splits the way of the page tables, one is where the
    // initrd would be.
    let holes = [
        pfns(0x1080, 0x80),
        pfns(0x1027, 1),
        pfns(0xA0, 0x60),
        pfns(24 * MIB_PAGES + 3, 2),
    ];
    request.holes = &holes;
    let layout = lay_out(&TestKernel::linux(), &request).unwrap();
    assert_eq!(
        layout.p2m.start(),
        Pfn(0x1100),
        "the list has 128 frames: only behind both holes"
    );
    let initrd = layout.initrd.unwrap();
    for item in [
        layout.p2m,
        layout.start_info,
        layout.page_tables,
        pfns(layout.stack.0, 1),
        initrd.pfns,
    ] {
        assert!(!holes.iter().any(|hole| hole.overlaps(item)), "{item}");
    }
    // The low hole is mapped like everything else.
    assert_eq!(layout.mapped.start(), Pfn(0));
}

#[test]
fn an_initrd_that_only_fits_on_a_hole_is_placed_there() {
    let mut request = request(DomainKind::Dom0, 64 * MIB_PAGES);
    request.initrd_len = 40 * MIB;
    let holes = [pfns(30 * MIB_PAGES, MIB_PAGES)];
    request.holes = &holes;
    let layout = lay_out(&TestKernel::linux(), &request).unwrap();
    assert_eq!(
        layout.initrd.unwrap().pfns,
        pfns(20 * MIB_PAGES, 40 * MIB_PAGES)
    );
}

#[test]
fn a_kernel_on_a_hole_is_refused() {
    let holes = [pfns(0x1026, 1)];
    let mut request = request(DomainKind::Dom0, 64 * MIB_PAGES);
    request.holes = &holes;
    let error = lay_out(&TestKernel::linux(), &request).unwrap_err();
    assert_eq!(
        error,
        LayoutError::KernelOnHole {
            kernel: pfns(0x1000, 0x27),
            hole: holes[0]
        }
    );
    assert!(
        error.to_string().contains("frames 0x1000..0x1027"),
        "{error}"
    );
}

#[test]
fn domains_that_are_too_small_are_told_what_they_need() {
    let kernel = TestKernel::linux();
    let needed = 20 * MIB_PAGES;
    assert!(lay_out(&kernel, &request(DomainKind::DomU, needed)).is_ok());
    assert_eq!(
        lay_out(&kernel, &request(DomainKind::DomU, needed - 1)),
        Err(LayoutError::TooFewPages {
            needed,
            nr_pages: needed - 1
        })
    );
    assert!(matches!(
        lay_out(&kernel, &request(DomainKind::DomU, 0)),
        Err(LayoutError::TooFewPages { nr_pages: 0, .. })
    ));
    let mut with_initrd = request(DomainKind::DomU, needed + 1);
    with_initrd.initrd_len = 4097;
    let error = lay_out(&kernel, &with_initrd).unwrap_err();
    assert_eq!(
        error,
        LayoutError::TooFewPages {
            needed: needed + 2,
            nr_pages: needed + 1
        }
    );
    assert!(error.to_string().contains("dom0_mem"));
}

#[test]
fn what_exceeds_one_gibibyte_is_refused() {
    let pages = 1 << 30;
    // The list of frames of 512 GiB fills the mapping.
    assert!(matches!(
        lay_out(
            &TestKernel::linux(),
            &request(DomainKind::DomU, (512 << 30) >> 12)
        ),
        Err(LayoutError::ExceedsMapping {
            limit: LEVEL2_SPAN,
            ..
        })
    ));
    assert!(
        lay_out(
            &TestKernel::linux(),
            &request(DomainKind::DomU, (450 << 30) >> 12)
        )
        .is_ok()
    );
    for nr_pages in [pages, u64::MAX] {
        assert!(lay_out(&TestKernel::linux(), &request(DomainKind::DomU, nr_pages)).is_err());
    }
    // The kernel itself fits, and nothing beside it.
    let kernel = TestKernel::of_size(0x100_0000, LEVEL2_SPAN - 0x100_0000);
    assert!(matches!(
        lay_out(&kernel, &request(DomainKind::DomU, 1 << 20)),
        Err(LayoutError::ExceedsMapping { .. })
    ));
    let mut huge_initrd = request(DomainKind::DomU, 1 << 20);
    huge_initrd.initrd_len = u64::MAX;
    assert!(lay_out(&TestKernel::linux(), &huge_initrd).is_err());
    assert!(
        lay_out(
            &TestKernel::linux().without(ElfNote::ModStartPfn),
            &huge_initrd
        )
        .is_err()
    );
}

#[test]
fn bases_where_no_mapping_can_be_are_refused() {
    let at = |base: u64| {
        let kernel = TestKernel::linux()
            .with_number(ElfNote::VirtBase, base)
            .with_number(ElfNote::Entry, base.wrapping_add(0x100_0000));
        lay_out(&kernel, &request(DomainKind::DomU, 128 * MIB_PAGES))
    };
    for base in [
        0x800,
        0x0000_8000_0000_0000,
        0xFFFF_8000_0000_0000,
        0xFFFF_87FF_C000_0000,
    ] {
        assert_eq!(at(base), Err(LayoutError::VirtBase(Vaddr(base))));
    }
    // The mapping may start anywhere in its GiB, if the rest of that holds it.
    for base in [
        0,
        0x1000,
        0x3E00_0000,
        0x40_0000,
        0xFFFF_8800_0000_0000,
        0xFFFF_FFFF_C000_0000,
    ] {
        let layout = at(base).unwrap();
        assert_eq!(layout.end().0 % INITIAL_MAPPING_ALIGN, 0);
    }
    let limit = 0x100_0000;
    assert!(
        matches!(at(0x3F00_0000), Err(LayoutError::ExceedsMapping { limit: l, .. }) if l == limit)
    );
    // To the last byte of the address space.
    assert_eq!(at(0xFFFF_FFFF_FEC0_0000).unwrap().end(), Vaddr(0));
}

#[test]
fn a_hypercall_page_is_found_in_the_kernel() {
    let kernel = TestKernel::linux().with_number(ElfNote::HypercallPage, VIRT_BASE + 0x100_3000);
    let layout = lay_out(&kernel, &request(DomainKind::DomU, 128 * MIB_PAGES)).unwrap();
    assert_eq!(layout.hypercall_page, Some(Pfn(0x1003)));
}
