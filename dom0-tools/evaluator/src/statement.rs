//! Statements of a configuration file, and which are within which.

use super::token::{LogicalLine, SourceError, Token, TokenKind};

/// Blocks within blocks: more is refused, so that recursion is bounded.
const MAX_BLOCKS: usize = 20;
/// Clauses of one `if`: more is refused, for the same reason.
const MAX_CLAUSES: usize = 200;

/// A statement.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Statement {
    /// One without others within.
    Simple(Vec<Token>),
    /// `if x:` and the like, and what is within.
    Block(Block),
}

/// `if x:` and the like, and what is within.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Block {
    /// `if`.
    pub(super) keyword: String,
    /// What is between the keyword and the colon.
    pub(super) header: Vec<Token>,
    /// What is within; at least one.
    pub(super) body: Vec<Statement>,
    /// Of the keyword.
    pub(super) line: usize,
}

const KEYWORDS: [&str; 9] = [
    "if", "elif", "else", "for", "while", "def", "try", "except", "finally",
];
/// Keywords that this language knows, and configuration files are not expected to use.
const REFUSED: [&str; 8] = [
    "class", "with", "exec", "yield", "global", "nonlocal", "async", "await",
];

/// The statements of logical lines.
///
/// # Errors
///
/// They are not within each other in a way that could be.
pub(super) fn statements(lines: &[LogicalLine]) -> Result<Vec<Statement>, SourceError> {
    let mut rest = lines;
    let indent = rest.first().map_or(0, |line| line.indent);
    if indent > 0 {
        return Err(SourceError::new(
            rest[0].line(),
            "this line is indented, and in no block",
        ));
    }
    let statements = block(&mut rest, 0, 0)?;
    match rest.first() {
        None => Ok(statements),
        Some(line) => Err(SourceError::new(
            line.line(),
            "the indentation of this line fits no other",
        )),
    }
}

fn block(
    rest: &mut &[LogicalLine],
    indent: usize,
    depth: usize,
) -> Result<Vec<Statement>, SourceError> {
    let mut statements = Vec::new();
    let mut clauses = 0;
    while let Some((line, after)) = rest.split_first() {
        if line.indent < indent {
            break;
        }
        if line.indent > indent {
            return Err(SourceError::new(
                line.line(),
                "this line is indented, and in no block",
            ));
        }
        *rest = after;
        let keyword = line
            .tokens
            .first()
            .and_then(Token::as_name)
            .unwrap_or_default();
        if !KEYWORDS.contains(&keyword) {
            statements.extend(simple(&line.tokens)?);
            continue;
        }
        clauses = match keyword {
            "elif" | "except" => clauses + 1,
            _ => 0,
        };
        if depth >= MAX_BLOCKS || clauses > MAX_CLAUSES {
            return Err(SourceError::new(line.line(), "blocks are nested too deep"));
        }
        let colon = colon(&line.tokens).ok_or_else(|| {
            SourceError::new(
                line.line(),
                format!("there is no colon after this {keyword}"),
            )
        })?;
        let inline = line.tokens.get(colon + 1..).unwrap_or_default();
        let body = match (inline.is_empty(), rest.first()) {
            (false, _) => simple(inline)?,
            (true, Some(next)) if next.indent > indent => block(rest, next.indent, depth + 1)?,
            (true, _) => {
                return Err(SourceError::new(
                    line.line(),
                    format!("this {keyword} has nothing within"),
                ));
            }
        };
        statements.push(Statement::Block(Block {
            keyword: keyword.to_owned(),
            header: line.tokens.get(1..colon).unwrap_or_default().to_vec(),
            body,
            line: line.line(),
        }));
    }
    Ok(statements)
}

/// Where the colon is that ends the header.
fn colon(tokens: &[Token]) -> Option<usize> {
    let mut nesting = 0;
    let mut lambdas = 0;
    for (index, token) in tokens.iter().enumerate() {
        nesting += token.nesting();
        if nesting == 0 && token.is("lambda") {
            lambdas += 1;
        } else if nesting == 0 && token.is(":") {
            if lambdas == 0 {
                return Some(index);
            }
            lambdas -= 1;
        }
    }
    None
}

/// The statements of a line, between semicolons.
fn simple(tokens: &[Token]) -> Result<Vec<Statement>, SourceError> {
    let parts = tokens
        .split(|token| token.is(";"))
        .filter(|part| !part.is_empty());
    let statement = |part: &[Token]| {
        let first = part.first();
        let (keyword, line) = match first {
            Some(Token {
                kind: TokenKind::Name(name),
                line,
            }) => (name.as_str(), *line),
            _ => return Ok(Statement::Simple(part.to_vec())),
        };
        if REFUSED.contains(&keyword) && !part.get(1).is_some_and(|token| token.is("=")) {
            return Err(SourceError::new(
                line,
                format!("{keyword} is not possible in configuration files"),
            ));
        }
        if KEYWORDS.contains(&keyword) {
            return Err(SourceError::new(
                line,
                format!("{keyword} begins a line of its own"),
            ));
        }
        Ok(Statement::Simple(part.to_vec()))
    };
    parts.map(statement).collect()
}

#[cfg(test)]
mod tests {
    use super::super::token::logical_lines;
    use super::*;

    fn shape(statements: &[Statement]) -> String {
        let one = |statement: &Statement| match statement {
            Statement::Simple(tokens) => tokens.len().to_string(),
            Statement::Block(block) => format!(
                "{}{}({})",
                block.keyword,
                block.header.len(),
                shape(&block.body)
            ),
        };
        statements.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    fn of(source: &str) -> Result<String, SourceError> {
        Ok(shape(&statements(&logical_lines(source)?)?))
    }

    #[test]
    fn blocks_are_within_blocks() {
        let source = "a=1; b=2\nif x:\n\ty=1\n\tif z: w=1; v=2\n        u=3\nelse: t=1\ndef f(x):\n  return x\n";
        assert_eq!(
            of(source).unwrap(),
            "3 3 if1(3 if1(3 3) 3) else0(3) def4(2)"
        );
        assert_eq!(of("for k in {1:2}: a\n").unwrap(), "for7(1)");
        assert_eq!(of("if (lambda: 1)(): a\n").unwrap(), "if7(1)");
        assert_eq!(of("").unwrap(), "");
    }

    #[test]
    fn what_fits_nowhere_is_refused() {
        let error = |source| of(source).unwrap_err();
        assert_eq!(error("a=1\n  b=2\n").line, 2);
        assert_eq!(error("  a=1\n").line, 1);
        assert_eq!(error("if x:\n    a=1\n  b=2\n").line, 3);
        assert_eq!(
            error("if x\n  a=1\n").reason,
            "there is no colon after this if"
        );
        assert_eq!(error("if x:\na=1\n").reason, "this if has nothing within");
        assert_eq!(
            error("\nclass X:\n pass").reason,
            "class is not possible in configuration files"
        );
        assert_eq!(error("if x: if y: z").reason, "if begins a line of its own");
        let deep: String = (0..40)
            .map(|depth| format!("{}if x:\n", " ".repeat(depth)))
            .collect();
        assert_eq!(error(&deep).reason, "blocks are nested too deep");
    }
}
