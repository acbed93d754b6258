//! What comes of a configuration file.

use super::value::Settings;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a file has done.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Evaluated {
    /// What it has assigned.
    pub settings: Settings,
    /// Names that it has assigned what no setting can be, and what that is.
    pub dropped: BTreeMap<String, String>,
    /// Lines that it has printed.
    pub printed: Vec<String>,
}
