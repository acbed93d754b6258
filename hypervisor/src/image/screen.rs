//! What the first domain is told of the screen: as the loader left it.

use crate::machine::multiboot::{Framebuffer, FramebufferKind};
use guest_abi::vga::{TextConsoleInfo, VgaConsoleInfo, VideoType};
use zerocopy::{FromZeros, IntoBytes};

/// Bytes of the description.
pub const SCREEN_INFO_BYTES: usize = size_of::<VgaConsoleInfo>();
/// The frame buffer's size is told in pieces of so many bytes.
const PIECE: u64 = 64 << 10;
/// Pixels of a character in VGA's text mode.
const FONT_HEIGHT: u16 = 16;

/// Who has set the screen up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ScreenSetup {
    /// The video BIOS.
    Bios,
    /// UEFI.
    Uefi,
}

/// The description, if it is a screen that kernels know.
#[must_use]
pub fn screen_info(screen: &Framebuffer, setup: ScreenSetup) -> Option<[u8; SCREEN_INFO_BYTES]> {
    match screen.kind {
        FramebufferKind::Text => text(screen),
        FramebufferKind::Rgb { red, green, blue } => {
            let mut info = VgaConsoleInfo::new_zeroed();
            info.video_type = match setup {
                ScreenSetup::Bios => VideoType::VesaLfb,
                ScreenSetup::Uefi => VideoType::EfiLfb,
            } as u8;
            info.width = u16::try_from(screen.width).ok()?;
            info.height = u16::try_from(screen.height).ok()?;
            info.bytes_per_line = u16::try_from(screen.bytes_per_line).ok()?;
            info.bits_per_pixel = screen.bits_per_pixel.into();
            info.lfb_base = screen.address as u32;
            info.ext_lfb_base = (screen.address >> 32) as u32;
            let bytes = u64::from(screen.bytes_per_line) * u64::from(screen.height);
            info.lfb_size = u32::try_from(bytes.div_ceil(PIECE)).ok()?;
            (info.red_pos, info.red_size) = (red.position, red.bits);
            (info.green_pos, info.green_size) = (green.position, green.bits);
            (info.blue_pos, info.blue_size) = (blue.position, blue.bits);
            info.as_bytes().try_into().ok()
        }
        FramebufferKind::Indexed { .. } | FramebufferKind::Unknown(_) => None,
    }
}

fn text(screen: &Framebuffer) -> Option<[u8; SCREEN_INFO_BYTES]> {
    let mut info = TextConsoleInfo::new_zeroed();
    info.video_type = VideoType::TextMode3 as u8;
    info.font_height = FONT_HEIGHT;
    info.rows = u16::try_from(screen.height).ok()?;
    info.columns = u16::try_from(screen.width).ok()?;
    // Below what is there.
    info.cursor_y = info.rows.checked_sub(1)?;
    info.as_bytes().try_into().ok()
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::machine::multiboot::RgbField;

    const TEXT: Framebuffer = Framebuffer {
        address: 0xb8000,
        bytes_per_line: 160,
        width: 80,
        height: 25,
        bits_per_pixel: 16,
        kind: FramebufferKind::Text,
    };

    #[test]
    fn a_text_screen_is_described() {
        let info = screen_info(&TEXT, ScreenSetup::Bios).unwrap();
        assert_eq!(info[..14], [3, 0, 0, 0, 16, 0, 0, 0, 24, 0, 25, 0, 80, 0]);
        let none = Framebuffer { height: 0, ..TEXT };
        assert_eq!(screen_info(&none, ScreenSetup::Bios), None);
    }

    #[test]
    fn a_frame_buffer_is_described() {
        let field = |position| RgbField { position, bits: 8 };
        let screen = Framebuffer {
            address: 0x8_c000_0000,
            bytes_per_line: 5120,
            width: 1280,
            height: 800,
            bits_per_pixel: 32,
            kind: FramebufferKind::Rgb {
                red: field(16),
                green: field(8),
                blue: field(0),
            },
        };
        let info = screen_info(&screen, ScreenSetup::Uefi).unwrap();
        assert_eq!(info[0], 0x70);
        assert_eq!(info[4..12], [0, 5, 32, 3, 0, 20, 32, 0]);
        assert_eq!(
            info[12..20],
            [0, 0, 0, 0xc0, 63, 0, 0, 0],
            "base, size in 64 KiB"
        );
        assert_eq!(info[20..26], [16, 8, 8, 8, 0, 8]);
        assert_eq!(info[36..], [8, 0, 0, 0]);
        assert_eq!(screen_info(&screen, ScreenSetup::Bios).unwrap()[0], 0x23);
        let indexed = Framebuffer {
            kind: FramebufferKind::Indexed { colours: 16 },
            ..screen
        };
        assert_eq!(screen_info(&indexed, ScreenSetup::Bios), None);
    }
}
