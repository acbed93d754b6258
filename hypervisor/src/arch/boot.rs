//! From the first Rust instruction to the end of boot, in order.

use super::layout::{self, DIRECT_START, EARLY_DIRECT_LIMIT};
use super::{
    acpi_memory, apic, boot_memory, boot_stack, clock, console_input, death, entry_area, features,
    frames, guest, heap, ioapic, irq, msi_map, paging, pci, percpu, power, scheduler, serial, smap,
    smp, symbols, tables, traps, vga, wall_clock, watchdog,
};
use crate::console;
use crate::console::input::Listener;
use crate::image::pfns::Pfns;
use crate::image::screen::{ScreenSetup, screen_info};
use crate::lock::IrqLock;
use crate::machine::Bounded;
use crate::machine::acpi::{Acpi, MAX_IO_APICS, RsdpCopies};
use crate::machine::efi;
use crate::machine::memory_map::MemoryKind;
use crate::machine::multiboot::{self, BootInfo};
use crate::machine::phys::PhysRange;
use crate::mm::platform::Device;
use crate::options::{self, Consoles, Options, Parsed, VgaMode, Watchdog};
use alloc::vec::Vec;
use arrayvec::{ArrayString, ArrayVec};
use core::arch::global_asm;
use core::fmt::Write as _;
use guest_abi::ids::{Mfn, Pfn};
use layout::table_index;
use spin::Once;

/// First MiB: firmware's areas, mapped whole.
pub(super) const LOW_END: u64 = 1 << 20;
/// Where devices write to interrupt a processor (Intel SDM, volume 3, 11.11.1).
const MESSAGES: PhysRange = PhysRange {
    start: 0xfee0_0000,
    end: 0xfef0_0000,
};

global_asm!(
    include_str!("../../../boot/entry.S"),
    boot_stack_block = sym boot_stack::BLOCK,
    STACK_BLOCK = const layout::STACK_BLOCK,
    boot_main = sym boot_main,
    secondary_main = sym smp::secondary_main,
    IMAGE_MAX_PAGES = const layout::IMAGE_MAX_PAGES,
    IMAGE_L3_INDEX = const table_index(layout::IMAGE_OFFSET, 3),
    IMAGE_L4_INDEX = const table_index(layout::IMAGE_OFFSET, 4),
    DIRECT_L4_INDEX = const table_index(DIRECT_START, 4),
    options(att_syntax),
);

unsafe extern "C" {
    /// Root of the early page tables, at its unmoved physical address.
    static boot_l4: u8;
}

static ACPI: IrqLock<Acpi> = IrqLock::new(Acpi::new());

/// What is carried over from the boot stack to the first processor's own.
struct Handover {
    /// Words of the hypervisor's command line for the first domain's kernel.
    kernel_words: &'static [u8],
    load_base: u64,
    info: BootInfo<'static>,
    options: Options,
}

/// The options as they were given, for those who ask.
static COMMAND_LINE: Once<CommandLine> = Once::new();

type CommandLine = Bounded<u8, { guest_abi::version::COMMAND_LINE_SIZE }>;

/// The options as they were given, as much of them as the guest ABI has room for.
pub(crate) fn command_line() -> &'static [u8] {
    COMMAND_LINE.get().map_or(&[], Bounded::as_slice)
}

static HANDOVER: IrqLock<Option<Handover>> = IrqLock::new(None);

