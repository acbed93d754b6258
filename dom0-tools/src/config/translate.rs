//! From Python 2, in which configuration files are written, to Starlark, which evaluates them.
//!
//! What differs is spelling for the most part: literals that follow each other, octal numbers, `print`, `raise`,
//! `is`. Imports become nothing or assignments, since the modules are there anyway. A `try` becomes its body: what
//! the body raises is an error of the file. Integers divide as they did, rounding down.
//!
//! A file comes out as [`Chunk`]s, one for each statement at the top level, because a file may set names that later
//! statements use without having assigned them (`xm_vars.check()`).

use super::tokens::{Kind, Token, Unfinished, text_value, tokens};
use std::fmt::Write;

/// A statement at the top level.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Chunk {
    /// Its first line, from 1.
    pub line: usize,
    /// In Starlark; its lines are those of the file.
    pub text: String,
}

/// Modules that files may import.
const MODULES: [&str; 7] = ["os", "re", "sys", "string", "socket", "struct", "time"];

/// Why a file can't be translated.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Untranslated {
    /// Something does not end that begins on this line.
    Unfinished(usize),
    /// A module that is not offered is imported on this line.
    Import(usize, String),
}

impl From<Unfinished> for Untranslated {
    fn from(unfinished: Unfinished) -> Self {
        Self::Unfinished(unfinished.0)
    }
}

/// Translates a file.
///
/// # Errors
///
/// See [`Untranslated`].
pub fn translate(source: &str) -> Result<Vec<Chunk>, Untranslated> {
    let source = source.trim_start_matches('\u{feff}').replace("\r\n", "\n");
    let mut chunks: Vec<Chunk> = Vec::new();
    let all = tokens(&source)?;
    for line in all.split_inclusive(|token| token.kind == Kind::Newline) {
        let Some(first) = line.first() else { continue };
        let is_inside = match first.kind {
            Kind::Space | Kind::Newline | Kind::Comment => true,
            _ => matches!(&*first.text, "elif" | "else" | "except" | "finally"),
        };
        let text = statement_line(line)?;
        match chunks.last_mut() {
            Some(chunk) if is_inside => chunk.text.push_str(&text),
            _ => chunks.push(Chunk {
                line: first.line,
                text,
            }),
        }
    }
    Ok(chunks)
}

/// One line of statements, which may have several lines of text.
fn statement_line(line: &[Token]) -> Result<String, Untranslated> {
    let mut text = String::new();
    let mut rest = line;
    if let [indent, behind @ ..] = rest
        && indent.kind == Kind::Space
    {
        text.push_str(&indent.text.replace('\t', "        ").replace('\x0c', ""));
        rest = behind;
    }
    // Statements that follow each other, and those behind a colon.
    while !rest.is_empty() {
        let end = statement_end(rest);
        let (statement, behind) = rest.split_at(end);
        text.push_str(&one_statement(statement)?);
        rest = behind;
    }
    Ok(text)
}

/// The end of the first statement, with its semicolon, or with the colon of a block.
fn statement_end(tokens: &[Token]) -> usize {
    let opens_block = tokens
        .iter()
        .find(|token| token.kind == Kind::Name)
        .is_some_and(|word| {
            matches!(
                &*word.text,
                "if" | "elif" | "else" | "for" | "while" | "def" | "try" | "except" | "finally"
            )
        });
    let mut depth = 0_u32;
    for (index, token) in tokens.iter().enumerate() {
        match &*token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            ";" if depth == 0 => return index + 1,
            ":" if depth == 0 && opens_block => return index + 1,
            _ => {}
        }
    }
    tokens.len()
}

/// What follows on the line when the statement proper is over.
fn split_tail(statement: &[Token]) -> (&[Token], &[Token]) {
    let end = statement
        .iter()
        .rposition(|token| {
            !matches!(token.kind, Kind::Space | Kind::Comment | Kind::Newline) && token.text != ";"
        })
        .map_or(0, |last| last + 1);
    statement.split_at(end)
}

fn one_statement(statement: &[Token]) -> Result<String, Untranslated> {
    let (leading, body): (Vec<_>, Vec<_>) = {
        let start = statement
            .iter()
            .position(|token| token.kind != Kind::Space)
            .unwrap_or(0);
        let (leading, body) = statement.split_at(start);
        (leading.to_vec(), body.to_vec())
    };
    let (proper, tail) = split_tail(&body);
    let mut text = plain(&leading);
    let word = proper.first().map_or("", |token| token.text.as_str());
    let behind = proper.get(1..).unwrap_or_default();
    let translated = match word {
        "import" | "from" => import(proper)?,
        "print" if !starts_with(behind, "(") => format!("print({})", expression(behind).trim()),
        "raise" => raise(behind),
        "try" | "finally" => "if True:".to_owned(),
        "except" => "if False:".to_owned(),
        "global" | "del" => "pass".to_owned(),
        _ => expression(proper),
    };
    text.push_str(&translated);
    text.push_str(&plain(tail));
    Ok(text)
}

