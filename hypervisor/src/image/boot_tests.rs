//! Made-up domains "boot" in a software MMU: the page tables are built into a fake memory whose machine
//! frames are scrambled, and walked as a processor walks them.

use super::{
    DomainKind,
    bzimage::{self, KernelFile},
    command_line::CommandLine,
    elf::Kernel,
    layout::{Layout, Request},
    pfns::Pfns,
    start::{self, Devices, Ring},
    tables::{self, Entry, EntryFlags, Table, TableWriter},
    testing::TestKernel,
};
use core::convert::Infallible;
use guest_abi::{
    address_space::{END_OF_HYPERVISOR_SLOTS, FIRST_HYPERVISOR_SLOT},
    elf_note::ElfNote,
    ids::{Mfn, PAGE_SIZE, Pfn, Port, Vaddr},
    start_of_day::{INITIAL_MAPPING_ALIGN, INITIAL_MAPPING_SLACK, StartFlags},
};
use proptest::prelude::*;
use std::collections::{BTreeSet, HashMap};

const FRAME_MASK: u64 = 0x000F_FFFF_FFFF_F000;
const TABLE_ENTRY: u64 = 0x67;
const WRITABLE_PAGE: u64 = 0x27;
const READ_ONLY_PAGE: u64 = 0x25;

/// A machine frame number that says nothing about the frame number.
fn mfn_of(pfn: Pfn) -> Mfn {
    Mfn(0x4_0000 + (pfn.0 ^ 0x2A5))
}

fn pfn_of(mfn: Mfn) -> Pfn {
    Pfn((mfn.0 - 0x4_0000) ^ 0x2A5)
}

/// Frames that have been written as page tables.
#[derive(Default)]
struct FakeMemory {
    frames: HashMap<u64, [u64; 512]>,
}

impl TableWriter for FakeMemory {
    type Error = Infallible;

    fn clear(&mut self, table: Table) -> Result<(), Infallible> {
        let before = self.frames.insert(mfn_of(table.pfn).0, [0; 512]);
        assert!(before.is_none(), "{table:?} is written twice");
        Ok(())
    }

    fn set(&mut self, table: Table, entry: Entry) -> Result<(), Infallible> {
        let frame = self.frames.get_mut(&mfn_of(table.pfn).0).unwrap();
        assert_eq!(
            frame[entry.index], 0,
            "{entry:?} of {table:?} is written twice"
        );
        assert!(EntryFlags::all().contains(entry.flags));
        frame[entry.index] = mfn_of(entry.target).address() | entry.flags.bits();
        Ok(())
    }
}

impl FakeMemory {
    /// The level-1 entry that translates `address`.
    fn walk(&self, root: Mfn, address: Vaddr) -> Option<u64> {
        let mut table = root;
        for shift in [39, 30, 21] {
            let entry = self.frames[&table.0][(address.0 >> shift) as usize % 512];
            if entry == 0 {
                return None;
            }
            assert_eq!(entry & !FRAME_MASK, TABLE_ENTRY);
            table = Mfn::of_address(entry & FRAME_MASK);
        }
        Some(self.frames[&table.0][(address.0 >> 12) as usize % 512]).filter(|entry| *entry != 0)
    }

    fn present(&self, mfn: Mfn) -> impl Iterator<Item = (usize, u64)> {
        self.frames[&mfn.0]
            .iter()
            .copied()
            .enumerate()
            .filter(|(_, entry)| *entry != 0)
    }
}

