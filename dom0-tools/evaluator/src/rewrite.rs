//! Simple statements of the old language in the words of the evaluator's.

use super::comparison::without_old_ones;
use super::token::{SourceError, Token, TokenKind};

/// What a simple statement does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Action {
    /// `pass`, `break`, `continue`.
    Plain(Vec<Token>),
    /// An expression, whose value is perhaps assigned.
    Evaluate {
        /// What is assigned to, with the operator: `x =`. Empty: the value is dropped.
        target: Vec<Token>,
        /// The expression.
        expression: Vec<Token>,
    },
    /// `return`, perhaps with a value.
    Return(Vec<Token>),
    /// Another file's statements in this place.
    Include(String),
}

const ASSIGNMENTS: [&str; 11] = [
    "+=", "-=", "*=", "/=", "//=", "%=", "&=", "|=", "^=", "<<=", ">>=",
];
/// Of these the result is bounded, or differs from the evaluator's, so that they are calls.
const REPLACED_ASSIGNMENTS: [&str; 7] = ["+=", "-=", "*=", "/=", "//=", "%=", "<<="];

/// Words that are part of what is generated.
fn generated(text: &str, line: usize) -> Token {
    Token::operator(text, line)
}

/// What a simple statement does, in order.
///
/// # Errors
///
/// It is none.
pub(super) fn actions(tokens: &[Token]) -> Result<Vec<Action>, SourceError> {
    let Some(first) = tokens.first() else {
        return Ok(Vec::new());
    };
    let line = first.line;
    let rest = tokens.get(1..).unwrap_or_default();
    let is_value = rest
        .first()
        .is_some_and(|next| next.is("=") || next.is("."));
    let call = |function: &str, arguments: &[Token]| {
        let mut expression = vec![generated(&format!("{function}("), line)];
        expression.extend(self::expression(arguments)?);
        expression.push(generated(")", line));
        Ok(Action::Evaluate {
            target: Vec::new(),
            expression,
        })
    };
    Ok(
        match first.as_name().filter(|_| !is_value).unwrap_or_default() {
            "pass" | "break" | "continue" => vec![Action::Plain(tokens.to_vec())],
            "return" => vec![Action::Return(expression(rest)?)],
            "print" => vec![call("print", printed(rest))?],
            "raise" => vec![raise(rest, line)?],
            "assert" => vec![call("py_assert", rest)?],
            "import" | "from" => imports(tokens, line)?,
            "del" => match rest {
                [name] if name.as_name().is_some() => {
                    vec![assign(name.clone(), vec![generated("None", line)])]
                }
                _ => {
                    return Err(SourceError::new(
                        line,
                        "only names can be deleted in configuration files",
                    ));
                }
            },
            "execfile" => match rest {
                [
                    open,
                    Token {
                        kind: TokenKind::Text(file),
                        ..
                    },
                    close,
                ] if open.is("(") && close.is(")") => {
                    vec![Action::Include(file.clone())]
                }
                _ => {
                    return Err(SourceError::new(
                        line,
                        "execfile takes the name of a file in quotes here, such as execfile('/etc/xen/common')",
                    ));
                }
            },
            _ => assignment(tokens, line)?,
        },
    )
}

fn assign(name: Token, expression: Vec<Token>) -> Action {
    let equals = generated("=", name.line);
    Action::Evaluate {
        target: vec![name, equals],
        expression,
    }
}

/// What `print` prints: without `>>file,`, without a comma at the end, and without brackets around all of it.
fn printed(tokens: &[Token]) -> &[Token] {
    let mut rest = tokens;
    if rest.first().is_some_and(|token| token.is(">>")) {
        let comma = split_at(rest, ",");
        rest = comma
            .and_then(|comma| rest.get(comma + 1..))
            .unwrap_or_default();
    }
    if let [before @ .., last] = rest
        && last.is(",")
    {
        rest = before;
    }
    if let [open, within @ .., close] = rest
        && open.is("(")
        && close.is(")")
        && is_balanced(within)
    {
        rest = within;
    }
    rest
}

/// Whether no bracket within closes one before.
fn is_balanced(tokens: &[Token]) -> bool {
    let mut nesting = 0;
    tokens.iter().all(|token| {
        nesting += token.nesting();
        nesting >= 0
    })
}

/// Where the first such token is that is in no bracket.
pub(super) fn split_at(tokens: &[Token], text: &str) -> Option<usize> {
    let mut nesting = 0;
    tokens.iter().position(|token| {
        nesting += token.nesting();
        nesting == 0 && token.is(text)
    })
}

