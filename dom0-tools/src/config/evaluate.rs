//! Evaluating a configuration file.

use super::natives::{Surroundings, globals};
use super::translate::{Untranslated, translate};
use super::value::Value;
use starlark::environment::Module;
use starlark::eval::Evaluator;
use starlark::syntax::{AstModule, Dialect};
use starlark::values::Value as StarlarkValue;
use starlark::values::list::ListRef;
use starlark::{ErrorKind, PrintHandler};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;

/// What a file leaves behind.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Evaluated {
    /// Its variables, of types that options may have.
    pub variables: BTreeMap<String, Setting>,
    /// What it has printed.
    pub printed: Vec<String>,
}

/// A variable's value.
#[derive(Clone, PartialEq, Debug)]
pub struct Setting {
    /// The value.
    pub value: Value,
    /// The line that has set it, from 1.
    pub line: usize,
}

/// Why a file can't be evaluated, as people are told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EvaluationError {
    /// A line is not in the language.
    Syntax {
        /// Which file.
        file: String,
        /// Which line, from 1.
        line: usize,
        /// The line.
        text: String,
    },
    /// A name that nobody has set.
    NotDefined(String),
    /// A check of `xm_vars` has failed, or the file has raised something.
    Raised(String),
    /// Anything else.
    Other {
        /// Which file.
        file: String,
        /// Which line, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
}

impl fmt::Display for EvaluationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax { file, line, text } => write!(
                f,
                "Errors were found at line {line} while processing {file}:\n\t{text}"
            ),
            Self::NotDefined(name) => write!(f, "name '{name}' is not defined"),
            Self::Raised(text) => f.write_str(text),
            Self::Other {
                file,
                line,
                message,
            } => write!(f, "{file}, line {line}: {message}"),
        }
    }
}

/// Evaluates a file. `variables` are there from the beginning, as strings.
///
/// # Errors
///
/// See [`EvaluationError`].
pub fn evaluate(
    file: &str,
    source: &str,
    variables: &BTreeMap<String, String>,
) -> Result<Evaluated, EvaluationError> {
    let line_text = |line: usize| {
        let text = source.lines().nth(line.saturating_sub(1));
        text.unwrap_or_default().trim().to_owned()
    };
    let syntax = |line| EvaluationError::Syntax {
        file: file.to_owned(),
        line,
        text: line_text(line),
    };
    let chunks = translate(source).map_err(|error| match error {
        Untranslated::Unfinished(line) => syntax(line),
        Untranslated::Import(line, module) => EvaluationError::Other {
            file: file.to_owned(),
            line,
            message: format!("there is no module {module}; os, re and sys are"),
        },
    })?;
    let dialect = Dialect {
        enable_top_level_stmt: true,
        enable_keyword_only_arguments: true,
        ..Dialect::Standard
    };
    let globals = globals();
    let printed = Printed::default();
    let surroundings = Surroundings {
        variables: variables.clone(),
        ..Surroundings::default()
    };
    Module::with_temp_heap(|module| {
        for (name, value) in variables {
            module.set(name, module.heap().alloc(value.as_str()));
        }
        module.set("xm_file", module.heap().alloc(file));
        module.set("xm_help", module.heap().alloc(0));
        let mut lines: BTreeMap<String, (String, usize)> = BTreeMap::new();
        for chunk in chunks {
            // Lines of the statement are lines of the file.
            let text = "\n".repeat(chunk.line - 1) + &chunk.text;
            let failed = |error: starlark::Error| {
                let at = error
                    .span()
                    .map_or(chunk.line, |span| span.resolve_span().begin.line + 1);
                match error.kind() {
                    ErrorKind::Parser(_) => syntax(at),
                    ErrorKind::Scope(inner) => undefined(&inner.to_string())
                        .map_or_else(|| syntax(at), EvaluationError::NotDefined),
                    ErrorKind::Fail(_) | ErrorKind::Native(_) => {
                        EvaluationError::Raised(plain_message(&error))
                    }
                    _ => EvaluationError::Other {
                        file: file.to_owned(),
                        line: at,
                        message: plain_message(&error),
                    },
                }
            };
            let ast = AstModule::parse(file, text, &dialect).map_err(failed)?;
            let mut eval = Evaluator::new(&module);
            eval.extra = Some(&surroundings);
            eval.set_print_handler(&printed);
            eval.eval_module(ast, &globals).map_err(failed)?;
            for name in module.names() {
                let value = module.get(name.as_str()).map(|value| value.to_repr());
                let value = value.unwrap_or_default();
                let line = || assignment_line(&chunk.text, chunk.line, name.as_str());
                match lines.get_mut(name.as_str()) {
                    Some((former, _)) if *former == value => {}
                    Some(former) => *former = (value, line()),
                    None => {
                        lines.insert(name.as_str().to_owned(), (value, line()));
                    }
                }
            }
        }
        let mut evaluated = Evaluated::default();
        for name in module.names() {
            let name = name.as_str();
            let Some(value) = module.get(name).and_then(option_value) else {
                continue;
            };
            let line = lines.get(name).map_or(0, |(_, line)| *line);
            evaluated
                .variables
                .insert(name.to_owned(), Setting { value, line });
        }
        evaluated.printed = printed.0.take();
        Ok(evaluated)
    })
}

/// The name in the evaluator's complaint about one that it does not know.
fn undefined(message: &str) -> Option<String> {
    let (_, rest) = message.split_once("Variable `")?;
    rest.split('`').next().map(str::to_owned)
}

/// What is wrong, without where.
#[must_use]
pub fn plain_message(error: &starlark::Error) -> String {
    let text = error.without_diagnostic().to_string();
    let text = text.strip_prefix("fail: ").unwrap_or(&text);
    text.lines().next().unwrap_or_default().to_owned()
}

/// The line of a statement that sets a variable: the last that assigns it, else the first.
fn assignment_line(text: &str, first: usize, name: &str) -> usize {
    let assigns = |line: &str| {
        let rest = line.trim_start().strip_prefix(name);
        rest.is_some_and(|rest| rest.trim_start().starts_with(['=', '+']))
    };
    let found = text.lines().enumerate().filter(|(_, line)| assigns(line));
    first + found.last().map_or(0, |(index, _)| index)
}

/// A value of a type that options may have.
fn option_value(value: StarlarkValue<'_>) -> Option<Value> {
    if let Some(text) = value.unpack_str() {
        return Some(Value::Text(text.to_owned()));
    }
    if let Some(truth) = value.unpack_bool() {
        return Some(Value::Integer(truth.into()));
    }
    if let Some(items) = ListRef::from_value(value) {
        let items = items.iter().map(|item| {
            // What is of no such type is shown as it is written.
            option_value(item).unwrap_or_else(|| Value::Text(item.to_repr()))
        });
        return Some(Value::List(items.collect()));
    }
    match value.get_type() {
        "int" => value.to_str().parse().ok().map(Value::Integer),
        "float" => value.to_str().parse().ok().map(Value::Float),
        _ => None,
    }
}

#[derive(Default)]
struct Printed(RefCell<Vec<String>>);

impl PrintHandler for Printed {
    fn println(&self, text: &str) -> starlark::Result<()> {
        self.0.borrow_mut().push(text.to_owned());
        Ok(())
    }
}
