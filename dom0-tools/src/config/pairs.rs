//! `key=value,key=value`, of which descriptions of interfaces and framebuffers are made.

use super::error::Wrong;

/// The pairs of `text`, in order, without blanks around names and values. An empty text has none; an empty
/// part between two commas is none.
///
/// # Errors
///
/// A part has no equals sign.
pub fn pairs(text: &str) -> Result<Vec<(&str, &str)>, Wrong> {
    let parts = text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty());
    let pair = |part| {
        pair(part).ok_or_else(|| {
            Wrong::new(
                format!("{part} should be a pair, separated by an equals sign."),
                "write key=value,key=value",
            )
        })
    };
    parts.map(pair).collect()
}

fn pair(part: &str) -> Option<(&str, &str)> {
    let (key, value) = part.split_once('=')?;
    Some((key.trim(), value.trim()))
}

/// Whether a value means yes, for keys that are yes or no.
///
/// # Errors
///
/// It means neither.
pub fn is_yes(key: &str, value: &str) -> Result<bool, Wrong> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "yes" | "y" | "true" | "on" => Ok(true),
        "0" | "no" | "n" | "false" | "off" | "" => Ok(false),
        _ => Err(Wrong::new(
            format!("Invalid value: {value}"),
            format!("{key} is 1 or 0"),
        )),
    }
}

/// A number, of keys that are numbers.
///
/// # Errors
///
/// It is none.
pub fn number<T: std::str::FromStr>(key: &str, value: &str) -> Result<T, Wrong> {
    value.parse().map_err(|_| {
        Wrong::new(
            format!("Invalid value: {value}"),
            format!("{key} is a number"),
        )
    })
}
