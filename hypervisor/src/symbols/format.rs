//! The layout of the table. All numbers are little-endian; all offsets are from the table's first byte.
//!
//! ```text
//! Header
//! blocks   blocks_count × { first: u32, rows: u32 }      ascending by first, for a binary search
//! groups   groups_count × u32                           offsets into the scopes
//! files    files_count × u32                            offsets into the strings
//! scopes   scopes_len bytes of variable-length numbers
//! rows     rows_len bytes of variable-length numbers
//! strings  strings_len bytes: each string is its length (ULEB128), then UTF-8
//! ```
//!
//! *Addresses* are offsets from [`Header::base`], below [`Header::code_len`].
//!
//! A *row* says what holds from its address up to the next row's: four numbers, the distance from the
//! previous row's address (ULEB128), the scope (SLEB128, relative to the previous row's), the file
//! (ULEB128), the line (SLEB128, relative). A *block* is up to [`ROWS_PER_BLOCK`] rows; its first row
//! starts from address `first`, scope 0, line 0, and its bytes begin at `rows` within the rows. Scope
//! [`NO_SCOPE`] says that nothing is known from there on.
//!
//! A *scope* is a function in one place: either as such, or inlined into another scope. It is three or four
//! numbers (ULEB128): its name, as an offset into the strings; how many scopes back the scope is that it is
//! inlined into, or [`NOT_INLINED`]; then for a function as such its address, and for an inlined one the
//! line and the file of the call. A *group* is up to [`SCOPES_PER_GROUP`] scopes; the group table says where
//! each begins.

/// The first bytes of a table.
pub const MAGIC: [u8; 8] = *b"pvSymTab";
/// The layout described here; a reader refuses any other.
pub const VERSION: u32 = 1;
/// Rows that one lookup decodes at most.
pub const ROWS_PER_BLOCK: usize = 64;
/// Scopes that one look at a scope decodes at most.
pub const SCOPES_PER_GROUP: usize = 16;
/// The scope of rows about which nothing is known: scopes are numbered from 1.
pub const NO_SCOPE: u32 = 0;
/// The distance to its caller of a scope that is not inlined.
pub const NOT_INLINED: u32 = 0;
/// The file of rows of which only the function is known: file numbers start at 1.
pub const NO_FILE: u32 = 0;
/// Bytes of an entry of the block table.
pub const BLOCK_LEN: usize = 8;
/// Bytes of an entry of the group table.
pub const GROUP_LEN: usize = 4;
/// Bytes of an entry of the file table.
pub const FILE_LEN: usize = 4;

/// What the table begins with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct Header {
    /// [`MAGIC`].
    pub magic: [u8; 8],
    /// [`VERSION`].
    pub version: u32,
    /// Bytes of the whole table, this header included.
    pub total_len: u32,
    /// The virtual address that the table's addresses are counted from.
    pub base: u64,
    /// Bytes of code that the table covers.
    pub code_len: u32,
    /// Entries of the block table, which follows the header.
    pub blocks_count: u32,
    /// Entries of the group table, which follows the block table.
    pub groups_count: u32,
    /// Entries of the file table, which follows the group table.
    pub files_count: u32,
    /// Bytes of the scopes, which follow the file table.
    pub scopes_len: u32,
    /// Bytes of the rows, which follow the scopes.
    pub rows_len: u32,
    /// Bytes of the strings, which follow the rows and end the table.
    pub strings_len: u32,
    /// Zero.
    pub reserved: u32,
}

const _: () = assert!(size_of::<Header>() == Header::LEN && align_of::<Header>() == 8);

impl Header {
    /// Bytes of a header.
    pub const LEN: usize = 56;

    /// Reads a header, in whose fields nothing is checked yet.
    pub fn read(bytes: &[u8; Self::LEN]) -> Self {
        let u32_at = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let mut magic = [0; 8];
        magic.copy_from_slice(&bytes[..8]);
        Self {
            magic,
            version: u32_at(8),
            total_len: u32_at(12),
            base: u64::from(u32_at(16)) | u64::from(u32_at(20)) << 32,
            code_len: u32_at(24),
            blocks_count: u32_at(28),
            groups_count: u32_at(32),
            files_count: u32_at(36),
            scopes_len: u32_at(40),
            rows_len: u32_at(44),
            strings_len: u32_at(48),
            reserved: u32_at(52),
        }
    }
}

/// The header of an empty table: what the image is linked with.
///
/// Whoever reads it at run time must read it as memory that was changed after compilation (through the
/// linker's symbol, or a volatile read): to the compiler, a static with this value is a constant.
pub const PLACEHOLDER: Header = Header {
    magic: MAGIC,
    version: VERSION,
    total_len: Header::LEN as u32,
    base: 0,
    code_len: 0,
    blocks_count: 0,
    groups_count: 0,
    files_count: 0,
    scopes_len: 0,
    rows_len: 0,
    strings_len: 0,
    reserved: 0,
};