/// First Rust code. `info_address` is the machine address of the multiboot2 information, `load_base` that
/// of the image's first byte, `entry_tsc` the TSC when the loader handed over.
extern "C" fn boot_main(info_address: u64, load_base: u64, entry_tsc: u64) -> ! {
    // SAFETY: the first code there is, interrupts off since the loader; the stacks are static.
    unsafe {
        boot_stack::guard(load_base);
        traps::fill_idt();
        tables::load(0, boot_stack::top(), boot_stack::interrupt_stack_tops());
    }
    clock::set_origin(entry_tsc);
    console::set_clock(clock::now_ns);

    let info = read_boot_info(info_address);
    let parsed = options::parse(info.command_line.as_bytes());
    let options = parsed.options;
    let kernel_words = parsed.first_domain_arguments.as_bytes();
    start_console(&options, Some(&info));
    log::info!(
        "Paravane {}, symbols {}",
        env!("CARGO_PKG_VERSION"),
        symbol_state()
    );
    log::info!(
        "Loader: {}; image at {load_base:#x}; options: {}",
        info.loader_name,
        info.command_line
    );

    COMMAND_LINE.call_once(|| {
        let mut line = Bounded::new();
        for &byte in parsed.own_words.as_bytes() {
            line.push(byte);
        }
        line
    });
    if serial::is_started() {
        log::info!("Serial line: {}", options.com1);
    }
    report_options(info.command_line.as_bytes(), &parsed);
    death::set_stay(options.is_noreboot);
    if options.is_frame_audit {
        crate::domain::audit::want_at_end();
    }
    #[cfg(feature = "planted-faults")]
    if let Some(request) = options.test {
        super::planted::plant(request);
    }

    let found =
        features::find().unwrap_or_else(|missing| death::die(format_args!("{missing}"), None));
    log::info!("Processor: {}; {found}", features::Name);

    // SAFETY: once, on the early page tables.
    unsafe { smap::patch() };

    find_memory(&info, info_address, load_base);
    // SAFETY: once, on the early page tables, on the boot stack, which is in the image.
    unsafe { paging::start(load_base, direct_ranges().iter().copied().flatten()) };
    #[cfg(feature = "planted-faults")]
    super::planted::on_boot_stack();
    // SAFETY: the page tables just built mark all pages as SMEP, SMAP and WP want.
    if unsafe { features::set_up_processor() }.is_err() {
        unreachable!("the first processor lacks a feature of the first processor");
    }
    if vga::SCREEN.is_started() {
        // SAFETY: firmware's text screen, mapped uncached for good, in place of the early mapping.
        unsafe {
            let screen = paging::map_device(vga::ADDRESS, vga::BYTES);
            vga::SCREEN.move_buffer(screen as *mut u16);
        }
    }
    boot_memory::reach_all();

    paging::map_stacks(0);
    entry_area::map(0);
    // SAFETY: just mapped, not in use.
    unsafe { percpu::install(0) };
    *HANDOVER.lock() = Some(Handover {
        kernel_words,
        load_base,
        info,
        options,
    });
    // SAFETY: the stack is mapped; nothing on the old one is needed any more.
    unsafe {
        core::arch::asm!(
            "mov rsp, {stack}",
            "xor ebp, ebp",
            "push rbp",
            "push rbp",
            "call {next}",
            "ud2",
            stack = in(reg) percpu::info_address(0),
            next = sym boot_on_own_stack,
            options(noreturn),
        )
    }
}

/// The rest of boot, on the first processor's own stack.
extern "C" fn boot_on_own_stack() -> ! {
    // SAFETY: the first processor's stacks are mapped; interrupts are off.
    unsafe {
        tables::load_own(0);
        entry_area::load(0);
    }
    let Handover {
        kernel_words,
        load_base,
        info,
        options,
    } = HANDOVER.lock().take().expect("set just before");

    // Before the local APIC changes how it takes their interrupts: one that is pending must be taken back
    // along the way it came.
    mask_8259();
    let rsdp = RsdpCopies {
        v1: info.rsdp_v1,
        v2: info.rsdp_v2,
    };
    let mut acpi = ACPI.lock();
    read_acpi(&mut acpi, rsdp);
    let efi_rsdp = efi_rsdp(&info);

    start_io_apics(&acpi);
    pci::start(acpi.mcfg.as_ref());
    let window = apic::window_address();
    // SAFETY: the local APIC of every processor is there.
    let window = unsafe { paging::map_device(window, 4096) };
    apic::start(window, options.x2apic.unwrap_or(true));
    match options.x2apic {
        Some(true) if !apic::is_x2apic() => {
            log::warn!("option x2apic: the processor has no x2APIC; its xAPIC is used");
        }
        Some(false) if apic::is_x2apic() => {
            log::warn!(
                "option x2apic=no: the firmware has turned the x2APIC on, and there is no way back"
            );
        }
        _ => {}
    }
    apic::set_up_processor();
    smp::first_is_online(apic::id());
    start_clock(&acpi);

    let ram_bytes = boot_memory::with_map(|map| map.ram_bytes());
    let end = boot_memory::with_map(|map| map.ram_end());
    heap::start();
    // SAFETY: the final page tables are in use; the early ones are in the image, which is reserved.
    let processors = unsafe { start_processors(&acpi, load_base, options.max_processors()) };
    if clock::counters_differ() {
        log::warn!("Time: the processors' TSCs differ: guests are told that theirs is not stable");
    }
    wall_clock::start(acpi.fadt.as_ref().map_or(0, |fadt| fadt.century));
    let has_ram = |range| boot_memory::with_map(|map| map.ram().any(|ram| ram.overlaps(&range)));
    // Firmware's memory, and what is found there of it, is the first domain's to look at.
    boot_memory::reserve(PhysRange {
        start: 0,
        end: LOW_END,
    });
    frames::start(Mfn::of_address(end), has_ram);
    log::info!(
        "Memory: {} MiB of RAM, {} MiB free, {} KiB heap",
        ram_bytes >> 20,
        frames::free_frames() >> 8,
        heap::BYTES >> 10
    );
    check_timer();
    irq::start(acpi.madt.as_ref());
    start_watchdog(&acpi, &options);
    console_input::start(acpi.madt.as_ref(), options.com1.irq);
    paging::end_device_boot();
    drop(acpi);

    let ms = clock::now_ns() / 1_000_000;
    console::line(format_args!(
        "Paravane: boot complete: {processors} processors, {} MiB RAM, {ms} ms",
        ram_bytes >> 20
    ));
    #[cfg(feature = "planted-faults")]
    super::planted::arm();
    start_first_domain(&info, efi_rsdp, kernel_words, &options);
    #[cfg(feature = "planted-faults")]
    super::planted::lose_reference();
    console_input::announce(Listener::FirstDomain);
    smp::start_guests();
    scheduler::run()
}

