//! S-expressions as the old tools print and read them.
//!
//! Not by a library for those of Lisp (`lexpr`): `'vif-bridge bridge=xenbr0'` is a string with a space here, and the quotation of
//! one word and another word there; and programs read the lines and columns in which these are printed.

use std::fmt::Write;

/// Columns of a line.
const WIDTH: usize = 80;
/// Columns by which elements of a list that does not fit on a line are indented.
const INDENT: usize = 4;
/// Lists within lists that are read at most.
const MAX_DEPTH: usize = 64;

/// An expression.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Sxp {
    /// A word, a number or a string.
    Atom(String),
    /// A list.
    List(Vec<Sxp>),
}

/// A text that is no expression.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotSxp {
    /// The line where that shows, from 1.
    pub line: usize,
}

impl std::fmt::Display for NotSxp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {} is no s-expression", self.line)
    }
}

impl Sxp {
    /// An atom.
    #[must_use]
    pub fn atom(text: impl ToString) -> Self {
        Self::Atom(text.to_string())
    }

    /// A list of a name and a value.
    #[must_use]
    pub fn pair(name: &str, value: impl ToString) -> Self {
        Self::List(vec![Self::atom(name), Self::atom(value)])
    }

    /// A list of a name and more.
    #[must_use]
    pub fn list(name: &str, rest: impl IntoIterator<Item = Self>) -> Self {
        Self::List(std::iter::once(Self::atom(name)).chain(rest).collect())
    }

    /// The first atom of a list.
    #[must_use]
    pub fn head(&self) -> Option<&str> {
        match self {
            Self::List(items) => match items.first()? {
                Self::Atom(text) => Some(text),
                Self::List(_) => None,
            },
            Self::Atom(_) => None,
        }
    }

    /// The elements of a list behind its first.
    #[must_use]
    pub fn rest(&self) -> &[Self] {
        match self {
            Self::List(items) => items.get(1..).unwrap_or_default(),
            Self::Atom(_) => &[],
        }
    }

    /// The element lists that begin with this name.
    pub fn children<'a, 'n>(
        &'a self,
        name: &'n str,
    ) -> impl Iterator<Item = &'a Self> + use<'a, 'n> {
        self.rest()
            .iter()
            .filter(move |child| child.head() == Some(name))
    }

    /// The value of the first pair of this name.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        match self.children(name).next()?.rest() {
            [] => Some(""),
            [Self::Atom(text)] => Some(text),
            _ => None,
        }
    }

    /// Prints it, and an end of line.
    #[must_use]
    pub fn pretty(&self) -> String {
        let mut text = String::new();
        self.print(&mut text, 0);
        text.push('\n');
        text
    }

    fn print(&self, text: &mut String, column: usize) {
        let flat = self.flat();
        match self {
            Self::List(items) if column + flat.chars().count() > WIDTH => {
                text.push('(');
                for (index, item) in items.iter().enumerate() {
                    if index == 0 {
                        item.print(text, column + 1);
                    } else {
                        let inner = column + INDENT;
                        let _ = write!(text, "\n{:inner$}", "");
                        item.print(text, inner);
                    }
                }
                let _ = write!(text, "\n{:column$})", "");
            }
            _ => text.push_str(&flat),
        }
    }

    /// As it is printed on one line, however long.
    #[must_use]
    pub fn flat(&self) -> String {
        match self {
            Self::Atom(text) => quoted(text),
            Self::List(items) => {
                let items: Vec<_> = items.iter().map(Self::flat).collect();
                format!("({})", items.join(" "))
            }
        }
    }

    /// Reads all expressions of a text.
    ///
    /// # Errors
    ///
    /// Where it is none.
    pub fn read(text: &str) -> Result<Vec<Self>, NotSxp> {
        let lines = Self::read_with_lines(text)?;
        Ok(lines.into_iter().map(|(_, item)| item).collect())
    }

    /// Reads all expressions of a text, each with the line where it begins, from 1.
    ///
    /// # Errors
    ///
    /// Where it is none.
    pub fn read_with_lines(text: &str) -> Result<Vec<(usize, Self)>, NotSxp> {
        let mut reader = Reader {
            rest: text.chars().peekable(),
            line: 1,
        };
        let mut items = Vec::new();
        while let Some((line, item)) = reader.item(0)? {
            items.push((line, item));
        }
        match reader.rest.peek() {
            None => Ok(items),
            Some(_) => Err(NotSxp { line: reader.line }),
        }
    }
}

