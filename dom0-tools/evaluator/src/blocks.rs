//! Conditions, loops and handled errors in the evaluator's language.

use super::rewrite::split_at;
use super::statement::Block;
use super::token::{SourceError, Token};
use super::translate::{Context, Translated, Translator};

impl Translator<'_> {
    pub(super) fn conditional(
        &mut self,
        block: &Block,
        clauses: &[&Block],
        context: &Context,
    ) -> Translated {
        let condition = self.expression(&block.header, context)?;
        let condition = self.value(condition, block.line, context)?;
        let mut header = match context.guard {
            None => vec![Token::operator("if", block.line)],
            Some(guard) => vec![Token::operator(
                &format!("if py_e{guard} == None and"),
                block.line,
            )],
        };
        header.extend(condition);
        header.push(Token::operator(":", block.line));
        self.put_tokens(context, block.line, &header)?;
        self.body(&block.body, &context.deeper(), block.line)?;
        let Some((clause, rest)) = clauses.split_first() else {
            return Ok(());
        };
        self.put(context, clause.line, "else:")?;
        match clause.keyword.as_str() {
            "elif" => self.conditional(clause, rest, &context.deeper()),
            _ if !rest.is_empty() => self.error(
                context,
                SourceError::new(clause.line, "nothing can follow else"),
            ),
            _ => self.body(&clause.body, &context.deeper(), clause.line),
        }
    }

    pub(super) fn loop_over(&mut self, block: &Block, context: &Context) -> Translated {
        let line = block.line;
        let Some(at) = split_at(&block.header, "in") else {
            return self.error(
                context,
                SourceError::new(line, "there is no in after this for"),
            );
        };
        let items = self.expression(&block.header[at + 1..], context)?;
        let items = self.value(items, line, context)?;
        self.guarded(line, context, |translator, context| {
            let mut header = vec![Token::operator("for", line)];
            header.extend_from_slice(&block.header[..at]);
            header.push(Token::operator("in", line));
            header.extend(items);
            header.push(Token::operator(":", line));
            translator.put_tokens(context, line, &header)?;
            let inner = context.deeper();
            translator.body(&block.body, &inner, line)?;
            match context.guard {
                None => Ok(()),
                Some(guard) => {
                    translator.put(&inner, line, &format!("if py_e{guard} != None:"))?;
                    translator.put(&inner.deeper(), line, "break")
                }
            }
        })
    }

    pub(super) fn try_block(
        &mut self,
        block: &Block,
        clauses: &[&Block],
        context: &Context,
    ) -> Translated {
        let line = block.line;
        let number = self.unique();
        let error = format!("py_e{number}");
        let clause = |keyword: &str| clauses.iter().find(|clause| clause.keyword == keyword);
        let (otherwise, finally) = (clause("else"), clause("finally"));
        if clause("except").is_none() && finally.is_none() {
            return self.error(context, SourceError::new(line, "this try has no except"));
        }
        self.put(context, line, &format!("{error} = None"))?;
        let guarded = Context {
            guard: Some(number),
            ..context.clone()
        };
        self.body(&block.body, &guarded, line)?;
        self.put(context, line, &format!("if {error} == None:"))?;
        let body = otherwise.map_or(&[][..], |clause| &clause.body);
        self.body(body, &context.deeper(), line)?;
        let handler = Context {
            handled: Some(number),
            ..context.deeper()
        };
        for clause in clauses.iter().filter(|clause| clause.keyword == "except") {
            let (classes, name) = handler_header(&clause.header);
            self.put(
                context,
                clause.line,
                &format!("elif py_matches({error}, {classes}):"),
            )?;
            if let Some(name) = name {
                self.program.names.insert(name.to_owned());
                self.put(&handler, clause.line, &format!("{name} = {error}[1]"))?;
            }
            self.body(&clause.body, &handler, clause.line)?;
            self.put(&handler, clause.line, &format!("{error} = None"))?;
        }
        if let Some(finally) = finally {
            self.body(&finally.body, context, finally.line)?;
        }
        self.put(context, line, &format!("if {error} != None:"))?;
        let again = vec![Token::operator(&format!("py_raise_again({error})"), line)];
        let context = context.deeper();
        let again = self.value(again, line, &context)?;
        self.put_tokens(&context, line, &again)
    }
}

/// Of `except (A, b.B), name`: a list of the names of classes, and the variable.
fn handler_header(tokens: &[Token]) -> (String, Option<&str>) {
    let at = split_at(tokens, ",").or_else(|| split_at(tokens, "as"));
    let (classes, name) = match at {
        Some(at) => (&tokens[..at], tokens.get(at + 1).and_then(Token::as_name)),
        None => (tokens, None),
    };
    let mut names: Vec<&str> = Vec::new();
    let mut is_attribute = false;
    for token in classes {
        if let Some(name) = token.as_name() {
            if is_attribute {
                names.pop();
            }
            names.push(name);
        }
        is_attribute = token.is(".");
    }
    let names: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    (format!("[{}]", names.join(", ")), name)
}
