//! Comparisons of the old language that the evaluator has not: `0 < n < 10`, and `names.has_key(n)`.

use super::token::{Token, TokenKind};

/// Rewrites both within an expression, in all its brackets.
pub(super) fn without_old_ones(tokens: &[Token]) -> Vec<Token> {
    without_chains(&without_has_key(tokens))
}

/// `x.has_key(y)` as `py_has_key(x, y)`.
fn without_has_key(tokens: &[Token]) -> Vec<Token> {
    let mut rewritten: Vec<Token> = Vec::with_capacity(tokens.len());
    let mut rest = tokens;
    while let Some((token, after)) = rest.split_first() {
        rest = after;
        if let ([method, open, behind @ ..], true) = (after, token.is("."))
            && method.is("has_key")
            && open.is("(")
        {
            rest = behind;
            let (line, start) = (token.line, primary(&rewritten));
            let call = [Token::name("py_has_key", line), Token::operator("(", line)];
            rewritten.splice(start..start, call);
            rewritten.push(Token::operator(",", line));
        } else {
            rewritten.push(token.clone());
        }
    }
    rewritten
}

/// Where the operand begins that ends these words: `b.c(d)[e]` of `a + b.c(d)[e]`.
fn primary(tokens: &[Token]) -> usize {
    let mut nesting = 0;
    let mut start = tokens.len();
    let mut is_wanted = true;
    for (index, token) in tokens.iter().enumerate().rev() {
        nesting -= token.nesting();
        if nesting > 0 {
            continue;
        }
        match (&token.kind, token.nesting()) {
            // The bracket that opens around it.
            (_, 1) if nesting < 0 => break,
            // Behind an operand it is a call or an index, and after that more may stand in front.
            (_, 1) => is_wanted = !token.is("{"),
            (TokenKind::Operator(_), _) if token.is(".") => {
                is_wanted = true;
                continue;
            }
            (TokenKind::Name(name), _) if is_wanted && !is_keyword(name) => is_wanted = false,
            (TokenKind::Text(_) | TokenKind::Number(_), _) if is_wanted => is_wanted = false,
            _ => break,
        }
        start = index;
    }
    start
}

fn is_keyword(name: &str) -> bool {
    matches!(
        name,
        "in" | "is" | "and" | "or" | "not" | "if" | "else" | "for" | "lambda"
    )
}

