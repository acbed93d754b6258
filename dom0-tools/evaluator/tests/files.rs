//! Configuration files as administrators have them, and what is told of wrong ones.

use dom0_tools::config::domain::{Action, DomainConfig, Uuid};
use dom0_tools::config::keys::{KEYS, Overrides, Shape};
use dom0_tools::config::options::Options;
use dom0_tools::config::value::Value;
use dom0_tools::xend::protocol::{Request, Response};
use dom0_tools::xm::client::Xend;
use dom0_tools::xm::progress::Progress;
use dom0_tools::xm::run::{Session, run};
use evaluator::Commands;
use evaluator::evaluate::{Source, evaluate};
use evaluator::script::evaluate_file;
use std::collections::BTreeMap;
use std::io;

const UUID: Uuid = Uuid([0x11; 16]);

fn overrides(words: &[&str]) -> Overrides {
    let pairs = words.iter().map(|word| {
        let (key, value) = word.split_once('=').unwrap();
        (key.to_owned(), value.to_owned())
    });
    Overrides(pairs.collect())
}

fn domain_with(source: &str, words: &[&str]) -> Result<DomainConfig, String> {
    let overrides = overrides(words);
    let evaluated = evaluate(&Source {
        file: "/etc/xen/etch",
        text: source,
        variables: &overrides.script_variables(),
        commands: Commands::Refused,
        include: &|_| Err("No such file or directory".into()),
    })
    .map_err(|error| error.to_string())?;
    Options::new("/etc/xen/etch", &evaluated.settings, &overrides)
        .and_then(|options| options.domain("etch", UUID))
        .map_err(|error| error.to_string())
}

fn domain(source: &str) -> Result<DomainConfig, String> {
    domain_with(&format!("kernel = '/boot/vmlinuz'\n{source}"), &[])
}

fn refusal(source: &str) -> String {
    domain(source).unwrap_err()
}

#[test]
fn a_plain_file_is_a_domain() {
    let config = domain(
        "# comment é\r\nramdisk='/boot/initrd'\nmemory = '256'\nname=\"etch-1\"\nvcpus = '2'\n\
         cpus = \"0-3,^1\"\nroot = '/dev/xvda2 ro'\nextra = 'console=hvc0'\nprivate = {'a': 1}\n\
         on_poweroff = 'preserve'\non_crash = 'coredump-restart'\nlocaltime=True\n",
    )
    .unwrap();
    assert_eq!(
        (&*config.name, config.memory_mib, config.maxmem_mib),
        ("etch-1", 256, 256)
    );
    assert_eq!((config.vcpus, config.online_vcpus), (2, 2));
    assert_eq!(config.command_line, "root=/dev/xvda2 ro console=hvc0");
    assert_eq!(config.on_poweroff, Action::Preserve);
    assert_eq!(
        (config.on_reboot, config.on_crash),
        (Action::Restart, Action::CoredumpRestart)
    );
    assert_eq!(config.cpus, ["0-3,^1"]);
    assert!(config.localtime);
    assert_eq!(domain("").unwrap().name, "etch");
}

#[test]
fn there_is_one_pool() {
    for named in ["", "pool = 'Pool-0'"] {
        assert_eq!(domain(named).unwrap().pool, "Pool-0");
    }
    assert_eq!(
        refusal("pool = 'Pool-1'"),
        "/etc/xen/etch, line 2: pool = 'Pool-1': write Pool-0"
    );
}

