//! Why a domain's configuration is refused, in the sentences that people see after `Error: `.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A value that can't be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wrong {
    /// What is wrong; the sentence that administrators know, where there is one.
    pub problem: String,
    /// What would be right.
    pub remedy: String,
}

impl Wrong {
    /// Says what is wrong, and what would be right.
    #[must_use]
    pub fn new(problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            problem: problem.into(),
            remedy: remedy.into(),
        }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.problem, self.remedy)
    }
}

impl std::error::Error for Wrong {}

/// Where a value was written.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Origin {
    /// In a file.
    File {
        /// Its name.
        file: String,
        /// Counted from 1; `None`: it was computed somewhere.
        line: Option<usize>,
    },
    /// After the name of the file.
    CommandLine,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File {
                file,
                line: Some(line),
            } => write!(f, "{file}, line {line}"),
            Self::File { file, line: None } => f.write_str(file),
            Self::CommandLine => f.write_str("command line"),
        }
    }
}

/// Why a configuration is none, as people are told.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ConfigError {
    /// A value is wrong.
    Wrong {
        /// Where it is set.
        origin: Origin,
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// What is wrong with it, and what would be right.
        right: String,
    },
    /// The file is no program.
    Syntax {
        /// The file.
        file: String,
        /// Counted from 1.
        line: usize,
        /// The line itself.
        text: String,
        /// What is wrong there.
        reason: String,
    },
    /// The program has failed.
    Failed {
        /// Where; `None`: in no line of it.
        origin: Option<Origin>,
        /// Why.
        reason: String,
    },
    /// A sentence of the old tools.
    Sentence(String),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wrong {
                origin,
                key,
                value,
                right,
            } => write!(f, "{origin}: {key} = {value}: {right}"),
            Self::Syntax {
                file,
                line,
                text,
                reason,
            } => write!(
                f,
                "Errors were found at line {line} while processing {file}:\n\t{text}\n{reason}"
            ),
            Self::Failed {
                origin: Some(origin),
                reason,
            } => write!(f, "{origin}: {reason}"),
            Self::Failed {
                origin: None,
                reason,
            }
            | Self::Sentence(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for ConfigError {}
