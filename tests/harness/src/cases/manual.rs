//! The commands in the manuals, which cases type as they stand there.

use crate::verdict::Verdict;

/// The cook-book.
pub(super) const ADMIN: &str = "docs/ADMIN.md";

/// The indented blocks of a section, which has this heading, up to the next one that is not below it.
pub(super) fn commands_in(manual: &str, heading: &str) -> Vec<Vec<String>> {
    let level = |line: &str| {
        let marks = line.chars().take_while(|&mark| mark == '#').count();
        (marks > 0).then_some(marks)
    };
    let depth = level(heading).unwrap_or_default();
    let section = manual
        .lines()
        .skip_while(|line| *line != heading)
        .skip(1)
        .take_while(|line| level(line).is_none_or(|marks| marks > depth));
    let mut blocks: Vec<Vec<String>> = Vec::new();
    let mut is_inside = false;
    for line in section {
        match line.strip_prefix("    ") {
            Some(command) => {
                if !is_inside {
                    blocks.push(Vec::new());
                }
                if let Some(block) = blocks.last_mut() {
                    block.push(command.to_string());
                }
                is_inside = true;
            }
            None => is_inside = false,
        }
    }
    blocks
}

/// As [`commands_in`], of a file.
pub(super) fn commands_of(path: &str, heading: &str) -> Result<Vec<Vec<String>>, Verdict> {
    let manual = std::fs::read_to_string(path)
        .map_err(|error| Verdict::NoVerdict(format!("{path}: {error}")))?;
    Ok(commands_in(&manual, heading))
}

/// The blocks of a recipe of the cook-book, which must be so many.
pub(super) fn recipe<const NR: usize>(heading: &str) -> Result<[Vec<String>; NR], Verdict> {
    blocks_of(ADMIN, heading)
}

/// As [`recipe`], of a manual.
pub(super) fn blocks_of<const NR: usize>(
    manual: &str,
    heading: &str,
) -> Result<[Vec<String>; NR], Verdict> {
    let blocks = commands_of(manual, heading)?;
    let found = blocks.len();
    blocks.try_into().map_err(|_| {
        Verdict::Fail(format!(
            "{manual} has {found} blocks of commands in '{heading}' instead of {NR}"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::commands_in;
    use std::path::Path;

    #[test]
    fn commands_are_the_indented_blocks_of_the_section() {
        let manual = "    not this\n## Here\ntext\n\n    a\n      b\n\ntext\n### Below\n    c\n## Next\n    d\n";
        assert_eq!(
            commands_in(manual, "## Here"),
            [vec!["a", "  b"], vec!["c"]]
        );
        assert_eq!(commands_in(manual, "### Below"), [vec!["c"]]);
    }
    /// A recipe that nobody types may be wrong.
    #[test]
    fn every_recipe_of_the_cook_book_is_typed_by_a_case() {
        let harness = Path::new(env!("CARGO_MANIFEST_DIR"));
        let manual = std::fs::read_to_string(harness.join("../../docs/ADMIN.md")).unwrap();
        let cases = std::fs::read_dir(harness.join("src/cases")).unwrap();
        let cases: String = cases
            .map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap())
            .collect();
        let mut heading = "";
        let mut recipes = Vec::new();
        for line in manual.lines() {
            if line.starts_with('#') {
                heading = line;
            } else if line.starts_with("    ") && recipes.last() != Some(&heading) {
                recipes.push(heading);
            }
        }
        recipes.retain(|heading| !cases.contains(&format!("\"{heading}\"")));
        assert_eq!(recipes, Vec::<&str>::new());
    }
}