/// Checks every rule of the initial mapping.
fn boot(layout: &Layout) {
    let mut memory = FakeMemory::default();
    let Ok(()) = tables::write(layout, &mut memory);
    let root = mfn_of(layout.page_tables.start());

    // Every page is at its place, read-only if and only if it is a page table.
    for pfn in layout.mapped.iter() {
        let entry = memory
            .walk(root, layout.vaddr(pfn))
            .unwrap_or_else(|| panic!("{pfn} is not mapped"));
        let flags = if layout.page_tables.contains(pfn) {
            READ_ONLY_PAGE
        } else {
            WRITABLE_PAGE
        };
        assert_eq!(entry, mfn_of(pfn).address() | flags, "{pfn}");
    }

    // Nothing else is mapped: one way from the root to one level-2 table, and as many pages as there are.
    let mut reached = BTreeSet::from([layout.page_tables.start()]);
    let mut table = root;
    for shift in [39, 30] {
        let entries: Vec<_> = memory.present(table).collect();
        let [(index, entry)] = entries[..] else {
            panic!("{} entries above level 2", entries.len())
        };
        assert_eq!(index, (layout.virt_base.0 >> shift) as usize % 512);
        if shift == 39 {
            assert!(!(FIRST_HYPERVISOR_SLOT..END_OF_HYPERVISOR_SLOTS).contains(&index));
        }
        table = Mfn::of_address(entry & FRAME_MASK);
        assert!(reached.insert(pfn_of(table)));
    }
    let mut nr_mapped = 0;
    for (_, entry) in memory.present(table) {
        let level1 = Mfn::of_address(entry & FRAME_MASK);
        assert!(
            reached.insert(pfn_of(level1)),
            "a level-1 table is used twice"
        );
        nr_mapped += memory.present(level1).count() as u64;
    }
    assert_eq!(nr_mapped, layout.mapped.len());
    // All frames of page tables are reached, and they are the frames that were written.
    assert!(reached.iter().copied().eq(layout.page_tables.iter()));
    assert_eq!(memory.frames.len() as u64, layout.page_tables.len());

    // The end is aligned, behind the slack, and not further than it must be.
    let end = layout.end().0;
    assert_eq!(end % INITIAL_MAPPING_ALIGN, 0);
    let slack = (layout.mapped.end().0 - layout.stack.0 - 1) * PAGE_SIZE as u64;
    assert!(
        (INITIAL_MAPPING_SLACK..INITIAL_MAPPING_SLACK + INITIAL_MAPPING_ALIGN).contains(&slack)
    );
    assert_eq!(end.wrapping_sub(1) >> 30, layout.virt_base.0 >> 30);

    // Items are in order and apart, inside the mapping, and the mapping is inside the domain.
    let page = |pfn: Pfn| Pfns::new(pfn, Pfn(pfn.0 + 1));
    let mapped_initrd = layout
        .initrd
        .filter(|initrd| initrd.is_mapped)
        .map(|initrd| initrd.pfns);
    let items = [
        Some(layout.kernel),
        mapped_initrd,
        Some(layout.p2m),
        Some(layout.start_info),
        layout.store_ring.map(page),
        layout.console_ring.map(page),
        Some(layout.page_tables),
        Some(page(layout.stack)),
        Some(page(Pfn(layout.mapped.end().0))),
    ];
    let items: Vec<_> = items.into_iter().flatten().collect();
    assert!(items.iter().all(|item| !item.is_empty()));
    assert!(
        items
            .windows(2)
            .all(|pair| pair[0].end() <= pair[1].start()),
        "{items:?}"
    );
    assert!(layout.mapped.end().0 <= layout.nr_pages);
    assert!(layout.p2m.len() * 512 >= layout.nr_pages);
    if let Some(initrd) = layout.initrd {
        assert!(initrd.pfns.end().0 <= layout.nr_pages);
        assert_eq!(initrd.pfns.len(), initrd.len.div_ceil(PAGE_SIZE as u64));
        assert!(initrd.is_mapped || initrd.pfns.start() >= layout.mapped.end());
    }
    assert_eq!(layout.store_ring.is_some(), layout.kind == DomainKind::DomU);
}