fn plain(tokens: &[Token]) -> String {
    tokens.iter().map(|token| token.text.as_str()).collect()
}

fn words(tokens: &[Token]) -> impl Iterator<Item = &Token> {
    tokens.iter().filter(|token| token.kind != Kind::Space)
}

fn starts_with(tokens: &[Token], text: &str) -> bool {
    words(tokens).next().is_some_and(|token| token.text == text)
}

/// Names of modules are there without being imported; what is imported from them becomes a name.
fn import(statement: &[Token]) -> Result<String, Untranslated> {
    let text = plain(statement);
    let line = statement.first().map_or(0, |token| token.line);
    let known = |module: &str| {
        let top = module.split('.').next().unwrap_or_default().trim();
        if MODULES.contains(&top) {
            Ok(())
        } else {
            Err(Untranslated::Import(line, module.trim().to_owned()))
        }
    };
    if let Some(rest) = text.strip_prefix("from") {
        let (module, names) = rest.split_once("import").unwrap_or((rest, ""));
        known(module)?;
        let assignments: Vec<_> = names
            .trim_matches(['(', ')', ' '])
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty() && *name != "*")
            .map(|name| {
                let (name, alias) = name.split_once(" as ").unwrap_or((name, name));
                format!("{} = {}.{}", alias.trim(), module.trim(), name.trim())
            })
            .collect();
        return Ok(if assignments.is_empty() {
            "pass".to_owned()
        } else {
            assignments.join("; ")
        });
    }
    let mut statements = Vec::new();
    for module in text.trim_start_matches("import").split(',') {
        let (module, alias) = module.split_once(" as ").unwrap_or((module, ""));
        known(module)?;
        if !alias.is_empty() {
            statements.push(format!("{} = {}", alias.trim(), module.trim()));
        }
    }
    statements.push("pass".to_owned());
    Ok(statements.join("; "))
}

/// `raise Kind, "text"`, `raise Kind("text")`, `raise Kind`, `raise "text"`, `raise`.
fn raise(behind: &[Token]) -> String {
    let all: Vec<_> = words(behind).cloned().collect();
    match all.as_slice() {
        [] => "fail('an error is raised again')".to_owned(),
        [kind, comma, rest @ ..] if kind.kind == Kind::Name && comma.text == "," => {
            format!("fail({})", expression(rest))
        }
        [kind, open, close] if open.text == "(" && close.text == ")" => {
            format!("fail({:?})", kind.text)
        }
        [kind, open, ..] if kind.kind == Kind::Name && open.text == "(" => {
            let at = behind
                .iter()
                .position(|token| token.text == "(")
                .unwrap_or(0);
            format!("fail{}", expression(behind.get(at..).unwrap_or_default()))
        }
        [kind] if kind.kind == Kind::Name => format!("fail({:?})", kind.text),
        _ => format!("fail({})", expression(behind).trim()),
    }
}

/// Everything below the level of statements.
fn expression(tokens: &[Token]) -> String {
    let mut text = String::new();
    let mut index = 0;
    while let Some(token) = tokens.get(index) {
        index += 1;
        match token.kind {
            Kind::Text => {
                let (value, newlines, next) = literal(tokens, index - 1);
                index = next;
                let quoted = starlark_literal(&value);
                match formatted(tokens, index, &value) {
                    Some((start, end)) => {
                        let operand = expression(tokens.get(start..end).unwrap_or_default());
                        let _ = write!(text, "percent({quoted}, {})", operand.trim());
                        index = end;
                    }
                    None => text.push_str(&quoted),
                }
                text.push_str(&"\\\n".repeat(newlines));
            }
            Kind::Number => text.push_str(&number(&token.text)),
            Kind::Name if token.text == "is" => {
                let is_not = words(tokens.get(index..).unwrap_or_default())
                    .next()
                    .is_some_and(|next| next.text == "not");
                if is_not {
                    while tokens.get(index).is_some_and(|next| next.text != "not") {
                        index += 1;
                    }
                    index += 1;
                }
                text.push_str(if is_not { "!=" } else { "==" });
            }
            Kind::Operator => match &*token.text {
                "/" => text.push_str("//"),
                "<>" => text.push_str("!="),
                other => text.push_str(other),
            },
            _ => text.push_str(&token.text),
        }
    }
    text
}

/// The value of literals that follow each other from `index` on, the ends of lines in them and between them, and
/// where they end.
fn literal(tokens: &[Token], index: usize) -> (String, usize, usize) {
    let mut value = String::new();
    let mut newlines = 0;
    let mut end = index;
    let mut at = index;
    let mut between = 0;
    while let Some(token) = tokens.get(at) {
        match token.kind {
            Kind::Text => {
                value.push_str(&text_value(&token.text));
                newlines += between + token.text.matches('\n').count();
                between = 0;
                end = at + 1;
            }
            Kind::Space | Kind::Comment => between += token.text.matches('\n').count(),
            _ => break,
        }
        at += 1;
    }
    (value, newlines, end)
}