/// What is between two words that bind less than a comparison.
#[derive(Default)]
struct Part {
    /// Where it begins, in what is rewritten.
    start: usize,
    /// Its comparisons: where each is, of how many words, and how the evaluator writes it.
    comparisons: Vec<(usize, usize, &'static str)>,
    /// A `for` whose `in` is still to come, which is no comparison.
    has_for: bool,
}

impl Part {
    fn at(start: usize) -> Self {
        Self {
            start,
            ..Self::default()
        }
    }
}

/// `a < b <= c` as `py_chain ( a , "<" , lambda : ( b ) , "<=" , lambda : ( c ) )`: each operand is evaluated once at
/// most, in order, and none behind a comparison that does not hold.
fn without_chains(tokens: &[Token]) -> Vec<Token> {
    let mut rewritten: Vec<Token> = Vec::with_capacity(tokens.len());
    let mut parts = vec![Part::default()];
    let mut index = 0;
    while let Some(token) = tokens.get(index) {
        let part = parts.last_mut().filter(|_| token.nesting() == 0);
        let compares = comparison(&tokens[index..]).filter(|_| {
            part.as_ref()
                .is_some_and(|part| rewritten.len() > part.start && !part.has_for)
        });
        match (token.nesting(), part) {
            (1, _) => {
                rewritten.push(token.clone());
                parts.push(Part::at(rewritten.len()));
            }
            (-1, _) => {
                if let Some(part) = parts.pop() {
                    end(&mut rewritten, &part);
                }
                if parts.is_empty() {
                    parts.push(Part::default());
                }
                rewritten.push(token.clone());
            }
            (_, Some(part)) if compares.is_some() => {
                let (length, operator) = compares.unwrap_or((1, "=="));
                part.comparisons.push((rewritten.len(), length, operator));
                rewritten.extend_from_slice(&tokens[index..index + length]);
                index += length - 1;
            }
            (_, Some(part)) if binds_less(token) => {
                end(&mut rewritten, part);
                rewritten.push(token.clone());
                let has_for = token.is("for") || (part.has_for && !token.is("in"));
                *part = Part::at(rewritten.len());
                part.has_for = has_for;
            }
            _ => rewritten.push(token.clone()),
        }
        index += 1;
    }
    while let Some(part) = parts.pop() {
        end(&mut rewritten, &part);
    }
    rewritten
}

/// The comparison that these words begin with: how many they are, and how the evaluator writes it.
fn comparison(tokens: &[Token]) -> Option<(usize, &'static str)> {
    const OF_ONE: [(&str, &str); 8] = [
        ("<", "<"),
        (">", ">"),
        ("<=", "<="),
        (">=", ">="),
        ("==", "=="),
        ("!=", "!="),
        ("in", "in"),
        ("is", "=="),
    ];
    let (first, second) = (tokens.first()?, tokens.get(1));
    let is_second = |word: &str| second.is_some_and(|second| second.is(word));
    if first.is("not") && is_second("in") {
        return Some((2, "not in"));
    }
    if first.is("is") && is_second("not") {
        return Some((2, "!="));
    }
    let found = OF_ONE.iter().find(|(word, _)| first.is(word));
    found.map(|(_, operator)| (1, *operator))
}

fn binds_less(token: &Token) -> bool {
    const WORDS: [&str; 12] = [
        "and", "or", "not", "if", "else", "for", "in", "lambda", ",", ":", "=", ";",
    ];
    WORDS.iter().any(|word| token.is(word))
}

/// Ends a part: if it is a chain of comparisons it becomes a call.
fn end(rewritten: &mut Vec<Token>, part: &Part) {
    let [(first, ..), _, ..] = part.comparisons.as_slice() else {
        return;
    };
    let line = rewritten.get(*first).map_or(1, |token| token.line);
    let operator = |text: &str| Token::operator(text, line);
    let mut chain = vec![Token::name("py_chain", line), operator("(")];
    chain.extend_from_slice(&rewritten[part.start..*first]);
    for (number, (at, length, word)) in part.comparisons.iter().enumerate() {
        let until = part.comparisons.get(number + 1);
        let until = until.map_or(rewritten.len(), |(next, ..)| *next);
        let operand = &rewritten[at + length..until];
        chain.extend([operator(","), Token::text(word, line), operator(",")]);
        chain.extend([Token::name("lambda", line), operator(":"), operator("(")]);
        chain.extend_from_slice(operand);
        chain.push(operator(")"));
    }
    chain.push(operator(")"));
    rewritten.truncate(part.start);
    rewritten.extend(chain);
}

#[cfg(test)]
mod tests {
    use super::super::token::logical_lines;
    use super::*;

    fn rewritten(source: &str) -> String {
        let line = logical_lines(source).unwrap().remove(0);
        let words = without_old_ones(&line.tokens);
        let word = |token: &Token| match &token.kind {
            TokenKind::Name(text) | TokenKind::Number(text) | TokenKind::Operator(text) => {
                text.clone()
            }
            TokenKind::Text(text) => format!("'{text}'"),
        };
        words.iter().map(word).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn chains_become_calls() {
        for (source, expected) in [
            ("a < b", "a < b"),
            ("a < b and c < d", "a < b and c < d"),
            ("not a in b", "not a in b"),
            ("[x for x in a if x in b]", "[ x for x in a if x in b ]"),
            (
                "a < b + 1 <= c",
                "py_chain ( a , '<' , lambda : ( b + 1 ) , '<=' , lambda : ( c ) )",
            ),
            (
                "not a not in b is not c or d",
                "not py_chain ( a , 'not in' , lambda : ( b ) , '!=' , lambda : ( c ) ) or d",
            ),
            (
                "f(x, 1 < (2 < 3 < 4) < 5)",
                "f ( x , py_chain ( 1 , '<' , lambda : ( ( py_chain ( 2 , '<' , lambda : ( 3 ) , '<' , lambda : ( 4 ) ) ) ) \
                 , '<' , lambda : ( 5 ) ) )",
            ),
        ] {
            assert_eq!(rewritten(source), expected, "{source}");
        }
    }

    #[test]
    fn has_key_becomes_a_call() {
        for (source, expected) in [
            ("d.has_key(1)", "py_has_key ( d , 1 )"),
            ("has_key(1)", "has_key ( 1 )"),
            (
                "not f(a)[0].b.has_key('x') + 1",
                "not py_has_key ( f ( a ) [ 0 ] . b , 'x' ) + 1",
            ),
            ("1 + {}.has_key(k)", "1 + py_has_key ( { } , k )"),
            ("x = (a, b.has_key(k))", "x = ( a , py_has_key ( b , k ) )"),
            (
                "a in b.has_key(c.has_key(d))",
                "a in py_has_key ( b , py_has_key ( c , d ) )",
            ),
        ] {
            assert_eq!(rewritten(source), expected, "{source}");
        }
    }
}