/// Checks what the kernel is told against what is true.
fn check_start(layout: &Layout) {
    let ring = |pfn: Option<Pfn>, port| Ring {
        mfn: mfn_of(pfn.unwrap()),
        port: Port(port),
    };
    let devices = match layout.kind {
        DomainKind::Dom0 => Devices::Dom0 {
            screen_info_len: 40,
            power_management: 3,
        },
        DomainKind::DomU => Devices::DomU {
            store: ring(layout.store_ring, 1),
            console: ring(layout.console_ring, 2),
        },
    };
    let line = CommandLine::join([&b"console=hvc0"[..]]).unwrap();
    let info = start::start_info(layout, 0x1234_5000, devices, &line);
    assert_eq!(info.nr_pages, layout.nr_pages);
    assert_eq!(info.shared_info, 0x1234_5000);
    assert_eq!(info.pt_base, layout.vaddr(layout.page_tables.start()));
    assert_eq!(info.nr_pt_frames, layout.page_tables.len());
    assert_eq!(info.mfn_list, layout.vaddr(layout.p2m.start()));
    assert!(info.cmd_line.starts_with(b"console=hvc0\0"));
    assert_eq!((info.first_p2m_pfn, info.nr_p2m_frames), (Pfn(0), 0));
    match layout.initrd {
        None => assert_eq!((info.mod_start, info.mod_len), (0, 0)),
        Some(initrd) => {
            assert_eq!(info.mod_len, initrd.len);
            let told = if info.flags.contains(StartFlags::MOD_START_PFN) {
                Pfn(info.mod_start)
            } else {
                Pfn((info.mod_start - layout.virt_base.0) >> 12)
            };
            assert_eq!(told, initrd.pfns.start());
        }
    }
    match layout.kind {
        DomainKind::Dom0 => {
            assert!(info.magic.starts_with(b"xen-3.0-x86_64p\0"));
            assert!(
                info.flags
                    .contains(StartFlags::PRIVILEGED | StartFlags::INITDOMAIN)
            );
            assert_eq!(info.flags.bits() & 0xFF00, 0x300);
            assert_eq!((info.store_mfn, info.store_evtchn), (Mfn(0), Port(0)));
            assert_eq!(info.console_mfn, Mfn(1168 | 40 << 32));
        }
        DomainKind::DomU => {
            assert!(info.magic.starts_with(b"xen-3.0-x86_64\0"));
            assert!(
                !info.flags.contains(StartFlags::PRIVILEGED) && info.flags.bits() & 0xFF00 == 0
            );
            assert_eq!(
                (info.store_mfn, info.store_evtchn),
                (mfn_of(layout.store_ring.unwrap()), Port(1))
            );
            assert_eq!(
                (info.console_mfn, info.console_evtchn),
                (mfn_of(layout.console_ring.unwrap()), Port(2))
            );
        }
    }
    let registers = start::registers(layout);
    assert_eq!(registers.rip, layout.entry.0);
    assert_eq!(registers.rsi, layout.vaddr(layout.start_info.start()).0);
    assert_eq!(
        registers.rsp,
        layout.vaddr(layout.stack).0.wrapping_add(0x1000)
    );
    assert_eq!(
        (registers.cs, registers.ss, registers.rflags),
        (0xE033, 0xE02B, 0x202)
    );
    assert_eq!(
        (registers.rax, registers.rdi, registers.ds, registers.fs),
        (0, 0, 0, 0)
    );
}

#[test]
fn a_small_guest_boots() {
    let file = TestKernel::linux().elf();
    let kernel = Kernel::parse(&file).unwrap();
    for (kind, initrd_len) in [(DomainKind::DomU, 0), (DomainKind::Dom0, 123_456)] {
        let request = Request {
            kind,
            nr_pages: 0x8000,
            initrd_len,
            screen_info_len: 40,
            holes: &[],
        };
        let layout = Layout::new(&kernel, &request).unwrap();
        boot(&layout);
        check_start(&layout);
    }
}

#[test]
fn stubs_are_the_documented_instructions() {
    let mut page = [0; PAGE_SIZE];
    start::write_hypercall_page(&mut page);
    let stub = |number: usize| &page[number * 32..number * 32 + 32];
    let mut expected = vec![
        0x51, 0x41, 0x53, 0xB8, 12, 0, 0, 0, 0x0F, 0x05, 0x41, 0x5B, 0x59, 0xC3,
    ];
    expected.resize(32, 0xCC);
    assert_eq!(stub(12), expected);
    let mut expected = vec![0x51, 0x41, 0x53, 0x50, 0xB8, 23, 0, 0, 0, 0x0F, 0x05];
    expected.resize(32, 0xCC);
    assert_eq!(stub(23), expected);
    assert_eq!(stub(127)[4], 127);
}

#[derive(Clone, Debug)]
struct Domain {
    virt_base: u64,
    kernel_start: u64,
    kernel_len: u64,
    takes_unmapped_initrd: bool,
    kind: DomainKind,
    nr_pages: u64,
    initrd_len: u64,
    holes: Vec<Pfns>,
}

