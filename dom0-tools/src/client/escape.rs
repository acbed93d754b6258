//! Values as people see and type them.

/// A value with what is not printable escaped: `\t`, `\n`, `\r`, `\\`, three octal digits for other bytes
/// below 8, and `\xHH`.
#[must_use]
pub fn escape(value: &[u8]) -> String {
    let mut shown = String::with_capacity(value.len());
    for &byte in value {
        match byte {
            b'\\' => shown.push_str("\\\\"),
            b'\t' => shown.push_str("\\t"),
            b'\n' => shown.push_str("\\n"),
            b'\r' => shown.push_str("\\r"),
            b' '..=b'~' => shown.push(byte.into()),
            _ if byte < 8 => shown.push_str(&format!("\\{byte:03o}")),
            _ => shown.push_str(&format!("\\x{byte:02x}")),
        }
    }
    shown
}

/// The reverse of [`escape`]. Where a backslash begins none of these, what follows it stands for itself;
/// numbers that are larger than a byte lose their upper part.
#[must_use]
pub fn unescape(text: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let Some((&letter, after)) = rest.split_first().filter(|_| byte == b'\\') else {
            value.push(byte);
            continue;
        };
        let (radix, from, most) = match letter {
            b'x' => (16, after, 2),
            _ => (8, rest, 3),
        };
        let digits = digits(from, most, radix);
        if let Ok(number) = u16::from_str_radix(digits, radix) {
            value.push(number as u8);
            rest = from.get(digits.len()..).unwrap_or_default();
            continue;
        }
        value.push(match letter {
            b't' => b'\t',
            b'n' => b'\n',
            b'r' => b'\r',
            other => other,
        });
        rest = after;
    }
    value
}

/// The digits in front of a text, at most so many.
fn digits(text: &[u8], most: usize, radix: u32) -> &str {
    let is_digit = |byte: &&u8| char::from(**byte).is_digit(radix);
    let count = text.iter().take(most).take_while(is_digit).count();
    text.get(..count)
        .and_then(|digits| str::from_utf8(digits).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_shown_and_typed() {
        let all: Vec<u8> = (0..=255).collect();
        let shown = escape(&all);
        assert!(shown.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        assert_eq!(unescape(shown.as_bytes()), all);
        assert_eq!(
            escape(b"\x01\t\n\r\\\x1b\xff"),
            "\\001\\t\\n\\r\\\\\\x1b\\xff"
        );
    }

    #[test]
    fn what_is_typed_in_other_ways_is_taken_as_by_the_classical_tools() {
        for (typed, value) in [
            (&b"bad\\q"[..], &b"badq"[..]),
            (b"\\x", b"x"),
            (b"\\xg", b"xg"),
            (b"\\400", b"\0"),
            (b"\\18", b"\x018"),
            (b"\\778", b"?8"),
            (b"\\8", b"8"),
            (b"\\xABC", b"\xabC"),
            (b"end\\", b"end\\"),
        ] {
            assert_eq!(unescape(typed), value, "{}", typed.escape_ascii());
        }
    }
}
