//! Configuration files in the evaluator's language.
//!
//! The evaluator's language is a kin of the one that the files were written in, without its exceptions, its
//! `while`, its `print` and some more. What is not in it is rewritten: the parts of a `try` block become calls
//! that return an error instead of failing, each followed by a look at whether there was one.

use super::rewrite::{Action, actions, expression};
use super::statement::{Block, Statement, statements};
use super::token::{SourceError, Token, logical_lines};
use super::translated::{Place, Program};
use std::fmt::Write;

/// Files that are included by files that are included.
const MAX_INCLUDES: usize = 5;

/// Gives the text of files that are included.
pub(super) type Include<'a> = dyn Fn(&str) -> Result<String, String> + 'a;

/// A file that can't be translated: the place and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct TranslateError {
    /// Where.
    pub(super) place: Place,
    /// Why.
    pub(super) reason: String,
}

/// Translates a file. Names for which `is_known` holds are the evaluator's own.
///
/// # Errors
///
/// It is no program.
pub(super) fn translate(
    file: &str,
    source: &str,
    include: &Include<'_>,
    is_known: &dyn Fn(&str) -> bool,
) -> Result<Program, TranslateError> {
    let mut translator = Translator {
        program: Program::default(),
        include,
        counter: 0,
    };
    translator.file(file, source, &Context::default(), 0)?;
    let mut program = translator.program;
    // Makes a place for each name, so that one without a value is known when it is used, and not before.
    let names = std::mem::take(&mut program.names);
    for name in names.iter().filter(|name| !is_known(name)) {
        let _ = write!(program.text, "if False:\n    {name} = None\n");
    }
    Ok(program)
}

/// Where statements are.
#[derive(Clone, Default)]
pub(super) struct Context {
    pub(super) file: usize,
    pub(super) depth: usize,
    pub(super) includes: usize,
    /// The `try` whose block they are in.
    pub(super) guard: Option<usize>,
    /// The `try` whose error is handled.
    pub(super) handled: Option<usize>,
}

impl Context {
    pub(super) fn deeper(&self) -> Self {
        let depth = self.depth + 1;
        Self {
            depth,
            ..self.clone()
        }
    }
}

/// Turns statements into lines of a program.
pub(super) struct Translator<'a> {
    pub(super) program: Program,
    include: &'a Include<'a>,
    counter: usize,
}

pub(super) type Translated = Result<(), TranslateError>;

