//! Configuration files that mean harm, or nothing: whatever is in one, it is read or refused in a sentence, in a moment,
//! in bounded memory, and without a look into files that are none of its business.

use dom0_tools::config::file::load;
use dom0_tools::config::keys::Overrides;
use evaluator::script::evaluate_file;
use nix::sys::resource::{UsageWho, getrusage};
use proptest::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// What nobody takes for a moment: a debug build on a machine with much else to do.
const MOMENT: Duration = Duration::from_secs(60);
/// What this process may have had at once, its stack and the evaluator's bound included.
const MOST_KIB: u64 = 700 << 10;
/// A file that no configuration may read, and what is in it.
const SECRET: &str = "a-well-kept-secret";

/// Where this test's files are: the configuration in one directory, and the secret in another.
fn places() -> (PathBuf, PathBuf) {
    let directory = std::env::temp_dir().join(format!("configurations-{}", std::process::id()));
    (directory.join("own/etch"), directory.join("else/secret"))
}

/// The most memory that this process has ever had.
fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.unwrap().parse().unwrap()
}

/// Reads a file of this text, and looks at what comes of it.
fn must_be_harmless(text: &str) {
    let (own, secret) = places();
    for path in [&own, &secret] {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
    }
    fs::write(&secret, format!("name = '{SECRET}'\n")).unwrap();
    // Tests run side by side.
    let name = format!("etch-{:?}", std::thread::current().id()).replace(['(', ')'], "-");
    let own = own.with_file_name(name);
    fs::write(&own, text.replace("SECRET", &secret.display().to_string())).unwrap();
    let began = Instant::now();
    let said = match load(&own, &Overrides::default(), &evaluate_file) {
        Ok(loaded) => format!("{loaded:?}"),
        Err(error) => error.to_string(),
    };
    let took = began.elapsed();
    fs::remove_file(&own).unwrap();
    assert!(took < MOMENT, "it takes {took:?}:\n{text}");
    assert!(
        !said.contains("evaluator of configuration files has failed"),
        "{said}:\n{text}"
    );
    assert!(!said.contains(SECRET), "it has read the secret:\n{text}");
    let peak = peak_kib();
    assert!(peak < MOST_KIB, "{peak} KiB:\n{text}");
}

/// `xm`, which is built beside what it starts (`cargo test --package dom0-tools --package evaluator`).
fn xm() -> Command {
    let path = Path::new(env!("CARGO_BIN_EXE_xm-evaluate")).with_file_name("xm");
    assert!(path.exists(), "{} is to be built first", path.display());
    Command::new(path)
}

/// Runs `xm create -n`, and looks how long it takes.
fn create(path: &Path, text: &str) -> (Output, Duration) {
    fs::write(path, text).unwrap();
    let mut command = xm();
    command.args(["create", "-n", "-q"]).arg(path);
    let began = Instant::now();
    let output = command.output().unwrap();
    (output, began.elapsed())
}

