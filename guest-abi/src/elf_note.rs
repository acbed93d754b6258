//! ELF notes by which a kernel describes itself to whoever loads it.
//!
//! Notes are looked for in note segments first, then in note sections. A numeric note may be 4 or 8
//! bytes wide.

abi! {
    headers ["elf.h", "xen/elfnote.h"];

    enumeration! {
        /// Type of a note with the owner [`OWNER`].
        pub enum ElfNote: u32 {
            /// Informational text.
            Info = 0 => "XEN_ELFNOTE_INFO",
            /// Virtual address of the first instruction. Without it this is no paravirtualized kernel.
            Entry = 1 => "XEN_ELFNOTE_ENTRY",
            /// Virtual address of the page for hypercall stubs.
            HypercallPage = 2 => "XEN_ELFNOTE_HYPERCALL_PAGE",
            /// Virtual address of the guest's frame 0 in the initial mapping.
            VirtBase = 3 => "XEN_ELFNOTE_VIRT_BASE",
            /// What to subtract from a segment's physical address.
            PaddrOffset = 4 => "XEN_ELFNOTE_PADDR_OFFSET",
            /// Interface version, text.
            InterfaceVersion = 5 => "XEN_ELFNOTE_XEN_VERSION",
            /// Name of the guest system.
            GuestOs = 6 => "XEN_ELFNOTE_GUEST_OS",
            /// Version of the guest system.
            GuestVersion = 7 => "XEN_ELFNOTE_GUEST_VERSION",
            /// Loader type, text.
            Loader = 8 => "XEN_ELFNOTE_LOADER",
            /// For 32-bit kernels.
            PaeMode = 9 => "XEN_ELFNOTE_PAE_MODE",
            /// Features, text: names separated by `|`, `!` before what is required.
            Features = 10 => "XEN_ELFNOTE_FEATURES",
            /// Whether symbols are to be loaded.
            BsdSymtab = 11 => "XEN_ELFNOTE_BSD_SYMTAB",
            /// Lowest address of the hypervisor that the guest accepts.
            HvStartLow = 12 => "XEN_ELFNOTE_HV_START_LOW",
            /// Pairs of mask and value: when a level-1 entry holds a machine frame number.
            L1MfnValid = 13 => "XEN_ELFNOTE_L1_MFN_VALID",
            /// Suspend may return 1 for "cancelled".
            SuspendCancel = 14 => "XEN_ELFNOTE_SUSPEND_CANCEL",
            /// Virtual address where the guest accepts its list of frames.
            InitP2m = 15 => "XEN_ELFNOTE_INIT_P2M",
            /// The guest accepts an unmapped initial RAM disk, given by frame number.
            ModStartPfn = 16 => "XEN_ELFNOTE_MOD_START_PFN",
            /// Features as a bit mask, see [`Features`](crate::features::Features).
            SupportedFeatures = 17 => "XEN_ELFNOTE_SUPPORTED_FEATURES",
            /// 32-bit entry point for another kind of guest.
            Phys32Entry = 18 => "XEN_ELFNOTE_PHYS32_ENTRY",
        }
    }

    texts! {
        /// Owner name of the notes.
        pub const OWNER: &str = "Xen" => (absent "the headers only write it in a comment");
    }

    layout! {
        /// Header of any ELF note. Name and description follow, each padded to 4 bytes.
        pub struct NoteHeader [12] "Elf64_Nhdr" {
            /// Bytes of the name with its terminator.
            0 name_size: u32 = "n_namesz",
            /// Bytes of the description.
            4 description_size: u32 = "n_descsz",
            /// Type, with the owner's meaning.
            8 note_type: u32 = "n_type",
        }
    }
}