impl Translator<'_> {
    pub(super) fn error<T>(
        &self,
        context: &Context,
        error: SourceError,
    ) -> Result<T, TranslateError> {
        let place = self.program.place(&(context.file, error.line));
        let file = String::new();
        Err(TranslateError {
            place: place.unwrap_or(Place {
                file,
                line: error.line,
            }),
            reason: error.reason,
        })
    }

    fn file(&mut self, file: &str, source: &str, context: &Context, includes: usize) -> Translated {
        self.program.files.push(file.to_owned());
        let context = Context {
            file: self.program.files.len() - 1,
            includes,
            ..context.clone()
        };
        let parsed = logical_lines(source).and_then(|lines| statements(&lines));
        match parsed {
            Ok(statements) => self.statements(&statements, &context),
            Err(error) => self.error(&context, error),
        }
    }

    pub(super) fn unique(&mut self) -> usize {
        self.counter += 1;
        self.counter
    }

    pub(super) fn put(&mut self, context: &Context, line: usize, text: &str) -> Translated {
        let added = self.program.add(context.depth, (context.file, line), text);
        added.or_else(|error| self.error(context, error))
    }

    pub(super) fn put_tokens(
        &mut self,
        context: &Context,
        line: usize,
        tokens: &[Token],
    ) -> Translated {
        let added = self
            .program
            .add_words(context.depth, (context.file, line), tokens);
        added.or_else(|error| self.error(context, error))
    }

    fn statements(&mut self, statements: &[Statement], context: &Context) -> Translated {
        let mut rest = statements;
        while let Some((statement, after)) = rest.split_first() {
            rest = after;
            match statement {
                Statement::Simple(tokens) => self.simple(tokens, context)?,
                Statement::Block(block) => {
                    // Clauses that belong to it.
                    let clauses = after.iter().map_while(|next| match next {
                        Statement::Block(next) if is_clause(&block.keyword, &next.keyword) => {
                            Some(next)
                        }
                        _ => None,
                    });
                    let clauses: Vec<&Block> = clauses.collect();
                    rest = after.get(clauses.len()..).unwrap_or_default();
                    self.block(block, &clauses, context)?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn body(
        &mut self,
        body: &[Statement],
        context: &Context,
        line: usize,
    ) -> Translated {
        let lines = self.program.places.len();
        self.statements(body, context)?;
        match self.program.places.len() == lines {
            true => self.put(context, line, "pass"),
            false => Ok(()),
        }
    }

    fn block(&mut self, block: &Block, clauses: &[&Block], context: &Context) -> Translated {
        let line = block.line;
        match block.keyword.as_str() {
            "if" => self.conditional(block, clauses, context),
            "try" => self.guarded(line, context, |translator, context| {
                translator.try_block(block, clauses, context)
            }),
            "for" => self.loop_over(block, context),
            "while" => {
                let stop = Statement::Simple(vec![Token::name("break", line)]);
                let mut until = vec![Token::operator("not (", line)];
                until.extend(block.header.iter().cloned());
                until.push(Token::operator(")", line));
                let condition = Block {
                    keyword: "if".into(),
                    header: until,
                    body: vec![stop],
                    line,
                };
                let mut body = vec![Statement::Block(condition)];
                body.extend(block.body.iter().cloned());
                let header = [Token::name("py_turn", line), Token::name("in", line)];
                let endless = Block {
                    keyword: "for".into(),
                    header: header
                        .into_iter()
                        .chain([Token::operator("py_forever", line)])
                        .collect(),
                    body,
                    line,
                };
                self.loop_over(&endless, context)
            }
            "def" => self.guarded(line, context, |translator, context| {
                let mut header = vec![Token::operator("def", line)];
                header.extend(translator.expression(&block.header, context)?);
                header.push(Token::operator(":", line));
                translator.put_tokens(context, line, &header)?;
                let inner = Context {
                    guard: None,
                    handled: None,
                    ..context.deeper()
                };
                translator.body(&block.body, &inner, line)
            }),
            keyword => self.error(
                context,
                SourceError::new(line, format!("this {keyword} belongs to nothing")),
            ),
        }
    }

    /// Emits what is done only if nothing has failed in the `try` block around.
    pub(super) fn guarded(
        &mut self,
        line: usize,
        context: &Context,
        emit: impl FnOnce(&mut Self, &Context) -> Translated,
    ) -> Translated {
        match context.guard {
            None => emit(self, context),
            Some(guard) => {
                self.put(context, line, &format!("if py_e{guard} == None:"))?;
                emit(self, &context.deeper())
            }
        }
    }

    pub(super) fn expression(
        &mut self,
        tokens: &[Token],
        context: &Context,
    ) -> Result<Vec<Token>, TranslateError> {
        match expression(tokens) {
            Ok(expression) => Ok(expression),
            Err(error) => self.error(context, error),
        }
    }

    /// Evaluates an expression. In a `try` block, into a variable, so that its failure is known.
    pub(super) fn value(
        &mut self,
        tokens: Vec<Token>,
        line: usize,
        context: &Context,
    ) -> Result<Vec<Token>, TranslateError> {
        let Some(guard) = context.guard else {
            return Ok(tokens);
        };
        let value = format!("py_v{}", self.unique());
        self.guarded(line, context, |translator, context| {
            let mut call = vec![Token::operator(
                &format!("{value} = py_try(lambda: ("),
                line,
            )];
            call.extend(tokens);
            call.push(Token::operator("))", line));
            translator.put_tokens(context, line, &call)?;
            translator.put(context, line, &format!("py_e{guard} = {value}[0]"))
        })?;
        Ok(vec![Token::operator(&format!("{value}[1]"), line)])
    }

    fn simple(&mut self, tokens: &[Token], context: &Context) -> Translated {
        let line = tokens.first().map_or(1, |token| token.line);
        let actions = match actions(tokens) {
            Ok(actions) => actions,
            Err(error) => return self.error(context, error),
        };
        if let [name, next, ..] = tokens
            && let Some(name) = name.as_name()
            && (next.is("=") || next.is("+=") || next.is("."))
        {
            self.program
                .assigned
                .insert(name.to_owned(), (context.file, line));
        }
        for action in actions {
            self.action(action, line, context)?;
        }
        Ok(())
    }

    fn action(&mut self, action: Action, line: usize, context: &Context) -> Translated {
        let handled = context.handled.map(|number| format!("py_e{number}"));
        let named = |mut expression: Vec<Token>| {
            for token in expression.iter_mut().filter(|token| token.is("py_handled")) {
                *token = Token::operator(
                    &format!(
                        "\"\", {}",
                        handled.as_deref().unwrap_or("\"nothing to raise\"")
                    ),
                    line,
                );
            }
            expression
        };
        match action {
            Action::Include(file) => self.included(&file, line, context),
            Action::Plain(tokens) => self.guarded(line, context, |translator, context| {
                translator.put_tokens(context, line, &tokens)
            }),
            Action::Evaluate {
                mut target,
                expression,
            } => {
                let value = self.value(named(expression), line, context)?;
                if target.is_empty() && context.guard.is_some() {
                    return Ok(());
                }
                self.guarded(line, context, |translator, context| {
                    target.extend(value);
                    translator.put_tokens(context, line, &target)
                })
            }
            Action::Return(expression) => {
                let value = match expression.is_empty() {
                    true => Vec::new(),
                    false => self.value(expression, line, context)?,
                };
                self.guarded(line, context, |translator, context| {
                    let mut statement = vec![Token::operator("return", line)];
                    statement.extend(value);
                    translator.put_tokens(context, line, &statement)
                })
            }
        }
    }

    fn included(&mut self, file: &str, line: usize, context: &Context) -> Translated {
        if context.includes >= MAX_INCLUDES {
            return self.error(
                context,
                SourceError::new(line, "files include each other too deep"),
            );
        }
        match (self.include)(file) {
            Ok(source) => self.guarded(line, context, |translator, context| {
                translator.put(context, line, "if True:")?;
                let lines = translator.program.places.len();
                translator.file(file, &source, &context.deeper(), context.includes + 1)?;
                match translator.program.places.len() == lines {
                    true => translator.put(&context.deeper(), line, "pass"),
                    false => Ok(()),
                }
            }),
            // Perhaps nobody comes here; if somebody does, it is an error that can be handled.
            Err(reason) => {
                let mut call = vec![Token::operator("py_raise(\"IOError\",", line)];
                call.push(Token::text(&format!("{file}: {reason}"), line));
                call.push(Token::operator(")", line));
                let target = Vec::new();
                self.action(
                    Action::Evaluate {
                        target,
                        expression: call,
                    },
                    line,
                    context,
                )
            }
        }
    }
}

fn is_clause(of: &str, keyword: &str) -> bool {
    match of {
        "if" => matches!(keyword, "elif" | "else"),
        "try" => matches!(keyword, "except" | "else" | "finally"),
        _ => false,
    }
}
