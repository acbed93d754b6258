//! The hypervisor's own page tables: one root whose slots 256 to 271 every guest root will share.
//!
//! Nothing is both writable and executable: code is executable and read-only, constants are read-only,
//! everything else is writable and never executable. That holds for the direct map as well, where the
//! frames of code and constants are mapped read-only.
//!
//! The tables are changed under one lock, and a present entry never changes, so no other processor can
//! hold a stale translation and nothing needs flushing.

use super::layout::{self, DIRECT_START, IMAGE_OFFSET, table_index};
use super::percpu::{self, BLOCK_PAGES};
use super::{boot_memory, boot_stack, features};
use crate::lock::IrqLock;
use crate::sync::rank;
use core::sync::atomic::{AtomicU64, Ordering};
use features::Features;
use guest_abi::ids::Mfn;

const PRESENT: u64 = 1 << 0;
const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const UNCACHED: u64 = 1 << 3 | 1 << 4;
const ACCESSED_DIRTY: u64 = 1 << 5 | 1 << 6;
const LARGE: u64 = 1 << 7;
const GLOBAL: u64 = 1 << 8;
const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// What may be done with a mapping.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Access {
    /// Executed and read.
    Code,
    /// Read.
    Constant,
    /// Read and written.
    Data,
    /// Device registers: read and written, uncached.
    Device,
    /// Read by guests (and by us).
    GuestConstant,
}

impl Access {
    const fn bits(self) -> u64 {
        let common = PRESENT | GLOBAL | ACCESSED_DIRTY;
        match self {
            Self::Code => common,
            Self::Constant => common | NO_EXECUTE,
            Self::Data => common | WRITABLE | NO_EXECUTE,
            Self::Device => common | WRITABLE | NO_EXECUTE | UNCACHED,
            Self::GuestConstant => common | USER | NO_EXECUTE,
        }
    }
}

/// Root of the hypervisor's page tables.
static ROOT: AtomicU64 = AtomicU64::new(0);
/// Held to change the tables; protects the next free address of the device window.
static NEXT_DEVICE: IrqLock<u64, { rank::OWN_TABLES }> = IrqLock::new(layout::DEVICES_START);

/// The machine address of what the direct map shows at `address`: the opposite of [`direct`].
pub(super) fn machine_address(address: u64) -> u64 {
    address.wrapping_sub(DIRECT_START)
}

/// Where the direct map shows machine address `address`.
pub(super) fn direct<T>(address: u64) -> *mut T {
    debug_assert!(address < layout::DIRECT_LIMIT);
    (DIRECT_START + address) as *mut T
}

/// Reads entry `index` of the table at `table`.
///
/// # Safety
/// `table` is a page table of ours; `index` is below 512.
unsafe fn entry(table: Mfn, index: usize) -> u64 {
    // SAFETY: our tables are RAM that the direct map shows (caller).
    unsafe { direct::<u64>(table.address()).add(index).read_volatile() }
}

/// Writes entry `index` of the table at `table`.
///
/// # Safety
/// As [`entry`], and the new entry maps what the caller owns.
unsafe fn set_entry(table: Mfn, index: usize, value: u64) {
    // SAFETY: caller.
    unsafe {
        direct::<u64>(table.address())
            .add(index)
            .write_volatile(value)
    };
}

fn new_table() -> Mfn {
    let table = boot_memory::zeroed_frames(1);
    debug_assert!(table.0 != 0);
    table
}

/// Bits of an entry that leads to a table: what it maps is decided at the end of the walk, but for the one
/// window that guests read, whose way must be open to them.
fn table_bits(address: u64) -> u64 {
    let common = PRESENT | WRITABLE | ACCESSED_DIRTY;
    if (layout::M2P_START..layout::M2P_END).contains(&address) {
        common | USER
    } else {
        common
    }
}