#[test]
fn files_are_programs() {
    let config = domain(
        "import os, re\narch = os.uname()[4]\nif re.search('64', arch):\n    extra = 'lib64'\nelse:\n    extra = 'lib'\n\
         def names(n):\n    all = []\n    for i in range(n):\n        all.append('x%02d' % i)\n    return all\n\
         name = '-'.join(names(3)) ; memory = 1024/3\n\
         disk = ['phy:vg/%s,xvd%s,w' % (n, l) for n, l in [('root', 'a'), ('swap', 'b')]]\n\
         disk += [ 'file:/srv/' 'x.img,xvdc,r',\n  # comment\n]\n\
         if not config_is_there: pass\n"
            .replace("if not config_is_there: pass\n", "")
            .as_str(),
    )
    .unwrap();
    assert_eq!((&*config.name, config.memory_mib), ("x00-x01-x02", 341));
    assert_eq!(config.command_line, "lib64");
    assert_eq!(config.devices.len(), 3);
}

#[test]
fn files_can_ask_for_variables() {
    let source = "kernel = '/k'\ndef vmid_check(var, val):\n    val = int(val)\n    if val <= 0:\n        raise ValueError\n    return val\n\
         xm_vars.var('vmid', use=\"Virtual machine id.\", check=vmid_check)\nxm_vars.check()\n\
         name = \"VM%d\" % vmid\ndisk = ['phy:sda%d,sda1,w' % (7+vmid), 'phy:sda6,sda6,r']\n\
         extra = \"4 VMID=%d usr=/dev/sda6\" % vmid\n";
    let config = domain_with(source, &["vmid=3"]).unwrap();
    assert_eq!(
        (&*config.name, &*config.command_line),
        ("VM3", "4 VMID=3 usr=/dev/sda6")
    );
    let refused = domain_with(source, &["vmid=0"]).unwrap_err();
    let right = "write vmid=..., Virtual machine id.";
    assert_eq!(refused, format!("vmid - ValueError; {right}"));
}

#[test]
fn the_command_line_wins() {
    let source =
        "kernel = '/k'\nname = 'file'\nmemory = 64\ndisk = ['phy:a,xvda,w']\nextra = mine\n";
    let words = [
        "name=line",
        "memory=0x100",
        "disk=phy:b,xvdb,w",
        "disk=phy:c,xvdc,w",
        "mine=a=b",
    ];
    let config = domain_with(source, &words).unwrap();
    assert_eq!(
        (&*config.name, config.memory_mib, &*config.command_line),
        ("line", 256, "a=b")
    );
    assert_eq!(config.devices.len(), 2);
    let refused = domain_with(source, &["memory=x", "mine="]).unwrap_err();
    assert_eq!(refused, "Invalid value: x; write memory=NUMBER");
    let nothing = domain_with("", &["kernel=/k", "localtime=yes"]).unwrap();
    assert!(nothing.localtime);
}

#[test]
fn wrong_values_are_told_with_file_line_key_and_what_is_right() {
    for (source, complaint) in [
        (
            "memory = 'much'\n",
            "/etc/xen/etch, line 2: memory = 'much': write a whole number from 1 to 16777216",
        ),
        (
            "\n\nvcpus = 0\n",
            "/etc/xen/etch, line 4: vcpus = 0: write a whole number from 1 to 4096",
        ),
        (
            "on_reboot = 'shutdown'\n",
            "/etc/xen/etch, line 2: on_reboot = 'shutdown': Invalid Configuration: Invalid event handling mode: \
             shutdown; write destroy, restart, preserve, rename-restart",
        ),
        (
            "if 1:\n  disk = ['phy:x,foo,w']\n",
            "/etc/xen/etch, line 3: disk = [... 'phy:x,foo,w' ...]: Unable to find number for device (foo); \
             name it xvda, xvda1, sda, hda1, or give its number, such as 51712 or 0xca00",
        ),
        (
            "builder = 'hvm'\n",
            "/etc/xen/etch, line 2: builder = 'hvm': fully virtualized guests are not offered; write 'linux' and a \
             paravirtualized kernel",
        ),
        (
            "vcpus = 2\ncpus = ['0']\n",
            "/etc/xen/etch, line 3: cpus = ['0']: vcpus and the item number of cpus are not same: write 2 items, or \
             one string for all",
        ),
        (
            "cpus = '0-x'\n",
            "/etc/xen/etch, line 2: cpus = '0-x': '0-x' is no list of processors; write numbers, ranges and \
             exceptions such as 0-3,5,^1",
        ),
        (
            "uuid = '12'\n",
            "/etc/xen/etch, line 2: uuid = '12': a uuid has 32 hexadecimal digits",
        ),
        (
            "name = 'a b'\n",
            "/etc/xen/etch, line 2: name = 'a b': Invalid VM Name: a b; write letters, digits and _ - . : + alone",
        ),
        ("nfs_root = '/srv'\n", "Must set nfs root and nfs server"),
    ] {
        assert_eq!(refusal(source), complaint);
    }
}

