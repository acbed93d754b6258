use super::*;
use proptest::prelude::*;

/// The options of a line that is understood.
fn options(line: &str) -> Options {
    let parsed = parse(line.as_bytes());
    assert_eq!(sentences(&parsed), [""; 0], "{line}");
    parsed.options
}

/// The one warning that a line gets, which then changes nothing.
fn warning(line: &str) -> String {
    let parsed = parse(line.as_bytes());
    assert_eq!(parsed.options, Options::DEFAULT, "{line}");
    let [sentence] = sentences(&parsed)
        .try_into()
        .unwrap_or_else(|all| panic!("{line}: {all:?}"));
    sentence
}

fn sentences(parsed: &Parsed<'_>) -> Vec<String> {
    parsed.warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn an_empty_line_gives_the_defaults() {
    assert_eq!(options(""), Options::DEFAULT);
    assert_eq!(options(" \t "), Options::DEFAULT);
    assert_eq!(options("/boot/paravane"), Options::DEFAULT);
    assert_eq!(
        options("placeholder no-real-mode edd=off"),
        Options::DEFAULT
    );
}

#[test]
fn a_usual_line() {
    let line = "/boot/paravane console=com1 com1=57600,7e2,0x2f8,3 loglvl=all guest_loglvl=error/debug noreboot \
                maxcpus=4 dom0_mem=512M,min:256M,max:1G dom0_max_vcpus=2-4 dom0_vcpus_pin sched=credit x2apic=off \
                watchdog watchdog_timeout=10 sched_credit_tslice_ms=5 sched_ratelimit_us=0 vga=text-80x25,keep";
    #[allow(clippy::needless_update)] // With planted faults there is one field more.
    let expected = Options {
        consoles: Consoles::COM1,
        com1: Com1 {
            baud: Baud::Rate(57_600),
            clock_hz: 1_843_200,
            data_bits: 7,
            parity: Parity::Even,
            stop_bits: 2,
            io_base: 0x2f8,
            irq: 3,
        },
        vga: Vga {
            mode: VgaMode::Text80x25,
            is_kept: true,
        },
        loglvl: LogThreshold {
            always: LogLevel::Debug,
            rate_limited: LogLevel::Debug,
        },
        guest_loglvl: LogThreshold {
            always: LogLevel::Error,
            rate_limited: LogLevel::Debug,
        },
        is_noreboot: true,
        maxcpus: Some(4),
        is_nosmp: false,
        dom0_mem: Dom0Memory {
            amount: Some(MemoryAmount::Bytes(512 << 20)),
            min: Some(MemoryAmount::Bytes(256 << 20)),
            max: Some(MemoryAmount::Bytes(1 << 30)),
        },
        dom0_max_vcpus: Some(VcpuCount { min: 2, max: 4 }),
        is_dom0_vcpus_pin: true,
        x2apic: Some(false),
        watchdog: Watchdog::On,
        watchdog_timeout_s: 10,
        sched_credit_tslice_ms: 5,
        sched_ratelimit_us: 0,
        ..Options::DEFAULT
    };
    assert_eq!(options(line), expected);
}

#[test]
fn switches_in_all_forms() {
    for on in [
        "noreboot",
        "noreboot=yes",
        "noreboot=on",
        "noreboot=true",
        "noreboot=enable",
        "noreboot=1",
    ] {
        assert!(options(on).is_noreboot, "{on}");
    }
    let off =
        ["no", "off", "false", "disable", "0"].map(|value| format!("noreboot noreboot={value}"));
    for line in off
        .iter()
        .map(String::as_str)
        .chain(["noreboot no-noreboot", "noreboot nonoreboot"])
    {
        assert!(!options(line).is_noreboot, "{line}");
    }
    assert_eq!(options("no-x2apic").x2apic, Some(false));
    assert_eq!(options("nox2apic").x2apic, Some(false));
    assert_eq!(options("x2apic").x2apic, Some(true));
    assert_eq!(options("watchdog=force").watchdog, Watchdog::Forced);
    assert_eq!(options("watchdog no-watchdog").watchdog, Watchdog::Off);
    assert!(options("dom0-vcpus-pin").is_dom0_vcpus_pin);
}

#[test]
fn the_later_of_two_counts() {
    assert_eq!(options("maxcpus=2 maxcpus=3").maxcpus, Some(3));
    let com1 = options("com1=9600,7e1 com1=19200").com1;
    assert_eq!((com1.baud, com1.data_bits), (Baud::Rate(19_200), 8));
}

#[test]
fn the_first_domain_has_pages_within_its_bounds() {
    const AVAILABLE: u64 = 4 << 30;
    let pages = |value: &str| {
        let pages = options(&format!("dom0_mem={value}"))
            .dom0_mem
            .pages(AVAILABLE);
        (pages.initial >> 8, pages.most >> 8) // in MiB
    };
    assert_eq!(pages("64M"), (64, 64));
    assert_eq!(pages("64M,max:128M"), (64, 128));
    assert_eq!(pages("64M,min:96M,max:128M"), (96, 128));
    assert_eq!(pages("512M,max:128M"), (128, 128));
    assert_eq!(pages("max:-1G"), (3072, 3072));
    assert_eq!(pages("1G,max:100G"), (1024, 4096));
    assert_eq!(pages("min:2G,max:1G"), (1024, 1024));
}

#[test]
fn memory_that_the_first_domain_does_not_get_is_said() {
    const AVAILABLE: u64 = 397 << 20;
    let said = |value: &str| -> Vec<String> {
        let memory = options(&format!("dom0_mem={value}")).dom0_mem;
        memory
            .shortfalls(AVAILABLE)
            .map(|shortfall| shortfall.to_string())
            .collect()
    };
    let too_much = "is more than the machine has free: the first domain";
    for (value, expected) in [
        (
            "4G",
            vec![format!("dom0_mem=4G {too_much} starts with 397 MiB")],
        ),
        (
            "min:4G,max:1G",
            vec![
                format!("dom0_mem=min:4G {too_much} starts with 397 MiB"),
                format!("dom0_mem=max:1G {too_much} can have 397 MiB"),
            ],
        ),
        (
            "64M,max:1536M",
            vec![format!("dom0_mem=max:1536M {too_much} can have 397 MiB")],
        ),
        (
            "-1G",
            vec![format!("dom0_mem=-1G {too_much} starts with 0 MiB")],
        ),
        (
            "200M,max:100M",
            vec!["dom0_mem=200M is above the maximum asked for: the first domain starts with 100 MiB".into()],
        ),
        (
            "min:200M,max:100M",
            vec!["dom0_mem=min:200M is above the maximum asked for: the first domain starts with 100 MiB".into()],
        ),
        (
            "100M,min:200M",
            vec!["dom0_mem=100M is below the minimum asked for: the first domain starts with 200 MiB".into()],
        ),
    ] {
        assert_eq!(said(value), expected, "{value}");
    }
    // Bounds of what is left over are there to be reached.
    for value in [
        "397M",
        "-64M",
        "-64M,max:128M",
        "-300M,min:128M",
        "64M,min:32M,max:128M",
    ] {
        assert_eq!(said(value), [""; 0], "{value}");
    }
}

#[test]
fn a_timeout_that_is_too_short_is_raised_and_named() {
    let parsed = parse(b"watchdog watchdog_timeout=1");
    assert_eq!(parsed.options.watchdog_timeout_s, 2);
    assert_eq!(
        sentences(&parsed),
        ["command line: \"watchdog_timeout=1\" is too small; 2 is taken instead"]
    );
    assert_eq!(options("watchdog_timeout=0").watchdog_timeout_s, 0);
    assert_eq!(options("watchdog_timeout=2").watchdog_timeout_s, 2);
}

#[test]
fn the_parts_of_dom0_mem_add_up() {
    let memory = options("dom0_mem=min:1G,3G dom0_mem=2G").dom0_mem;
    let bytes = |gib: u64| Some(MemoryAmount::Bytes(gib << 30));
    assert_eq!((memory.amount, memory.min), (bytes(2), bytes(1)));
}

#[test]
fn processors() {
    assert_eq!(options("").max_processors(), u32::MAX);
    assert_eq!(options("maxcpus=3").max_processors(), 3);
    assert_eq!(options("maxcpus=0").max_processors(), 1);
    assert_eq!(options("maxcpus=3 nosmp").max_processors(), 1);
}

#[test]
fn serial_lines() {
    let com1 = |value: &str| options(&format!("com1={value}")).com1;
    assert_eq!(com1("115200,8n1"), Com1::DEFAULT);
    assert_eq!(com1("115200").divisor(), Some(1));
    assert_eq!(com1("9600").divisor(), Some(12));
    assert_eq!(com1("50").divisor(), Some(2304));
    // The nearest speed that the clock can make.
    assert_eq!(com1("70000").divisor(), Some(2));
    assert_eq!(
        com1("auto,,0x2f8"),
        Com1 {
            baud: Baud::Auto,
            io_base: 0x2f8,
            ..Com1::DEFAULT
        }
    );
    assert_eq!(com1("auto").divisor(), None);
    let fast = com1("3000000/48000000");
    assert_eq!((fast.clock_hz, fast.divisor()), (48_000_000, Some(1)));
    assert_eq!(com1(",8O1").parity, Parity::Odd);
    assert_eq!(com1("115200,8n1,0x3f8,0").irq, 0);
    assert_eq!(
        com1("9600,7e2,0x2f8,3").to_string(),
        "9600 bit/s, 7e2, port 0x2f8"
    );
    assert_eq!(com1("auto").to_string(), "speed as it was, 8n1, port 0x3f8");
}

#[test]
fn memory_amounts() {
    let amount = |value: &str| {
        options(&format!("dom0_mem={value}"))
            .dom0_mem
            .amount
            .unwrap()
    };
    for (value, bytes) in [
        ("512", 512 << 10),
        ("512B", 512),
        ("1k", 1024),
        ("3M", 3 << 20),
        ("2g", 2 << 30),
        ("4096T", 1 << 52),
        ("0x10M", 16 << 20),
    ] {
        assert_eq!(amount(value), MemoryAmount::Bytes(bytes), "{value}");
    }
    assert_eq!(amount("-1G"), MemoryAmount::AllBut(1 << 30));
    assert_eq!(amount("-1G").of(5 << 30), 4 << 30);
    assert_eq!(amount("-1G").of(1 << 29), 0);
    assert_eq!(amount("1G").of(1 << 29), 1 << 29);
    let bounds = options("dom0_mem=min:-2G,max:4G").dom0_mem;
    let expected = Dom0Memory {
        amount: None,
        min: Some(MemoryAmount::AllBut(2 << 30)),
        max: Some(MemoryAmount::Bytes(4 << 30)),
    };
    assert_eq!(bounds, expected);
}

#[test]
fn virtual_processors() {
    let count = |value: &str| {
        options(&format!("dom0_max_vcpus={value}"))
            .dom0_max_vcpus
            .unwrap()
    };
    assert_eq!(count("3"), VcpuCount { min: 3, max: 3 });
    assert_eq!(count("2-8"), VcpuCount { min: 2, max: 8 });
    assert_eq!(count("-8"), VcpuCount { min: 1, max: 8 });
    assert_eq!(count("2-"), VcpuCount { min: 2, max: 8192 });
}

#[test]
fn quotation_marks_keep_blanks_together() {
    assert_eq!(options("'maxcpus=2'").maxcpus, Some(2));
    assert_eq!(options("maxcpus=\"2\" nosmp").maxcpus, Some(2));
    // One kind of mark is a letter inside the other.
    assert!(warning("sched=\"it's 'new\"").contains("\"it's 'new\" is not offered"));
    assert!(
        warning("\"loglvl=all noreboot\"")
            .starts_with("command line: \"loglvl=all noreboot\" is ignored")
    );
    let parsed = parse(b"noreboot 'maxcpus=2 nosmp");
    assert!(parsed.options.is_noreboot && !parsed.options.is_nosmp);
    assert_eq!(
        sentences(&parsed)[0],
        "command line: \"'maxcpus=2 nosmp\" opens a quotation that is not closed"
    );
}

#[test]
fn two_dashes_end_the_options() {
    let parsed = parse(b"noreboot -- root=/dev/xvda  ro -- x ");
    assert!(parsed.options.is_noreboot && parsed.warnings.is_empty());
    assert_eq!(
        parsed.first_domain_arguments.as_bytes(),
        b"root=/dev/xvda  ro -- x"
    );
    for (line, own) in [
        (
            &b"/boot/paravane  noreboot  nosmp -- quiet"[..],
            &b"noreboot  nosmp"[..],
        ),
        (b" noreboot ", b"noreboot"),
        (b"loglvl='all' --", b"loglvl='all'"),
        (b"/boot/paravane", b""),
        (b"-- quiet", b""),
        (b"", b""),
    ] {
        assert_eq!(parse(line).own_words.as_bytes(), own);
    }
    assert_eq!(parse(b"noreboot").first_domain_arguments.as_bytes(), b"");
}

#[test]
fn each_mistake_is_named_with_what_would_be_right() {
    let cases = [
        (
            "frobnicate",
            "\"frobnicate\" is not an option of this hypervisor and is ignored",
        ),
        (
            "consle=com1",
            "\"consle=com1\" is not an option of this hypervisor and is ignored; did you mean \"console=<com1|vga|none>[,...]\"?",
        ),
        (
            "console",
            "\"console\" is ignored: it needs a value; the form is \"console=<com1|vga|none>[,...]\"",
        ),
        ("console=com2", "\"com2\" is not one of com1, vga, none"),
        (
            "no-console",
            "it can't be switched off by \"no\" before its name",
        ),
        (
            "no-watchdog=yes",
            "its name says no, so it takes no value \"yes\"",
        ),
        (
            "noreboot=maybe",
            "\"maybe\" is neither yes, on, true, enable, 1 nor no, off, false, disable, 0",
        ),
        ("com1=fast", "\"fast\" is not a number from 1 to 115200"),
        ("com1=1", "\"1\" is not a number from 2 to 115200"),
        ("com1=230400", "\"230400\" is not a number from 1 to 115200"),
        (
            "com1=9600/15",
            "\"15\" is not a number from 16 to 4294967295",
        ),
        (
            "com1=9600,9n1",
            "\"9n1\" is not data bits 5-8, parity n, o, e, m or s, stop bits 1 or 2, as in 8n1",
        ),
        (
            "com1=9600,8n1,pci",
            "\"pci\" is not a number from 1 to 65528",
        ),
        (
            "com1=9600,8n1,0x3f8,4,5",
            "\"5\" is too much: there are at most 4 fields",
        ),
        (
            "vga=gfx-1024x768x32",
            "\"gfx-1024x768x32\" is not offered here; offered: current, text-80x25, keep",
        ),
        (
            "vga=blue",
            "\"blue\" is not one of current, text-80x25, keep",
        ),
        (
            "loglvl=loud",
            "\"loud\" is not one of none, error, warning, info, debug, all",
        ),
        (
            "loglvl=all/",
            "\"\" is not one of none, error, warning, info, debug, all",
        ),
        ("maxcpus=-1", "\"-1\" is not a number from 0 to 4294967295"),
        ("maxcpus=+1", "\"+1\" is not a number from 0 to 4294967295"),
        ("maxcpus=", "\"\" is not a number from 0 to 4294967295"),
        (
            "dom0_mem=lots",
            "\"lots\" is not a size above 0 and at most 4096T, such as 512M, 4G or -1G",
        ),
        ("dom0_mem=0", "\"0\" is not a size above 0"),
        (
            "dom0_mem=4097T",
            "\"4097T\" is not a size above 0 and at most 4096T",
        ),
        ("dom0_mem=1G,min:", "\"\" is not a size"),
        (
            "dom0_mem=1G,max:99999999999999999999G",
            "\"99999999999999999999G\" is not a size",
        ),
        ("dom0_max_vcpus=0", "\"0\" is not a number from 1 to 8192"),
        (
            "dom0_max_vcpus=-",
            "\"-\" is not a number or a range such as 2-8",
        ),
        (
            "dom0_max_vcpus=4-2",
            "\"4-2\" is not a range whose end is not below its start",
        ),
        (
            "sched=credit2",
            "\"credit2\" is not offered here; offered: credit; the form is \"sched=credit\"",
        ),
        ("watchdog=later", "\"later\" is not one of yes, no, force"),
        (
            "sched_ratelimit_us=99",
            "\"99\" is not a number from 100 to 500000",
        ),
        ("x2apic=\u{1b}[2J", "\"\u{fffd}[2J\" is neither"),
    ];
    for (line, expected) in cases {
        let sentence = warning(line);
        assert!(sentence.starts_with("command line: \""), "{sentence}");
        assert!(sentence.contains(expected), "{line}: {sentence}");
    }
    let parsed = parse(b"noreboot max\xffcpus");
    assert_eq!(
        sentences(&parsed),
        ["command line: \"max\u{fffd}cpus\" is not text (UTF-8) and is ignored"]
    );
}

#[test]
fn a_similar_name_is_suggested() {
    let meant = |name| table::nearest(name).map(|descriptor| descriptor.name);
    assert_eq!(meant("com9"), Some("com1"));
    assert_eq!(meant("max_cpus"), Some("maxcpus"));
    assert_eq!(meant("wtachdog"), Some("watchdog"));
    assert_eq!(meant("dom0_max_vcpu"), Some("dom0_max_vcpus"));
    assert_eq!(meant("NOSMP"), Some("nosmp"));
    assert_eq!(meant("Dom0_Mem"), Some("dom0_mem"));
    // Two letters of four make it another name.
    assert_eq!(meant("cow9"), None);
    assert_eq!(meant("watchcat"), None);
    assert_eq!(meant(&"x".repeat(100)), None);
}

#[test]
fn a_malformed_value_leaves_the_earlier_one() {
    let parsed = parse(b"com1=9600,7e1 com1=19200,8x1");
    assert_eq!(
        parsed.options.com1,
        Com1 {
            baud: Baud::Rate(9600),
            data_bits: 7,
            parity: Parity::Even,
            ..Com1::DEFAULT
        }
    );
    assert_eq!(parsed.warnings.len(), 1);
}

#[test]
fn warnings_beyond_the_limit_are_counted() {
    let line = "nonsense ".repeat(MAX_WARNINGS + 4);
    let warnings = parse(line.as_bytes()).warnings;
    assert_eq!((warnings.len(), warnings.ignored()), (MAX_WARNINGS, 4));
}

#[test]
fn every_warning_is_named_however_many_there_are() {
    let words: Vec<String> = (0..MAX_WARNINGS + 4).map(|n| format!("word{n}")).collect();
    let line = words.join(" ");
    let mut named = Vec::new();
    each_warning(line.as_bytes(), |warning| {
        named.push(warning.word.to_string())
    });
    assert_eq!(named, words);
}

#[test]
#[cfg(feature = "planted-faults")]
fn requests_of_test_builds() {
    assert_eq!(options("test=exit").test, Some(TestRequest::Exit));
    assert_eq!(options("test=audit").test, Some(TestRequest::Audit));
    let lose = Some(TestRequest::LoseReference);
    assert_eq!(options("test=lose-reference").test, lose);
    let limit = Some(TestRequest::LowLimit);
    assert_eq!(options("test=low-limit").test, limit);
    let version = Some(TestRequest::OtherVersion);
    assert_eq!(options("test=other-version").test, version);
    let fault = TestRequest::Fault {
        fault: PlantedFault::StackOverflow,
        cpu: 1,
    };
    assert_eq!(options("test=fault:stack-overflow@1").test, Some(fault));
    assert!(warning("test=fault:rust@0").contains("\"rust\" is not one of null-read"));
    assert!(
        warning("test=fault:nmi").contains(
            "exit, audit, lose-reference, low-limit, other-version or fault:<name>@<cpu>"
        )
    );
    assert!(!documentation().to_string().contains("test="));
}

#[test]
#[cfg(not(feature = "planted-faults"))]
fn shipped_images_know_no_test_requests() {
    assert!(warning("test=exit").contains("is not an option"));
}

#[test]
fn the_manual_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/OPTIONS.md");
    let manual = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        manual == documentation().to_string(),
        "docs/OPTIONS.md is not what the option table says; write it anew with \
         `cargo run -p hypervisor --example options > docs/OPTIONS.md`"
    );
}

