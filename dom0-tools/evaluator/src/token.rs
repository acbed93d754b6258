//! Words of a configuration file, in logical lines.

use std::iter::Peekable;
use std::str::Chars;

/// Brackets within brackets: more is refused, so that the evaluator's recursion is bounded.
const MAX_BRACKETS: usize = 60;
/// Operators in a logical line: more is refused, for the same reason.
const MAX_OPERATORS: usize = 2000;
/// Words that make expressions deeper, as operators do.
const NESTING_WORDS: [&str; 8] = ["not", "lambda", "if", "else", "and", "or", "in", "for"];
/// What a tab goes to in indentation.
const TAB: usize = 8;

/// A word.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Token {
    /// What it is.
    pub(super) kind: TokenKind,
    /// The line that it begins on, counted from 1.
    pub(super) line: usize,
}

/// What a word is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum TokenKind {
    /// A name or a keyword.
    Name(String),
    /// A number, in decimal.
    Number(String),
    /// A string, without quotes and escapes.
    Text(String),
    /// All else.
    Operator(String),
}

impl Token {
    /// A name or a keyword.
    #[must_use]
    pub(super) fn name(text: &str, line: usize) -> Self {
        let kind = TokenKind::Name(text.to_owned());
        Self { kind, line }
    }

    /// An operator or a bracket.
    #[must_use]
    pub(super) fn operator(text: &str, line: usize) -> Self {
        let kind = TokenKind::Operator(text.to_owned());
        Self { kind, line }
    }

    /// A string.
    #[must_use]
    pub(super) fn text(text: &str, line: usize) -> Self {
        let kind = TokenKind::Text(text.to_owned());
        Self { kind, line }
    }

    /// Whether it is this name, keyword, operator or bracket.
    #[must_use]
    pub(super) fn is(&self, text: &str) -> bool {
        match &self.kind {
            TokenKind::Name(own) | TokenKind::Operator(own) => own == text,
            TokenKind::Number(_) | TokenKind::Text(_) => false,
        }
    }

    /// The text, if it is a name or a keyword.
    #[must_use]
    pub(super) fn as_name(&self) -> Option<&str> {
        match &self.kind {
            TokenKind::Name(name) => Some(name),
            _ => None,
        }
    }

    /// By how much brackets are deeper behind it.
    #[must_use]
    pub(super) fn nesting(&self) -> isize {
        match &self.kind {
            TokenKind::Operator(text) if matches!(text.as_str(), "(" | "[" | "{") => 1,
            TokenKind::Operator(text) if matches!(text.as_str(), ")" | "]" | "}") => -1,
            _ => 0,
        }
    }
}

/// A line together with those that continue it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct LogicalLine {
    /// Columns before the first word.
    pub(super) indent: usize,
    /// Its words; at least one.
    pub(super) tokens: Vec<Token>,
}

impl LogicalLine {
    /// The line that it begins on.
    #[must_use]
    pub(super) fn line(&self) -> usize {
        self.tokens.first().map_or(1, |token| token.line)
    }
}

/// A line that can't be read, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct SourceError {
    /// Counted from 1.
    pub(super) line: usize,
    /// What is wrong there.
    pub(super) reason: String,
}

impl SourceError {
    /// Says what is wrong on a line.
    #[must_use]
    pub(super) fn new(line: usize, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self { line, reason }
    }
}

/// The logical lines of a file, without comments and empty lines.
///
/// # Errors
///
/// A line can't be read.
pub(super) fn logical_lines(source: &str) -> Result<Vec<LogicalLine>, SourceError> {
    let mut lexer = Lexer {
        rest: source.trim_start_matches('\u{feff}').chars().peekable(),
        line: 1,
    };
    let mut lines = Vec::new();
    while lexer.rest.peek().is_some() {
        let indent = lexer.indentation();
        let tokens = lexer.logical_line()?;
        if !tokens.is_empty() {
            lines.push(LogicalLine { indent, tokens });
        }
    }
    Ok(lines)
}

/// Reads letters, and knows on which line it is.
pub(super) struct Lexer<'a> {
    pub(super) rest: Peekable<Chars<'a>>,
    pub(super) line: usize,
}

