//! The whole interface as data: one row for each structure, number and text of this crate.
//!
//! The rows come out of the same macros that define the items (see `define.rs`), so none can be
//! forgotten. A host test turns them into a C program, lets a C compiler read the public headers,
//! and compares. Nothing here reaches the hypervisor's image: the rows are constants that only the
//! test uses.

/// What the public C headers call an item.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CName {
    /// A C type, a member path or a constant expression.
    Named(&'static str),
    /// The headers have no such item; the reason why.
    Absent(&'static str),
    /// Bytes that C leaves unnamed. Always sent as zero.
    Padding,
}

/// One field of a structure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Field {
    /// Rust name.
    pub name: &'static str,
    /// Bytes from the start of the structure.
    pub offset: usize,
    /// Bytes.
    pub size: usize,
    /// Member path in C.
    pub c: CName,
}

/// One structure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    /// Rust name.
    pub name: &'static str,
    /// Bytes.
    pub size: usize,
    /// Alignment in bytes.
    pub align: usize,
    /// Type in C.
    pub c: CName,
    /// All fields, padding included, in order.
    pub fields: &'static [Field],
}

/// One number: a constant, an enumerator or a flag.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Number {
    /// Rust name; `Type::NAME` for enumerators and flags.
    pub name: &'static str,
    /// Value.
    pub value: i128,
    /// Bytes of the Rust type that holds it. C is compared in this width.
    pub size: usize,
    /// Constant expression in C.
    pub c: CName,
}

/// One text constant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Text {
    /// Rust name.
    pub name: &'static str,
    /// Value, without a terminator.
    pub value: &'static str,
    /// Constant expression in C.
    pub c: CName,
}

/// One row of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Row {
    /// A structure.
    Layout(Layout),
    /// A number.
    Number(Number),
    /// A text.
    Text(Text),
}

/// All rows of one module.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Interface {
    /// Path of the Rust module.
    pub module: &'static str,
    /// Headers that declare the C names, as written between `<` and `>`.
    pub headers: &'static [&'static str],
    /// Rows, grouped as the module groups them.
    pub rows: &'static [&'static [Row]],
}