/// The table of `level` that covers `address`, made if there is none.
///
/// # Safety
/// The caller holds the lock on the tables (or is alone) and `root` is a root of ours.
unsafe fn table_at(root: Mfn, address: u64, level: u32) -> Mfn {
    let mut table = root;
    for above in (level + 1..=4).rev() {
        let index = table_index(address, above);
        // SAFETY: `table` is one of ours by induction from the root.
        let value = unsafe { entry(table, index) };
        assert!(
            value & LARGE == 0,
            "a large page is in the way at {address:#x}"
        );
        table = if value & PRESENT == 0 {
            let next = new_table();
            // SAFETY: as above; an empty table maps nothing.
            unsafe { set_entry(table, index, next.address() | table_bits(address)) };
            next
        } else {
            Mfn::of_address(value & ADDRESS)
        };
    }
    table
}

/// Maps `length` bytes at `from` to machine addresses from `to` on, with the largest pages that fit.
///
/// # Safety
/// All three are multiples of 4096; the caller owns the address range, nothing is mapped in it, and
/// `access` is right for what is at `to`. The caller is alone or holds the lock.
unsafe fn map(root: Mfn, from: u64, to: u64, length: u64, access: Access) {
    debug_assert!((from | to | length).is_multiple_of(4096));
    let mut done = 0;
    while done < length {
        let (virt, phys, left) = (from + done, to + done, length - done);
        let fits = |size: u64| (virt | phys) % size == 0 && left >= size;
        let (level, size) = if fits(1 << 30) && features::get().contains(Features::PAGE_1G) {
            (3, 1 << 30)
        } else if fits(1 << 21) {
            (2, 1 << 21)
        } else {
            (1, 1 << 12)
        };
        // SAFETY: caller; `level` is the level whose pages are `size` bytes.
        unsafe {
            let table = table_at(root, virt, level);
            let index = table_index(virt, level);
            assert!(
                entry(table, index) & PRESENT == 0,
                "{virt:#x} is mapped already"
            );
            let large = if level == 1 { 0 } else { LARGE };
            set_entry(table, index, phys | access.bits() | large);
        }
        done += size;
    }
}

/// The parts of the image, by the linker script.
struct Image {
    text: (u64, u64),
    constants: (u64, u64),
    data: (u64, u64),
    symbols: (u64, u64),
}

impl Image {
    fn get() -> Self {
        unsafe extern "C" {
            static __text_start: u8;
            static __text_end: u8;
            static __rodata_start: u8;
            static __rodata_end: u8;
            static __data_start: u8;
            static __data_end: u8;
        }
        let symbols = super::symbols::bytes().as_ptr_range();
        Self {
            text: (&raw const __text_start as u64, &raw const __text_end as u64),
            constants: (
                &raw const __rodata_start as u64,
                &raw const __rodata_end as u64,
            ),
            data: (&raw const __data_start as u64, &raw const __data_end as u64),
            symbols: (
                symbols.start as u64,
                (symbols.end as u64).next_multiple_of(4096),
            ),
        }
    }
}

/// Machine addresses of the whole image, from `load_base`, where the loader put its first byte.
pub(super) fn image_range(load_base: u64) -> (u64, u64) {
    let end = Image::get().symbols.1;
    (
        load_base,
        end - IMAGE_OFFSET - layout::IMAGE_UNMOVED + load_base,
    )
}

/// Where the loader put the image's first byte.
static LOAD_BASE: AtomicU64 = AtomicU64::new(0);

/// Machine address of `address` in the image.
pub(super) fn image_address(address: u64) -> u64 {
    address - IMAGE_OFFSET - layout::IMAGE_UNMOVED + LOAD_BASE.load(Ordering::Relaxed)
}