fn symbol_state() -> &'static str {
    if symbols::table().is_some() {
        "present"
    } else {
        "missing"
    }
}

/// Builds the first domain of the loader's modules.
fn start_first_domain(
    info: &BootInfo<'_>,
    efi_rsdp: Option<u64>,
    kernel_words: &[u8],
    options: &Options,
) {
    let mut modules = info.modules.iter();
    let Some(kernel) = modules.next() else {
        log::info!("The loader brought no module: there is no first domain to start");
        return;
    };
    let initrd = modules.next().map(|module| module.range);
    let holes = memory_holes();
    // By UEFI the root pointer of ACPI is where no kernel looks for it.
    let mut rsdp = ArrayString::<32>::new();
    if let Some(address) = efi_rsdp {
        // It fits: 10 letters, 18 digits.
        let _ = write!(rsdp, "acpi_rsdp={address:#x}");
    }
    let setup = match info.efi64_system_table {
        Some(_) => ScreenSetup::Uefi,
        None => ScreenSetup::Bios,
    };
    let parts = guest::Parts {
        kernel: kernel.range,
        arguments: [kernel.arguments.as_bytes(), kernel_words, rsdp.as_bytes()],
        initrd,
        screen: info
            .framebuffer
            .as_ref()
            .and_then(|screen| screen_info(screen, setup)),
    };
    if let Err(error) = guest::build_first_domain(&parts, &holes, options) {
        death::die(
            format_args!("the first domain can't be built: {error}"),
            None,
        );
    }
    release_screen(options);
}

/// Where UEFI says that ACPI's root pointer is.
fn efi_rsdp(info: &BootInfo<'_>) -> Option<u64> {
    let table = info.efi64_system_table?;
    let ranges = direct_ranges();
    let is_direct = |wanted: PhysRange| {
        ranges
            .iter()
            .flatten()
            .any(|&(start, end)| PhysRange { start, end }.contains(&wanted))
    };
    efi::rsdp_address(
        &acpi_memory::FirmwareMemory {
            is_direct: &is_direct,
        },
        table,
    )
}

/// Frame numbers below the end of RAM that are not RAM.
fn memory_holes() -> Vec<Pfns> {
    boot_memory::with_map(|map| {
        let mut holes = Vec::new();
        let mut end = 0;
        for ram in map.ram() {
            let ram = ram.whole_frames();
            if ram.start > end {
                holes.push(Pfns::new(Pfn(end >> 12), Pfn(ram.start >> 12)));
            }
            end = ram.end;
        }
        holes
    })
}