#[test]
fn what_is_no_program_is_told_by_line() {
    assert_eq!(
        refusal("a = 1\nb = = 2\n"),
        "Errors were found at line 3 while processing /etc/xen/etch:\n\tb = = 2\n\
         there is nothing before this equals sign"
    );
    assert_eq!(
        refusal("a = 'x\n"),
        "Errors were found at line 2 while processing /etc/xen/etch:\n\ta = 'x\n\
         this string has no closing quote"
    );
    assert_eq!(
        refusal("a = nothing + 1\n"),
        "/etc/xen/etch, line 2: name 'nothing' is not defined"
    );
    assert_eq!(
        refusal("a = 1\nb = a + 'x'\n").split(": ").next(),
        Some("/etc/xen/etch, line 3")
    );
    assert_eq!(
        refusal("import subprocess\n"),
        "/etc/xen/etch, line 2: No module named subprocess"
    );
}

#[test]
fn files_reach_nothing_else() {
    for (source, complaint) in [
        ("a = os.popen('id')\n", "which is not allowed"),
        ("execfile('/etc/xen/common')\n", "No such file or directory"),
        ("a = open('/etc/passwd')\n", "name 'open' is not defined"),
        ("a = os.listdir('/')\n", "listdir"),
        ("import subprocess\n", "No module named subprocess"),
    ] {
        assert!(refusal(source).contains(complaint), "{}", refusal(source));
    }
}

