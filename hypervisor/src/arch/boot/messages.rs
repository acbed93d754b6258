//! The devices that show messages, and what is said on them first.

use crate::arch::{paging, serial, symbols, vga};
use crate::console;
use crate::machine::multiboot::BootInfo;
use crate::options::{self, Consoles, Options, VgaMode};

/// Starts the devices that show messages, on the early page tables.
pub(super) fn start_console(options: &Options, info: Option<&BootInfo<'_>>) {
    console::start_logging(options.loglvl, options.guest_loglvl);
    if options.consoles.contains(Consoles::COM1) {
        // SAFETY: the administrator says (or the PC's tradition) that the serial line is there; it is ours.
        if unsafe { serial::COM1.start(&options.com1) } {
            console::add_sink(&serial::COM1);
        } else {
            console::warning(format_args!(
                "com1: no serial line answers at port {:#x}, or it can't be set as wanted",
                options.com1.io_base
            ));
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
            console::warning(format_args!(
                "vga: {why}: the screen shows no messages (GRUB on a BIOS: set gfxpayload=text)"
            ));
            return;
        }
    };
    if options.vga.mode == VgaMode::Text80x25 && size != vga::Size::USUAL {
        console::warning(format_args!(
            "vga: text-80x25 can't be set from here; the boot loader left {size}, which is used \
             (GRUB: set gfxpayload=text)"
        ));
    }
    // SAFETY: the text screen of a PC, which the early page tables show.
    unsafe { vga::SCREEN.start(paging::direct(vga::ADDRESS), size) };
    console::add_sink(&vga::SCREEN);
}

/// Leaves the screen to the first domain, unless the administrator wants both to write to it.
pub(super) fn release_screen(options: &Options) {
    if vga::SCREEN.is_started() && !options.vga.is_kept {
        log::info!(
            "The screen is the first domain's from here on (vga=keep shows messages all the same)"
        );
        vga::SCREEN.release();
    }
}

/// Says what in the options was not understood.
pub(super) fn report_options(command_line: &[u8]) {
    options::each_warning(command_line, |warning| {
        console::warning(format_args!("{warning}"));
    });
}

pub(super) fn symbol_state() -> &'static str {
    if symbols::table().is_some() {
        "present"
    } else {
        "missing"
    }
}