/// Reads the loader's information where it lies.
fn read_boot_info(address: u64) -> BootInfo<'static> {
    let refuse = |error: multiboot::BootInfoError| -> ! {
        start_console(&Options::DEFAULT, None);
        death::die(
            format_args!("the loader's multiboot2 information at {address:#x} is damaged: {error}"),
            None,
        )
    };
    // SAFETY: the loader put at least its fixed part there, below 4 GiB, which the early direct map shows.
    let header = unsafe { (paging::direct::<[u8; 8]>(address)).read() };
    let length = multiboot::block_bytes(header).unwrap_or_else(|error| refuse(error));
    if address + u64::from(length) > EARLY_DIRECT_LIMIT {
        start_console(&Options::DEFAULT, None);
        death::die(
            format_args!("the multiboot2 information at {address:#x} goes beyond 4 GiB"),
            None,
        );
    }
    // SAFETY: shown by the early and by the final direct map (it lies in RAM and is reserved before
    // anything is allocated); nobody writes to it any more.
    let block = unsafe {
        core::slice::from_raw_parts(paging::direct::<u8>(address).cast_const(), length as usize)
    };
    BootInfo::parse(block).unwrap_or_else(|error| refuse(error))
}

/// Starts the devices that show messages, on the early page tables.
fn start_console(options: &Options, info: Option<&BootInfo<'_>>) {
    console::start_logging(options.loglvl, options.guest_loglvl);
    if options.consoles.contains(Consoles::COM1) {
        // SAFETY: the administrator says (or the PC's tradition) that the serial line is there; it is ours.
        if unsafe { serial::COM1.start(&options.com1) } {
            console::add_sink(&serial::COM1);
        } else {
            log::warn!(
                "com1: no serial line answers at port {:#x}, or it can't be set as wanted",
                options.com1.io_base
            );
        }
    }
    if options.consoles.contains(Consoles::VGA) {
        start_screen(options, info);
    }
}

/// Shows messages on the screen, if it is one of text.
fn start_screen(options: &Options, info: Option<&BootInfo<'_>>) {
    // Damaged information says nothing about the screen: a PC is guessed.
    let size = match info.map_or(Ok(vga::Size::USUAL), vga::text_size) {
        Ok(size) => size,
        Err(why) => {
            log::warn!(
                "vga: {why}: the screen shows no messages (GRUB on a BIOS: set gfxpayload=text)"
            );
            return;
        }
    };
    if options.vga.mode == VgaMode::Text80x25 && size != vga::Size::USUAL {
        log::warn!(
            "vga: text-80x25 can't be set from here; the boot loader left {size}, which is used \
             (GRUB: set gfxpayload=text)"
        );
    }
    // SAFETY: the text screen of a PC, which the early page tables show.
    unsafe { vga::SCREEN.start(paging::direct(vga::ADDRESS), size) };
    console::add_sink(&vga::SCREEN);
}

/// Leaves the screen to the first domain, unless the administrator wants both to write to it.
fn release_screen(options: &Options) {
    if vga::SCREEN.is_started() && !options.vga.is_kept {
        log::info!(
            "The screen is the first domain's from here on (vga=keep shows messages all the same)"
        );
        vga::SCREEN.release();
    }
}

/// Says what in the options was not understood.
fn report_options(command_line: &[u8], parsed: &Parsed<'_>) {
    // Whatever the log level: an administrator's mistake is never passed over in silence.
    options::each_warning(command_line, |warning| {
        console::line(format_args!("warning: {warning}"));
    });
    for name in parsed.without_effect.iter() {
        console::line(format_args!(
            "warning: command line: \"{name}\" is understood, but has no effect yet"
        ));
    }
}

/// Learns what RAM there is and keeps what is in use from being given out.
fn find_memory(info: &BootInfo<'_>, info_address: u64, load_base: u64) {
    let filled = boot_memory::with_map(|map| {
        let filled = map.fill(info.firmware_ranges());
        for range in map.ranges() {
            log::info!("  {range}");
        }
        filled
    });
    if let Err(error) = filled {
        death::die(format_args!("firmware's memory map: {error}"), None);
    }
    let (image_start, image_end) = paging::image_range(load_base);
    boot_memory::reserve(PhysRange {
        start: 0,
        end: 4096,
    });
    boot_memory::reserve(PhysRange {
        start: image_start,
        end: image_end,
    });
    // SAFETY: read before, in `read_boot_info`.
    let header = unsafe { paging::direct::<[u8; 8]>(info_address).read() };
    let length = multiboot::block_bytes(header).unwrap_or(0);
    boot_memory::reserve(PhysRange::from_len(info_address, u64::from(length)));
    for module in info.modules.iter() {
        log::info!("  module at {}: {}", module.range, module.arguments);
        boot_memory::reserve(module.range);
    }
}

