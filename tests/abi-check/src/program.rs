//! The C program: a question for each fact of the table, and what the answer must be.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

use guest_abi::table::{CName, Interface, Layout, Number, Row, Text};

/// One fact where Rust and C differ.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mismatch {
    /// Which fact of which item.
    pub what: String,
    /// What `guest-abi` says.
    pub rust: String,
    /// What the headers say.
    pub c: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: guest-abi says {}, the headers say {}",
            self.what, self.rust, self.c
        )
    }
}

/// A C program and the answers that it must print.
pub struct Program {
    headers: BTreeSet<&'static str>,
    body: String,
    expected: Vec<(String, String)>,
}

impl Program {
    /// A program that asks for every fact of `interfaces` that the headers can know.
    #[must_use]
    pub fn new(interfaces: &[&Interface]) -> Self {
        let mut program = Self {
            headers: BTreeSet::new(),
            body: String::new(),
            expected: Vec::new(),
        };
        for interface in interfaces {
            program.headers.extend(interface.headers);
            for row in interface.rows.iter().copied().flatten() {
                match row {
                    Row::Layout(layout) => program.ask_layout(interface.module, layout),
                    Row::Number(number) => program.ask_number(interface.module, number),
                    Row::Text(text) => program.ask_text(interface.module, text),
                }
            }
        }
        program
    }

    /// Number of questions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.expected.len()
    }

    /// Whether there is nothing to ask.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.expected.is_empty()
    }

    /// The C source text.
    #[must_use]
    pub fn source(&self) -> String {
        let mut source = String::from(
            "#define __XEN_TOOLS__ 1\n\
             #define __XEN_INTERFACE_VERSION__ 0x00041100\n\
             #include <errno.h>\n#include <stddef.h>\n#include <stdint.h>\n#include <stdio.h>\n\
             #include <string.h>\n#include <sys/ioctl.h>\n\
             #include <xen/xen.h>\n",
        );
        for header in &self.headers {
            let _ = writeln!(source, "#include <{header}>");
        }
        let _ = write!(source, "int main(void) {{\n{}return 0;\n}}\n", self.body);
        source
    }

    /// Compares the program's output with the table.
    #[must_use]
    pub fn compare(&self, output: &str) -> Vec<Mismatch> {
        let answers: BTreeMap<usize, &str> = output
            .lines()
            .filter_map(|line| {
                let (index, answer) = line.split_once(' ')?;
                Some((index.parse().ok()?, answer))
            })
            .collect();
        let mut mismatches = Vec::new();
        for (index, (what, rust)) in self.expected.iter().enumerate() {
            let c = answers.get(&index).copied().unwrap_or("nothing");
            if c != rust {
                mismatches.push(Mismatch {
                    what: what.clone(),
                    rust: rust.clone(),
                    c: c.to_owned(),
                });
            }
        }
        mismatches
    }

    fn ask_layout(&mut self, module: &str, layout: &Layout) {
        let CName::Named(c_type) = layout.c else {
            return;
        };
        let name = format!("{module}::{}", layout.name);
        self.ask_size(
            format!("{name}: size"),
            layout.size,
            &format!("sizeof({c_type})"),
        );
        self.ask_size(
            format!("{name}: alignment"),
            layout.align,
            &format!("__alignof__({c_type})"),
        );
        for field in layout.fields {
            let what = format!("{name}.{}", field.name);
            match field.c {
                CName::Named(path) => {
                    self.ask_size(
                        format!("{what}: offset"),
                        field.offset,
                        &format!("offsetof({c_type}, {path})"),
                    );
                    self.ask_size(
                        format!("{what}: size"),
                        field.size,
                        &format!("sizeof((({c_type} *)0)->{path})"),
                    );
                }
                CName::Padding => self.ask_padding(what, c_type, field.offset, field.size),
                CName::Absent(_) => {}
            }
        }
    }

    fn ask_number(&mut self, module: &str, number: &Number) {
        let CName::Named(expression) = number.c else {
            return;
        };
        // Signs and widths of C constants are accidents: both sides are cut to the Rust type's width.
        let mask = match number.size {
            8.. => u64::MAX,
            bytes => (1 << (8 * bytes)) - 1,
        };
        self.ask(
            format!("{module}::{}", number.name),
            (number.value as u64 & mask).to_string(),
            &format!("(unsigned long long)({expression}) & {mask}ull"),
        );
    }

    fn ask_text(&mut self, module: &str, text: &Text) {
        let CName::Named(expression) = text.c else {
            return;
        };
        let index = self.expected.len();
        let _ = writeln!(self.body, "printf(\"{index} %s\\n\", {expression});");
        self.expected
            .push((format!("{module}::{}", text.name), text.value.to_owned()));
    }

    /// Asks how many of the bytes C uses for a member of some name. (The compiler clears exactly the
    /// bytes that it regards as padding.)
    fn ask_padding(&mut self, what: String, c_type: &str, offset: usize, size: usize) {
        let index = self.expected.len();
        let _ = writeln!(
            self.body,
            "{{ static {c_type} x; memset(&x, 0xff, sizeof x); __builtin_clear_padding(&x); \
             unsigned used = 0; for (size_t i = {offset}; i < {offset} + {size}; i++) \
             used += ((unsigned char *)&x)[i] != 0; printf(\"{index} %u\\n\", used); }}"
        );
        self.expected
            .push((format!("{what}: bytes in use"), "0".to_owned()));
    }

    fn ask_size(&mut self, what: String, rust: usize, expression: &str) {
        self.ask(
            what,
            rust.to_string(),
            &format!("(unsigned long long){expression}"),
        );
    }

    fn ask(&mut self, what: String, rust: String, expression: &str) {
        let index = self.expected.len();
        let _ = writeln!(
            self.body,
            "printf(\"{index} %llu\\n\", {expression}); /* {what} */"
        );
        self.expected.push((what, rust));
    }
}
