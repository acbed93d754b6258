//! `'%s-%02x' % (name, number)`.

/// The widest field; more is a mistake.
const MAX_WIDTH: usize = 1000;

/// A value to be formatted.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Argument {
    /// For `%s`.
    pub(super) text: String,
    /// For `%r`.
    pub(super) repr: String,
    /// For all others.
    pub(super) number: Option<Number>,
}

/// A number to be formatted.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Number {
    /// Whole.
    Integer(i64),
    /// Not whole.
    Real(f64),
}

/// What is on the right of the percent sign.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Arguments {
    /// One after the other.
    InOrder(Vec<Argument>),
    /// By name: `%(name)s`.
    Named(Vec<(String, Argument)>),
}

/// The text, with arguments in the place of percent signs.
///
/// # Errors
///
/// They do not go together; the sentence that the old language has for it.
pub(super) fn percent(format: &str, arguments: &Arguments) -> Result<String, String> {
    let mut text = String::new();
    let mut rest = format;
    let mut next = 0;
    while let Some(at) = rest.find('%') {
        text.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let mut name = None;
        if let Some(after) = rest.strip_prefix('(') {
            let (inside, after) = after.split_once(')').ok_or("incomplete format key")?;
            name = Some(inside);
            rest = after;
        }
        let field = Field::parse(&mut rest)?;
        if field.letter == '%' {
            text.push('%');
            continue;
        }
        let argument = match (arguments, name) {
            (Arguments::Named(named), Some(name)) => {
                let found = named.iter().find(|(own, _)| own == name);
                found
                    .map(|(_, argument)| argument)
                    .ok_or_else(|| format!("'{name}'"))?
            }
            (_, Some(_)) => return Err("format requires a mapping".into()),
            (Arguments::InOrder(list), None) => {
                next += 1;
                list.get(next - 1)
                    .ok_or("not enough arguments for format string")?
            }
            (Arguments::Named(_), None) => {
                return Err("not enough arguments for format string".into());
            }
        };
        text.push_str(&field.formatted(argument)?);
    }
    text.push_str(rest);
    match arguments {
        Arguments::InOrder(list) if next < list.len() => {
            Err("not all arguments converted during string formatting".into())
        }
        _ => Ok(text),
    }
}

/// Between the percent sign and the letter, and the letter.
struct Field {
    is_left: bool,
    is_zeroed: bool,
    plus: &'static str,
    is_alternate: bool,
    width: usize,
    precision: Option<usize>,
    letter: char,
}

impl Field {
    fn parse(rest: &mut &str) -> Result<Self, String> {
        let mut field = Self {
            is_left: false,
            is_zeroed: false,
            plus: "",
            is_alternate: false,
            width: 0,
            precision: None,
            letter: '%',
        };
        let mut letters = rest.chars();
        let mut letter = letters.next();
        while let Some(flag) = letter {
            match flag {
                '-' => field.is_left = true,
                '0' => field.is_zeroed = true,
                '+' => field.plus = "+",
                ' ' => {
                    field.plus = if field.plus.is_empty() {
                        " "
                    } else {
                        field.plus
                    }
                }
                '#' => field.is_alternate = true,
                _ => break,
            }
            letter = letters.next();
        }
        let number = |letter: &mut Option<char>, letters: &mut std::str::Chars<'_>| {
            let mut number = 0;
            while let Some(digit) = letter.and_then(|letter| letter.to_digit(10)) {
                number = (number * 10 + digit as usize).min(MAX_WIDTH);
                *letter = letters.next();
            }
            number
        };
        field.width = number(&mut letter, &mut letters);
        if letter == Some('.') {
            letter = letters.next();
            field.precision = Some(number(&mut letter, &mut letters));
        }
        while matches!(letter, Some('l' | 'h')) {
            letter = letters.next();
        }
        field.letter = letter.ok_or("incomplete format")?;
        *rest = letters.as_str();
        Ok(field)
    }

    fn formatted(&self, argument: &Argument) -> Result<String, String> {
        let precision = self.precision.unwrap_or(6);
        let (sign, digits) = match self.letter {
            's' => return Ok(self.padded("", &self.cut(&argument.text), ' ')),
            'r' => return Ok(self.padded("", &self.cut(&argument.repr), ' ')),
            'c' => {
                let letter = match argument.number {
                    Some(Number::Integer(code)) => {
                        u32::try_from(code).ok().and_then(char::from_u32)
                    }
                    _ => argument.text.chars().next(),
                };
                let letter = letter.ok_or("%c requires int or char")?;
                return Ok(self.padded("", &letter.to_string(), ' '));
            }
            'd' | 'i' | 'u' => signed(argument.whole()?, |magnitude| magnitude.to_string()),
            'x' => signed(argument.whole()?, |magnitude| {
                self.prefixed("0x", format!("{magnitude:x}"))
            }),
            'X' => signed(argument.whole()?, |magnitude| {
                self.prefixed("0X", format!("{magnitude:X}"))
            }),
            'o' => signed(argument.whole()?, |magnitude| {
                self.prefixed("0", format!("{magnitude:o}"))
            }),
            'f' | 'F' => real(argument.real()?, |magnitude| {
                format!("{magnitude:.precision$}")
            }),
            'e' | 'E' | 'g' | 'G' => real(argument.real()?, |magnitude| format!("{magnitude}")),
            letter => return Err(format!("unsupported format character '{letter}'")),
        };
        let sign = if sign { "-" } else { self.plus };
        let fill = if self.is_zeroed && !self.is_left {
            '0'
        } else {
            ' '
        };
        Ok(self.padded(sign, &digits, fill))
    }

    fn prefixed(&self, prefix: &str, digits: String) -> String {
        match self.is_alternate {
            true => format!("{prefix}{digits}"),
            false => digits,
        }
    }

    fn cut(&self, text: &str) -> String {
        text.chars()
            .take(self.precision.unwrap_or(usize::MAX))
            .collect()
    }

    fn padded(&self, sign: &str, text: &str, fill: char) -> String {
        let length = sign.len() + text.chars().count();
        let padding: String =
            std::iter::repeat_n(fill, self.width.saturating_sub(length)).collect();
        match (self.is_left, fill) {
            (true, _) => format!("{sign}{text}{padding}"),
            (false, '0') => format!("{sign}{padding}{text}"),
            (false, _) => format!("{padding}{sign}{text}"),
        }
    }
}