/// The ranges that the direct map shows: the first MiB, RAM, and memory of ACPI.
fn direct_ranges() -> [Option<(u64, u64)>; 256] {
    let mut ranges = [None; 256];
    ranges[0] = Some((0, LOW_END));
    let mut next = 1;
    boot_memory::with_map(|map| {
        for range in map.ranges() {
            let shown = matches!(
                range.kind,
                MemoryKind::Ram | MemoryKind::AcpiReclaimable | MemoryKind::AcpiNvs
            );
            let inner = range.range.whole_frames();
            let (start, end) = (
                inner.start.max(LOW_END),
                inner.end.min(layout::DIRECT_LIMIT),
            );
            if !shown || start >= end {
                continue;
            }
            match ranges.get_mut(next) {
                Some(slot) => *slot = Some((start, end)),
                None => log::warn!(
                    "more than 256 ranges of memory: {} is not used",
                    range.range
                ),
            }
            next += 1;
        }
    });
    ranges
}

fn read_acpi(acpi: &mut Acpi, rsdp: RsdpCopies<'_>) {
    let ranges = direct_ranges();
    let is_direct = |wanted: PhysRange| {
        ranges
            .iter()
            .flatten()
            .any(|&(start, end)| PhysRange { start, end }.contains(&wanted))
    };
    let found = acpi.discover(
        &acpi_memory::FirmwareMemory {
            is_direct: &is_direct,
        },
        rsdp,
    );
    for refusal in acpi.refusals.iter() {
        log::warn!("ACPI: {refusal}");
    }
    if let Err(error) = found {
        log::error!("{error}; going on with one processor and no IO-APIC");
    }
    if let Some((register, value)) = acpi.fadt.as_ref().and_then(|fadt| fadt.reset.as_ref())
        && let Some(port) = register.port()
    {
        death::set_reset_port(port, *value);
    }
    power::start(acpi, &is_direct);
}

/// The two old interrupt controllers, out of the way: remapped off the exceptions, then all masked.
fn mask_8259() {
    // SAFETY: both controllers are on every PC and nobody else's; 0xe0 to 0xef are unused vectors, which a
    // spurious interrupt of theirs may still arrive on.
    unsafe {
        for (port, value) in [
            (0x20, 0x11),
            (0xa0, 0x11),
            (0x21, 0xe0),
            (0xa1, 0xe8),
            (0x21, 4),
            (0xa1, 2),
            (0x21, 1),
            (0xa1, 1),
            (0x21, 0xff),
            (0xa1, 0xff),
        ] {
            super::port::write_u8(port, value);
        }
    }
}

fn start_io_apics(acpi: &Acpi) {
    let Some(madt) = acpi.madt.as_ref() else {
        return;
    };
    for io_apic in madt.io_apics.iter().take(ioapic::MAX) {
        match ioapic::start(io_apic) {
            0 => log::warn!(
                "the IO-APIC at {:#x} does not answer; it is left alone",
                io_apic.address
            ),
            pins => log::info!(
                "IO-APIC {} at {:#x}: interrupts {} to {}",
                io_apic.id,
                io_apic.address,
                io_apic.gsi_base,
                io_apic.gsi_base.saturating_add(pins - 1)
            ),
        }
    }
}

fn start_clock(acpi: &Acpi) {
    let hpet = acpi.hpet.as_ref().map(|hpet| hpet.address);
    let pm_timer = acpi
        .fadt
        .as_ref()
        .and_then(|fadt| fadt.pm_timer.as_ref())
        .and_then(|timer| Some((timer.register.port()?, timer.bits == 32)));
    match clock::calibrate(hpet, pm_timer) {
        Ok(reference) => {
            let khz = clock::tsc_khz();
            log::info!(
                "Time: TSC at {}.{:03} MHz by {reference}",
                khz / 1000,
                khz % 1000
            );
        }
        Err(error) => death::die(format_args!("{error}"), None),
    }
    apic::calibrate_timer(clock::wait_ms);
    let mode = if apic::is_x2apic() { "x2APIC" } else { "xAPIC" };
    match apic::ticks_per_ms() {
        0 => log::info!("Local APIC: {mode}, timer in TSC-deadline mode"),
        ticks => log::info!(
            "Local APIC: {mode}, timer at {}.{:03} MHz",
            ticks / 1000,
            ticks % 1000
        ),
    }
}