#[test]
fn files_include_what_is_beside_them() {
    let directory = std::env::temp_dir().join(format!("include-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let write = |name: &str, text: String| {
        let path = directory.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let common = write("common", "kernel = '/boot/vmlinuz'\nmemory = 77\n".into());
    let path = write(
        "etch.cfg",
        format!("execfile('{}')\nvif = ('',)\n", common.display()),
    );
    let loaded =
        dom0_tools::config::file::load(&path, &Overrides::default(), &evaluate_file).unwrap();
    assert_eq!(
        (&*loaded.config.name, loaded.config.memory_mib),
        ("etch", 77)
    );
    assert_eq!(
        loaded.warnings,
        ["vif is a tuple, and ignored; write a string, a number or a list"]
    );
    let path = write("other.cfg", "execfile('/etc/passwd')\n".into());
    let refused = dom0_tools::config::file::load(&path, &Overrides::default(), &evaluate_file)
        .unwrap_err()
        .to_string();
    assert!(refused.contains("set XM_CONFIG_ALLOW=files"), "{refused}");
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn endless_programs_end() {
    assert!(domain("def f(n):\n    return f(n)\na = f(1)\n").is_err());
}

#[test]
fn keys_are_there_once() {
    let names: BTreeMap<_, _> = KEYS.iter().map(|key| (key.name, key.meaning)).collect();
    assert_eq!(names.len(), KEYS.len());
}

/// A value that a key of this shape can't have, as it is written, and what is told of it.
fn wrong_values(shape: Shape) -> Vec<(String, String)> {
    let told = |value: &str, right: &str| (value.to_owned(), right.to_owned());
    let within = |least, most| format!("write a whole number from {least} to {most}");
    match shape {
        Shape::Text => vec![told("['x']", "write one string, not a list")],
        Shape::Integer(least, most) => vec![
            told("'x'", &within(least, most)),
            told("[1]", &within(least, most)),
            told("1.5", &within(least, most)),
            told(&(i128::from(least) - 1).to_string(), &within(least, most)),
        ],
        Shape::Boolean => vec![
            told("'perhaps'", "write 0 or 1"),
            told("2", "write 0 or 1"),
            told("[1]", "write 0 or 1"),
        ],
        Shape::List => {
            let list = "write a list of strings in brackets, such as ['...']";
            let flat = "write strings into the list, and no lists";
            vec![told("'x'", list), told("1", list), told("[['x']]", flat)]
        }
        Shape::TextOrList => {
            let flat = "write strings into the list, and no lists";
            vec![told("[['x']]", flat)]
        }
    }
}

#[test]
fn every_key_has_a_shape_and_no_other_is_taken_for_it() {
    for key in KEYS {
        for (value, right) in wrong_values(key.shape) {
            let said = refusal(&format!("\n{} = {value}\n", key.name));
            let told = format!("/etc/xen/etch, line 3: {} = {value}: {right}", key.name);
            assert_eq!(said, told);
        }
        // As if it were not there, but for what must be.
        let nothing: &[&str] = match key.shape {
            Shape::Text if key.name == "kernel" => continue,
            Shape::List => &["[]", "''"],
            Shape::TextOrList => &["[]", "''", "['', '']"],
            Shape::Boolean => &["0", "'0'", "''", "1", "True"],
            _ => &["''"],
        };
        for value in nothing {
            let source = format!("vcpus = 2\n{} = {value}\n", key.name);
            assert!(domain(&source).is_ok(), "{source}: {}", refusal(&source));
        }
        if let Shape::Integer(least, most) = key.shape {
            // As a number, and as a string of one.
            for value in [least, most] {
                for value in [Value::Integer(value), Value::Text(value.to_string())] {
                    assert_eq!(key.shape.complaint(&value), None, "{}", key.name);
                }
            }
        }
    }
}

#[test]
fn what_has_no_effect_is_told_once_and_by_line() {
    let warnings = |source: &str| {
        let source = format!("kernel = '/boot/vmlinuz'\n{source}");
        let overrides = Overrides::default();
        let evaluated = evaluate(&Source {
            file: "/etc/xen/etch",
            text: &source,
            variables: &overrides.script_variables(),
            commands: Commands::Refused,
            include: &|_| Err("No such file or directory".into()),
        });
        let settings = evaluated.unwrap().settings;
        let options = Options::new("/etc/xen/etch", &settings, &overrides).unwrap();
        let config = options.domain("etch", UUID).unwrap();
        options.warnings(&config)
    };
    for (source, told) in [
        (
            "blkif = 1",
            "blkif = 1 has no effect: only the first domain has disks and networks for others yet",
        ),
        (
            "netif = '1'",
            "netif = '1' has no effect: only the first domain has disks and networks for others yet",
        ),
        (
            "superpages = True",
            "superpages = 1 has no effect: guests' memory comes in pages of 4 KiB",
        ),
        (
            "machine_address_size = 32",
            "machine_address_size = 32 has no effect: guests' memory may be anywhere in the machine",
        ),
        (
            "access_control = ['policy=P,label=L']",
            "access_control = ['policy=P,label=L'] has no effect: there are no security labels",
        ),
        (
            "cpuid = ['1:ecx=0']",
            "cpuid = ['1:ecx=0'] has no effect: guests see what the hypervisor offers to all",
        ),
        (
            "target = 3",
            "target = 3 has no effect: there are no stub domains",
        ),
        (
            "vncviewer = 1",
            "vncviewer = 1 has no effect: no viewer is started",
        ),
        (
            "keymap = 'de'",
            "keymap = 'de' has no effect: guests have no screens yet",
        ),
    ] {
        assert_eq!(
            warnings(source),
            [format!("/etc/xen/etch, line 2: {told}")],
            "{source}"
        );
    }
    // What says what is so anyway, and what only fully virtualized guests have.
    let silent = "blkif = 0; netif = '0'; superpages = 0; cpuid = []; keymap = ''; target = 0\n\
                  shadow_memory = 8; pci_msitranslate = 1; pci_power_mgmt = 0; acpi = 1; sdl = 0\n";
    assert_eq!(warnings(silent), [""; 0]);
}

#[test]
fn features_are_names_of_features() {
    let config = domain("features = '!dom0|pae_pgdir_above_4gb'").unwrap();
    assert_eq!(config.features, "!dom0|pae_pgdir_above_4gb");
    assert_eq!(
        refusal("features = 'dom0|pea'"),
        "/etc/xen/etch, line 2: features = 'dom0|pea': pea is no feature that a guest has here; write some of \
         writable_page_tables|pae_pgdir_above_4gb|dom0|linux_rsdp_unrestricted"
    );
}

#[test]
fn virtual_processors_that_are_online_are_a_mask_of_the_first() {
    let online = |source: &str| domain(source).map(|config| (config.vcpus, config.online_vcpus));
    for (source, counts) in [
        ("vcpus = 4", (4, 4)),
        ("vcpus = 4; vcpu_avail = 1", (4, 1)),
        ("vcpus = 4; vcpu_avail = '7'", (4, 3)),
        ("vcpus = 4; vcpu_avail = '0xf'", (4, 4)),
        ("vcpus = 2; vcpu_avail = 15", (2, 2)),
        ("vcpus = 2; maxvcpus = 4", (4, 2)),
        ("vcpus = 2; maxvcpus = 4; vcpu_avail = 7", (4, 3)),
        ("vcpus = 4; vcpu_avail = ''", (4, 4)),
    ] {
        assert_eq!(online(source), Ok(counts), "{source}");
    }
    let mask = "write a mask of the first virtual processors: 1, 3, 7, 15 and so on";
    let number = "write a whole number from 1 to 9223372036854775807";
    for (value, right) in [
        ("2", mask),
        ("5", mask),
        ("0", number),
        ("-1", number),
        ("'x'", number),
        ("[1]", number),
    ] {
        let told = format!("/etc/xen/etch, line 3: vcpu_avail = {value}: {right}");
        assert_eq!(
            refusal(&format!("vcpus = 4\nvcpu_avail = {value}")),
            told,
            "{value}"
        );
    }
}

#[test]
fn processors_are_one_list_for_all_or_one_for_each() {
    let pins = |source: &str| -> Vec<String> {
        let config = domain(&format!("vcpus = 3\n{source}")).unwrap();
        let pins = config.pins(8);
        pins.map(|(vcpu, cpus)| format!("{vcpu}: {cpus}")).collect()
    };
    for (source, pinned) in [
        ("", &[][..]),
        ("cpus = ''", &[]),
        ("cpus = ['', '', '']", &[]),
        (
            "cpus = '0-3,5,^1'",
            &["0: 0,2-3,5", "1: 0,2-3,5", "2: 0,2-3,5"],
        ),
        ("cpus = 3", &["0: 3", "1: 3", "2: 3"]),
        ("cpus = ['1', '0-1,^0', 4]", &["0: 1", "1: 1", "2: 4"]),
        ("cpus = ['2', '', '4-5']", &["0: 2", "2: 4-5"]),
        ("cpus = 'all'", &["0: 0-7", "1: 0-7", "2: 0-7"]),
        ("cpu = -1", &[]),
    ] {
        assert_eq!(pins(source), pinned, "{source}");
    }
    let count =
        "vcpus and the item number of cpus are not same: write 3 items, or one string for all";
    let list = "is no list of processors; write numbers, ranges and exceptions such as 0-3,5,^1";
    for (value, right) in [
        ("['0', '1']", count.to_owned()),
        ("['0', '1', '2', '3']", count.to_owned()),
        ("['0', 'x', '2']", format!("'x' {list}")),
        ("'3-1'", format!("'3-1' {list}")),
    ] {
        let told = format!("/etc/xen/etch, line 3: cpus = {value}: {right}");
        assert_eq!(
            refusal(&format!("vcpus = 3\ncpus = {value}")),
            told,
            "{value}"
        );
    }
}

#[test]
fn a_dry_run_is_read_back() {
    let config = domain(
        "name = 'etch'\nmemory = 64\nextra = \"it's\"\nvcpus = 2\ncpus = ['0', '1']\n\
         disk = ['phy:vg0/etch,xvda,w', ',hdc:cdrom,r']\nvif = ['', 'mac=00:16:3e:00:00:01,ip=10.0.0.1 10.0.0.2']\n",
    )
    .unwrap();
    let text = config.sxp().pretty();
    assert!(
        text.lines().any(|line| line.trim() == "(name etch)"),
        "{text}"
    );
    assert!(text.starts_with("(vm\n"), "{text}");
    let path = std::env::temp_dir().join(format!("dryrun-{}.sxp", std::process::id()));
    std::fs::write(&path, text).unwrap();
    assert_eq!(dom0_tools::config::file::load_sxp(&path), Ok(config));
    std::fs::remove_file(&path).unwrap();
}

/// A `xend` that is not to be asked.
struct Nobody;

impl Xend for Nobody {
    fn ask(&mut self, request: &Request) -> io::Result<Response> {
        Err(io::Error::other(format!("{request:?} is asked")))
    }
}

/// `xm` with this command line: standard output, standard error, status.
fn typed(line: &str) -> (String, String, u8) {
    let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let status = run(
        &words,
        &mut Session {
            xend: &mut Nobody,
            evaluate: &evaluate_file,
            progress: Progress::Hidden,
            out: &mut out,
            err: &mut err,
        },
    );
    (
        String::from_utf8(out).unwrap(),
        String::from_utf8(err).unwrap(),
        status,
    )
}

#[test]
fn domains_are_created_from_files() {
    let directory = std::env::temp_dir().join(format!("xm-create-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let file = directory.join("etch.cfg");
    let kernel = std::env::current_exe().unwrap().display().to_string();
    std::fs::write(&file, format!("kernel = '{kernel}'\nmemory = 64\n")).unwrap();
    let path = file.display();
    let (out, err, status) = typed(&format!("create -q --dryrun --defconfig {path}"));
    assert_eq!((&*err, status), ("", 0));
    assert!(
        out.lines().any(|line| line.trim() == "(name etch)"),
        "{out}"
    );
    let (out, _, _) = typed(&format!("create -n {path} name=woody"));
    assert!(
        out.starts_with(&format!("Using config file \"{path}\".\n(vm\n")),
        "{out}"
    );
    assert!(out.contains("(name woody)"));
    let (_, err, status) = typed(&format!("create {path} kernel=/nonexistent/vmlinuz"));
    assert_eq!(
        (&*err, status),
        ("Error: Cannot find kernel \"/nonexistent/vmlinuz\"\n", 1)
    );
    let (_, err, status) = typed("create /nonexistent/etch");
    assert_eq!(
        (&*err, status),
        ("Error: Unable to open config file: /nonexistent/etch\n", 1)
    );
    let (out, _, status) = typed("create --help_config");
    assert!(status == 0 && out.contains("memory=NUMBER\n"));
    std::fs::write(&file, "memory = \n").unwrap();
    let (_, err, status) = typed(&format!("create -q {path}"));
    assert_eq!(
        (&*err, status),
        (
            &*format!(
                "Error: Errors were found at line 1 while processing {path}:\n\tmemory =\n\
                 there is nothing after the equals sign\n"
            ),
            1
        )
    );
    std::fs::remove_dir_all(&directory).unwrap();
}
