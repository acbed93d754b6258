//! Reading the table. It may be damaged: whoever asks is reporting a fault that may have damaged it. Every
//! offset is checked when it is followed, so the worst that damage does is a wrong or missing answer.

use super::format::{
    BLOCK_LEN, FILE_LEN, GROUP_LEN, Header, MAGIC, NO_FILE, NO_SCOPE, NOT_INLINED, ROWS_PER_BLOCK,
    SCOPES_PER_GROUP, VERSION,
};

/// Functions that may be inlined into one another before [`Frames`] suspects a loop.
const MAX_INLINE_DEPTH: u32 = 64;

/// Why bytes are no symbol table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SymbolTableError {
    /// Fewer bytes than a header, or than the header announces.
    Truncated,
    /// The first bytes are not [`MAGIC`].
    BadMagic,
    /// Another layout than [`VERSION`].
    UnknownVersion(u32),
    /// The parts that the header announces do not add up to the length that it announces.
    InconsistentLengths,
}

/// A place in the source that an address belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Location<'a> {
    /// The function, demangled and without its hash.
    pub function: &'a str,
    /// Bytes from the start of the function that holds the machine code: for an inlined function, of the
    /// function that it is inlined into.
    pub offset: u64,
    /// Source file relative to the repository; one of another crate is `crate-version/src/…`. Empty when
    /// only the function is known, as in assembly.
    pub file: &'a str,
    /// Line in `file`, from 1; 0 when unknown.
    pub line: u32,
    /// Whether the function's code is part of its caller's, the next of [`Frames`].
    pub is_inlined: bool,
}

/// A symbol table in memory.
#[derive(Clone, Copy, Debug)]
pub struct SymbolTable<'a> {
    base: u64,
    code_len: u32,
    blocks: &'a [u8],
    groups: &'a [u8],
    files: &'a [u8],
    scopes: &'a [u8],
    rows: &'a [u8],
    strings: &'a [u8],
}

impl<'a> SymbolTable<'a> {
    /// Takes the table at the start of `bytes`; what follows it is ignored.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, SymbolTableError> {
        use SymbolTableError::{BadMagic, InconsistentLengths, Truncated, UnknownVersion};
        let (header, _) = bytes
            .split_first_chunk::<{ Header::LEN }>()
            .ok_or(Truncated)?;
        let header = Header::read(header);
        if header.magic != MAGIC {
            return Err(BadMagic);
        }
        if header.version != VERSION {
            return Err(UnknownVersion(header.version));
        }
        let bytes = bytes.get(..header.total_len as usize).ok_or(Truncated)?;
        let mut rest = bytes.get(Header::LEN..).ok_or(InconsistentLengths)?;
        let mut take = |count: u32, len: usize| {
            let (part, tail) = rest.split_at_checked((count as usize).checked_mul(len)?)?;
            rest = tail;
            Some(part)
        };
        let mut part = |count, len| take(count, len).ok_or(InconsistentLengths);
        let table = Self {
            base: header.base,
            code_len: header.code_len,
            blocks: part(header.blocks_count, BLOCK_LEN)?,
            groups: part(header.groups_count, GROUP_LEN)?,
            files: part(header.files_count, FILE_LEN)?,
            scopes: part(header.scopes_len, 1)?,
            rows: part(header.rows_len, 1)?,
            strings: part(header.strings_len, 1)?,
        };
        if rest.is_empty() {
            Ok(table)
        } else {
            Err(InconsistentLengths)
        }
    }

    /// The innermost place that `address` belongs to. A return address belongs to the instruction after
    /// the call: ask for the byte before it.
    pub fn locate(&self, address: u64) -> Option<Location<'a>> {
        self.frames(address).next()
    }

    /// Every function that `address` belongs to, from the innermost inlined one to the one that holds the
    /// machine code.
    pub fn frames(&self, address: u64) -> Frames<'a> {
        let next = self.row(address);
        Frames {
            table: *self,
            address,
            next,
            remaining: MAX_INLINE_DEPTH,
        }
    }

    /// The row that covers `address`.
    fn row(&self, address: u64) -> Option<Place> {
        let offset = u32::try_from(address.checked_sub(self.base)?).ok()?;
        if offset >= self.code_len {
            return None;
        }
        let after = partition_point(self.blocks.len() / BLOCK_LEN, |block| {
            u32_at(self.blocks, block * BLOCK_LEN).is_some_and(|first| first <= offset)
        });
        let block = after.checked_sub(1)? * BLOCK_LEN;
        let mut at = u32_at(self.blocks, block)?;
        let mut reader = Reader(self.rows.get(u32_at(self.blocks, block + 4)? as usize..)?);
        let mut row = Place {
            scope: NO_SCOPE,
            file: NO_FILE,
            line: 0,
        };
        for _ in 0..ROWS_PER_BLOCK {
            // The last block ends with the rows; what its last row says holds to the end of the code.
            let Some(distance) = reader.unsigned() else {
                break;
            };
            at = at.checked_add(distance)?;
            if at > offset {
                break;
            }
            row = Place {
                scope: row.scope.wrapping_add_signed(reader.signed()?),
                file: reader.unsigned()?,
                line: row.line.wrapping_add_signed(reader.signed()?),
            };
        }
        (row.scope != NO_SCOPE).then_some(row)
    }

    fn scope(&self, number: u32) -> Option<Scope> {
        let index = number.checked_sub(1)? as usize;
        let group = (index / SCOPES_PER_GROUP).checked_mul(GROUP_LEN)?;
        let mut reader = Reader(self.scopes.get(u32_at(self.groups, group)? as usize..)?);
        for _ in 0..index % SCOPES_PER_GROUP {
            reader.scope()?;
        }
        reader.scope()
    }

    fn file(&self, number: u32) -> Option<&'a str> {
        if number == NO_FILE {
            return Some("");
        }
        let at = (number as usize - 1).checked_mul(FILE_LEN)?;
        self.string(u32_at(self.files, at)?)
    }

    fn string(&self, offset: u32) -> Option<&'a str> {
        let mut reader = Reader(self.strings.get(offset as usize..)?);
        let len = reader.unsigned()? as usize;
        core::str::from_utf8(reader.0.get(..len)?).ok()
    }
}

