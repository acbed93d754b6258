//! Functions that modules of the old language are made of: what they know of the machine, and expressions.

use super::natives::raised;
use super::surroundings;
use regex::Regex;
use starlark::environment::GlobalsBuilder;
use starlark::eval::Evaluator;
use starlark::starlark_module;
use starlark::values::Value;
use starlark::values::dict::AllocDict;
use starlark::values::list::AllocList;
use starlark::values::none::{NoneOr, NoneType};
use starlark::values::tuple::AllocTuple;
use std::collections::BTreeMap;
use std::path::Path;

/// Whether a command may be run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Commands {
    /// The operator allows it.
    Allowed,
    /// Nobody does.
    Refused,
}

#[starlark_module]
pub(super) fn refusing_commands(builder: &mut GlobalsBuilder) {
    fn py_run(command: &str) -> starlark::Result<String> {
        let reason = format!(
            "the configuration wants to run '{command}', which is not allowed; set XM_CONFIG_ALLOW=commands to allow it"
        );
        Err(raised("OSError", reason))
    }
}

#[starlark_module]
pub(super) fn running_commands(builder: &mut GlobalsBuilder) {
    fn py_run(command: &str) -> starlark::Result<String> {
        surroundings::output_of(command)
            .map_err(|error| raised("OSError", format!("{command}: {error}")))
    }
}

#[starlark_module]
pub(super) fn machine(builder: &mut GlobalsBuilder) {
    fn py_exists(path: &str) -> starlark::Result<bool> {
        Ok(Path::new(path).exists())
    }

    fn py_isfile(path: &str) -> starlark::Result<bool> {
        Ok(Path::new(path).is_file())
    }

    fn py_isdir(path: &str) -> starlark::Result<bool> {
        Ok(Path::new(path).is_dir())
    }

    fn py_islink(path: &str) -> starlark::Result<bool> {
        Ok(Path::new(path).is_symlink())
    }

    fn py_abspath(path: &str) -> starlark::Result<String> {
        let absolute = std::path::absolute(path);
        Ok(absolute.map_or_else(
            |_| path.to_owned(),
            |path| path.to_string_lossy().into_owned(),
        ))
    }

    fn py_uname<'v>(eval: &mut Evaluator<'v, '_, '_>) -> starlark::Result<Value<'v>> {
        let heap = eval.heap();
        let names = surroundings::uname().map(|name| heap.alloc(name));
        Ok(heap.alloc(AllocTuple(names)))
    }

    fn py_environ<'v>(eval: &mut Evaluator<'v, '_, '_>) -> starlark::Result<Value<'v>> {
        let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        let variables: BTreeMap<String, String> = std::env::vars_os()
            .map(|(name, value)| (text(name), text(value)))
            .collect();
        Ok(eval.heap().alloc(AllocDict(variables)))
    }

    fn py_interface<'v>(
        name: &str,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let [address, mask, gateway] = surroundings::interface(name);
        Ok(eval.heap().alloc((address, mask, gateway)))
    }
}

#[starlark_module]
pub(super) fn expressions(builder: &mut GlobalsBuilder) {
    fn py_regex<'v>(
        pattern: &str,
        text: &str,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let found = regex(pattern)?.captures(text);
        let heap = eval.heap();
        Ok(match found {
            None => heap.alloc(NoneType),
            Some(groups) => {
                let group = |group: Option<regex::Match<'_>>| match group {
                    Some(group) => NoneOr::Other(group.as_str().to_owned()),
                    None => NoneOr::None,
                };
                let groups: Vec<NoneOr<String>> = groups.iter().map(group).collect();
                heap.alloc(AllocList(groups))
            }
        })
    }

    fn py_substitute(pattern: &str, new: &str, text: &str) -> starlark::Result<String> {
        // `\1` is a group, and a dollar sign nothing special.
        let new = new.replace('$', "$$");
        let new = Regex::new(r"\\([0-9])").map_or(new.clone(), |group| {
            group.replace_all(&new, "$${$1}").into_owned()
        });
        Ok(regex(pattern)?.replace_all(text, new.as_str()).into_owned())
    }

    fn py_findall(pattern: &str, text: &str) -> starlark::Result<Vec<String>> {
        let pattern = regex(pattern)?;
        Ok(pattern
            .find_iter(text)
            .map(|found| found.as_str().to_owned())
            .collect())
    }

    fn py_split(pattern: &str, text: &str) -> starlark::Result<Vec<String>> {
        Ok(regex(pattern)?.split(text).map(str::to_owned).collect())
    }

    fn py_escape(text: &str) -> starlark::Result<String> {
        Ok(regex::escape(text))
    }
}

fn regex(pattern: &str) -> starlark::Result<Regex> {
    let built = regex::RegexBuilder::new(pattern)
        .size_limit(1 << 20)
        .build();
    built.map_err(|_| raised("error", format!("'{pattern}' is no regular expression")))
}
