//! The words of a configuration file, in the spelling of Python 2.

/// What a token is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A name or a word of the language.
    Name,
    /// A number.
    Number,
    /// A string literal with its prefix and quotes.
    Text,
    /// An operator, a bracket, anything of punctuation.
    Operator,
    /// Blanks, or the end of a line inside brackets or behind a backslash.
    Space,
    /// From `#` to the end of the line.
    Comment,
    /// The end of a statement's line.
    Newline,
}

/// A piece of the file. All of them together are the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// Its text.
    pub text: String,
    /// The line it begins on, from 1.
    pub line: usize,
}

/// A literal that does not end, or brackets that do not close. Holds the line where it begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unfinished(pub usize);

const LONG_OPERATORS: [&str; 16] = [
    "**=", "//=", "<<=", ">>=", "**", "//", "<<", ">>", "<=", ">=", "==", "!=", "<>", "+=", "-=",
    "|=",
];

/// Cuts a file into tokens.
///
/// # Errors
///
/// Where something begins that does not end.
pub fn tokens(source: &str) -> Result<Vec<Token>, Unfinished> {
    let mut reader = Reader {
        rest: source,
        line: 1,
        open: Vec::new(),
        tokens: Vec::new(),
    };
    while let Some(first) = reader.rest.chars().next() {
        let (kind, length) = reader.next(first)?;
        reader.take(kind, length);
    }
    match reader.open.first() {
        Some(&line) => Err(Unfinished(line)),
        None => Ok(reader.tokens),
    }
}

struct Reader<'s> {
    rest: &'s str,
    line: usize,
    /// The lines of brackets that are open.
    open: Vec<usize>,
    tokens: Vec<Token>,
}

impl Reader<'_> {
    fn take(&mut self, kind: Kind, length: usize) {
        let (text, rest) = self.rest.split_at(length);
        self.tokens.push(Token {
            kind,
            text: text.to_owned(),
            line: self.line,
        });
        self.line += text.matches('\n').count();
        self.rest = rest;
    }

    /// What is next, and its bytes.
    fn next(&mut self, first: char) -> Result<(Kind, usize), Unfinished> {
        let while_is = |is: fn(char) -> bool| {
            self.rest
                .find(|next: char| !is(next))
                .unwrap_or(self.rest.len())
        };
        Ok(match first {
            '\n' if self.open.is_empty() => (Kind::Newline, 1),
            '\n' => (Kind::Space, 1),
            '\\' if self.rest.starts_with("\\\n") => (Kind::Space, 2),
            ' ' | '\t' | '\x0c' => (Kind::Space, while_is(|c| matches!(c, ' ' | '\t' | '\x0c'))),
            '#' => (Kind::Comment, while_is(|c| c != '\n')),
            '0'..='9' => (
                Kind::Number,
                while_is(|c| c.is_ascii_alphanumeric() || c == '.' || c == '_'),
            ),
            _ if self.text_prefix().is_some() => (Kind::Text, self.text_length()?),
            _ if is_name(first) => (Kind::Name, while_is(is_name)),
            _ => {
                match first {
                    '(' | '[' | '{' => self.open.push(self.line),
                    ')' | ']' | '}' => {
                        self.open.pop();
                    }
                    _ => {}
                }
                let long = LONG_OPERATORS
                    .iter()
                    .find(|long| self.rest.starts_with(**long));
                let length = long.map_or(first.len_utf8(), |long| long.len());
                (Kind::Operator, length)
            }
        })
    }

    /// Bytes before the quote, if a string literal is next.
    fn text_prefix(&self) -> Option<usize> {
        let quote = self.rest.find(['"', '\''])?;
        let prefix = self.rest.get(..quote)?.to_ascii_lowercase();
        matches!(&*prefix, "" | "r" | "u" | "b" | "ur" | "br").then_some(quote)
    }

    fn text_length(&self) -> Result<usize, Unfinished> {
        let unfinished = Unfinished(self.line);
        let start = self.text_prefix().unwrap_or(0);
        let quoted = self.rest.get(start..).unwrap_or_default();
        let quote = quoted.chars().next().ok_or(unfinished)?;
        let triple: String = [quote; 3].iter().collect();
        let (end, is_long) = if quoted.starts_with(&triple) {
            (triple, true)
        } else {
            (quote.to_string(), false)
        };
        let mut at = end.len();
        loop {
            let rest = quoted.get(at..).ok_or(unfinished)?;
            if rest.starts_with(&end) {
                return Ok(start + at + end.len());
            }
            let mut next = rest.chars();
            match next.next().ok_or(unfinished)? {
                '\\' => at += 1 + next.next().map_or(0, char::len_utf8),
                '\n' if !is_long => return Err(unfinished),
                other => at += other.len_utf8(),
            }
        }
    }
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// What a string literal stands for.
#[must_use]
pub fn text_value(literal: &str) -> String {
    let quote = literal.find(['"', '\'']).unwrap_or(0);
    let (prefix, quoted) = literal.split_at(quote);
    let is_raw = prefix.contains(['r', 'R']);
    let marks = if quoted.len() >= 6 && (quoted.starts_with("\"\"\"") || quoted.starts_with("'''"))
    {
        3
    } else {
        1
    };
    let inner = quoted
        .get(marks..quoted.len().saturating_sub(marks))
        .unwrap_or_default();
    if is_raw {
        inner.to_owned()
    } else {
        unescape(inner)
    }
}