/// `raise ValueError, 'text'`, `raise ValueError('text')`, `raise error`.
fn raise(tokens: &[Token], line: usize) -> Result<Action, SourceError> {
    let dotted = tokens
        .iter()
        .take_while(|token| token.as_name().is_some() || token.is("."))
        .count();
    let class = tokens
        .get(..dotted)
        .unwrap_or_default()
        .last()
        .and_then(Token::as_name);
    let mut expression = vec![generated("py_raise(", line)];
    match class.filter(|class| class.starts_with(|letter: char| letter.is_uppercase())) {
        Some(class) => {
            let mut rest = tokens.get(dotted..).unwrap_or_default();
            if rest.first().is_some_and(|token| token.is(",")) {
                rest = &rest[1..];
            }
            if let [open, within @ .., close] = rest
                && open.is("(")
                && close.is(")")
                && is_balanced(within)
            {
                rest = within;
            }
            expression.push(Token::text(class, line));
            expression.push(generated(",", line));
            expression.extend(self::expression(rest)?);
        }
        // Again the one that is handled; the caller knows which.
        None if tokens.is_empty() => expression.push(generated("py_handled", line)),
        None => {
            expression.push(Token::text("Exception", line));
            expression.push(generated(",", line));
            expression.extend(self::expression(tokens)?);
        }
    }
    expression.push(generated(")", line));
    Ok(Action::Evaluate {
        target: Vec::new(),
        expression,
    })
}

fn imports(tokens: &[Token], line: usize) -> Result<Vec<Action>, SourceError> {
    let wrong = || SourceError::new(line, "this is no import");
    let text = |tokens: &[Token]| -> Option<String> {
        let word = |token: &Token| match token.as_name() {
            Some(name) => Some(name.to_owned()),
            None => token.is(".").then(|| ".".to_owned()),
        };
        let words: Option<Vec<String>> = tokens.iter().map(word).collect();
        words
            .map(|words| words.concat())
            .filter(|text| !text.is_empty())
    };
    let module =
        |name: &str, rest: &str| vec![generated(&format!("py_import(\"{name}\"){rest}"), line)];
    let unbracketed = |token: &&Token| !token.is("(") && !token.is(")");
    let (from, names) = match tokens {
        [first, rest @ ..] if first.is("import") => (None, rest),
        [_, rest @ ..] => {
            let at = rest
                .iter()
                .position(|token| token.is("import"))
                .ok_or_else(wrong)?;
            (Some(text(&rest[..at]).ok_or_else(wrong)?), &rest[at + 1..])
        }
        [] => return Ok(Vec::new()),
    };
    let names: Vec<Token> = names.iter().filter(unbracketed).cloned().collect();
    let mut actions = Vec::new();
    for part in names
        .split(|token| token.is(","))
        .filter(|part| !part.is_empty())
    {
        let (name, alias) = match part {
            [name @ .., keyword, alias] if keyword.is("as") => (name, Some(alias.clone())),
            name => (name, None),
        };
        let is_all = name.first().is_some_and(|token| token.is("*"));
        let action = match (&from, alias) {
            (Some(from), _) if is_all => evaluate(module(from, "")),
            (Some(from), alias) => {
                let attribute = name
                    .first()
                    .filter(|token| token.as_name().is_some())
                    .ok_or_else(wrong)?;
                let value = module(
                    from,
                    &format!(".{}", attribute.as_name().unwrap_or_default()),
                );
                assign(alias.unwrap_or_else(|| attribute.clone()), value)
            }
            (None, None) => evaluate(module(&text(name).ok_or_else(wrong)?, "")),
            (None, Some(alias)) => assign(alias, module(&text(name).ok_or_else(wrong)?, "")),
        };
        actions.push(action);
    }
    Ok(actions)
}

fn evaluate(expression: Vec<Token>) -> Action {
    Action::Evaluate {
        target: Vec::new(),
        expression,
    }
}