#[test]
fn defaults_in_the_manual_are_the_defaults() {
    for descriptor in TABLE
        .iter()
        .filter(|descriptor| !descriptor.default.is_empty())
    {
        let line = format!("{}={}", descriptor.name, descriptor.default);
        assert_eq!(options(&line), Options::DEFAULT, "{line}");
    }
}

#[test]
fn no_two_options_have_one_name() {
    for (index, descriptor) in TABLE.iter().enumerate() {
        let same = TABLE
            .iter()
            .position(|other| table::same_name(other.name, descriptor.name));
        assert_eq!(same, Some(index), "{}", descriptor.name);
    }
}

proptest! {
    #![proptest_config(crate::machine::fixtures::cases(2000))]

    #[test]
    fn any_bytes_are_survived(line in prop::collection::vec(any::<u8>(), 0..200)) {
        let parsed = parse(&line);
        for sentence in sentences(&parsed) {
            prop_assert!(!sentence.chars().any(char::is_control));
        }
    }

    /// Words that look like options: each is either an option or warned about.
    #[test]
    fn no_word_is_passed_over(
        name in prop_oneof![
            prop::sample::select(TABLE.iter().map(|descriptor| descriptor.name.to_string()).collect::<Vec<_>>()),
            "(no-?)?[a-z0-9_]{1,12}",
        ],
        value in prop::option::of("[a-zA-Z0-9:,/@.+-]{0,12}"),
    ) {
        let word = value.map_or(name.clone(), |value| format!("{name}={value}"));
        let parsed = parse(word.as_bytes());
        let is_known = find(&name).is_some();
        prop_assert!(is_known || parsed.warnings.len() == 1);
        if let Some(warning) = parsed.warnings.first() {
            let is_raised = matches!(warning.kind, WarningKind::Raised { .. });
            prop_assert!(is_raised || parsed.options == Options::DEFAULT);
            prop_assert!(warning.to_string().contains(&word));
        }
    }
}
