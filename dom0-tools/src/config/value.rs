//! Values that a configuration file leaves behind, of types that options may have.

use super::error::Origin;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// A variable's value, and where it was set.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Setting {
    /// The value.
    pub value: Value,
    /// Where it was set.
    pub origin: Origin,
}

/// Everything that a file and a command line have set.
pub type Settings = BTreeMap<String, Setting>;

/// A value.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Value {
    /// A string.
    Text(String),
    /// An integer, or a boolean.
    Integer(i64),
    /// A float.
    Float(f64),
    /// A list.
    List(Vec<Value>),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => {
                let quote = if text.contains('\'') { '"' } else { '\'' };
                let text = text.replace('\\', "\\\\").replace('\n', "\\n");
                write!(
                    f,
                    "{quote}{}{quote}",
                    text.replace(quote, &format!("\\{quote}"))
                )
            }
            Self::Integer(number) => number.fmt(f),
            Self::Float(number) => write!(f, "{number:?}"),
            Self::List(items) => {
                f.write_str("[")?;
                for (index, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if index == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
        }
    }
}

impl Value {
    /// As text: what a string holds, and other values as they are written.
    #[must_use]
    pub fn as_text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            other => other.to_string(),
        }
    }

    /// As an integer: a number, or a string of one.
    #[must_use]
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            Self::Float(number) if number.fract() == 0.0 && number.abs() < 1e15 => {
                Some(*number as i64)
            }
            Self::Text(text) => integer(text),
            _ => None,
        }
    }
}

/// Reads an integer, which may be hexadecimal.
#[must_use]
pub fn integer(text: &str) -> Option<i64> {
    let text = text.trim();
    match text.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}
