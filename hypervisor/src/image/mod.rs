//! Kernel files: from a bzImage or an ELF file to segments, notes and a layout in guest memory.
