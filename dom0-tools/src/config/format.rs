//! The `%` operator of Python, for formats with widths and flags.

/// Formats operands.
///
/// # Errors
///
/// A sentence: the operands are too few or too many, or one is no number where one is needed.
pub(super) fn percent_format(format: &str, operands: &[String]) -> Result<String, String> {
    let mut text = String::new();
    let mut operands = operands.iter();
    let mut rest = format.chars().peekable();
    while let Some(c) = rest.next() {
        if c != '%' {
            text.push(c);
            continue;
        }
        let mut spec = Spec::default();
        while let Some(&flag) = rest.peek() {
            match flag {
                '0' => spec.has_zeros = true,
                '-' => spec.is_left = true,
                '+' => spec.has_plus = true,
                ' ' | '#' => {}
                _ => break,
            }
            rest.next();
        }
        let mut number = || {
            let mut number = None;
            while let Some(digit) = rest.peek().and_then(|c| c.to_digit(10)) {
                number = Some(number.unwrap_or(0_usize).saturating_mul(10) + digit as usize);
                rest.next();
            }
            // Nobody means more.
            number.map(|number| number.min(1000))
        };
        spec.width = number().unwrap_or(0);
        if rest.peek() == Some(&'.') {
            rest.next();
            let mut precision = 0_usize;
            while let Some(digit) = rest.peek().and_then(|c| c.to_digit(10)) {
                precision = (precision * 10 + digit as usize).min(1000);
                rest.next();
            }
            spec.precision = Some(precision);
        }
        let conversion = rest.next().ok_or("incomplete format")?;
        if conversion == '%' {
            text.push('%');
            continue;
        }
        let operand = operands
            .next()
            .ok_or("not enough arguments for format string")?;
        text.push_str(&spec.apply(conversion, operand)?);
    }
    match operands.next() {
        Some(_) => Err("not all arguments converted during string formatting".to_owned()),
        None => Ok(text),
    }
}

#[derive(Default)]
struct Spec {
    has_zeros: bool,
    is_left: bool,
    has_plus: bool,
    width: usize,
    precision: Option<usize>,
}

impl Spec {
    fn apply(&self, conversion: char, operand: &str) -> Result<String, String> {
        let integer = || {
            let number = operand.parse::<i64>().ok();
            let number = number.or_else(|| operand.parse::<f64>().ok().map(|number| number as i64));
            number.ok_or_else(|| {
                format!("%{conversion} format: a number is required, not '{operand}'")
            })
        };
        let float = || {
            operand
                .parse::<f64>()
                .map_err(|_| format!("%{conversion} format: a number is required, not '{operand}'"))
        };
        let (is_negative, digits) = match conversion {
            's' | 'r' | 'c' => {
                let precision = self.precision.unwrap_or(usize::MAX);
                return Ok(self.padded(operand.chars().take(precision).collect(), ' '));
            }
            'd' | 'i' | 'u' => (integer()? < 0, integer()?.unsigned_abs().to_string()),
            'x' => (integer()? < 0, format!("{:x}", integer()?.unsigned_abs())),
            'X' => (integer()? < 0, format!("{:X}", integer()?.unsigned_abs())),
            'o' => (integer()? < 0, format!("{:o}", integer()?.unsigned_abs())),
            'f' | 'F' => {
                let precision = self.precision.unwrap_or(6);
                (float()? < 0.0, format!("{:.precision$}", float()?.abs()))
            }
            other => return Err(format!("unsupported format character '{other}'")),
        };
        let sign = match (is_negative, self.has_plus) {
            (true, _) => "-",
            (false, true) => "+",
            (false, false) => "",
        };
        if self.has_zeros && !self.is_left {
            let width = self.width.saturating_sub(sign.len());
            return Ok(format!("{sign}{digits:0>width$}"));
        }
        Ok(self.padded(format!("{sign}{digits}"), ' '))
    }

    fn padded(&self, text: String, fill: char) -> String {
        let missing = self.width.saturating_sub(text.chars().count());
        let padding: String = std::iter::repeat_n(fill, missing).collect();
        if self.is_left {
            text + &padding
        } else {
            padding + &text
        }
    }
}

#[cfg(test)]
mod tests {
    use super::percent_format;

    fn formatted(format: &str, operands: &[&str]) -> Result<String, String> {
        let operands: Vec<_> = operands.iter().map(|&operand| operand.to_owned()).collect();
        percent_format(format, &operands)
    }

    #[test]
    fn widths_and_flags_are_kept() {
        for (format, operand, expected) in [
            ("00:16:3e:00:00:%02x", "10", "00:16:3e:00:00:0a"),
            ("vm%03d", "7", "vm007"),
            ("%5s|", "ab", "   ab|"),
            ("%-5s|", "ab", "ab   |"),
            ("%04X", "255", "00FF"),
            ("%.2f", "3.14159", "3.14"),
            ("%+05d", "42", "+0042"),
            ("%05d", "-42", "-0042"),
            ("%.1s", "xyz", "x"),
        ] {
            assert_eq!(
                formatted(format, &[operand]).as_deref(),
                Ok(expected),
                "{format}"
            );
        }
        assert_eq!(formatted("%02d%%", &["1"]).as_deref(), Ok("01%"));
    }

    #[test]
    fn wrong_operands_are_told() {
        assert!(formatted("%02d", &["x"]).unwrap_err().contains("'x'"));
        assert!(formatted("%02d", &[]).is_err());
        assert!(formatted("%02d", &["1", "2"]).is_err());
        assert!(formatted("%5", &["1"]).is_err());
    }
}
