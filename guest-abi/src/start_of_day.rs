//! What a guest kernel finds when its first instruction runs.
//!
//! RSI points to a [`StartInfo`], which has a frame of its own.

use crate::ids::{Mfn, Pfn, Port, Vaddr};

abi! {
    headers ["xen/xen.h"];

    texts! {
        /// [`StartInfo::magic`] of the hardware domain.
        pub const MAGIC_DOM0: &str = "xen-3.0-x86_64p" => (absent "built from the version at run time");
        /// [`StartInfo::magic`] of other domains.
        pub const MAGIC_DOMU: &str = "xen-3.0-x86_64" => (absent "built from the version at run time");
    }

    numbers! {
        /// Bytes of the command line, with its terminator.
        pub const MAX_COMMAND_LINE: usize = 1024 => "MAX_GUEST_CMDLINE";
        /// Byte of [`StartInfo`] where the hardware domain reads the offset of its screen description.
        pub const VGA_OFFSET_AT: usize = 72 => "offsetof(struct start_info, console.dom0.info_off)";
        /// Byte of [`StartInfo`] where the hardware domain reads the size of its screen description.
        pub const VGA_SIZE_AT: usize = 76 => "offsetof(struct start_info, console.dom0.info_size)";
        /// Where the power-management bits of the flags start.
        pub const PM_SHIFT: u32 = 8 => (absent "follows from SIF_PM_MASK");
        /// The initial mapping ends at a multiple of this.
        pub const INITIAL_MAPPING_ALIGN: u64 = 4 << 20 => (absent "text of the ABI");
        /// The initial mapping ends at least this far behind the boot stack.
        pub const INITIAL_MAPPING_SLACK: u64 = 512 << 10 => (absent "text of the ABI");
        /// RFLAGS at the first instruction, without the bit that is always set.
        pub const INITIAL_RFLAGS: u64 = 0x200 => (absent "text of the ABI");
        /// Floating-point control word at the first instruction.
        pub const INITIAL_FCW: u16 = 0x37F => (absent "text of the ABI");
        /// SSE control word at the first instruction.
        pub const INITIAL_MXCSR: u32 = 0x1F80 => (absent "text of the ABI");
        /// DR6 at the first instruction.
        pub const INITIAL_DR6: u64 = 0xFFFF_0FF0 => (absent "text of the ABI");
        /// DR7 at the first instruction.
        pub const INITIAL_DR7: u64 = 0x400 => (absent "text of the ABI");
        /// What a guest reads from the page-attribute MSR: WB, WT, UC-, UC, WC, WP, UC, UC from entry 0.
        pub const PAT: u64 = 0x0000_0501_0007_0406 => (absent "text of the ABI");
    }

    flags! {
        /// [`StartInfo::flags`].
        pub struct StartFlags: u32 {
            /// The domain has privileges.
            PRIVILEGED = 1 << 0 => "SIF_PRIVILEGED",
            /// The domain is the first one.
            INITDOMAIN = 1 << 1 => "SIF_INITDOMAIN",
            /// `mod_start` points to a list of modules.
            MULTIBOOT_MOD = 1 << 2 => "SIF_MULTIBOOT_MOD",
            /// `mod_start` is a frame number.
            MOD_START_PFN = 1 << 3 => "SIF_MOD_START_PFN",
            /// Tools can read the virtually contiguous list of frames.
            VIRT_P2M_4TOOLS = 1 << 4 => "SIF_VIRT_P2M_4TOOLS",
            /// Power-management hints of the hardware domain.
            PM_MASK = 0xFF << 8 => "SIF_PM_MASK",
        }
    }

    layout! {
        /// The start-of-day page. Zero where nothing is said.
        pub struct StartInfo [1168] "struct start_info" {
            /// Text that names the interface.
            0 magic: [u8; 32],
            /// Frames of the domain.
            32 nr_pages: u64,
            /// Machine address of [`SharedInfo`](crate::shared_info::SharedInfo).
            40 shared_info: u64,
            /// Flags.
            48 flags: StartFlags,
            /// Zero.
            52 pad0: [u8; 4] = _,
            /// Frame of the store ring; 0 in the hardware domain.
            56 store_mfn: Mfn,
            /// Port of the store; 0 in the hardware domain.
            64 store_evtchn: Port,
            /// Zero.
            68 pad1: [u8; 4] = _,
            /// Frame of the console ring. In the hardware domain see
            /// [`set_vga`](StartInfo::set_vga).
            72 console_mfn: Mfn = "console.domU.mfn",
            /// Port of the console.
            80 console_evtchn: Port = "console.domU.evtchn",
            /// Zero.
            84 pad2: [u8; 4] = _,
            /// Virtual address of the root page table.
            88 pt_base: Vaddr,
            /// Frames of page tables, from the root on.
            96 nr_pt_frames: u64,
            /// Virtual address of the list of machine frame numbers.
            104 mfn_list: Vaddr,
            /// Initial RAM disk: virtual address, or frame number with
            /// [`MOD_START_PFN`](StartFlags::MOD_START_PFN); 0 for none.
            112 mod_start: u64,
            /// Bytes of the initial RAM disk.
            120 mod_len: u64,
            /// Command line with its terminator.
            128 cmd_line: [u8; MAX_COMMAND_LINE],
            /// First frame of the list of frames when it is mapped apart.
            1152 first_p2m_pfn: Pfn,
            /// Frames of that list and of the page tables that map it.
            1160 nr_p2m_frames: u64,
        }

        /// One entry of the list that [`MULTIBOOT_MOD`](StartFlags::MULTIBOOT_MOD) announces.
        pub struct MultibootModule [16] "struct xen_multiboot_mod_list" {
            /// First byte, physical.
            0 mod_start: u32,
            /// Behind the last byte, physical.
            4 mod_end: u32,
            /// Command line, physical.
            8 cmdline: u32,
            /// Zero.
            12 pad: u32,
        }
    }
}

impl StartInfo {
    /// For the hardware domain: where its
    /// [`VgaConsoleInfo`](crate::vga::VgaConsoleInfo) lies, in bytes from the start of this
    /// structure, and how long it is. It shares its place with `console_mfn`.
    pub const fn set_vga(&mut self, offset: u32, size: u32) {
        self.console_mfn = Mfn(offset as u64 | (size as u64) << 32);
        self.console_evtchn = Port(0);
    }
}