fn starlark_literal(value: &str) -> String {
    let mut text = String::from("\"");
    for c in value.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(text, "\\x{:02x}", u32::from(c));
            }
            c => text.push(c),
        }
    }
    text.push('"');
    text
}

/// Whether a literal is formatted in a way that Starlark does not know; where its operand starts and ends.
fn formatted(tokens: &[Token], index: usize, value: &str) -> Option<(usize, usize)> {
    let needs_help = value.split('%').skip(1).any(|spec| {
        spec.starts_with(|c: char| {
            c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | '#' | 'i' | 'u' | 'c')
        })
    });
    let skip = |mut at: usize| {
        while tokens
            .get(at)
            .is_some_and(|token| token.kind == Kind::Space)
        {
            at += 1;
        }
        at
    };
    let at = skip(index);
    if !needs_help || tokens.get(at)?.text != "%" {
        return None;
    }
    let start = skip(at + 1);
    let close = |from: usize| {
        let mut depth = 0_u32;
        let inside = tokens.get(from..).unwrap_or_default();
        for (offset, token) in inside.iter().enumerate() {
            match &*token.text {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                return from + offset + 1;
            }
        }
        tokens.len()
    };
    let mut end = close(start);
    while let Some(token) = tokens.get(end) {
        end = match &*token.text {
            "(" | "[" => close(end),
            "." => end + 2,
            _ => break,
        };
    }
    Some((start, end))
}

/// Octal numbers by a leading zero, long ones by an L.
fn number(text: &str) -> String {
    let text = text.trim_end_matches(['l', 'L']);
    let is_octal =
        text.len() > 1 && text.starts_with('0') && text.chars().all(|c| matches!(c, '0'..='7'));
    if is_octal {
        format!("0o{}", text.trim_start_matches('0'))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(source: &str) -> String {
        translate(source)
            .unwrap()
            .into_iter()
            .map(|chunk| chunk.text)
            .collect()
    }

    #[test]
    fn spelling_is_translated() {
        for (python, starlark) in [
            ("a = 010 + 0x10 + 10L\n", "a = 0o10 + 0x10 + 10\n"),
            ("a = 'x' \"y\"\n", "a = \"xy\"\n"),
            ("print 'x', 1\n", "print(\"x\", 1)\n"),
            ("print('x')\n", "print(\"x\")\n"),
            ("a = 7 / 2\n", "a = 7 // 2\n"),
            ("if a is not None: b = 1\n", "if a != None: b = 1\n"),
            ("if a is None : b = 1\n", "if a == None : b = 1\n"),
            ("raise ValueError\n", "fail(\"ValueError\")\n"),
            ("raise ValueError, 'no'\n", "fail(\"no\")\n"),
            ("raise ValueError('no' + x)\n", "fail(\"no\" + x)\n"),
            ("import os, re; a = 1\n", "pass; a = 1\n"),
            ("from os import path\n", "path = os.path\n"),
            ("if a <> 1 : raise 'x'\n", "if a != 1 : fail(\"x\")\n"),
            (
                "a = 'v%02x' % (b, c) + 'd'\n",
                "a = percent(\"v%02x\", (b, c)) + \"d\"\n",
            ),
            (
                "a = 'v%02d' % f(b)[0].c\n",
                "a = percent(\"v%02d\", f(b)[0].c)\n",
            ),
            ("a = 'v%s%%' % b\n", "a = \"v%s%%\" % b\n"),
            ("\ta = 1\n", "        a = 1\n"),
            ("a = 1 # it's\n", "a = 1 # it's\n"),
        ] {
            assert_eq!(one(python), starlark, "{python}");
        }
    }

    #[test]
    fn lines_stay_where_they_are() {
        let source = "a = ['x'\n 'y', # one\n]\nb = '''1\n2'''\nc = 3\n";
        let chunks = translate(source).unwrap();
        assert_eq!(
            chunks.iter().map(|chunk| chunk.line).collect::<Vec<_>>(),
            [1, 4, 6]
        );
        assert_eq!(
            one(source).matches('\n').count(),
            source.matches('\n').count()
        );
    }

    #[test]
    fn blocks_are_one_chunk() {
        let source = "# top\nif 1:\n  a = 1\n\n# note\nelse:\n  a = 2\nb = 1\ntry:\n  c = 1\nexcept:\n  c = 2\n";
        let chunks = translate(source).unwrap();
        let lines: Vec<_> = chunks.iter().map(|chunk| chunk.line).collect();
        assert_eq!(lines, [1, 2, 8, 9]);
        assert!(one(source).contains("if True:\n  c = 1\nif False:\n"));
    }

    #[test]
    fn unknown_modules_are_named() {
        let refused = translate("a = 1\nimport subprocess\n");
        assert_eq!(refused, Err(Untranslated::Import(2, "subprocess".into())));
    }
}
