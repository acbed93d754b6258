//! Numbers and strings of a configuration file.

use super::token::{Lexer, SourceError, TokenKind};

impl Lexer<'_> {
    pub(super) fn number(&mut self) -> Result<TokenKind, SourceError> {
        let mut text = String::new();
        let mut last = ' ';
        // `1e-5`, but not `1-5`; `1.5`, but not `1..5`.
        while let Some(letter) = self.next_if(|letter| {
            letter.is_ascii_alphanumeric()
                || letter == '.'
                || ("+-".contains(letter) && "eE".contains(last) && !text.starts_with("0x"))
        }) {
            text.push(letter);
            last = letter;
        }
        let lower = text.to_ascii_lowercase();
        let whole = lower.strip_suffix('l').unwrap_or(&lower);
        let radix = |digits: &str, radix| u64::from_str_radix(digits, radix).ok();
        let is_decimal = whole.chars().all(|digit| digit.is_ascii_digit());
        let value = match whole.get(..2) {
            Some("0x") => radix(&whole[2..], 16),
            Some("0o") => radix(&whole[2..], 8),
            Some("0b") => radix(&whole[2..], 2),
            Some(start) if start.starts_with('0') && is_decimal => radix(whole, 8),
            _ if is_decimal => whole.parse().ok(),
            _ => {
                let is_real = lower.parse::<f64>().is_ok_and(f64::is_finite);
                let is_shape = lower
                    .chars()
                    .all(|letter| letter.is_ascii_digit() || "e.+-".contains(letter));
                if is_real && is_shape {
                    let whole = if lower.ends_with('.') {
                        format!("{lower}0")
                    } else {
                        lower
                    };
                    return Ok(TokenKind::Number(whole));
                }
                None
            }
        };
        match value {
            Some(value) => Ok(TokenKind::Number(value.to_string())),
            None => self.error(format!("{text} is no number")),
        }
    }

    pub(super) fn string(&mut self, prefix: &str) -> Result<String, SourceError> {
        let line = self.line;
        let is_raw = prefix.contains(['r', 'R']);
        let unclosed = || SourceError::new(line, "this string has no closing quote");
        let quote = self.next().ok_or_else(unclosed)?;
        let mut is_long = false;
        if self.next_if(|letter| letter == quote).is_some() {
            if self.next_if(|letter| letter == quote).is_none() {
                return Ok(String::new());
            }
            is_long = true;
        }
        let mut text = String::new();
        let mut quotes = 0;
        loop {
            let letter = self.next().ok_or_else(unclosed)?;
            quotes = if letter == quote { quotes + 1 } else { 0 };
            match letter {
                _ if quotes == 1 && !is_long => return Ok(text),
                _ if quotes == 3 => {
                    text.truncate(text.len() - 2);
                    return Ok(text);
                }
                '\n' if !is_long => return Err(unclosed()),
                '\r' if self.rest.peek() == Some(&'\n') => {}
                '\\' if is_raw => {
                    text.push('\\');
                    text.extend(self.next());
                }
                '\\' => self.escape(&mut text),
                letter => text.push(letter),
            }
        }
    }

    /// What follows a backslash. What means nothing stays as it is.
    fn escape(&mut self, text: &mut String) {
        let Some(letter) = self.next() else { return };
        let plain = match letter {
            '\n' => return,
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'a' => '\x07',
            'b' => '\x08',
            'f' => '\x0c',
            'v' => '\x0b',
            '\\' | '\'' | '"' => letter,
            'x' => {
                let digits: String =
                    std::iter::from_fn(|| self.next_if(|letter| letter.is_ascii_hexdigit()))
                        .take(2)
                        .collect();
                match u8::from_str_radix(&digits, 16) {
                    Ok(byte) => char::from(byte),
                    Err(_) => return text.push_str("\\x"),
                }
            }
            '0'..='7' => {
                let mut number = letter.to_digit(8).unwrap_or(0);
                for _ in 0..2 {
                    if let Some(digit) = self.next_if(|letter| letter.is_digit(8)) {
                        number = number * 8 + digit.to_digit(8).unwrap_or(0);
                    }
                }
                char::from((number & 0xFF) as u8)
            }
            letter => {
                text.push('\\');
                letter
            }
        };
        text.push(plain);
    }
}
