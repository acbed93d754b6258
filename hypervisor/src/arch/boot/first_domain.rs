//! The first domain, built of the loader's modules.

use super::loader::memory_holes;
use super::messages::release_screen;
use crate::arch::{death, guest};
use crate::console;
use crate::image::screen::{ScreenSetup, screen_info};
use crate::machine::multiboot::BootInfo;
use crate::options::Options;
use arrayvec::ArrayString;
use core::fmt::Write as _;

/// Builds the first domain of the loader's modules; `false` if there are none.
pub(super) fn start_first_domain(
    info: &BootInfo<'_>,
    efi_rsdp: Option<u64>,
    kernel_words: &[u8],
    options: &Options,
) -> bool {
    let mut modules = info.modules.iter();
    let Some(kernel) = modules.next() else {
        log::info!("The loader brought no module: there is no first domain to start");
        return false;
    };
    let initrd = modules.next().map(|module| module.range);
    for module in modules {
        console::warning(format_args!(
            "the module at {} is not used: the first is the first domain's kernel, the second its RAM disk",
            module.range
        ));
    }
    let holes = memory_holes();
    // By UEFI the root pointer of ACPI is where no kernel looks for it.
    let mut rsdp = ArrayString::<32>::new();
    if let Some(address) = efi_rsdp {
        log::info!("UEFI: the first domain can't call the firmware's runtime services");
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
        death::refuse(format_args!("the first domain can't be built: {error}"));
    }
    release_screen(options);
    true
}
