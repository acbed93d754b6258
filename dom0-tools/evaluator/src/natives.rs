//! Functions of the evaluator's globals: what the old language had, within bounds.

use super::formatting::{Argument, Arguments, Number, percent};
use num_bigint::BigInt;
use starlark::environment::GlobalsBuilder;
use starlark::eval::Evaluator;
use starlark::starlark_module;
use starlark::values::dict::DictRef;
use starlark::values::list::{ListRef, UnpackList};
use starlark::values::none::{NoneOr, NoneType};
use starlark::values::tuple::{TupleRef, UnpackTuple};
use starlark::values::{UnpackValue, Value, float::UnpackFloat};
use std::fmt;

/// Bytes of a string that `*` and `+` make: what is made of such strings at once is still bounded.
const MAX_TEXT_BYTES: i64 = 16 << 10;
/// Elements of a list that `*`, `+` and `range` make.
const MAX_ELEMENTS: i64 = 100_000;
/// Bits of a number: some hundreds of digits.
const MAX_BITS: u64 = 4096;

/// An error that the file itself raises, or that a function raises as the old language had it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Raised {
    /// `ValueError`.
    pub(super) class: String,
    /// What it says.
    pub(super) message: String,
}

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.message.is_empty() {
            true => f.write_str(&self.class),
            false => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for Raised {}

pub(super) fn raised(class: &str, message: impl Into<String>) -> starlark::Error {
    starlark::Error::new_native(Raised {
        class: class.to_owned(),
        message: message.into(),
    })
}

/// Of an error of the evaluator: the class if it has one, and what it says.
fn class_and_message(error: &starlark::Error) -> (String, String) {
    use starlark::ErrorKind;
    match error.kind() {
        ErrorKind::Native(native) => match native.downcast_ref::<Raised>() {
            Some(raised) => (raised.class.clone(), raised.to_string()),
            None => (String::new(), native.to_string()),
        },
        _ => (String::new(), error.without_diagnostic().to_string()),
    }
}

fn argument(value: Value<'_>) -> Argument {
    let number = match (
        value.unpack_bool(),
        i64::unpack_value(value),
        UnpackFloat::unpack_value(value),
    ) {
        (Some(is_true), _, _) => Some(Number::Integer(i64::from(is_true))),
        (None, Ok(Some(number)), _) => Some(Number::Integer(number)),
        (None, _, Ok(Some(UnpackFloat(number)))) => Some(Number::Real(number)),
        _ => None,
    };
    Argument {
        text: value.to_str(),
        repr: value.to_repr(),
        number,
    }
}

/// Whether a sequence of this kind may be so long.
fn fits(kind: Value<'_>, length: i64) -> starlark::Result<()> {
    let most = match kind.unpack_str() {
        Some(_) => MAX_TEXT_BYTES,
        None => MAX_ELEMENTS,
    };
    match length <= most {
        true => Ok(()),
        false => Err(raised(
            "MemoryError",
            "this is longer than any configuration needs",
        )),
    }
}

/// Whether a number may have so many bits.
fn fits_number(bits: u64) -> starlark::Result<()> {
    match bits <= MAX_BITS {
        true => Ok(()),
        false => Err(raised(
            "OverflowError",
            "this is a larger number than any configuration needs",
        )),
    }
}

/// How many bits an integer has; 0 for what is none.
fn bits(value: Value<'_>) -> u64 {
    match BigInt::unpack_value(value) {
        Ok(Some(number)) => number.bits(),
        _ => 0,
    }
}

fn is_integer(value: Value<'_>) -> bool {
    value.get_type() == "int"
}

#[starlark_module]
pub(super) fn errors(builder: &mut GlobalsBuilder) {
    fn py_raise<'v>(
        class: &str,
        #[starlark(args)] arguments: UnpackTuple<Value<'v>>,
    ) -> starlark::Result<NoneType> {
        let message = match arguments.items.as_slice() {
            [pair] if class.is_empty() => {
                let pair = TupleRef::from_value(*pair)
                    .ok_or_else(|| raised("TypeError", pair.to_str()))?;
                let part = |index: usize| {
                    pair.content()
                        .get(index)
                        .map(|part| part.to_str())
                        .unwrap_or_default()
                };
                return Err(raised(&part(0), part(1)));
            }
            [message] => message.to_str(),
            [_, message, ..] => message.to_str(),
            [] => String::new(),
        };
        Err(raised(class, message))
    }

    fn py_raise_again<'v>(error: Value<'v>) -> starlark::Result<NoneType> {
        let pair =
            TupleRef::from_value(error).ok_or_else(|| raised("TypeError", error.to_str()))?;
        let part = |index: usize| {
            pair.content()
                .get(index)
                .map(|part| part.to_str())
                .unwrap_or_default()
        };
        Err(raised(&part(0), part(1)))
    }

    fn py_assert<'v>(
        #[starlark(require = pos)] is_so: Value<'v>,
        #[starlark(require = pos, default = NoneOr::None)] message: NoneOr<Value<'v>>,
    ) -> starlark::Result<NoneType> {
        match (is_so.to_bool(), message) {
            (true, _) => Ok(NoneType),
            (false, NoneOr::Other(message)) => Err(raised("AssertionError", message.to_str())),
            (false, NoneOr::None) => Err(raised("AssertionError", "")),
        }
    }

    /// Calls a function: `(None, value)`, or `((class, message), None)`.
    fn py_try<'v>(
        function: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let outcome = eval.eval_function(function, &[], &[]);
        let heap = eval.heap();
        Ok(match outcome {
            Ok(value) => heap.alloc((NoneType, value)),
            Err(error) => heap.alloc((class_and_message(&error), NoneType)),
        })
    }

    fn py_matches<'v>(error: Value<'v>, classes: UnpackList<String>) -> starlark::Result<bool> {
        let Some(pair) = TupleRef::from_value(error) else {
            return Ok(false);
        };
        let class = pair
            .content()
            .first()
            .map(|class| class.to_str())
            .unwrap_or_default();
        Ok(classes.items.is_empty()
            || classes
                .items
                .iter()
                .any(|wanted| is_of_class(&class, wanted)))
    }

    fn py_set<'v>(
        name: &str,
        value: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<NoneType> {
        eval.module().set(name, value);
        Ok(NoneType)
    }
}

