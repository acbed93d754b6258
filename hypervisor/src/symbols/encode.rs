//! Writing the table, on the host.

extern crate alloc;

use super::format::{
    Header, MAGIC, NO_FILE, NO_SCOPE, NOT_INLINED, ROWS_PER_BLOCK, SCOPES_PER_GROUP, VERSION,
};
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// A line of source; the empty file means unknown.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Line {
    /// The file, as it will be printed.
    pub file: String,
    /// The line in it.
    pub line: u32,
}

/// A function that an address belongs to, and where in the function it is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Frame {
    /// The function's name, as it will be printed.
    pub function: String,
    /// For the innermost function the line of the address; for the others that of the call.
    pub line: Line,
}

/// Collects the answers for ascending addresses.
#[derive(Debug)]
pub struct Encoder {
    base: u64,
    code_len: u32,
    strings: Vec<u8>,
    string_numbers: BTreeMap<String, u32>,
    files: Vec<u32>,
    file_numbers: BTreeMap<String, u32>,
    scopes: Vec<Scope>,
    scope_numbers: BTreeMap<Scope, u32>,
    rows: Vec<Row>,
}

/// A function: `parent` is the scope that it is inlined into, and then `line` and `file` are the call's;
/// or it is [`NO_SCOPE`], and `address` the function's own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Scope {
    name: u32,
    parent: u32,
    address: u32,
    line: u32,
    file: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Row {
    at: u32,
    scope: u32,
    file: u32,
    line: u32,
}

impl Encoder {
    /// A table for the `code_len` bytes of code from `base` on.
    pub fn new(base: u64, code_len: u32) -> Self {
        Self {
            base,
            code_len,
            strings: Vec::new(),
            string_numbers: BTreeMap::new(),
            files: Vec::new(),
            file_numbers: BTreeMap::new(),
            scopes: Vec::new(),
            scope_numbers: BTreeMap::new(),
            rows: Vec::new(),
        }
    }

    /// Says what holds from `at` bytes after the base on: `frames`, from the innermost function to the one
    /// that holds the machine code, which begins at `start`. No frames: nothing is known. Addresses must not
    /// descend; what is said last about an address holds.
    pub fn set(&mut self, at: u32, start: u32, frames: &[Frame]) {
        let mut row = Row {
            at,
            scope: NO_SCOPE,
            file: NO_FILE,
            line: 0,
        };
        for frame in frames.iter().rev() {
            let name = self.string(&frame.function);
            let Row {
                scope: parent,
                line,
                file,
                ..
            } = row;
            let address = if parent == NO_SCOPE { start } else { 0 };
            row.scope = self.scope(Scope {
                name,
                parent,
                address,
                line,
                file,
            });
            row.file = self.file(&frame.line.file);
            row.line = frame.line.line;
        }
        if self.rows.last().is_some_and(|last| last.at >= at) {
            self.rows.pop();
        }
        let says_the_same =
            |last: &Row| (last.scope, last.file, last.line) == (row.scope, row.file, row.line);
        if !self.rows.last().is_some_and(says_the_same) {
            self.rows.push(row);
        }
    }

    /// The table's bytes.
    pub fn finish(&self) -> Vec<u8> {
        let (mut blocks, mut rows) = (Vec::new(), Vec::new());
        for block in self.rows.chunks(ROWS_PER_BLOCK) {
            let mut previous = Row {
                at: block[0].at,
                scope: NO_SCOPE,
                file: NO_FILE,
                line: 0,
            };
            blocks.extend_from_slice(&previous.at.to_le_bytes());
            blocks.extend_from_slice(&(rows.len() as u32).to_le_bytes());
            for row in block {
                put_unsigned(&mut rows, row.at - previous.at);
                put_signed(&mut rows, row.scope.wrapping_sub(previous.scope) as i32);
                put_unsigned(&mut rows, row.file);
                put_signed(&mut rows, row.line.wrapping_sub(previous.line) as i32);
                previous = *row;
            }
        }
        let (groups, scopes) = self.encoded_scopes();
        let files: Vec<u8> = self
            .files
            .iter()
            .flat_map(|offset| offset.to_le_bytes())
            .collect();
        let parts = [&blocks, &groups, &files, &scopes, &rows, &self.strings];
        let total_len = Header::LEN + parts.iter().map(|part| part.len()).sum::<usize>();

        let mut table = Vec::with_capacity(total_len);
        table.extend_from_slice(&MAGIC);
        table.extend_from_slice(&VERSION.to_le_bytes());
        table.extend_from_slice(&(total_len as u32).to_le_bytes());
        table.extend_from_slice(&self.base.to_le_bytes());
        let counts = [
            self.code_len,
            self.rows.len().div_ceil(ROWS_PER_BLOCK) as u32,
            self.scopes.len().div_ceil(SCOPES_PER_GROUP) as u32,
            self.files.len() as u32,
            scopes.len() as u32,
            rows.len() as u32,
            self.strings.len() as u32,
            0,
        ];
        table.extend(counts.iter().flat_map(|count| count.to_le_bytes()));
        for part in parts {
            table.extend_from_slice(part);
        }
        table
    }

    /// The group table and the scopes.
    fn encoded_scopes(&self) -> (Vec<u8>, Vec<u8>) {
        let (mut groups, mut scopes) = (Vec::new(), Vec::new());
        for (index, scope) in self.scopes.iter().enumerate() {
            if index.is_multiple_of(SCOPES_PER_GROUP) {
                groups.extend_from_slice(&(scopes.len() as u32).to_le_bytes());
            }
            put_unsigned(&mut scopes, scope.name);
            if scope.parent == NO_SCOPE {
                put_unsigned(&mut scopes, NOT_INLINED);
                put_unsigned(&mut scopes, scope.address);
            } else {
                // A parent is always numbered before what is inlined into it.
                put_unsigned(&mut scopes, index as u32 + 1 - scope.parent);
                put_unsigned(&mut scopes, scope.line);
                put_unsigned(&mut scopes, scope.file);
            }
        }
        (groups, scopes)
    }

    fn string(&mut self, text: &str) -> u32 {
        if let Some(&number) = self.string_numbers.get(text) {
            return number;
        }
        let offset = self.strings.len() as u32;
        put_unsigned(&mut self.strings, text.len() as u32);
        self.strings.extend_from_slice(text.as_bytes());
        self.string_numbers.insert(text.to_string(), offset);
        offset
    }

    fn file(&mut self, path: &str) -> u32 {
        if path.is_empty() {
            return NO_FILE;
        }
        if let Some(&number) = self.file_numbers.get(path) {
            return number;
        }
        let offset = self.string(path);
        self.files.push(offset);
        let number = self.files.len() as u32;
        self.file_numbers.insert(path.to_string(), number);
        number
    }

    fn scope(&mut self, scope: Scope) -> u32 {
        if let Some(&number) = self.scope_numbers.get(&scope) {
            return number;
        }
        self.scopes.push(scope);
        let number = self.scopes.len() as u32;
        self.scope_numbers.insert(scope, number);
        number
    }
}

fn put_unsigned(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_signed(out: &mut Vec<u8>, mut value: i32) {
    while !(-0x40..0x40).contains(&value) {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8 & 0x7f);
}
