//! The image's build identifier: a hash that the linker makes of the image and puts into it as an ELF note.

unsafe extern "C" {
    // boot/linker.ld, around the note.
    static __build_id_start: u8;
    static __build_id_end: u8;
}

/// Length of the name, length of the identifier, type; the name follows, in a multiple of 4 bytes.
const HEADER: usize = 12;

/// The identifier, if the linker has made one.
pub(crate) fn build_id() -> Option<&'static [u8]> {
    let start = &raw const __build_id_start;
    let length = &raw const __build_id_end as usize - start as usize;
    // SAFETY: constants of the image, between the two symbols.
    let note = unsafe { core::slice::from_raw_parts(start, length) };
    let word = |at: usize| {
        let bytes = note.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_le_bytes(bytes) as usize)
    };
    let name = word(0)?.next_multiple_of(4);
    let id = note.get(HEADER.checked_add(name)?..)?;
    id.get(..word(4)?).filter(|id| !id.is_empty())
}