/// One operation can make much before the evaluator counts it, and many that are cheap to count can be dear: the kernel
/// bounds what the process has that reads the file, and the machine does not notice.
#[test]
fn whatever_a_file_computes_ends_in_a_sentence() {
    let path = std::env::temp_dir().join(format!("operation-{}", std::process::id()));
    let (usual, _) = create(&path, "name = 'etch'\nkernel = '/dev/null'\n");
    let said = String::from_utf8_lossy(&usual.stdout);
    assert!(
        usual.status.success() && said.contains("(name etch)"),
        "{usual:?}"
    );
    let memory = "this needs more memory than any configuration";
    let time = "this computes for more than 10 s; is there a loop without an end?";
    for (text, reason) in [
        ("x = ('a' * 16000).join([''] * 100000)", memory),
        ("x = ('a' * 16000).replace('a', 'b' * 16000)", memory),
        ("x = ','.join(['a' * 16000] * 100000)", memory),
        (
            "import re\nx = re.sub('', 'b' * 16000, 'a' * 16000)",
            memory,
        ),
        ("x = repr(['a' * 16000] * 100000)", memory),
        (
            "x = ('a' * 4000).replace('a', 'b' * 9000)\ny = x.replace('b', x)",
            memory,
        ),
        ("x = ['a' * 16000] * 100000", memory),
        (
            "x = ['a' * 16000] * 2000",
            "this assigns more than any configuration needs",
        ),
        (
            "a = [0] * 100000\nb = a\nc = a\nd = a",
            "this assigns more than any configuration needs",
        ),
        ("x = range(99999)\nfor i in x: y = -1 in x", time),
    ] {
        let (ended, took) = create(&path, text);
        let said = String::from_utf8_lossy(&ended.stderr);
        let sentence = format!("Error: {}: {reason}\n", path.display());
        // Where there is much else to do, the clock is faster than the processor.
        let later = sentence.replace("computes for more than 10 s", "is not read within 30 s");
        assert_eq!(ended.status.code(), Some(1), "{text}");
        assert!(said == sentence || said == later, "{text}: {said}");
        assert!(took < MOMENT, "{text}: {took:?}");
    }
    fs::remove_file(&path).unwrap();
    let peak = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().max_rss();
    assert!(peak < 700 << 10, "{peak} KiB");
}

#[test]
fn commands_have_the_bounds_of_who_runs_them() {
    let path = std::env::temp_dir().join(format!("bounded-{}", std::process::id()));
    let text = "import os\nkernel = '/dev/null'\nname = 'n' + '-'.join(os.popen('ulimit -t; ulimit -v').read().split())\n";
    fs::write(&path, text).unwrap();
    let mut command = xm();
    command.args(["create", "-n", "-q"]).arg(&path);
    let output = command.env("XM_CONFIG_ALLOW", "commands").output().unwrap();
    fs::remove_file(&path).unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    // Seconds, and KiB.
    assert!(said.contains("(name n10-524288)"), "{output:?}");
}