/// The functions at one address, innermost first.
#[derive(Clone, Debug)]
pub struct Frames<'a> {
    table: SymbolTable<'a>,
    address: u64,
    next: Option<Place>,
    remaining: u32,
}

impl<'a> Iterator for Frames<'a> {
    type Item = Location<'a>;

    fn next(&mut self) -> Option<Location<'a>> {
        let place = self.next.take()?;
        self.remaining = self.remaining.checked_sub(1)?;
        let scope = self.table.scope(place.scope)?;
        let is_inlined = match scope.site {
            Site::Function { .. } => false,
            Site::Inlined {
                distance,
                line,
                file,
            } => {
                self.next = Some(Place {
                    scope: place.scope.checked_sub(distance)?,
                    file,
                    line,
                });
                true
            }
        };
        Some(Location {
            function: self.table.string(scope.name)?,
            offset: self.offset_in_function(place.scope)?,
            file: self.table.file(place.file)?,
            line: place.line,
            is_inlined,
        })
    }
}

impl Frames<'_> {
    /// Bytes from the start of the function whose machine code scope `number` is part of.
    fn offset_in_function(&self, mut number: u32) -> Option<u64> {
        for _ in 0..MAX_INLINE_DEPTH {
            match self.table.scope(number)?.site {
                Site::Function { address } => {
                    return self
                        .address
                        .checked_sub(self.table.base)?
                        .checked_sub(address.into());
                }
                Site::Inlined { distance, .. } => number = number.checked_sub(distance)?,
            }
        }
        None
    }
}

/// A line of a file in a scope, by their numbers.
#[derive(Clone, Copy, Debug)]
struct Place {
    scope: u32,
    file: u32,
    line: u32,
}

/// A function in one place.
#[derive(Clone, Copy)]
struct Scope {
    name: u32,
    site: Site,
}

/// Where a function's code is.
#[derive(Clone, Copy)]
enum Site {
    /// In a function of its own.
    Function { address: u32 },
    /// In the scope `distance` numbers back, instead of a call in this line.
    Inlined { distance: u32, line: u32, file: u32 },
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The first of `0..len` for which `is_before` is false, when it is true for all before that one.
fn partition_point(len: usize, is_before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, len);
    while low < high {
        let middle = low + (high - low) / 2;
        if is_before(middle) {
            low = middle + 1
        } else {
            high = middle
        }
    }
    low
}

/// Takes variable-length numbers (LEB128, as DWARF has them) of up to 32 bits from the front of bytes.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn scope(&mut self) -> Option<Scope> {
        let name = self.unsigned()?;
        let site = match self.unsigned()? {
            NOT_INLINED => Site::Function {
                address: self.unsigned()?,
            },
            distance => Site::Inlined {
                distance,
                line: self.unsigned()?,
                file: self.unsigned()?,
            },
        };
        Some(Scope { name, site })
    }

    fn group(&mut self) -> Option<(u32, bool)> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some((u32::from(byte & 0x7f), byte & 0x80 != 0))
    }

    fn unsigned(&mut self) -> Option<u32> {
        let mut value = 0u32;
        for shift in [0, 7, 14, 21, 28] {
            let (group, is_continued) = self.group()?;
            value |= group << shift;
            if !is_continued {
                return Some(value);
            }
        }
        None
    }

    fn signed(&mut self) -> Option<i32> {
        let mut value = 0i32;
        for shift in [0, 7, 14, 21, 28] {
            let (group, is_continued) = self.group()?;
            value |= (group as i32) << shift;
            if !is_continued {
                let has_sign = shift < 25 && group & 0x40 != 0;
                return Some(if has_sign {
                    value | -1 << (shift + 7)
                } else {
                    value
                });
            }
        }
        None
    }
}
