//! The ELF notes by which a kernel describes itself to the domain builder.

/// The notes that every one of these kernels has, and the assembly given.
#[macro_export]
macro_rules! notes {
    ($($extra:literal),* $(,)?) => {
        core::arch::global_asm!(
            ".macro note number, value:vararg",
            ".balign 4",
            ".long 4, 4998f - 4997f, \\number",
            ".asciz \"Xen\"",
            "4997: \\value",
            "4998: .balign 4",
            ".endm",
            ".pushsection .note.Xen, \"a\", @note",
            "note {entry}, .quad kernel_start",
            "note {virt_base}, .quad {base}",
            "note {paddr_offset}, .quad 0",
            "note {version}, .asciz \"xen-3.0\"",
            "note {guest_os}, .asciz \"paravane-test\"",
            "note {guest_version}, .asciz \"1\"",
            "note {loader}, .asciz \"generic\"",
            "note {pae_mode}, .asciz \"yes\"",
            "note {features}, .asciz \"!writable_page_tables|pae_pgdir_above_4gb\"",
            // Bit 0: writable page tables, bit 11: can be the first domain.
            "note {supported}, .long 0x801",
            $($extra,)*
            ".popsection",
            ".purgem note",
            entry = const guest_abi::elf_note::ElfNote::Entry.number(),
            virt_base = const guest_abi::elf_note::ElfNote::VirtBase.number(),
            paddr_offset = const guest_abi::elf_note::ElfNote::PaddrOffset.number(),
            version = const guest_abi::elf_note::ElfNote::InterfaceVersion.number(),
            guest_os = const guest_abi::elf_note::ElfNote::GuestOs.number(),
            guest_version = const guest_abi::elf_note::ElfNote::GuestVersion.number(),
            loader = const guest_abi::elf_note::ElfNote::Loader.number(),
            pae_mode = const guest_abi::elf_note::ElfNote::PaeMode.number(),
            features = const guest_abi::elf_note::ElfNote::Features.number(),
            supported = const guest_abi::elf_note::ElfNote::SupportedFeatures.number(),
            base = const $crate::notes::VIRT_BASE as i64,
        );
    };
}

/// Where the domain's frame 0 lies in the initial mapping.
pub const VIRT_BASE: u64 = 0xffff_ffff_8000_0000;
