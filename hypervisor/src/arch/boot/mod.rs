//! From the first Rust instruction to the end of boot, in order.

mod firmware;
mod first_domain;
mod hardware;
mod loader;
mod messages;

use super::layout::{self, DIRECT_START};
use super::{
    apic, boot_memory, boot_stack, clock, console_input, cpuid_faulting, death, entry_area,
    features, frames, heap, irq, paging, pci, percpu, scheduler, serial, smap, smp, tables, traps,
    vga, wall_clock,
};
use crate::console;
use crate::console::input::Listener;
use crate::lock::IrqLock;
use crate::machine::Bounded;
use crate::machine::acpi::RsdpCopies;
use crate::machine::multiboot::BootInfo;
use crate::machine::phys::PhysRange;
use crate::options::{self, Options};
use core::arch::global_asm;
use firmware::{ACPI, efi_rsdp, read_acpi};
use first_domain::start_first_domain;
use guest_abi::ids::Mfn;
use hardware::{
    check_timer, mask_8259, start_clock, start_io_apics, start_processors, start_watchdog,
};
use layout::table_index;
use loader::{direct_ranges, find_memory, read_boot_info};
use messages::{report_options, start_console, symbol_state};
use spin::Once;

pub(super) use firmware::{acpi_number, denied_ranges, device_of_first_domain};
pub(super) use loader::{LOW_END, is_memory, is_ram};

global_asm!(
    include_str!("../../../../boot/entry.S"),
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
    report_options(info.command_line.as_bytes());
    death::set_stay(options.is_noreboot);
    if options.is_frame_audit {
        crate::domain::audit::want_at_end();
    }
    #[cfg(feature = "planted-faults")]
    if let Some(request) = options.test {
        super::planted::plant(request);
    }

    let found = features::find().unwrap_or_else(|missing| death::refuse(format_args!("{missing}")));
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
    let mut acpi = firmware::FOUND.lock();
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
            console::warning(format_args!(
                "option x2apic: the processor has no x2APIC; its xAPIC is used"
            ));
        }
        Some(false) if apic::is_x2apic() => {
            console::warning(format_args!(
                "option x2apic=no: the firmware has turned the x2APIC on, and there is no way back"
            ));
        }
        _ => {}
    }
    apic::set_up_processor();
    log::info!(
        "CPUID of programs: {}",
        match cpuid_faulting::set_up_processor() {
            true => "answered by the hypervisor (CPUID faulting)",
            false => "answered by the processor, which has no CPUID faulting",
        }
    );
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
    core::mem::swap(&mut *acpi, &mut *ACPI.lock());
    drop(acpi);

    let ms = clock::now_ns() / 1_000_000;
    let plural = if processors == 1 { "" } else { "s" };
    console::line(format_args!(
        "Paravane: boot complete: {processors} processor{plural}, {} MiB RAM, {ms} ms",
        ram_bytes >> 20
    ));
    #[cfg(feature = "planted-faults")]
    super::planted::arm();
    let has_domain = start_first_domain(&info, efi_rsdp, kernel_words, &options);
    #[cfg(feature = "planted-faults")]
    super::planted::lose_reference();
    if has_domain && serial::COM1.is_there() {
        console_input::announce(Listener::FirstDomain);
    }
    smp::start_guests();
    scheduler::run()
}