/// Builds the hypervisor's page tables and starts using them. `ram` are the machine-address ranges that
/// the direct map shows, multiples of 4096, sorted, disjoint.
///
/// # Safety
/// Called once, by the first processor, on the early page tables; the stack in use is in the image.
pub(super) unsafe fn start(load_base: u64, ram: impl Iterator<Item = (u64, u64)>) {
    let root = new_table();
    let image = Image::get();
    LOAD_BASE.store(load_base, Ordering::Relaxed);
    let physical = image_address;
    let (fixed_start, fixed_end) = (physical(image.text.0), physical(image.constants.1));
    // SAFETY: alone; the windows are disjoint by layout.rs; parts of the image start on pages.
    unsafe {
        for ((start, end), access) in [
            (image.text, Access::Code),
            (image.constants, Access::Constant),
            (image.symbols, Access::Constant),
        ] {
            map(root, start, physical(start), end - start, access);
        }
        // Data is what lies between the guard pages of the stacks that boot runs on.
        let mut start = image.data.0;
        for guard in boot_stack::guard_pages() {
            map(
                root,
                start,
                physical(start),
                guard.start - start,
                Access::Data,
            );
            start = guard.end;
        }
        map(
            root,
            start,
            physical(start),
            image.data.1 - start,
            Access::Data,
        );
        for (start, end) in ram {
            // Code and constants are read-only here, too: cut them out of the range and map them apart.
            let pieces = [
                (start, end.min(fixed_start), Access::Data),
                (start.max(fixed_start), end.min(fixed_end), Access::Constant),
                (start.max(fixed_end), end, Access::Data),
            ];
            for (start, end, access) in pieces {
                if start < end {
                    map(root, DIRECT_START + start, start, end - start, access);
                }
            }
        }
        // Third-level tables of the other windows exist from the start: guest roots copy the entries of
        // this root, so none may appear in it later.
        for window in [layout::M2P_START, layout::STACKS_START] {
            table_at(root, window, 3);
        }
    }
    ROOT.store(root.address(), Ordering::Release);
    // SAFETY: the new tables map the image where it is, the running stack with it, and all RAM.
    unsafe { load_root() };
}

/// Uses the hypervisor's page tables on this processor.
///
/// # Safety
/// [`start`] has built them; the running stack is mapped by them.
pub(super) unsafe fn load_root() {
    let root = ROOT.load(Ordering::Acquire);
    // SAFETY: a complete root (caller).
    unsafe { core::arch::asm!("mov cr3, {}", in(reg) root, options(nostack, preserves_flags)) };
}

/// Maps the stacks of processor `cpu`.
///
/// Takes the frames from boot memory; a block is mapped once.
pub(super) fn map_stacks(cpu: u32) {
    let _tables = NEXT_DEVICE.lock();
    let root = Mfn::of_address(ROOT.load(Ordering::Acquire));
    for page in (0..BLOCK_PAGES).filter(|&page| !percpu::is_guard_page(page)) {
        let frame = boot_memory::zeroed_frames(1);
        // SAFETY: the block is this processor's, mapped once (an assertion in `map` sees to it).
        unsafe {
            map(
                root,
                percpu::stack_block(cpu) + page * 4096,
                frame.address(),
                4096,
                Access::Data,
            )
        };
    }
}

/// Maps frames for a table in a window of its own (frame table, machine-to-physical table).
///
/// # Safety
/// The caller owns the address range and the frames; multiples of 4096.
pub(super) unsafe fn map_table(from: u64, to: u64, length: u64, access: Access) {
    let _tables = NEXT_DEVICE.lock();
    // SAFETY: caller.
    unsafe {
        map(
            Mfn::of_address(ROOT.load(Ordering::Acquire)),
            from,
            to,
            length,
            access,
        )
    };
}

/// Maps the device registers at machine address `address`, `length` bytes, for good. Returns where. Only during boot, when
/// frames for page tables are there.
///
/// # Safety
/// There is a device at the address, and the caller drives it.
pub(super) unsafe fn map_device(address: u64, length: u64) -> u64 {
    let mut next = NEXT_DEVICE.lock();
    // SAFETY: caller.
    unsafe { map_device_at(&mut next, address, length, layout::DEVICES_END) }
        .expect("the window for device registers is full")
}

/// Bytes of the device window that are kept for devices found after boot.
const LATE_DEVICES: u64 = 64 << 20;
/// End of what is kept for them; 0 during boot.
static LATE_END: AtomicU64 = AtomicU64::new(0);

