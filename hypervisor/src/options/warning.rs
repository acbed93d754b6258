//! What is said about a word that was not understood.
#![forbid(unsafe_code)]

use super::table::Descriptor;
use crate::machine::BootText;
use core::fmt;

/// A word of the command line that changed nothing, or not what it says, and why.
#[derive(Clone, Copy, Debug)]
pub struct Warning<'a> {
    /// The word as it was typed.
    pub word: BootText<'a>,
    /// What is wrong with it.
    pub kind: WarningKind<'a>,
}

/// What is wrong with a word.
#[derive(Clone, Copy, Debug)]
pub enum WarningKind<'a> {
    /// There is no such option.
    Unknown {
        /// The option with the most similar name, if one is similar.
        meant: Option<&'static Descriptor>,
    },
    /// The option exists; its value is not one.
    Malformed {
        /// The option.
        descriptor: &'static Descriptor,
        /// What about the value.
        problem: Problem<'a>,
    },
    /// A quotation starts in it and does not end; the rest of the line went into it.
    OpenQuotation,
    /// It is not UTF-8.
    NotText,
    /// Its number is too small; this one is taken.
    Raised {
        /// The smallest.
        to: u32,
    },
}

/// The part of a value that is wrong, and what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Problem<'a> {
    /// The part.
    pub part: &'a str,
    /// What it should be.
    pub wants: Wants,
}

/// What a part of a value should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    /// Anything: there is no value.
    AValue,
    /// `yes` or `no` in one of their forms.
    Boolean,
    /// No value: the name already says no.
    NoValueAfterNo,
    /// The option is not one that can be switched off by `no-`.
    NotASwitch,
    /// One of these words.
    OneOf(&'static str),
    /// Something of this form.
    Form(&'static str),
    /// A number in this range, both ends included.
    Number {
        /// Smallest.
        minimum: u64,
        /// Largest.
        maximum: u64,
    },
    /// It is known to administrators, but not offered here; these are.
    Offered(&'static str),
    /// Fewer fields.
    Fields {
        /// How many there can be.
        maximum: usize,
    },
}

impl fmt::Display for Warning<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "command line: \"{}\"", self.word)?;
        match self.kind {
            WarningKind::Unknown { meant } => {
                f.write_str(" is not an option of this hypervisor and is ignored")?;
                match meant {
                    Some(descriptor) => write!(f, "; did you mean \"{}\"?", descriptor.usage()),
                    None => Ok(()),
                }
            }
            WarningKind::Malformed {
                descriptor,
                problem,
            } => {
                write!(
                    f,
                    " is ignored: {problem}; the form is \"{}\"",
                    descriptor.usage()
                )
            }
            WarningKind::OpenQuotation => f.write_str(" opens a quotation that is not closed"),
            WarningKind::NotText => f.write_str(" is not text (UTF-8) and is ignored"),
            WarningKind::Raised { to } => write!(f, " is too small; {to} is taken instead"),
        }
    }
}

impl fmt::Display for Problem<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = BootText(self.part.as_bytes());
        match self.wants {
            Wants::AValue => f.write_str("it needs a value"),
            Wants::Boolean => write!(
                f,
                "\"{part}\" is neither yes, on, true, enable, 1 nor no, off, false, disable, 0"
            ),
            Wants::NoValueAfterNo => write!(f, "its name says no, so it takes no value \"{part}\""),
            Wants::NotASwitch => f.write_str("it can't be switched off by \"no\" before its name"),
            Wants::OneOf(words) => write!(f, "\"{part}\" is not one of {words}"),
            Wants::Form(form) => write!(f, "\"{part}\" is not {form}"),
            Wants::Number { minimum, maximum } => {
                write!(f, "\"{part}\" is not a number from {minimum} to {maximum}")
            }
            Wants::Offered(offered) => {
                write!(f, "\"{part}\" is not offered here; offered: {offered}")
            }
            Wants::Fields { maximum } => {
                write!(
                    f,
                    "\"{part}\" is too much: there are at most {maximum} fields"
                )
            }
        }
    }
}
