//! The screen that the hardware domain takes over, described behind its start-of-day page.

abi! {
    headers ["xen/xen.h"];

    enumeration! {
        /// [`VgaConsoleInfo::video_type`].
        pub enum VideoType: u8 {
            /// Text mode 3.
            TextMode3 = 0x03 => "XEN_VGATYPE_TEXT_MODE_3",
            /// Linear frame buffer set up by the video BIOS.
            VesaLfb = 0x23 => "XEN_VGATYPE_VESA_LFB",
            /// Linear frame buffer set up by EFI.
            EfiLfb = 0x70 => "XEN_VGATYPE_EFI_LFB",
        }
    }

    layout! {
        /// A linear frame buffer.
        pub struct VgaConsoleInfo [40] "struct dom0_vga_console_info" {
            /// A [`VideoType`].
            0 video_type: u8,
            /// Zero.
            1 pad0: [u8; 3] = _,
            /// Pixels.
            4 width: u16 = "u.vesa_lfb.width",
            /// Pixels.
            6 height: u16 = "u.vesa_lfb.height",
            /// Bytes from a line to the next.
            8 bytes_per_line: u16 = "u.vesa_lfb.bytes_per_line",
            /// Depth.
            10 bits_per_pixel: u16 = "u.vesa_lfb.bits_per_pixel",
            /// Physical address, lower half.
            12 lfb_base: u32 = "u.vesa_lfb.lfb_base",
            /// Size in units of 64 KiB.
            16 lfb_size: u32 = "u.vesa_lfb.lfb_size",
            /// Lowest bit of red.
            20 red_pos: u8 = "u.vesa_lfb.red_pos",
            /// Bits of red.
            21 red_size: u8 = "u.vesa_lfb.red_size",
            /// Lowest bit of green.
            22 green_pos: u8 = "u.vesa_lfb.green_pos",
            /// Bits of green.
            23 green_size: u8 = "u.vesa_lfb.green_size",
            /// Lowest bit of blue.
            24 blue_pos: u8 = "u.vesa_lfb.blue_pos",
            /// Bits of blue.
            25 blue_size: u8 = "u.vesa_lfb.blue_size",
            /// Lowest reserved bit.
            26 rsvd_pos: u8 = "u.vesa_lfb.rsvd_pos",
            /// Reserved bits.
            27 rsvd_size: u8 = "u.vesa_lfb.rsvd_size",
            /// Capabilities that the video BIOS reports.
            28 gbl_caps: u32 = "u.vesa_lfb.gbl_caps",
            /// Attributes of the mode that the video BIOS reports.
            32 mode_attrs: u16 = "u.vesa_lfb.mode_attrs",
            /// Zero.
            34 pad1: u16 = "u.vesa_lfb.pad",
            /// Physical address, upper half.
            36 ext_lfb_base: u32 = "u.vesa_lfb.ext_lfb_base",
        }

        /// The same structure in text mode.
        pub struct TextConsoleInfo [40] "struct dom0_vga_console_info" {
            /// [`VideoType::TextMode3`].
            0 video_type: u8,
            /// Zero.
            1 pad0: [u8; 3] = _,
            /// Pixels of a character.
            4 font_height: u16 = "u.text_mode_3.font_height",
            /// Cursor column.
            6 cursor_x: u16 = "u.text_mode_3.cursor_x",
            /// Cursor row.
            8 cursor_y: u16 = "u.text_mode_3.cursor_y",
            /// Rows.
            10 rows: u16 = "u.text_mode_3.rows",
            /// Columns.
            12 columns: u16 = "u.text_mode_3.columns",
            /// Zero.
            14 unused: [u8; 2] = (absent "the other member of the union lies here"),
            /// Zero.
            16 unused_words: [u32; 6] = (absent "the other member of the union lies here"),
        }
    }
}
