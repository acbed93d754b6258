//! Runs configuration files.

use super::native_modules::{self, Commands};
use super::natives;
use super::translate::{Include, TranslateError, translate};
use super::translated::Program;
use dom0_tools::config::error::{ConfigError, Origin};
use dom0_tools::config::evaluated::Evaluated;
use dom0_tools::config::value::{Setting, Value};
use starlark::PrintHandler;
use starlark::environment::{Globals, GlobalsBuilder, LibraryExtension, Module};
use starlark::eval::Evaluator;
use starlark::syntax::{AstModule, Dialect};
use starlark::values::dict::AllocDict;
use starlark::values::{UnpackValue, float::UnpackFloat};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Calls and turns of loops of a file: a part of a second. Files that compute much take some thousands.
const MAX_TICKS: u64 = 100_000;
/// What a file's values take.
const MAX_HEAP_BYTES: usize = 64 << 20;
/// Functions that call functions.
const MAX_CALLS: usize = 100;
/// Parsing and evaluating recurse, within bounds that this stack suffices for.
const STACK_BYTES: usize = 64 << 20;
/// Characters that a file prints.
const MAX_PRINTED: usize = 64 << 10;
/// The name of what is evaluated first.
const PRELUDE: &str = "prelude.star";

/// A file, and what it is to know.
pub struct Source<'a> {
    /// Its name, for messages and as `xm_file`.
    pub file: &'a str,
    /// What is in it.
    pub text: &'a str,
    /// Variables of the command line.
    pub variables: &'a BTreeMap<String, String>,
    /// Whether `os.popen` works.
    pub commands: Commands,
    /// Gives the text of files that it includes.
    pub include: &'a (dyn Fn(&str) -> Result<String, String> + Sync),
}

/// Runs a file.
///
/// # Errors
///
/// It is no program, or fails.
pub fn evaluate(source: &Source<'_>) -> Result<Evaluated, ConfigError> {
    // The evaluator is not `Send`; the thread has all of it, and only its stack is of interest.
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().stack_size(STACK_BYTES);
        let failed = |reason: String| ConfigError::Failed {
            origin: None,
            reason,
        };
        let thread = builder.spawn_scoped(scope, || on_this_stack(source));
        let thread = thread
            .map_err(|error| failed(format!("no thread for the configuration file: {error}")))?;
        let outcome = thread.join();
        outcome.unwrap_or_else(|_| {
            Err(failed(
                "the evaluator of configuration files has failed".into(),
            ))
        })
    })
}

fn globals(commands: Commands) -> Globals {
    use LibraryExtension::{Filter, Map, Print, StructType};
    let builder = GlobalsBuilder::extended_by(&[Filter, Map, Print, StructType])
        .with(natives::errors)
        .with(natives::operators)
        .with(native_modules::machine)
        .with(native_modules::expressions);
    match commands {
        Commands::Allowed => builder.with(native_modules::running_commands).build(),
        Commands::Refused => builder.with(native_modules::refusing_commands).build(),
    }
}

fn dialect() -> Dialect {
    Dialect {
        enable_load: false,
        enable_top_level_stmt: true,
        ..Dialect::Standard
    }
}

#[derive(Default)]
struct Printed(RefCell<String>);

impl PrintHandler for Printed {
    fn println(&self, text: &str) -> starlark::Result<()> {
        let mut printed = self.0.borrow_mut();
        if printed.len() < MAX_PRINTED {
            printed.push_str(text);
            printed.push('\n');
        }
        Ok(())
    }
}

fn on_this_stack(source: &Source<'_>) -> Result<Evaluated, ConfigError> {
    let globals = globals(source.commands);
    let printed = Printed::default();
    let mut evaluated = Module::with_temp_heap(|module| {
        let heap = module.heap();
        module.set("py_given", heap.alloc(AllocDict(source.variables.clone())));
        module.set("xm_file", heap.alloc(source.file));
        module.set("xm_help", heap.alloc(0));
        let mut evaluator = Evaluator::new(&module);
        evaluator.disable_gc();
        evaluator.set_print_handler(&printed);
        let bounded = evaluator
            .set_max_tick_count(MAX_TICKS)
            .and_then(|()| evaluator.set_max_heap_size(MAX_HEAP_BYTES))
            .and_then(|()| evaluator.set_max_callstack_size(MAX_CALLS));
        bounded.map_err(|error| unexpected(&error))?;
        let prelude =
            AstModule::parse(PRELUDE, include_str!("prelude.star").to_owned(), &dialect());
        let prelude = prelude.and_then(|prelude| evaluator.eval_module(prelude, &globals));
        prelude.map_err(|error| unexpected(&error))?;

        let mut known: HashSet<String> = globals
            .names()
            .map(|name| name.as_str().to_owned())
            .collect();
        known.extend(module.names().map(|name| name.as_str().to_owned()));
        for (name, value) in source.variables {
            module.set(name, heap.alloc(value.as_str()));
        }
        let include: &Include<'_> = &|file| (source.include)(file);
        let is_known = |name: &str| {
            known.contains(name) || source.variables.contains_key(name) || is_keyword(name)
        };
        let program = translate(source.file, source.text, include, &is_known)
            .map_err(|error| syntax(source, error))?;
        let failed = |error| failure(source, &program, &error);
        let mut ast =
            AstModule::parse(source.file, program.text.clone(), &dialect()).map_err(failed)?;
        let replaced = [
            ("%", "py_percent"),
            ("+", "py_plus"),
            ("-", "py_minus"),
            ("/", "py_divide"),
            ("*", "py_times"),
            ("<<", "py_shift"),
        ];
        let replaced: HashMap<String, String> = replaced
            .into_iter()
            .map(|(operator, function)| (operator.into(), function.into()))
            .collect();
        ast.replace_binary_operators(&replaced);
        evaluator.eval_module(ast, &globals).map_err(failed)?;
        Ok::<_, ConfigError>(harvest(source, &program, &module, &known))
    })?;
    let printed = printed.0.into_inner();
    evaluated.printed = printed.lines().map(str::to_owned).collect();
    Ok(evaluated)
}