/// Starts the other processors.
///
/// # Safety
/// As `smp::start_others`.
unsafe fn start_processors(acpi: &Acpi, load_base: u64, max: u32) -> u32 {
    let Some(madt) = acpi.madt.as_ref() else {
        return 1;
    };
    let own = apic::id();
    let others = madt
        .processors
        .iter()
        .filter(|processor| processor.is_enabled && processor.apic_id != own)
        .filter(|processor| apic::is_x2apic() || processor.apic_id < 255)
        .map(|processor| processor.apic_id);
    let early_root = &raw const boot_l4 as u64 - layout::IMAGE_UNMOVED + load_base;
    // SAFETY: caller.
    unsafe { smp::start_others(others, max.saturating_sub(1) as usize, early_root) }
}

fn start_watchdog(acpi: &Acpi, options: &Options) {
    if options.watchdog == Watchdog::Off || options.watchdog_timeout_s == 0 {
        return;
    }
    // The PIT is ISA interrupt 0.
    let gsi = acpi.madt.as_ref().map(|madt| madt.isa_interrupt(0).0);
    if gsi.is_some_and(|gsi| watchdog::start(gsi, options.watchdog_timeout_s)) {
        log::info!(
            "Watchdog: on, {} s",
            options.watchdog_timeout_s.max(watchdog::SHORTEST_S)
        );
    } else {
        log::warn!("watchdog: no IO-APIC has the PIT's interrupt: it stays off");
    }
}

/// Arms this processor's timer and waits for it: a machine whose timer is dead is better refused now.
fn check_timer() {
    const NS: u64 = 100_000;
    let before = watchdog::beats(0);
    apic::arm_timer(super::msr::tsc() + clock::ns_to_ticks(NS), NS);
    x86_64::instructions::interrupts::enable();
    for _ in 0..10_000 {
        if watchdog::beats(0) != before {
            return;
        }
        clock::wait_us(100);
    }
    death::die(
        format_args!("the local APIC timer of CPU0 does not fire"),
        None,
    );
}

/// Whether a frame is RAM by firmware's word.
pub(super) fn is_ram(mfn: Mfn) -> bool {
    boot_memory::with_map(|map| map.is_ram(PhysRange::from_len(mfn.address(), 4096)))
}

/// The number in the ACPI namespace of the processor with this local APIC.
pub(super) fn acpi_number(apic_id: u32) -> Option<u32> {
    let acpi = ACPI.lock();
    let madt = acpi.madt.as_ref()?;
    let found = madt
        .processors
        .iter()
        .find(|processor| processor.apic_id == apic_id);
    found.map(|processor| processor.acpi_id)
}

/// Device memory that is the hypervisor's alone, ascending: the controllers of interrupts, and the addresses to which
/// messages go.
pub(super) fn denied_ranges() -> ArrayVec<PhysRange, { MAX_IO_APICS + 2 }> {
    let mut ranges = ArrayVec::new();
    let window = PhysRange::from_len(apic::window_address(), 4096);
    if !MESSAGES.contains(&window) {
        ranges.push(window);
    }
    ranges.push(MESSAGES);
    if let Some(madt) = ACPI.lock().madt.as_ref() {
        let io_apics = madt.io_apics.iter();
        ranges
            .extend(io_apics.map(|io_apic| {
                PhysRange::from_len(u64::from(io_apic.address), 1).touched_frames()
            }));
    }
    ranges.sort_unstable_by_key(|range| range.start);
    ranges
}

/// What a frame outside of RAM is to the domain that owns the hardware.
pub(super) fn device_of_first_domain(mfn: Mfn) -> Device {
    let frame = PhysRange::from_len(mfn.address(), 4096);
    if denied_ranges().iter().any(|range| range.overlaps(&frame)) {
        return Device::Forbidden;
    }
    let acpi = ACPI.lock();
    // Where messages go is not for a domain to say: it reads the tables, and its writes are dropped.
    if msi_map::is_table(mfn) {
        return Device::ReadOnly;
    }
    // Firmware's methods look at the HPET to find out whether there is one; the counters are ours.
    let is_hpet = acpi
        .hpet
        .as_ref()
        .is_some_and(|hpet| hpet.address >> 12 == mfn.0);
    if is_hpet {
        Device::ReadOnly
    } else {
        Device::Allowed
    }
}
