//! Configuration files that are programs, and what these may reach.

use super::Commands;
use super::evaluate::{Source, evaluate};
use dom0_tools::config::error::ConfigError;
use dom0_tools::config::evaluated::Evaluated;
use dom0_tools::config::file::read;
use dom0_tools::config::keys::Overrides;
use std::fs;
use std::path::Path;

/// Where files that others include may be, besides beside them.
const INCLUDE_DIRECTORY: &str = "/etc/xen";
/// Names what files may do that they usually may not: `files`, to include files from anywhere, and `commands`.
pub const ALLOW_VARIABLE: &str = "XM_CONFIG_ALLOW";

/// What files may do that they usually may not.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Allowed {
    /// Include files from anywhere.
    pub files: bool,
    /// Run commands.
    pub commands: bool,
}

impl Allowed {
    /// What the operator says by [`ALLOW_VARIABLE`].
    #[must_use]
    pub fn by_operator() -> Self {
        let said = std::env::var(ALLOW_VARIABLE).unwrap_or_default();
        let has = |word: &str| said.split([',', ' ']).any(|said| said == word);
        Self {
            files: has("files"),
            commands: has("commands"),
        }
    }
}

/// The text of a file that `of` includes.
fn included(name: &str, of: &Path, allowed: Allowed) -> Result<String, String> {
    let path = fs::canonicalize(name).map_err(|error| error.to_string())?;
    // A name without a directory is in the present one.
    let directory = of.parent().map(|directory| Path::new(".").join(directory));
    let beside = directory.and_then(|directory| fs::canonicalize(directory).ok());
    let is_beside = beside.is_some_and(|directory| path.starts_with(directory));
    if !(allowed.files || is_beside || path.starts_with(INCLUDE_DIRECTORY)) {
        return Err(format!(
            "only files beside this one and in {INCLUDE_DIRECTORY} are included; set {ALLOW_VARIABLE}=files to allow others"
        ));
    }
    read(&path).map_err(|error| error.to_string())
}

/// Runs a file in the language of Python, here and now.
///
/// # Errors
///
/// What is wrong with it.
pub fn evaluate_file(path: &Path, overrides: &Overrides) -> Result<Evaluated, ConfigError> {
    let name = path.display().to_string();
    let source = read(path)?;
    if source.starts_with('<') {
        return Err(ConfigError::Sentence(format!(
            "{name}: definitions in XML are not offered; write a configuration file"
        )));
    }
    let allowed = Allowed::by_operator();
    evaluate(&Source {
        file: &name,
        text: &source,
        variables: &overrides.script_variables(),
        commands: match allowed.commands {
            true => Commands::Allowed,
            false => Commands::Refused,
        },
        include: &|file| included(file, path, allowed),
    })
}
