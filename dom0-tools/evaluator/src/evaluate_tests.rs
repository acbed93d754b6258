//! What administrators' files do, and what comes of it.

use super::evaluate::{Source, evaluate};
use super::native_modules::Commands;
use dom0_tools::config::error::{ConfigError, Origin};
use dom0_tools::config::evaluated::Evaluated;
use dom0_tools::config::value::Value;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn run_with(
    text: &str,
    variables: &[(&str, &str)],
    commands: Commands,
) -> Result<Evaluated, ConfigError> {
    let variable = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let include = |file: &str| {
        match file {
        "/etc/xen/common" => Ok("# for all\nmemory = 64\nbridge = 'xenbr0'\ndef mac(n):\n    return '00:16:3e:00:00:%02x' % n\n".to_owned()),
        "/etc/xen/broken" => Ok("x = 1\ny = (\n".to_owned()),
        "/etc/xen/itself" => Ok("execfile('/etc/xen/itself')\n".to_owned()),
        _ => Err("No such file or directory".to_owned()),
    }
    };
    evaluate(&Source {
        file: "/etc/xen/etch",
        text,
        variables: &variables.iter().map(variable).collect::<BTreeMap<_, _>>(),
        commands,
        include: &include,
    })
}

pub(super) fn run(text: &str) -> Evaluated {
    run_with(text, &[], Commands::Refused).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

pub(super) fn error(text: &str) -> String {
    run_with(text, &[], Commands::Refused)
        .unwrap_err()
        .to_string()
}

/// What a name is, as it could be written.
pub(super) fn shown(evaluated: &Evaluated, name: &str) -> String {
    let setting = evaluated.settings.get(name);
    setting.map_or("nothing".into(), |setting| setting.value.to_string())
}

pub(super) fn value(text: &str, name: &str) -> String {
    shown(&run(text), name)
}

#[test]
fn a_plain_file_is_its_assignments() {
    let text = "\
#  -*- mode: python; -*-
# Für etch
kernel = \"/boot/vmlinuz-2.6.18-6-xen-amd64\"
ramdisk = '/boot/initrd.img-2.6.18-6-xen-amd64'
memory  = '128'\r
name=\"etch\"; vcpus=2
vif = [ 'mac=00:16:3e:00:00:11, bridge=xenbr0',   # first
        '', ]
disk = [ 'phy:vg0/etch,xvda2,w',
         'file:/srv/swap.img,' + \\
         'xvda1,w' ]
root = \"/dev/xvda2 ro\"
extra = '4 ' 'console=hvc0'
on_crash = \"restart\"
xen_shell = 'bob, alice'
";
    let evaluated = run(text);
    for (name, expected) in [
        ("kernel", "'/boot/vmlinuz-2.6.18-6-xen-amd64'"),
        ("memory", "'128'"),
        ("vcpus", "2"),
        ("vif", "['mac=00:16:3e:00:00:11, bridge=xenbr0', '']"),
        (
            "disk",
            "['phy:vg0/etch,xvda2,w', 'file:/srv/swap.img,xvda1,w']",
        ),
        ("extra", "'4 console=hvc0'"),
        ("xen_shell", "'bob, alice'"),
    ] {
        assert_eq!(shown(&evaluated, name), expected, "{name}");
    }
    let line = |name: &str| match &evaluated.settings[name].origin {
        Origin::File { line, .. } => *line,
        _ => None,
    };
    assert_eq!(
        (line("memory"), line("disk"), line("root")),
        (Some(5), Some(9), Some(12))
    );
    assert_eq!(evaluated.settings.len(), 11);
    assert!(evaluated.printed.is_empty() && evaluated.dropped.is_empty());
}

/// As the samples had it for fifteen years.
const SAMPLE: &str = "\
# xm create -f xmexample2 vmid=1
def vmid_check(var, val):
    val = int(val)
    if val <= 0:
        raise ValueError
    return val

xm_vars.var('vmid',
            use=\"Virtual machine id. Integer greater than 0.\",
            check=vmid_check)

xm_vars.check()
kernel = \"/boot/vmlinuz-2.6.10-xenU\"
memory = 64
name = \"VM%d\" % vmid
vcpus = 4 # make your domain a 4-way
disk = [ 'phy:sda%d,sda1,w' % (7+vmid),
         'phy:sda6,sda6,r' ]
root = \"/dev/sda1 ro\"
extra = \"4 VMID=%d usr=/dev/sda6\" % vmid
";

#[test]
fn the_sample_with_a_variable_works() {
    let evaluated = run_with(SAMPLE, &[("vmid", "3")], Commands::Refused).unwrap();
    assert_eq!(shown(&evaluated, "name"), "'VM3'");
    assert_eq!(
        shown(&evaluated, "disk"),
        "['phy:sda10,sda1,w', 'phy:sda6,sda6,r']"
    );
    assert_eq!(shown(&evaluated, "extra"), "'4 VMID=3 usr=/dev/sda6'");
    assert_eq!(shown(&evaluated, "vmid"), "3");
}

#[test]
fn a_check_that_fails_says_for_which_variable() {
    let error = |variables: &[(&str, &str)]| {
        run_with(SAMPLE, variables, Commands::Refused)
            .unwrap_err()
            .to_string()
    };
    let right = "write vmid=..., Virtual machine id. Integer greater than 0.";
    assert_eq!(
        error(&[("vmid", "0")]),
        format!("vmid - ValueError; {right}")
    );
    assert_eq!(
        error(&[("vmid", "x")]),
        format!("vmid - invalid literal for int() with base 10: 'x'; {right}")
    );
    assert_eq!(
        error(&[]),
        format!("vmid - int() argument must be a string or a number, not 'NoneType'; {right}")
    );
}

#[test]
fn what_was_seen_in_files_works() {
    for (text, name, expected) in [
        ("x = 1024 / 3", "x", "341"),
        ("x = 7 / 2.0", "x", "3.5"),
        ("x = 010 + 0x10 + 5L", "x", "29"),
        ("x = 2 ** 4 - 1", "x", "15"),
        ("x = 1 << 3 | 1", "x", "9"),
        ("x = 'a' * 3", "x", "'aaa'"),
        ("x = 5\nx *= 2\nx -= 1\nx %= 4", "x", "1"),
        ("a = b = 'c'", "a", "'c'"),
        ("a = b = 'c'", "b", "'c'"),
        ("x = 'one' if 1 <> 2 else 'two'", "x", "'one'"),
        ("x = None is None and 3 is not 4", "x", "1"),
        (
            "x = ['phy:vg/%s,xvd%s,w' % (n, l) for n, l in [('a', 'a'), ('b', 'b')]]",
            "x",
            "['phy:vg/a,xvda,w', 'phy:vg/b,xvdb,w']",
        ),
        (
            "x = []\nfor i in range(1, 4):\n\tx.append('%02x' % i)\n",
            "x",
            "['01', '02', '03']",
        ),
        ("x = range(3) + [9]", "x", "[0, 1, 2, 9]"),
        ("x = 0\nwhile x < 5: x += 2\n", "x", "6"),
        (
            "x = 0\nwhile 1:\n  x += 1\n  if x > 6: break\n  else: continue\n",
            "x",
            "7",
        ),
        (
            "x = ' A-B '.strip().lower().replace('-', ',').split(',')",
            "x",
            "['a', 'b']",
        ),
        ("x = ','.join(['a', 'b'])[1:] + 'abc'[-1]", "x", "',bc'"),
        ("x = '''a\nb'''", "x", "'a\\nb'"),
        ("x = r'\\d' + '\\d'", "x", "'\\\\d\\\\d'"),
        ("x = str(5) + str(int('7') + len('abc'))", "x", "'510'"),
        ("if 0: x = 1\nelif 0: x = 2\nelse: x = 3", "x", "3"),
        (
            "def f(n, m=2):\n  if n: return n * m\n  return -1\nx = f(4) + f(0)",
            "x",
            "7",
        ),
        ("x = {'a': 1}.get('a')", "x", "1"),
        (
            "d = {'a': 1, 'b': 2}\nx = 0\nfor k, v in d.iteritems():\n  x += v",
            "x",
            "3",
        ),
        ("f = lambda n: n + 1\nx = f(1)", "x", "2"),
        (
            "import os, re, sys\nx = os.path.basename('/a/b') + os.path.dirname('/a/b') + os.path.join('a', 'b')",
            "x",
            "'b/aa/b'",
        ),
        (
            "import os\narch = os.uname()[0]\nimport re\nif re.search('inux', arch): x = 'yes'\nelse: x = 'no'",
            "x",
            "'yes'",
        ),
        ("x = re.match('b', 'abc') is None", "x", "1"),
        (
            "x = re.search('b(.)', 'abc').group(1) + re.sub('(b)', r'<\\1>', 'abc')",
            "x",
            "'ca<b>c'",
        ),
        (
            "from os import path\nfrom os.path import exists as e\nx = e('/') and not path.exists('/no/such')",
            "x",
            "1",
        ),
        (
            "import os.path\nx = os.environ.get('NO_SUCH_VARIABLE', 'none')",
            "x",
            "'none'",
        ),
        ("x = add_offset_to_ip('10.0.0.250', 10)", "x", "'10.0.1.4'"),
        (
            "x = check_subnet('10.0.0.5', '10.0.0.0', '255.255.255.0')",
            "x",
            "1",
        ),
        (
            "import xen.util.ip\nx = inet_ntoa(inet_aton('10.0.0.1') + 1)",
            "x",
            "'10.0.0.2'",
        ),
        ("x = xm_file", "x", "'/etc/xen/etch'"),
        ("x = xm_help", "x", "0"),
        ("x = True", "x", "1"),
        ("x = 'a' in 'abc' and 'd' not in ['a']", "x", "1"),
        ("x = 1; del x", "x", "nothing"),
        ("load = 5; x = load", "x", "5"),
        ("assert 1 == 1, 'no'\nx = 1", "x", "1"),
        ("x = int(2.9) + 1.5", "x", "3.5"),
        ("x = '%s' % None", "x", "'None'"),
        (
            "name = 'b'\nx = '%(name)s' % {'name': 'etch'}",
            "x",
            "'etch'",
        ),
    ] {
        assert_eq!(value(text, name), expected, "{text}");
    }
}

#[test]
fn errors_can_be_handled() {
    for (text, expected) in [
        ("try:\n  x = int('abc')\nexcept ValueError:\n  x = 7\n", "7"),
        (
            "try:\n  x = 5\n  x = int('abc')\n  x = 6\nexcept:\n  pass\n",
            "5",
        ),
        (
            "try:\n  import no_such_module\n  x = 1\nexcept ImportError, e:\n  x = str(e)\n",
            "'No module named no_such_module'",
        ),
        (
            "try:\n  raise IOError, 'gone'\nexcept (ValueError, IOError), e:\n  x = 'io: %s' % e\n",
            "'io: gone'",
        ),
        ("try: x = 1\nexcept: x = 2\nelse: x = 3\n", "3"),
        (
            "try:\n  try:\n    raise KeyError('a')\n  except ValueError:\n    x = 1\nexcept KeyError:\n  x = 2\n",
            "2",
        ),
        (
            "try:\n  try:\n    raise KeyError('a')\n  except KeyError:\n    raise\nexcept LookupError as e:\n  x = e\n",
            "'a'",
        ),
        ("x = 0\ntry:\n  x = 1\nfinally:\n  x += 10\n", "11"),
        (
            "def f(v):\n  try:\n    return int(v)\n  except ValueError:\n    return -1\nx = f('3') + f('z')\n",
            "2",
        ),
        (
            "x = 0\nfor v in ['1', 'z', '3']:\n  try:\n    n = int(v)\n  except ValueError:\n    continue\n  x += n\n",
            "4",
        ),
        (
            "x = 0\ntry:\n  for v in ['1', 'z', '3']:\n    x += int(v)\nexcept ValueError:\n  x += 100\n",
            "101",
        ),
        (
            "try:\n  if int('q') > 3:\n    x = 1\n  elif 1: x = 5\n  else:\n    x = 2\nexcept: x = 3\n",
            "3",
        ),
        (
            "try:\n  if int('4') > 30: x = 1\n  elif int('2') == 2: x = 5\n  else:\n    x = 2\nexcept: x = 3\n",
            "5",
        ),
        (
            "try:\n  x = no_such_name\nexcept NameError:\n  x = 4\n",
            "4",
        ),
        (
            "try:\n  execfile('/no/such')\nexcept IOError:\n  x = 5\n",
            "5",
        ),
        ("try:\n  def f(): return 5\n  x = f()\nexcept: x = 1\n", "5"),
        (
            "x = 0\ntry:\n  while x < 3:\n    x += 1\n    print x\nexcept: x = 9\n",
            "3",
        ),
    ] {
        assert_eq!(value(text, "x"), expected, "{text}");
    }
}

#[test]
fn what_is_printed_is_kept() {
    let evaluated =
        run("print 'a', 5\nprint \"b %s\" % 'c'\nprint\nprint ('d')\nprint >>sys.stderr, 'e',\n");
    assert_eq!(evaluated.printed, ["a 5", "b c", "", "d", "e"]);
}

#[test]
fn other_files_are_included() {
    let evaluated = run(
        "if os.path.exists('/'): execfile('/etc/xen/common')\nvif = ['mac=' + mac(17) + ',bridge=' + bridge]\n",
    );
    assert_eq!(
        shown(&evaluated, "vif"),
        "['mac=00:16:3e:00:00:11,bridge=xenbr0']"
    );
    let origin = evaluated.settings["memory"].origin.to_string();
    assert_eq!(origin, "/etc/xen/common, line 2");
    assert_eq!(
        error("\nexecfile('/no/such')"),
        "/etc/xen/etch, line 2: /no/such: No such file or directory"
    );
    assert!(
        error("execfile('/etc/xen/broken')")
            .starts_with("Errors were found at line 2 while processing /etc/xen/broken:")
    );
    assert!(error("execfile('/etc/xen/itself')").contains("files include each other too deep"));
    assert!(error("f = 'x'\nexecfile(f)").contains("in quotes"));
}

#[test]
fn kinds_that_are_no_settings_are_dropped() {
    let evaluated =
        run("disk = ('phy:a,xvda,w',)\nd = {}\ndef f(): pass\nn = None\nx = [1, ['a', 2.5]]\n");
    let dropped: Vec<_> = evaluated
        .dropped
        .iter()
        .map(|(name, kind)| format!("{name} {kind}"))
        .collect();
    assert_eq!(dropped, ["d dict", "disk tuple", "f function"]);
    assert_eq!(evaluated.settings.len(), 1);
    assert_eq!(shown(&evaluated, "x"), "[1, ['a', 2.5]]");
}

#[test]
fn errors_say_where_and_what() {
    assert_eq!(
        error("memory = 1\nname = = 'x'\n"),
        "Errors were found at line 2 while processing /etc/xen/etch:\n\tname = = 'x'\n\
         there is nothing before this equals sign"
    );
    let text = error("memory = 1\n\nname = 'a' 5\n");
    assert!(
        text.starts_with(
            "Errors were found at line 3 while processing /etc/xen/etch:\n\tname = 'a' 5\n"
        ),
        "{text}"
    );
    assert_eq!(
        error("x = 1\nmemory = lots\n"),
        "/etc/xen/etch, line 2: name 'lots' is not defined"
    );
    assert_eq!(
        error("raise ValueError, 'bad luck'"),
        "/etc/xen/etch, line 1: bad luck"
    );
    assert_eq!(
        error("\ndef f():\n  raise IOError('x')\nf()"),
        "/etc/xen/etch, line 3: x"
    );
    assert!(
        error("x = [\n 1,\n 'a' + 2]").starts_with("/etc/xen/etch, line 3: "),
        "{}",
        error("x = [\n 1,\n 'a' + 2]")
    );
    assert_eq!(
        error("import no_such"),
        "/etc/xen/etch, line 1: No module named no_such"
    );
    assert_eq!(error("sys.exit('enough')"), "/etc/xen/etch, line 1: enough");
    assert!(error("class X: pass").contains("class is not possible in configuration files"));
}

#[test]
fn commands_run_only_where_they_are_allowed() {
    let text = "x = os.popen('echo hello; echo world').readline()";
    assert!(
        error(text).contains("XM_CONFIG_ALLOW=commands"),
        "{}",
        error(text)
    );
    let evaluated = run_with(text, &[], Commands::Allowed).unwrap();
    assert_eq!(shown(&evaluated, "x"), "'hello\\n'");
    let text = "import commands\nx = commands.getoutput('echo hello')";
    let evaluated = run_with(text, &[], Commands::Allowed).unwrap();
    assert_eq!(shown(&evaluated, "x"), "'hello'");
    assert!(error(text).contains("line 2: the configuration wants to run 'echo hello'"));
}

#[test]
fn nothing_runs_or_grows_forever() {
    for text in [
        "while 1: pass",
        "def f(n): return f(n + 1)\nf(1)",
        "x = 'a' * 100000000000",
        "x = range(100000000000)",
        "x = 1 << 100000000000",
        "x = 'ab'\nwhile 1: x += x",
        "x = []\nwhile 1: x.append('abcdefgh' + str(len(x)))",
        "try:\n  while 1: pass\nexcept: x = 1\nfor i in range(5000): pass",
        "x = '%999999999d' % 5\nwhile 1: pass",
    ] {
        assert!(run_with(text, &[], Commands::Refused).is_err(), "{text}");
    }
}

/// Their digits cost the more the more there are, and no count of loops bounds that.
#[test]
fn numbers_stay_small() {
    for text in [
        "x = 3\nwhile 1: x *= x",
        "x = 3\nfor i in range(90000): x = x * 2 ** 62",
        "x = 1\nfor i in range(90000): x <<= 1000",
        "x = 1\nfor i in range(90000): x += x",
        "x = 1\nfor i in range(90000): x -= -x",
        "x = 1\nfor i in range(90000): x = x - -x",
        "x = 9 ** 9999",
        "x = int('9' * 9999) * 2",
    ] {
        let said = error(text);
        assert!(
            said.ends_with("this is a larger number than any configuration needs"),
            "{text}: {said}"
        );
    }
    // What is none of a file's numbers, but of use in computing one.
    let text = "x = (1 << 1024) - (1 << 1024) + 2 ** 62 - -1";
    assert_eq!(value(text, "x"), "4611686018427387905");
}

#[test]
fn variables_of_the_command_line_are_texts() {
    let evaluated = run_with(
        "x = 'n' + vmid\nprint(undefined)\n",
        &[("vmid", "5"), ("undefined", "")],
        Commands::Refused,
    );
    assert_eq!(shown(&evaluated.unwrap(), "x"), "'n5'");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_text_is_a_program_or_refused(
        text in prop_oneof![
            "\\PC{0,60}",
            "((if|for|try|x|in|:|=|\\(|\\)|\\[|\\]|'a'|5|\\+|-|except|def|print|,|%|\n|\n  |lambda|raise|import) ){0,25}",
        ]
    ) {
        let _ = run_with(&text, &[], Commands::Refused);
    }

    #[test]
    fn texts_and_numbers_are_as_they_were_written(text in "\\PC{0,20}|[\t\n\r'\"\\\\a-f0-9]{0,12}", number: u32) {
        let quoted = text.replace('\\', "\\\\").replace('\'', "\\'").replace('\n', "\\n");
        let evaluated = run(&format!("x = '{quoted}'\ny = {number}\n"));
        prop_assert_eq!(&evaluated.settings["x"].value, &Value::Text(text));
        prop_assert_eq!(&evaluated.settings["y"].value, &Value::Integer(number.into()));
    }
}