/// An atom as it is printed.
fn quoted(text: &str) -> String {
    let is_plain = !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '/' | '~'));
    if is_plain {
        return text.to_owned();
    }
    let mark = if text.contains('\'') { '"' } else { '\'' };
    let mut quoted = String::from(mark);
    for c in text.chars() {
        match c {
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            c if c == mark || c == '\\' => quoted.extend(['\\', c]),
            c if c.is_ascii_control() => {
                let _ = write!(quoted, "\\x{:02x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push(mark);
    quoted
}

struct Reader<'t> {
    rest: std::iter::Peekable<std::str::Chars<'t>>,
    line: usize,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<char> {
        let next = self.rest.next();
        if next == Some('\n') {
            self.line += 1;
        }
        next
    }

    /// The next expression and the line where it begins; `None` at the end of the list or the text.
    fn item(&mut self, depth: usize) -> Result<Option<(usize, Sxp)>, NotSxp> {
        while let Some(&c) = self.rest.peek() {
            let line = self.line;
            let item = match c {
                ')' => break,
                '(' => {
                    if depth == MAX_DEPTH {
                        return Err(NotSxp { line });
                    }
                    self.next();
                    let mut list = Vec::new();
                    while let Some((_, item)) = self.item(depth + 1)? {
                        list.push(item);
                    }
                    if self.next() != Some(')') {
                        return Err(NotSxp { line: self.line });
                    }
                    Sxp::List(list)
                }
                '#' => {
                    while self.next().is_some_and(|c| c != '\n') {}
                    continue;
                }
                '\'' | '"' => Sxp::Atom(self.string()?),
                c if c.is_whitespace() => {
                    self.next();
                    continue;
                }
                _ => {
                    let mut word = String::new();
                    while let Some(&c) = self.rest.peek()
                        && !c.is_whitespace()
                        && !matches!(c, '(' | ')' | '\'' | '"' | '#')
                    {
                        word.push(c);
                        self.next();
                    }
                    Sxp::Atom(word)
                }
            };
            return Ok(Some((line, item)));
        }
        Ok(None)
    }

    fn string(&mut self) -> Result<String, NotSxp> {
        let mark = self.next();
        let mut text = String::new();
        loop {
            let c = self.next();
            if c == mark {
                return Ok(text);
            }
            match c.ok_or(NotSxp { line: self.line })? {
                '\\' => {
                    let escaped = self.next().ok_or(NotSxp { line: self.line })?;
                    let c = match escaped {
                        'a' => '\x07',
                        'b' => '\x08',
                        't' => '\t',
                        'n' => '\n',
                        'v' => '\x0b',
                        'f' => '\x0c',
                        'r' => '\r',
                        'x' => self.code(16, 2, 0)?,
                        digit @ '0'..='7' => self.code(8, 2, digit.to_digit(8).unwrap_or(0))?,
                        other => other,
                    };
                    text.push(c);
                }
                other => text.push(other),
            }
        }
    }

    fn code(&mut self, radix: u32, digits: usize, first: u32) -> Result<char, NotSxp> {
        let mut code = first;
        for _ in 0..digits {
            let Some(digit) = self.rest.peek().and_then(|c| c.to_digit(radix)) else {
                break;
            };
            code = code * radix + digit;
            self.next();
        }
        char::from_u32(code).ok_or(NotSxp { line: self.line })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lists_break_where_they_do_not_fit() {
        let long = "root=/dev/xvda2 ro console=hvc0 a=1 b=2 c=3 d=4 e=5";
        let linux = Sxp::list(
            "linux",
            [
                Sxp::pair("kernel", "/boot/vmlinuz"),
                Sxp::pair("args", long),
            ],
        );
        let domain = Sxp::list(
            "domain",
            [Sxp::pair("domid", 3), Sxp::list("image", [linux])],
        );
        assert_eq!(
            domain.pretty(),
            "(domain\n    (domid 3)\n    (image\n        (linux\n            (kernel /boot/vmlinuz)\n            \
             (args 'root=/dev/xvda2 ro console=hvc0 a=1 b=2 c=3 d=4 e=5')\n        )\n    )\n)\n"
        );
        assert_eq!(Sxp::pair("bootloader", "").pretty(), "(bootloader '')\n");
        assert_eq!(Sxp::pair("state", "-b----").pretty(), "(state -b----)\n");
        assert_eq!(Sxp::pair("x", "it's").pretty(), "(x \"it's\")\n");
        let cpus = Sxp::List(vec![Sxp::atom("cpus"), Sxp::List(vec![Sxp::List(vec![])])]);
        assert_eq!(cpus.pretty(), "(cpus (()))\n");
    }

    #[test]
    fn expressions_are_read() {
        let read = Sxp::read("# note\n(vm (name 'a\\x41\\n') (e) (f ''))").unwrap();
        let [vm] = read.as_slice() else {
            panic!("{read:?}")
        };
        assert_eq!(vm.value("name"), Some("aA\n"));
        assert_eq!((vm.value("e"), vm.value("f")), (Some(""), Some("")));
        assert_eq!(vm.value("g"), None);
        assert_eq!(Sxp::read("(a\n(b)"), Err(NotSxp { line: 2 }));
        assert_eq!(Sxp::read("a)"), Err(NotSxp { line: 1 }));
        assert!(Sxp::read("('").is_err());
        assert!(Sxp::read(&"(".repeat(100_000)).is_err());
    }

    fn any_sxp() -> impl Strategy<Value = Sxp> {
        let atom = "[ -~\\n\\t]{0,12}".prop_map(Sxp::Atom);
        atom.prop_recursive(4, 32, 5, |inner| {
            prop::collection::vec(inner, 0..5).prop_map(Sxp::List)
        })
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read(sxp in any_sxp()) {
            prop_assert_eq!(Sxp::read(&sxp.pretty()), Ok(vec![sxp]));
        }
    }
}