fn unescape(text: &str) -> String {
    let mut value = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        value.push_str(rest.get(..at).unwrap_or_default());
        rest = rest.get(at + 1..).unwrap_or_default();
        let digits = |length: usize, radix: u32, from: usize| {
            let text = rest.get(from..)?;
            let end = text
                .char_indices()
                .take(length)
                .take_while(|(_, c)| c.is_digit(radix))
                .count();
            let code = u32::from_str_radix(text.get(..end)?, radix).ok()?;
            Some((char::from_u32(code)?, from + end))
        };
        let (replacement, used) = match rest.chars().next() {
            Some('n') => (Some('\n'), 1),
            Some('t') => (Some('\t'), 1),
            Some('r') => (Some('\r'), 1),
            Some('a') => (Some('\x07'), 1),
            Some('b') => (Some('\x08'), 1),
            Some('f') => (Some('\x0c'), 1),
            Some('v') => (Some('\x0b'), 1),
            Some('\n') => (None, 1),
            Some(same @ ('\\' | '\'' | '"')) => (Some(same), 1),
            Some('x') => match digits(2, 16, 1) {
                Some((c, used)) => (Some(c), used),
                None => (Some('\\'), 0),
            },
            Some('0'..='7') => match digits(3, 8, 0) {
                Some((c, used)) => (Some(c), used),
                None => (Some('\\'), 0),
            },
            // Others keep their backslash.
            _ => (Some('\\'), 0),
        };
        value.extend(replacement);
        rest = rest.get(used..).unwrap_or_default();
    }
    value.push_str(rest);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(source: &str) -> Vec<(Kind, String)> {
        tokens(source)
            .unwrap()
            .into_iter()
            .filter(|token| token.kind != Kind::Space)
            .map(|token| (token.kind, token.text))
            .collect()
    }

    #[test]
    fn tokens_are_the_file() {
        let source = "a = [1, # one\n 'x\\'y', r\"\\n\"]\nif a : b='''\n''' # é\nc=0x1f<<2\n";
        let all: String = tokens(source)
            .unwrap()
            .into_iter()
            .map(|token| token.text)
            .collect();
        assert_eq!(all, source);
        assert!(shape(source).contains(&(Kind::Text, "'x\\'y'".into())));
        assert!(shape(source).contains(&(Kind::Number, "0x1f".into())));
        assert_eq!(
            shape(source)
                .iter()
                .filter(|(kind, _)| *kind == Kind::Newline)
                .count(),
            3
        );
    }

    #[test]
    fn what_does_not_end_is_found() {
        assert_eq!(tokens("a = 1\nb = 'x\n"), Err(Unfinished(2)));
        assert_eq!(tokens("a = 1\n\nb = [1,\n2\n"), Err(Unfinished(3)));
        assert_eq!(tokens("a = '''x\n\n"), Err(Unfinished(1)));
    }

    #[test]
    fn literals_have_values() {
        assert_eq!(text_value("'a\\tb\\x41\\101\\q\\''"), "a\tbAA\\q'");
        assert_eq!(text_value("r'a\\tb'"), "a\\tb");
        assert_eq!(text_value("u\"\"\"a\nb\"\"\""), "a\nb");
        assert_eq!(text_value("''"), "");
        assert_eq!(text_value("'a\\\nb'"), "ab");
    }
}