impl Lexer<'_> {
    pub(super) fn next(&mut self) -> Option<char> {
        let letter = self.rest.next()?;
        self.line += usize::from(letter == '\n');
        Some(letter)
    }

    pub(super) fn next_if(&mut self, is_wanted: impl FnOnce(char) -> bool) -> Option<char> {
        let letter = *self.rest.peek()?;
        if is_wanted(letter) { self.next() } else { None }
    }

    pub(super) fn error<T>(&self, reason: impl Into<String>) -> Result<T, SourceError> {
        Err(SourceError::new(self.line, reason))
    }

    fn indentation(&mut self) -> usize {
        let mut column = 0;
        while let Some(letter) = self.next_if(|letter| matches!(letter, ' ' | '\t' | '\u{c}')) {
            column = match letter {
                ' ' => column + 1,
                '\t' => (column / TAB + 1) * TAB,
                _ => 0,
            };
        }
        column
    }

    /// Up to the end of the line that no bracket and no backslash continues.
    fn logical_line(&mut self) -> Result<Vec<Token>, SourceError> {
        let mut tokens: Vec<Token> = Vec::new();
        let mut open: Vec<(char, usize)> = Vec::new();
        let mut operators = 0;
        while let Some(&letter) = self.rest.peek() {
            let line = self.line;
            let kind = match letter {
                '\n' => {
                    self.next();
                    if open.is_empty() {
                        return Ok(tokens);
                    }
                    continue;
                }
                '#' => {
                    while self.next_if(|letter| letter != '\n').is_some() {}
                    continue;
                }
                '\\' => {
                    self.next();
                    self.next_if(|letter| letter == '\r');
                    if self.next_if(|letter| letter == '\n').is_none() {
                        return self.error("only the end of the line may follow a backslash");
                    }
                    continue;
                }
                letter if letter.is_whitespace() => {
                    self.next();
                    continue;
                }
                '\'' | '"' => TokenKind::Text(self.string("")?),
                letter if letter.is_ascii_digit() => self.number()?,
                letter if letter.is_alphabetic() || letter == '_' => {
                    let mut name = String::new();
                    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_';
                    while let Some(letter) = self.next_if(is_part) {
                        name.push(letter);
                    }
                    let is_prefix = matches!(
                        name.to_ascii_lowercase().as_str(),
                        "r" | "u" | "b" | "ur" | "br"
                    );
                    match self.rest.peek() {
                        Some('\'' | '"') if is_prefix => TokenKind::Text(self.string(&name)?),
                        _ => {
                            operators += usize::from(NESTING_WORDS.contains(&name.as_str()));
                            if operators > MAX_OPERATORS {
                                return self.error("this line is too long");
                            }
                            TokenKind::Name(name)
                        }
                    }
                }
                letter => {
                    operators += 1;
                    if operators > MAX_OPERATORS && !",:".contains(letter) {
                        return self.error("this line is too long");
                    }
                    TokenKind::Operator(self.operator(&mut open)?)
                }
            };
            match (tokens.last_mut().map(|token| &mut token.kind), kind) {
                // Strings beside each other are one.
                (Some(TokenKind::Text(before)), TokenKind::Text(text)) => before.push_str(&text),
                (_, kind) => tokens.push(Token { kind, line }),
            }
        }
        match open.last() {
            None => Ok(tokens),
            Some(&(bracket, line)) => Err(SourceError::new(
                line,
                format!("this {bracket} is never closed"),
            )),
        }
    }

    fn operator(&mut self, open: &mut Vec<(char, usize)>) -> Result<String, SourceError> {
        let line = self.line;
        let Some(first) = self.next() else {
            return self.error("the file ends here");
        };
        match first {
            '(' | '[' | '{' if open.len() >= MAX_BRACKETS => {
                return Err(SourceError::new(line, "brackets are nested too deep"));
            }
            '(' | '[' | '{' => open.push((first, line)),
            ')' | ']' | '}' => {
                let matching = match first {
                    ')' => '(',
                    ']' => '[',
                    _ => '{',
                };
                if open.pop().map(|(bracket, _)| bracket) != Some(matching) {
                    return Err(SourceError::new(
                        line,
                        format!("this {first} closes nothing"),
                    ));
                }
            }
            _ => {}
        }
        let mut text = String::from(first);
        let follows = |second: char| match first {
            '*' | '/' | '<' | '>' => {
                second == first || second == '=' || (first == '<' && second == '>')
            }
            '=' | '!' | '+' | '-' | '%' | '&' | '|' | '^' => second == '=',
            _ => false,
        };
        if let Some(second) = self.next_if(follows) {
            text.push(second);
            if second == first
                && first != '='
                && let Some(third) = self.next_if(|third| third == '=')
            {
                text.push(third);
            }
        }
        match text.as_str() {
            "<>" => Ok("!=".into()),
            "!" | "$" | "?" => Err(SourceError::new(line, format!("{text} means nothing here"))),
            text if text
                .chars()
                .all(|letter| "()[]{},:.;=+-*/%<>!&|^~`@".contains(letter)) =>
            {
                Ok(text.to_owned())
            }
            text => Err(SourceError::new(line, format!("{text} means nothing here"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(source: &str) -> Vec<String> {
        let lines = logical_lines(source).unwrap();
        let word = |token: Token| match token.kind {
            TokenKind::Name(text) | TokenKind::Number(text) | TokenKind::Operator(text) => text,
            TokenKind::Text(text) => format!("<{text}>"),
        };
        let line = |line: LogicalLine| {
            line.tokens
                .into_iter()
                .map(word)
                .collect::<Vec<_>>()
                .join(" ")
        };
        lines.into_iter().map(line).collect()
    }

    fn error(source: &str) -> (usize, String) {
        let error = logical_lines(source).unwrap_err();
        (error.line, error.reason)
    }

    #[test]
    fn lines_are_continued_by_brackets_and_backslashes() {
        let source = "disk = [ 'a', # first\r\n  'b',\n]\nx = 1 + \\\r\n 2; y=3\n\n# end\n";
        assert_eq!(
            words(source),
            ["disk = [ <a> , <b> , ]", "x = 1 + 2 ; y = 3"]
        );
        let lines = logical_lines(source).unwrap();
        assert_eq!(lines[0].tokens[5].line, 2);
        assert_eq!(lines[1].line(), 4);
    }

    #[test]
    fn strings_are_as_they_were() {
        assert_eq!(words(r#"x = 'a' "b" u'c'"#), ["x = <abc>"]);
        assert_eq!(
            words(r"x = 'a\tb\x41\101\d\'' + r'\d\''"),
            ["x = <a\tbAA\\d'> + <\\d\\'>"]
        );
        assert_eq!(
            words("x = '''a\n'b''c'''; y = \"\""),
            ["x = <a\n'b''c> ; y = <>"]
        );
        assert_eq!(words("x = 'ä' # ö"), ["x = <ä>"]);
        assert_eq!(words("x = 'a\\\nb'"), ["x = <ab>"]);
    }

    #[test]
    fn numbers_are_as_they_were_meant() {
        assert_eq!(
            words("010 0x10 16L 1.5 1e-3 2. 0 0.5"),
            ["8 16 16 1.5 1e-3 2.0 0 0.5"]
        );
        assert_eq!(words("1-5"), ["1 - 5"]);
        assert_eq!(error("\nx = 08").0, 2);
        assert_eq!(error("x = 12ab").1, "12ab is no number");
        assert_eq!(error("x = 0x").1, "0x is no number");
    }

    #[test]
    fn operators_are_whole() {
        assert_eq!(
            words("a <> b ** c //= d >>= e != f -= g"),
            ["a != b ** c //= d >>= e != f -= g"]
        );
        assert_eq!(error("a ! b").1, "! means nothing here");
    }

    #[test]
    fn errors_say_where() {
        assert_eq!(error("x = [1,\n2"), (1, "this [ is never closed".into()));
        assert_eq!(error("\nx = 1)"), (2, "this ) closes nothing".into()));
        assert_eq!(
            error("\n\nx = 'a\n'"),
            (3, "this string has no closing quote".into())
        );
        assert_eq!(error(&"(".repeat(1000)).1, "brackets are nested too deep");
        assert_eq!(error(&"-".repeat(9000)).1, "this line is too long");
        assert_eq!(error(&"not ".repeat(9000)).1, "this line is too long");
    }
}