#[test]
fn a_file_named_without_its_directory_includes_what_is_beside_it() {
    let directory = std::env::temp_dir().join(format!("beside-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("common"), "kernel = '/dev/null'\n").unwrap();
    fs::write(directory.join("etch"), "execfile('common')\n").unwrap();
    let mut command = xm();
    command.args(["create", "-n", "-q", "etch"]);
    let output = command.current_dir(&directory).output().unwrap();
    fs::remove_dir_all(&directory).unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn nested_texts_of_any_depth_are_refused() {
    for (opening, closing) in [
        ("(", ")"),
        ("[", "]"),
        ("{1:", "}"),
        ("-", ""),
        ("not ", ""),
        ("f(", ")"),
        ("a[", "]"),
    ] {
        for depth in [100, 3_000, 100_000] {
            must_be_harmless(&format!(
                "x = {}1{}\n",
                opening.repeat(depth),
                closing.repeat(depth)
            ));
        }
    }
    let blocks = |word: &str| -> String {
        (0..400)
            .map(|depth| format!("{}{word}:\n", " ".repeat(depth)))
            .collect()
    };
    for word in ["if 1", "while 1", "for i in [1]", "def f()", "try"] {
        must_be_harmless(&format!("{}{}pass\n", blocks(word), " ".repeat(400)));
    }
    must_be_harmless(&"x = 1 + ".repeat(50_000));
    must_be_harmless(&"if 1: ".repeat(10_000));
    must_be_harmless(&"a.".repeat(50_000));
    must_be_harmless(&"\\\n".repeat(100_000));
    must_be_harmless(&"'".repeat(99_999));
    must_be_harmless(&"\"\"\"".repeat(33_333));
    must_be_harmless(&"\t\n ".repeat(100_000));
}

#[test]
fn other_files_are_not_read() {
    for text in [
        "execfile('SECRET')",
        "name = open('SECRET').read()",
        "name = file('SECRET').read()",
        "import os\nname = os.popen('cat SECRET').read()",
        "import os\nos.system('cat SECRET')",
        "load('SECRET', 'name')",
        "import imp\nname = imp.load_source('a', 'SECRET')",
        "from SECRET import name",
        "execfile('../else/secret')",
        "import commands\nname = commands.getoutput('cat SECRET')",
        "import subprocess\nname = subprocess.check_output(['cat', 'SECRET'])",
        "exec(open('SECRET').read())",
        "name = eval('open(\"SECRET\").read()')",
        "name = __import__('os').popen('cat SECRET').read()",
    ] {
        must_be_harmless(text);
    }
}

/// Expressions, of what makes much of little.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "0|1|-1|7|300|16000|100000|2147483648|9223372036854775807|99999999999999999999|0\\.5|1e308",
        "'a'|''|'%s'|'%5d'|'\\\\\\\\'|u'x'|r'\\\\d'|'00:16:3e:00:00:01'",
        "x|y|name|f|None|True|\\[\\]|\\{\\}|\\(\\)|range\\(100000\\)|'SECRET'",
    ];
    leaf.prop_recursive(5, 40, 3, |inner| {
        let operator = "\\+|-|\\*|/|//|%|<<|>>|\\||&|==|<|in|not in|and|or|\\*\\*";
        prop_oneof![
            (inner.clone(), operator, inner.clone()).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("[{a}, {b}]")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a}[{b}]")),
            (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("{a}[{b}:{c}]")),
            (inner.clone(), "join|replace|split|strip|format|append|extend|find|count|upper|keys|items|get", inner.clone(), inner.clone())
                .prop_map(|(a, method, b, c)| format!("{a}.{method}({b}, {c})")),
            ("str|int|len|range|list|tuple|dict|repr|sorted|map|filter|zip|open|execfile|f|re\\.sub|re\\.match|os\\.popen", inner.clone(), inner.clone())
                .prop_map(|(function, a, b)| format!("{function}({a}, {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("[{a} for x in {b}]")),
            (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| format!("({a} if {b} else {c})")),
        ]
    })
}

/// Statements.
fn program() -> impl Strategy<Value = String> {
    let name = "x|y|name|memory|vcpus|disk|vif|kernel|extra|cpus|uuid|on_crash|tsc_mode|features";
    let line = prop_oneof![
        (name, "=|\\+=|\\*=", expression())
            .prop_map(|(name, sign, value)| format!("{name} {sign} {value}")),
        expression().prop_map(|value| format!("print({value})")),
        expression().prop_map(|value| format!("while {value}:\n    x += 1\n    y = [y, x]")),
        (expression(), expression()).prop_map(|(a, b)| format!("for x in {a}:\n    y = {b}")),
        expression().prop_map(|value| format!("def f(x, y = 1):\n    return {value}")),
        expression().prop_map(|value| format!("try:\n    x = {value}\nexcept:\n    y = x")),
        expression()
            .prop_map(|value| format!("if {value}:\n    x = 1\nelse:\n    raise ValueError(x)")),
    ];
    prop::collection::vec(line, 1..8)
        .prop_map(|lines| format!("import os, re\nx = 'ab'\ny = []\n{}\n", lines.join("\n")))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(
        std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(150)
    ))]

    #[test]
    fn programs_are_harmless(text in program()) {
        must_be_harmless(&text);
    }

    #[test]
    fn damaged_files_are_harmless(
        cut in 0_usize..400,
        other in "\\PC{0,3}|[\\\\\"'()\\[\\]{}#\n\t\r\\x00]{0,3}",
        length in 0_usize..20,
    ) {
        let file = "# etch\nkernel = '/boot/vmlinuz'\nname = \"etch\"\nmemory = 128\ndisk = [ 'phy:vg0/etch,xvda2,w',\n  'file:/srv/s.img,' + \\\n 'xvda1,w' ]\nvif = [ 'mac=00:16:3e:00:00:11' ]\ndef f(a):\n    if a:\n        return '%02x' % a\n    return 1\nextra = f(5)\n";
        let mut text: Vec<char> = file.chars().collect();
        let start = cut.min(text.len());
        let end = (start + length).min(text.len());
        text.splice(start..end, other.chars());
        must_be_harmless(&text.into_iter().collect::<String>());
    }
}
