//! The screen as the loader left it: framebuffer and VBE tags.
#![forbid(unsafe_code)]

use super::error::{BootInfoError, Field};
use super::fields::TagReader;

/// The screen's memory and its geometry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framebuffer {
    /// Physical address of the first byte.
    pub address: u64,
    /// Bytes from line to line.
    pub bytes_per_line: u32,
    /// Pixels in a line; characters in text mode.
    pub width: u32,
    /// Lines; lines of characters in text mode.
    pub height: u32,
    /// Bits for a pixel; 16 in text mode.
    pub bits_per_pixel: u8,
    /// What the bytes mean.
    pub kind: FramebufferKind,
}

/// What a framebuffer's bytes mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FramebufferKind {
    /// Each pixel is an index into a palette of that many colours.
    Indexed {
        /// Colours in the palette.
        colours: u16,
    },
    /// Each pixel is three fields.
    Rgb {
        /// Where red is.
        red: RgbField,
        /// Where green is.
        green: RgbField,
        /// Where blue is.
        blue: RgbField,
    },
    /// EGA text: pairs of character and attribute.
    Text,
    /// A number that the specification does not define.
    Unknown(u8),
}

/// One colour's bits within a pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RgbField {
    /// The lowest bit's position.
    pub position: u8,
    /// Number of bits.
    pub bits: u8,
}

/// What VBE said about the mode that the loader set. The first domain's kernel wants it.
#[derive(Clone, Copy, Debug)]
pub struct VbeInfo<'a> {
    /// The mode's number.
    pub mode: u16,
    /// Real-mode segment of the protected-mode interface; 0 if there is none.
    pub interface_segment: u16,
    /// Its offset.
    pub interface_offset: u16,
    /// Its length, bytes.
    pub interface_bytes: u16,
    /// `VbeInfoBlock` of VBE 3.0.
    pub control: &'a [u8; 512],
    /// `ModeInfoBlock` of VBE 3.0.
    pub mode_info: &'a [u8; 256],
}

/// Address, geometry and type, two reserved bytes, then what the type asks for.
pub(super) fn framebuffer(tag: TagReader<'_>) -> Result<Framebuffer, BootInfoError> {
    const COLOUR_INFO: usize = 24;
    let field = |n: usize| -> Result<RgbField, BootInfoError> {
        Ok(RgbField {
            position: tag.u8(COLOUR_INFO + 2 * n)?,
            bits: tag.u8(COLOUR_INFO + 2 * n + 1)?,
        })
    };
    let kind = match tag.u8(21)? {
        0 => FramebufferKind::Indexed {
            colours: palette_colours(tag, COLOUR_INFO)?,
        },
        1 => FramebufferKind::Rgb {
            red: field(0)?,
            green: field(1)?,
            blue: field(2)?,
        },
        2 => FramebufferKind::Text,
        other => FramebufferKind::Unknown(other),
    };
    Ok(Framebuffer {
        address: tag.u64(0)?,
        bytes_per_line: tag.u32(8)?,
        width: tag.u32(12)?,
        height: tag.u32(16)?,
        bits_per_pixel: tag.u8(20)?,
        kind,
    })
}

/// The length of the palette at `offset`: `colours: u16` and 3 bytes for each colour.
fn palette_colours(tag: TagReader<'_>, offset: usize) -> Result<u16, BootInfoError> {
    let colours = tag.u16(offset)?;
    let room = tag.bytes_from(offset + 2)?.len() / 3;
    if usize::from(colours) > room {
        let field = Field::PaletteColours;
        return Err(BootInfoError::above(
            tag.tag,
            field,
            colours.into(),
            room as u32,
        ));
    }
    Ok(colours)
}

/// `mode, interface segment, offset, length: u16`, control information, mode information.
pub(super) fn vbe(tag: TagReader<'_>) -> Result<VbeInfo<'_>, BootInfoError> {
    Ok(VbeInfo {
        mode: tag.u16(0)?,
        interface_segment: tag.u16(2)?,
        interface_offset: tag.u16(4)?,
        interface_bytes: tag.u16(6)?,
        control: tag.array(8)?,
        mode_info: tag.array(520)?,
    })
}