/// Makes the page tables for devices that are mapped later, so that mapping one needs no memory.
pub(super) fn end_device_boot() {
    let mut next = NEXT_DEVICE.lock();
    const TABLE: u64 = 2 << 20;
    *next = next.next_multiple_of(TABLE);
    let end = *next + LATE_DEVICES;
    assert!(
        end <= layout::DEVICES_END,
        "the window for device registers is full"
    );
    let root = Mfn::of_address(ROOT.load(Ordering::Acquire));
    for address in (*next..end).step_by(TABLE as usize) {
        // SAFETY: the lock is held.
        unsafe { table_at(root, address, 1) };
    }
    LATE_END.store(end, Ordering::Release);
}

/// [`map_device`] after boot. `None` if there is no room left.
///
/// # Safety
/// As `map_device`; less than 2 MiB.
pub(super) unsafe fn try_map_device(address: u64, length: u64) -> Option<u64> {
    let mut next = NEXT_DEVICE.lock();
    // SAFETY: caller.
    unsafe { map_device_at(&mut next, address, length, LATE_END.load(Ordering::Acquire)) }
}

/// Maps a device at the next free address of the window, if that is below `end`.
///
/// # Safety
/// As `map_device`.
unsafe fn map_device_at(next: &mut u64, address: u64, length: u64, end: u64) -> Option<u64> {
    let offset = address % 4096;
    let length = (offset + length).next_multiple_of(4096);
    // Large windows begin where large pages fit.
    const LARGE_PAGE: u64 = 2 << 20;
    let from = if length < LARGE_PAGE {
        *next
    } else {
        next.next_multiple_of(LARGE_PAGE) + (address - offset) % LARGE_PAGE
    };
    if from.checked_add(length)? > end {
        return None;
    }
    // SAFETY: the window is ours, each piece is given out once, and what is there is a device (caller).
    unsafe {
        map(
            Mfn::of_address(ROOT.load(Ordering::Acquire)),
            from,
            address - offset,
            length,
            Access::Device,
        )
    };
    // A page between two devices stays unmapped.
    *next = from + length + 4096;
    Some(from + offset)
}

/// Machine address of the root of the hypervisor's page tables.
pub(super) fn root() -> u64 {
    ROOT.load(Ordering::Acquire)
}

/// Fills the hypervisor's slots of a guest root: those of its own root, and the domain's own area.
pub(super) fn copy_hypervisor_slots(to: Mfn, per_domain: u64) {
    let from = Mfn::of_address(root());
    let own = table_index(layout::PER_DOMAIN_START, 4);
    for index in
        table_index(layout::HYPERVISOR_START, 4)..=table_index(layout::HYPERVISOR_END - 1, 4)
    {
        // SAFETY: both are roots: ours, and a guest's that is about to come into force.
        unsafe {
            set_entry(
                to,
                index,
                if index == own {
                    per_domain
                } else {
                    entry(from, index)
                },
            )
        };
    }
}

/// Bytes that [`fill`] writes in one turn.
const LINES: u64 = 256;

/// Fills `bytes` bytes of machine memory, whole words of them, with `word`: past the caches, because most of what is
/// filled is scrubbed, and read by nobody for long.
///
/// # Safety
/// The caller owns the memory, which the direct map shows.
pub(super) unsafe fn fill(address: u64, bytes: u64, word: u64) {
    debug_assert!(address.is_multiple_of(8) && bytes.is_multiple_of(8));
    let (lines, rest) = (bytes / LINES, bytes % LINES);
    // SAFETY: caller. The direction flag is clear (ABI). Nobody reads before the fence what goes past the caches.
    unsafe {
        core::arch::asm!(
            "test {lines}, {lines}",
            "jz 3f",
            "2:",
            ".set .Lfill_offset, 0",
            ".rept {words}",
            "movnti [rdi + .Lfill_offset], rax",
            ".set .Lfill_offset, .Lfill_offset + 8",
            ".endr",
            "add rdi, {step}",
            "dec {lines}",
            "jnz 2b",
            "sfence",
            "3:",
            "rep stosq",
            lines = inout(reg) lines => _,
            words = const LINES / 8,
            step = const LINES,
            inout("rcx") rest / 8 => _,
            inout("rdi") direct::<u8>(address) => _,
            in("rax") word,
            options(nostack),
        );
    }
}
