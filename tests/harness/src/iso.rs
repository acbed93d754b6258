//! What machines boot from: ISOs with an image, its options and its modules, made by `boot/make-iso`.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

/// ISOs that no run has used for this long are removed.
const KEEP: Duration = Duration::from_secs(3600);

/// What is to be booted.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Recipe {
    /// The multiboot2 image.
    pub image: PathBuf,
    /// Its command line.
    pub options: String,
    /// Its modules, each with its command line.
    pub modules: Vec<(PathBuf, String)>,
}

impl Recipe {
    /// An image without modules.
    pub fn new(image: impl Into<PathBuf>, options: impl Into<String>) -> Self {
        Self {
            image: image.into(),
            options: options.into(),
            modules: Vec::new(),
        }
    }
}

/// ISOs made by this process, each once, however many cases boot from it.
#[derive(Debug)]
pub struct Isos {
    directory: PathBuf,
    made: Mutex<HashMap<Recipe, Made>>,
}

/// An ISO's path, or why there is none, once somebody has made it.
type Made = Arc<OnceLock<Result<PathBuf, String>>>;

impl Isos {
    /// Keeps ISOs in `directory`, which it makes.
    pub fn new(directory: impl Into<PathBuf>) -> std::io::Result<Self> {
        let directory = directory.into();
        std::fs::create_dir_all(&directory)?;
        for entry in std::fs::read_dir(&directory)?.flatten() {
            let age = entry
                .metadata()
                .and_then(|data| data.modified())
                .map(|time| SystemTime::now().duration_since(time));
            if matches!(age, Ok(Ok(age)) if age > KEEP) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
        Ok(Self {
            directory,
            made: Mutex::default(),
        })
    }

    /// The ISO for `recipe`.
    pub fn get(&self, recipe: &Recipe) -> Result<PathBuf, String> {
        let made = Arc::clone(
            self.made
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .entry(recipe.clone())
                .or_default(),
        );
        made.get_or_init(|| make(recipe, &self.path(recipe)))
            .clone()
    }

    fn path(&self, recipe: &Recipe) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        recipe.hash(&mut hasher);
        self.directory.join(format!(
            "{}-{:016x}.iso",
            std::process::id(),
            hasher.finish()
        ))
    }
}

/// Makes the ISO `path`. The working directory is the top of the repository.
fn make(recipe: &Recipe, path: &Path) -> Result<PathBuf, String> {
    let mut command = Command::new("boot/make-iso");
    command.arg(path).arg(&recipe.image).arg(&recipe.options);
    for (file, line) in &recipe.modules {
        command.arg(format!("{} {line}", file.display()));
    }
    let output = command
        .output()
        .map_err(|error| format!("boot/make-iso does not start: {error}"))?;
    if output.status.success() {
        Ok(path.to_path_buf())
    } else {
        Err(format!(
            "boot/make-iso: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        ))
    }
}