fn signed(number: i64, digits: impl FnOnce(u64) -> String) -> (bool, String) {
    (number < 0, digits(number.unsigned_abs()))
}

fn real(number: f64, digits: impl FnOnce(f64) -> String) -> (bool, String) {
    (number.is_sign_negative(), digits(number.abs()))
}

impl Argument {
    fn whole(&self) -> Result<i64, String> {
        match self.number {
            Some(Number::Integer(number)) => Ok(number),
            Some(Number::Real(number)) => Ok(number as i64),
            None => Err("%d format: a number is required, not str".into()),
        }
    }

    fn real(&self) -> Result<f64, String> {
        match self.number {
            Some(Number::Integer(number)) => Ok(number as f64),
            Some(Number::Real(number)) => Ok(number),
            None => Err("float argument required, not str".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(text: &str) -> Argument {
        Argument {
            text: text.into(),
            repr: format!("'{text}'"),
            number: None,
        }
    }

    fn integer(number: i64) -> Argument {
        Argument {
            text: number.to_string(),
            repr: number.to_string(),
            number: Some(Number::Integer(number)),
        }
    }

    fn formatted(format: &str, arguments: &[Argument]) -> Result<String, String> {
        percent(format, &Arguments::InOrder(arguments.to_vec()))
    }

    #[test]
    fn what_files_do_with_it() {
        let is = |format, arguments: &[Argument], expected: &str| {
            assert_eq!(
                formatted(format, arguments).as_deref(),
                Ok(expected),
                "{format}"
            );
        };
        is("VM%d", &[integer(5)], "VM5");
        is("phy:sda%d,sda1,w", &[integer(12)], "phy:sda12,sda1,w");
        is(
            "mac=00:16:3e:00:%02x:%02X",
            &[integer(10), integer(255)],
            "mac=00:16:3e:00:0a:FF",
        );
        is("%s-%r", &[text("a"), text("b")], "a-'b'");
        is(
            "%5d|%-5d|%05d|%+d",
            &[integer(-42), integer(42), integer(-42), integer(1)],
            "  -42|42   |-0042|+1",
        );
        is(
            "%-4s|%4s|%.2s",
            &[text("ab"), text("ab"), text("abc")],
            "ab  |  ab|ab",
        );
        is("100%%", &[], "100%");
        is(
            "%#x %c %c",
            &[integer(255), integer(65), text("B")],
            "0xff A B",
        );
        let real = Argument {
            number: Some(Number::Real(2.5)),
            ..text("2.5")
        };
        is("%.1f %d", &[real.clone(), real], "2.5 2");
        let named = Arguments::Named(vec![("n".into(), integer(7))]);
        assert_eq!(percent("%(n)03d", &named).as_deref(), Ok("007"));
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        let error = |format, arguments: &[Argument]| formatted(format, arguments).unwrap_err();
        assert_eq!(
            error("%s %s", &[integer(1)]),
            "not enough arguments for format string"
        );
        assert_eq!(
            error("x", &[integer(1)]),
            "not all arguments converted during string formatting"
        );
        assert_eq!(
            error("%d", &[text("5")]),
            "%d format: a number is required, not str"
        );
        assert_eq!(
            error("%y", &[integer(1)]),
            "unsupported format character 'y'"
        );
        assert_eq!(error("%", &[]), "incomplete format");
        assert_eq!(error("%(n)s", &[integer(1)]), "format requires a mapping");
    }

    proptest! {
        #[test]
        fn any_format_is_used_or_refused(format in "[%0-9a-z#+ .()-]{0,20}|\\PC{0,20}") {
            let _ = formatted(&format, &[integer(i64::MIN), text("ü")]);
        }
    }
}