/// Whether an error is one of a class. Of the evaluator's own it is not known, and any class will do.
fn is_of_class(class: &str, wanted: &str) -> bool {
    const OF_SYSTEM: [&str; 4] = ["IOError", "OSError", "EnvironmentError", "error"];
    const OF_LOOKUP: [&str; 3] = ["KeyError", "IndexError", "LookupError"];
    match wanted {
        "BaseException" => true,
        "Exception" | "StandardError" => class != "SystemExit",
        _ => {
            class.is_empty()
                || class == wanted
                || (OF_SYSTEM.contains(&class) && OF_SYSTEM.contains(&wanted))
                || (OF_LOOKUP.contains(&class) && wanted == "LookupError")
        }
    }
}

/// The digits of a text, behind a sign and what says the base, and that base; 0 is the one that the text says.
fn digits(text: &str, base: u32) -> (String, u32) {
    let (sign, rest) = match text.strip_prefix(['-', '+']) {
        Some(rest) if text.starts_with('-') => ("-", rest),
        Some(rest) => ("", rest),
        None => ("", text),
    };
    let lower = rest.to_ascii_lowercase();
    for (prefix, of) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(digits) = lower.strip_prefix(prefix)
            && (base == of || base == 0)
        {
            return (format!("{sign}{digits}"), of);
        }
    }
    let base = match base {
        0 if lower.len() > 1 && lower.starts_with('0') => 8,
        0 => 10,
        base => base,
    };
    (format!("{sign}{lower}"), base)
}

/// The number that a text is, with blanks around it as the old language had it: commands print a newline behind it.
fn integer_of_text(text: &str, base: u32) -> Option<BigInt> {
    let (digits, base) = digits(text.trim(), base);
    // The parser takes a second sign, and underscores.
    let is_digits =
        |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric());
    if !is_digits(digits.strip_prefix('-').unwrap_or(&digits)) {
        return None;
    }
    BigInt::parse_bytes(digits.as_bytes(), base)
}