fn domains() -> impl Strategy<Value = Domain> {
    let mib = 1_u64 << 20;
    // Mostly small, so that a case is quick; now and then all that fits.
    let sizes = move |common: u64, rare: u64| prop_oneof![19 => 0..common, 1 => 0..rare];
    let hole = (0_u64..0x6000, 1_u64..0x200)
        .prop_map(|(start, len)| Pfns::new(Pfn(start), Pfn(start + len)));
    let base = prop_oneof![
        4 => Just(0xFFFF_FFFF_8000_0000),
        1 => (0_u64..0x40000).prop_map(|page| page << 12),
        1 => (0_u64..0x40000).prop_map(|page| 0xFFFF_FFFF_C000_0000 | page << 12),
    ];
    let kind = prop_oneof![Just(DomainKind::Dom0), Just(DomainKind::DomU)];
    let kernel = (sizes(32 * mib, 900 * mib), sizes(16 * mib, 900 * mib));
    let rest = (
        sizes(16 * mib, 500 * mib),
        proptest::collection::vec(hole, 0..6),
    );
    (
        base,
        kernel,
        any::<bool>(),
        kind,
        sizes(0x2_0000, 0x800_0000),
        rest,
    )
        .prop_map(
            |(
                virt_base,
                (kernel_start, kernel_len),
                takes_unmapped_initrd,
                kind,
                nr_pages,
                (initrd_len, holes),
            )| {
                let kernel_len = kernel_len.max(1).min((1 << 30) - kernel_start);
                let holes = if kind == DomainKind::Dom0 {
                    holes
                } else {
                    Vec::new()
                };
                Domain {
                    virt_base,
                    kernel_start,
                    kernel_len,
                    takes_unmapped_initrd,
                    kind,
                    nr_pages,
                    initrd_len,
                    holes,
                }
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(crate::test_cases::cases(100)))]

    #[test]
    fn any_domain_boots_or_is_refused(domain in domains()) {
        let made = TestKernel::of_size(domain.kernel_start, domain.kernel_len)
            .with_number(ElfNote::VirtBase, domain.virt_base)
            .with_number(ElfNote::Entry, domain.virt_base.wrapping_add(domain.kernel_start))
            .with(ElfNote::ModStartPfn, &u32::from(domain.takes_unmapped_initrd).to_le_bytes());
        let file = made.elf();
        let kernel = Kernel::parse(&file).unwrap();
        let request = Request {
            kind: domain.kind,
            nr_pages: domain.nr_pages,
            initrd_len: domain.initrd_len,
            screen_info_len: 40,
            holes: &domain.holes,
        };
        match Layout::new(&kernel, &request) {
            Ok(layout) => {
                boot(&layout);
                check_start(&layout);
                let on_hole = |pfns: Pfns| domain.holes.iter().any(|hole| hole.overlaps(pfns));
                let stack = Pfns::new(layout.stack, Pfn(layout.stack.0 + 1));
                for item in [layout.kernel, layout.p2m, layout.start_info, layout.page_tables, stack] {
                    prop_assert!(!on_hole(item), "{item}");
                }
            }
            Err(error) => prop_assert!(error.to_string().len() > 40),
        }
    }
}

/// With `PARAVANE_TEST_KERNEL` set to a kernel file: a kernel as distributed is unpacked, read and laid out.
#[test]
fn a_distributed_kernel_boots() {
    let Some(path) = std::env::var_os("PARAVANE_TEST_KERNEL") else {
        eprintln!("SKIPPED: set PARAVANE_TEST_KERNEL to the path of a vmlinuz to test with it");
        return;
    };
    let file = std::fs::read(&path).unwrap();
    let mut unpacked = Vec::new();
    let elf = match bzimage::open(&file).unwrap() {
        KernelFile::Elf(elf) => elf,
        KernelFile::Packed(payload) => {
            unpacked.resize(payload.unpacked_len, 0xAA);
            let begin = std::time::Instant::now();
            payload.unpack(&mut unpacked, &mut |_| {}).unwrap();
            eprintln!(
                "{}: {} bytes in {:?}",
                payload.compression,
                unpacked.len(),
                begin.elapsed()
            );
            &unpacked
        }
    };
    let kernel = Kernel::parse(elf).unwrap_or_else(|error| panic!("{error}"));
    let holes = [
        Pfns::new(Pfn(0xA0), Pfn(0x100)),
        Pfns::new(Pfn(0x7_FFE0), Pfn(0x10_0000)),
    ];
    for (kind, holes) in [(DomainKind::Dom0, &holes[..]), (DomainKind::DomU, &[])] {
        let request = Request {
            kind,
            nr_pages: 0x4_0000,
            initrd_len: 40 << 20,
            screen_info_len: 40,
            holes,
        };
        let layout = Layout::new(&kernel, &request).unwrap_or_else(|error| panic!("{error}"));
        eprintln!("{kind:?}: {layout:#x?}");
        boot(&layout);
        check_start(&layout);
    }
    let mut page = [0; PAGE_SIZE];
    for pfn in kernel.pfns().iter() {
        kernel.fill_page(pfn, &mut page);
    }
}