/// An error that is not the file's fault.
fn unexpected(error: &impl ToString) -> ConfigError {
    ConfigError::Failed {
        origin: None,
        reason: error.to_string(),
    }
}

fn is_keyword(name: &str) -> bool {
    const KEYWORDS: [&str; 20] = [
        "and", "or", "not", "if", "else", "elif", "for", "in", "def", "return", "pass", "break",
        "continue", "lambda", "None", "True", "False", "load", "while", "as",
    ];
    KEYWORDS.contains(&name)
}

/// Top-level variables of the kinds that settings have.
fn harvest(
    source: &Source<'_>,
    program: &Program,
    module: &Module<'_>,
    known: &HashSet<String>,
) -> Evaluated {
    let mut evaluated = Evaluated::default();
    for name in module.names() {
        let name = name.as_str();
        let is_own = name.starts_with("py_")
            || (known.contains(name) && program.place_of_name(name).is_none());
        let Some(value) = module.get(name).filter(|_| !is_own) else {
            continue;
        };
        let place = program.place_of_name(name);
        let origin = match place {
            Some(place) => Origin::File {
                file: place.file,
                line: Some(place.line),
            },
            None => Origin::File {
                file: source.file.to_owned(),
                line: None,
            },
        };
        match plain(value, 0) {
            Some(value) => {
                evaluated
                    .settings
                    .insert(name.to_owned(), Setting { value, origin });
            }
            None if value.is_none() => {}
            None => {
                evaluated
                    .dropped
                    .insert(name.to_owned(), value.get_type().to_owned());
            }
        }
    }
    evaluated
}

fn plain(value: starlark::values::Value<'_>, depth: usize) -> Option<Value> {
    if let Some(text) = value.unpack_str() {
        return Some(Value::Text(text.to_owned()));
    }
    if let Some(is_true) = value.unpack_bool() {
        return Some(Value::Integer(i64::from(is_true)));
    }
    if let Ok(Some(number)) = i64::unpack_value(value) {
        return Some(Value::Integer(number));
    }
    if value.get_type() == "float" {
        let UnpackFloat(number) = UnpackFloat::unpack_value(value).ok()??;
        return Some(Value::Float(number));
    }
    let elements = natives::elements(value).filter(|_| depth < 3)?;
    elements
        .into_iter()
        .map(|element| plain(element, depth + 1))
        .collect::<Option<_>>()
        .map(Value::List)
}

fn syntax(source: &Source<'_>, error: TranslateError) -> ConfigError {
    let text = match error.place.file == source.file {
        true => source.text.lines().nth(error.place.line.saturating_sub(1)),
        false => None,
    };
    ConfigError::Syntax {
        file: error.place.file,
        line: error.place.line,
        text: text.unwrap_or_default().trim().to_owned(),
        reason: error.reason,
    }
}

/// An error of the evaluator, in the words of people who write configuration files.
fn failure(source: &Source<'_>, program: &Program, error: &starlark::Error) -> ConfigError {
    use starlark::ErrorKind;
    let reason = error.without_diagnostic().to_string();
    // Where the file itself was, if a function of the prelude has failed.
    let spans = error
        .call_stack()
        .frames
        .iter()
        .rev()
        .filter_map(|frame| frame.location.as_ref());
    let own = error
        .span()
        .into_iter()
        .chain(spans)
        .find(|span| span.filename() == source.file);
    let place = own.and_then(|span| program.place_of_line(span.resolve_span().begin.line + 1));
    let native = match error.kind() {
        ErrorKind::Native(native) => native.downcast_ref::<natives::Raised>(),
        _ => None,
    };
    if native.is_some_and(|raised| raised.class == "Check") {
        return ConfigError::Failed {
            origin: None,
            reason,
        };
    }
    if let (ErrorKind::Parser(_), Some(place)) = (error.kind(), &place) {
        let reason = reason.trim_start_matches("Parse error: ").to_owned();
        let place = place.clone();
        return syntax(source, TranslateError { place, reason });
    }
    // Of what goes beyond a bound, the line is not always known.
    let whole = Origin::File {
        file: source.file.to_owned(),
        line: None,
    };
    let (reason, whole) = match undefined_name(&reason) {
        Some(name) => (format!("name '{name}' is not defined"), None),
        None if reason.contains("duration limit") => {
            let reason = "this computes for too long; is there a loop without an end?";
            (reason.to_owned(), Some(whole))
        }
        None if reason.contains("Heap memory limit") => {
            let reason = "this needs more memory than any configuration";
            (reason.to_owned(), Some(whole))
        }
        None => (reason, None),
    };
    let line = place.map(|place| Origin::File {
        file: place.file,
        line: Some(place.line),
    });
    let origin = line.or(whole);
    ConfigError::Failed { origin, reason }
}

fn undefined_name(reason: &str) -> Option<&str> {
    let is_undefined =
        reason.contains("referenced before assignment") || reason.contains("not found");
    let (_, rest) = reason.split_once("ariable `").filter(|_| is_undefined)?;
    Some(rest.split_once('`')?.0)
}