#[starlark_module]
pub(super) fn operators(builder: &mut GlobalsBuilder) {
    fn py_int<'v>(
        #[starlark(require = pos)] value: Option<Value<'v>>,
        #[starlark(require = pos)] base: Option<u32>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let heap = eval.heap();
        let Some(value) = value else {
            return Ok(heap.alloc(0));
        };
        let Some(text) = value.unpack_str() else {
            if base.is_some() {
                let message = "int() can't convert non-string with explicit base";
                return Err(raised("TypeError", message));
            }
            if is_integer(value) {
                return Ok(value);
            }
            return match argument(value).number {
                Some(Number::Integer(number)) => Ok(heap.alloc(number)),
                Some(Number::Real(number)) if number.abs() < 9e18 => Ok(heap.alloc(number as i64)),
                Some(Number::Real(_)) => fits_number(u64::MAX).map(|()| value),
                None => {
                    let kind = value.get_type();
                    let message = "int() argument must be a string or a number, not";
                    Err(raised("TypeError", format!("{message} '{kind}'")))
                }
            };
        };
        let base = base.unwrap_or(10);
        if base == 1 || base > 36 {
            return Err(raised("ValueError", "int() base must be >= 2 and <= 36"));
        }
        fits(value, text.len() as i64)?;
        let number = integer_of_text(text, base).ok_or_else(|| {
            let literal = text.escape_debug();
            let message = format!("invalid literal for int() with base {base}: '{literal}'");
            raised("ValueError", message)
        })?;
        fits_number(number.bits())?;
        Ok(heap.alloc(number))
    }

    fn py_percent<'v>(
        left: Value<'v>,
        right: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let Some(format) = left.unpack_str() else {
            return left.percent(right, eval.heap());
        };
        let arguments = match (TupleRef::from_value(right), DictRef::from_value(right)) {
            (Some(tuple), _) => Arguments::InOrder(
                tuple
                    .content()
                    .iter()
                    .map(|value| argument(*value))
                    .collect(),
            ),
            (None, Some(names)) => Arguments::Named(
                names
                    .iter()
                    .map(|(name, value)| (name.to_str(), argument(value)))
                    .collect(),
            ),
            (None, None) => Arguments::InOrder(vec![argument(right)]),
        };
        let text = percent(format, &arguments).map_err(|message| raised("TypeError", message))?;
        Ok(eval.heap().alloc(text))
    }

    fn py_divide<'v>(
        left: Value<'v>,
        right: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        if is_integer(left) && is_integer(right) {
            return left.floor_div(right, eval.heap());
        }
        left.div(right, eval.heap())
    }

    fn py_times<'v>(
        left: Value<'v>,
        right: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let (sequence, count) = if is_integer(left) {
            (right, left)
        } else {
            (left, right)
        };
        if let (Ok(length), Ok(Some(count))) = (sequence.length(), i64::unpack_value(count)) {
            fits(sequence, i64::from(length).saturating_mul(count))?;
        }
        fits_number(bits(left).saturating_add(bits(right)))?;
        left.mul(right, eval.heap())
    }

    fn py_plus<'v>(
        left: Value<'v>,
        right: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        if let (Ok(first), Ok(second)) = (left.length(), right.length()) {
            fits(left, i64::from(first) + i64::from(second))?;
        }
        fits_number(bits(left).max(bits(right)))?;
        left.add(right, eval.heap())
    }

    fn py_minus<'v>(
        left: Value<'v>,
        right: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        fits_number(bits(left).max(bits(right)))?;
        left.sub(right, eval.heap())
    }

    fn py_shift<'v>(
        left: Value<'v>,
        right: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let shift = match i64::unpack_value(right) {
            Ok(Some(shift)) => u64::try_from(shift).unwrap_or(0),
            _ => u64::MAX,
        };
        fits_number(bits(left).saturating_add(shift))?;
        left.left_shift(right, eval.heap())
    }

    fn py_power(base: i64, exponent: u32) -> starlark::Result<i64> {
        let power = base.checked_pow(exponent);
        power.ok_or_else(|| {
            raised(
                "OverflowError",
                "this is a larger number than any configuration needs",
            )
        })
    }

    fn py_range<'v>(
        #[starlark(require = pos)] first: i64,
        #[starlark(require = pos)] second: Option<i64>,
        #[starlark(require = pos)] step: Option<i64>,
    ) -> starlark::Result<Vec<i64>> {
        let (first, end) = match second {
            Some(end) => (first, end),
            None => (0, first),
        };
        let step = step.unwrap_or(1);
        let mut list = Vec::new();
        let mut next = Some(first);
        while let Some(number) =
            next.filter(|&number| if step > 0 { number < end } else { number > end })
        {
            if step == 0 {
                return Err(raised(
                    "ValueError",
                    "range() step argument must not be zero",
                ));
            }
            if list.len() as i64 >= MAX_ELEMENTS {
                return Err(raised(
                    "MemoryError",
                    "this is longer than any configuration needs",
                ));
            }
            list.push(number);
            next = number.checked_add(step);
        }
        Ok(list)
    }
}

/// The elements of a list.
pub(super) fn elements(value: Value<'_>) -> Option<Vec<Value<'_>>> {
    ListRef::from_value(value).map(|list| list.content().to_vec())
}