/// `a = b = c`, `a += b`, or an expression.
fn assignment(tokens: &[Token], line: usize) -> Result<Vec<Action>, SourceError> {
    let mut nesting = 0;
    let at_top = |token: &Token| {
        nesting += token.nesting();
        nesting == 0
    };
    let at_top: Vec<bool> = tokens.iter().map(at_top).collect();
    let is_top = |&(index, _): &(usize, &Token)| at_top.get(index).copied().unwrap_or(false);
    let augmented = tokens
        .iter()
        .enumerate()
        .filter(is_top)
        .find_map(|(index, token)| {
            let operator = ASSIGNMENTS.iter().find(|operator| token.is(operator))?;
            Some((index, *operator))
        });
    if let Some((at, operator)) = augmented {
        let (target, value) = (expression(&tokens[..at])?, expression(&tokens[at + 1..])?);
        if !REPLACED_ASSIGNMENTS.contains(&operator) {
            let mut target = target;
            target.push(generated(operator, line));
            return Ok(vec![Action::Evaluate {
                target,
                expression: value,
            }]);
        }
        let mut whole = target.clone();
        whole.push(generated(operator.trim_end_matches('='), line));
        whole.push(generated("(", line));
        whole.extend(value);
        whole.push(generated(")", line));
        let mut target = target;
        target.push(generated("=", line));
        return Ok(vec![Action::Evaluate {
            target,
            expression: whole,
        }]);
    }
    let equals = tokens
        .iter()
        .enumerate()
        .filter(is_top)
        .filter(|(_, token)| token.is("="));
    let equals: Vec<usize> = equals.map(|(index, _)| index).collect();
    let Some(&last) = equals.last() else {
        return Ok(vec![evaluate(expression(tokens)?)]);
    };
    let mut value = expression(&tokens[last + 1..])?;
    if value.is_empty() {
        return Err(SourceError::new(
            line,
            "there is nothing after the equals sign",
        ));
    }
    let mut actions = Vec::new();
    if equals.len() > 1 {
        let shared = Token::name("py_shared", line);
        actions.push(assign(shared.clone(), value));
        value = vec![shared];
    }
    let mut begin = 0;
    for end in equals {
        let mut target = expression(&tokens[begin..end])?;
        if target.is_empty() {
            return Err(SourceError::new(
                line,
                "there is nothing before this equals sign",
            ));
        }
        target.push(generated("=", line));
        actions.push(Action::Evaluate {
            target,
            expression: value.clone(),
        });
        begin = end + 1;
    }
    Ok(actions)
}

/// An expression in the evaluator's words.
///
/// # Errors
///
/// It has something that the evaluator has no words for.
pub(super) fn expression(tokens: &[Token]) -> Result<Vec<Token>, SourceError> {
    let tokens = without_old_ones(tokens);
    let mut rewritten: Vec<Token> = Vec::with_capacity(tokens.len());
    let mut index = 0;
    while let Some(token) = tokens.get(index) {
        let next = tokens.get(index + 1);
        let is_attribute = rewritten.last().is_some_and(|before| before.is("."));
        index += 1;
        if token.is("is") && !is_attribute {
            let is_not = next.is_some_and(|next| next.is("not"));
            index += usize::from(is_not);
            rewritten.push(generated(if is_not { "!=" } else { "==" }, token.line));
        } else if token.is("**") && is_atom(rewritten.last()) && is_atom(next) {
            // Simple operands, as of 2 ** n.
            if let (Some(base), Some(exponent)) = (rewritten.pop(), next) {
                let line = token.line;
                rewritten.extend([generated("py_power(", line), base, generated(",", line)]);
                rewritten.extend([exponent.clone(), generated(")", line)]);
                index += 1;
            }
        } else if token.is("`") {
            return Err(SourceError::new(token.line, "write str(x) instead of `x`"));
        } else {
            rewritten.push(renamed(token, is_attribute));
        }
    }
    Ok(rewritten)
}

fn is_atom(token: Option<&Token>) -> bool {
    token.is_some_and(|token| match &token.kind {
        TokenKind::Number(_) => true,
        TokenKind::Name(name) => !matches!(
            name.as_str(),
            "in" | "and" | "or" | "not" | "if" | "else" | "lambda"
        ),
        _ => false,
    })
}

/// Names that mean something else to the evaluator.
fn renamed(token: &Token, is_attribute: bool) -> Token {
    let name = match (token.as_name(), is_attribute) {
        (Some("range" | "xrange"), false) => "py_range",
        (Some("unicode" | "basestring"), false) => "str",
        (Some("int" | "long"), false) => "py_int",
        (Some("type"), false) => "py_type",
        (Some("load"), false) => "load_",
        (Some("iteritems"), true) => "items",
        (Some("iterkeys"), true) => "keys",
        (Some("itervalues"), true) => "values",
        _ => return token.clone(),
    };
    Token::name(name, token.line)
}
