//! What the old language had and the evaluator's has not: comparisons in chains, kinds and numbers as it wrote them, modules.

use super::evaluate_tests::{error, run, shown, value};

#[test]
fn what_the_old_language_had_works() {
    for (text, name, expected) in [
        ("n = 5\nx = 0 < n < 10", "x", "1"),
        ("n = 5\nx = 0 < n < 10 < 9", "x", "0"),
        (
            "n = 3\nx = 'in' if 1 <= n <= 3 != 4 else 'out'",
            "x",
            "'in'",
        ),
        ("def f(): raise ValueError\nx = 2 < 1 < f()", "x", "0"),
        (
            "n = []\ndef f(v):\n  n.append(v)\n  return v\nif f(1) < f(2) < f(3): x = n",
            "x",
            "[1, 2, 3]",
        ),
        ("x = [n for n in range(9) if 2 < n < 5]", "x", "[3, 4]"),
        ("x = not 1 < 2 is not None in [3]", "x", "1"),
        ("try:\n  x = 1 < int('2') < 3\nexcept: x = 9", "x", "1"),
        (
            "d = {'a': 1}\nx = d.has_key('a') and not d.has_key('b')",
            "x",
            "1",
        ),
        (
            "import os\nif not os.environ.has_key('NO_SUCH_VARIABLE'): x = 4",
            "x",
            "4",
        ),
        (
            "x = isinstance('a', str) and isinstance(u'a', basestring)",
            "x",
            "1",
        ),
        (
            "x = isinstance(5, (str, int)) and isinstance(True, int)",
            "x",
            "1",
        ),
        (
            "x = isinstance([], (str, dict)) or isinstance(5, bool)",
            "x",
            "0",
        ),
        (
            "x = type('a') == str and type([]) is list and type(1) in (int, long)",
            "x",
            "1",
        ),
        (
            "x = hex(255) + hex(-1) + oct(8) + oct(0)",
            "x",
            "'0xff-0x10100'",
        ),
        ("x = sum([1, 2]) + sum((), 4)", "x", "7"),
        (
            "import xen.util.ip\nx = xen.util.ip.inet_ntoa(167772162)",
            "x",
            "'10.0.0.2'",
        ),
    ] {
        assert_eq!(value(text, name), expected, "{text}");
    }
}

#[test]
fn texts_are_numbers_as_the_old_language_had_them() {
    for (text, expected) in [
        ("int()", "0"),
        ("int(' 55\\n')", "55"),
        ("int('-010')", "-10"),
        ("int('+7')", "7"),
        ("int('0x1F', 16)", "31"),
        ("int('1f', 16)", "31"),
        ("int('010', 8)", "8"),
        ("int('0x10', 0)", "16"),
        ("int('010', 0)", "8"),
        ("int('0', 0)", "0"),
        ("int(-3.7)", "-3"),
        ("int(True)", "1"),
        ("int(5)", "5"),
        ("long('99999999999999999999') % 1000", "999"),
        ("[int(x) for x in '1 2'.split()][1]", "2"),
        ("list(map(int, ['3']))[0]", "3"),
    ] {
        assert_eq!(value(&format!("x = {text}"), "x"), expected, "{text}");
    }
    for (text, told) in [
        (
            "int('3.7')",
            "invalid literal for int() with base 10: '3.7'",
        ),
        ("int('')", "invalid literal for int() with base 10: ''"),
        (
            "int('--1')",
            "invalid literal for int() with base 10: '--1'",
        ),
        (
            "int('1_0')",
            "invalid literal for int() with base 10: '1_0'",
        ),
        ("int('9', 8)", "invalid literal for int() with base 8: '9'"),
        ("int('1', 1)", "int() base must be >= 2 and <= 36"),
        (
            "int([])",
            "int() argument must be a string or a number, not 'list'",
        ),
        (
            "int(5, 8)",
            "int() can't convert non-string with explicit base",
        ),
        (
            "int('9' * 5000)",
            "this is a larger number than any configuration needs",
        ),
    ] {
        let error = error(&format!("x = {text}"));
        assert_eq!(error, format!("/etc/xen/etch, line 1: {told}"), "{text}");
    }
    let caught = "try:\n    x = int('a')\nexcept ValueError:\n    x = 9\n";
    assert_eq!(value(caught, "x"), "9");
    let not_caught = "try:\n    x = int(None)\nexcept ValueError:\n    x = 9\n";
    assert!(error(not_caught).contains("not 'NoneType'"));
}

/// What an import does not refuse has its name, or the name of what it is in.
#[test]
fn what_is_imported_is_defined() {
    let prelude = include_str!("prelude.star");
    let (_, modules) = prelude.split_once("py_modules = {").unwrap();
    let names = modules.lines().map_while(|line| match line.trim() {
        "}" => None,
        line => Some(line.split('"').nth(1).unwrap_or_default()),
    });
    let names: Vec<_> = names.filter(|name| !name.is_empty()).collect();
    assert!(names.contains(&"commands") && names.len() > 8, "{names:?}");
    for name in names.into_iter().filter(|name| *name != "__future__") {
        let evaluated = run(&format!("import {name}\nm = {name}\nx = 1"));
        assert_eq!(shown(&evaluated, "x"), "1", "{name}");
    }
}
