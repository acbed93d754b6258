use super::*;

#[test]
fn an_empty_line_gives_the_defaults() {
    let parsed = parse(b"");
    assert_eq!(parsed.options, Options::DEFAULT);
    assert!(parsed.warnings.is_empty());
}
