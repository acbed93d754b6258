//! Source paths as they are printed: the same on every machine that builds the image.

/// Cuts from a path in DWARF what only says where on the building machine the file was: files of the
/// repository become relative to its top, those of a crate `crate-version/src/…`, those of the language's
/// library `library/core/src/…`.
pub fn printed<'a>(path: &'a str, repository: &str) -> &'a str {
    let path = path.strip_prefix("./").unwrap_or(path);
    if let Some((_, rest)) = path.split_once("/registry/src/") {
        return rest.split_once('/').map_or(rest, |(_registry, file)| file);
    }
    if let Some(library) = library_path(path) {
        return library;
    }
    let relative = path.strip_prefix(repository).unwrap_or(path);
    relative.trim_start_matches('/')
}

/// The crates of the language's own library, as its source tree has them.
const LIBRARY_CRATES: [&str; 4] = ["core/", "alloc/", "compiler-builtins/", "portable-simd/"];

/// `library/…` of a file of the language's own library: `/rustc/HASH/library/…` in a ready-made one, below
/// the directory of the source package in one built from source.
fn library_path(path: &str) -> Option<&str> {
    let starts = path.match_indices("library/").map(|(start, _)| start);
    let is_of_library = |&start: &usize| {
        let (before, after) = path.split_at(start);
        let rest = &after["library/".len()..];
        (before.is_empty() || before.ends_with('/'))
            && LIBRARY_CRATES.iter().any(|name| rest.starts_with(name))
    };
    // A relative path that was joined to its own directory has it twice.
    starts
        .filter(is_of_library)
        .last()
        .map(|start| &path[start..])
}

#[cfg(test)]
mod tests {
    use super::printed;

    #[test]
    fn paths_say_nothing_about_the_machine() {
        for (path, expected) in [
            ("hypervisor/src/main.rs", "hypervisor/src/main.rs"),
            ("./hypervisor/src/main.rs", "hypervisor/src/main.rs"),
            (
                "/home/me/paravane/hypervisor/src/main.rs",
                "hypervisor/src/main.rs",
            ),
            (
                "/home/me/.cargo/registry/src/some-host-1234/spin-0.12.3/src/mutex.rs",
                "spin-0.12.3/src/mutex.rs",
            ),
            (
                "/rustc/59807616/library/core/src/fmt/num.rs",
                "library/core/src/fmt/num.rs",
            ),
            (
                "/usr/lib/rustlib/src/rust/library/alloc/src/vec/mod.rs",
                "library/alloc/src/vec/mod.rs",
            ),
            ("library/core/src/fmt/num.rs", "library/core/src/fmt/num.rs"),
            ("spin-0.12.3/src/mutex.rs", "spin-0.12.3/src/mutex.rs"),
        ] {
            assert_eq!(printed(path, "/home/me/paravane"), expected, "{path}");
        }
    }
}
