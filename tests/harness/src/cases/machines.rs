//! Machines that are unlike others in one way, each of which the hypervisor copes with.

use super::boot::{BOOT_COMPLETE, BOOT_LIMIT};
use super::shell::Shell;
use super::{TEST_IMAGE, no_line, pattern};
use crate::iso::Recipe;
use crate::machine::{Board, Hpet, Machine};
use crate::qemu::Qemu;
use crate::run::Run;
use crate::suite::{Case, Context};
use crate::verdict::{Ending, Verdict};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const OPTIONS: &str = "console=com1 loglvl=all";

/// By what the time-stamp counter is calibrated where a better clock is missing. The oldest board has no ACPI
/// either: no table says where the other processors are.
const CLOCKS: [(&str, Board, Hpet, &str); 3] = [
    ("boot/clock-hpet", Board::Q35, Hpet::Present, "by HPET at"),
    (
        "boot/clock-pm-timer",
        Board::Q35,
        Hpet::Absent,
        "by ACPI PM timer",
    ),
    ("boot/clock-pit", Board::Isa, Hpet::Absent, "by PIT"),
];

/// QEMU counts instructions, one each nanosecond, so that time is the same however busy the machine is.
const COUNTING: [&str; 2] = ["-icount", "shift=0,sleep=off"];
/// What a boot may take on one processor and on four, ms of counted time; it takes 24 and 126, most of it
/// pauses that hardware wants.
const COUNTED_MS: [(u32, f64); 2] = [(1, 60.0), (4, 300.0)];

/// The firmware that does not speak BIOS, and how long it may take: it is large, and emulated.
pub(super) const UEFI: &str = "/usr/share/ovmf/OVMF.fd";
const UEFI_LIMIT: Duration = Duration::from_secs(240);
/// What it keeps of the memory for itself, at most.
const MAX_UEFI_MIB: u32 = 16;
/// How long make may take to make what is not there yet, and to boot it.
const MAKE_LIMIT: Duration = Duration::from_secs(300);
/// From the keys that leave the console to the end.
const EXIT_LIMIT: Duration = Duration::from_secs(20);
/// How long a machine may take to fall asleep.
const SLEEP_LIMIT: Duration = Duration::from_secs(20);

/// All of them.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, board, hpet, by) in CLOCKS {
        cases.push(Case::new(name, move |context| {
            calibrates(context, board, hpet, by).unwrap_or_else(|verdict| verdict)
        }));
    }
    for (processors, limit_ms) in COUNTED_MS {
        let name = format!("boot/counted-work-{processors}cpu");
        cases.push(Case::new(name, move |context| {
            is_quick(context, processors, limit_ms).unwrap_or_else(|verdict| verdict)
        }));
    }
    cases.push(Case::new("boot/bad-acpi-table", |context| {
        refuses_a_table(context).unwrap_or_else(|verdict| verdict)
    }));
    cases.push(Case::new("boot/unusable-is-named", |context| {
        says_what_it_leaves_out(context).unwrap_or_else(|verdict| verdict)
    }));
    cases.push(Case::new("boot/idle-processors-sleep", |context| {
        sleeps(context).unwrap_or_else(|verdict| verdict)
    }));
    for model in ["qemu64", "max,-smap"] {
        let name = format!("boot/page-tables-{}", model.trim_end_matches(",-smap"));
        cases.push(Case::new(name, move |context| {
            keeps_its_promises(context, model).unwrap_or_else(|verdict| verdict)
        }));
    }
    for (name, processors, screen) in [
        ("boot/uefi-1cpu", 1, "none"),
        ("boot/uefi-4cpu-screen", 4, "std"),
    ] {
        cases.push(Case::new(name, move |context| {
            boots_by_uefi(context, processors, screen).unwrap_or_else(|verdict| verdict)
        }));
    }
    cases.push(Case::new("boot/make-run", |context| {
        is_run_by_make(context).unwrap_or_else(|verdict| verdict)
    }));
    cases.push(Case::new("boot/same-ram-disk", |_| {
        is_made_the_same().unwrap_or_else(|verdict| verdict)
    }));
    cases.push(Case::new("boot/moved-image", |context| {
        runs_where_it_is_put(context).unwrap_or_else(|verdict| verdict)
    }));
    cases
}

/// Boots to the end-of-boot line, and returns what it says: processors, MiB, ms.
fn boot(
    context: &Context<'_>,
    machine: &Machine,
    image: &Path,
) -> Result<(Run, [String; 3]), Verdict> {
    let qemu = Qemu::installed().map_err(Verdict::NoVerdict)?;
    let mut run = context.boot(&qemu, machine, &Recipe::new(image, OPTIONS))?;
    let complete = pattern(BOOT_COMPLETE)?;
    let line = run
        .wait_for(&complete, BOOT_LIMIT)
        .map_err(|missing| no_line("the end-of-boot line", &missing))?;
    let found = complete
        .captures(&line.text)
        .ok_or(Verdict::NoVerdict("the line has changed".into()))?;
    let numbers = [1, 2, 3].map(|group| found[group].to_string());
    Ok((run, numbers))
}

fn calibrates(
    context: &Context<'_>,
    board: Board,
    hpet: Hpet,
    by: &str,
) -> Result<Verdict, Verdict> {
    let machine = Machine {
        board,
        hpet,
        ..Machine::default()
    };
    let (run, _) = boot(context, &machine, Path::new(TEST_IMAGE))?;
    Ok(if run.lines().iter().any(|line| line.text.contains(by)) {
        Verdict::Pass(String::new())
    } else {
        Verdict::Fail(format!("the TSC is not calibrated '{by}'"))
    })
}

fn is_quick(context: &Context<'_>, processors: u32, limit_ms: f64) -> Result<Verdict, Verdict> {
    let machine = Machine {
        processors,
        extra: COUNTING.map(Into::into).to_vec(),
        ..Machine::default()
    };
    let (_, [found, _, took_ms]) = boot(context, &machine, Path::new(TEST_IMAGE))?;
    let took: f64 = took_ms
        .parse()
        .map_err(|_| Verdict::NoVerdict(format!("'{took_ms}' ms")))?;
    Ok(if found != processors.to_string() {
        Verdict::Fail(format!("{found} processors are up"))
    } else if took > limit_ms {
        Verdict::Fail(format!("{took} ms of counted time, at most {limit_ms}"))
    } else {
        Verdict::Pass(format!("{took} ms of counted time"))
    })
}

/// A table that is too short to be one is refused by name, and the boot does without: QEMU adds an HPET's that ends
/// where its content would start, to a machine without an HPET.
/// What the machine or the loader has and the hypervisor can't use is told: memory beyond what it maps, modules that
/// are none of the two there are or find no room, a device where memory is.
fn says_what_it_leaves_out(context: &Context<'_>) -> Result<Verdict, Verdict> {
    const MODULES: usize = 18;
    // An HPET of the first kind (IA-PC HPET specification 1.0a, 3.2.4) in the machine's memory.
    let content = "build/logs/hpet-in-memory";
    let mut table = vec![0; 56 - 36];
    table[8..16].copy_from_slice(&0x100_0000_u64.to_le_bytes());
    std::fs::write(content, table)
        .map_err(|error| Verdict::NoVerdict(format!("{content}: {error}")))?;
    let machine = Machine {
        memory_mib: 6144,
        hpet: Hpet::Absent,
        extra: vec!["-acpitable".into(), format!("sig=HPET,data={content}")],
        ..Machine::default()
    };
    let mut recipe = Recipe::new(TEST_IMAGE, format!("{OPTIONS} test=low-limit"));
    let kernel = Path::new("build/kernels/kernel");
    let line = "test=start/start-of-day";
    recipe.modules.push((kernel.into(), line.into()));
    for _ in 1..MODULES {
        recipe.modules.push((content.into(), String::new()));
    }
    let qemu = Qemu::installed().map_err(Verdict::NoVerdict)?;
    let mut run = context.boot(&qemu, &machine, &recipe)?;
    // Of the 6 GiB, 2 GiB are below the devices.
    for text in [
        r"warning: 4096 MiB of RAM from 0x80000000 up are not used",
        r"warning: there are more than 16 modules of the boot loader: 2 of them are ignored",
        r"warning: ACPI has an HPET at 0x1000000, which is memory; it is left alone",
        r"Paravane: boot complete: 1 processor, 20[0-9]{2} MiB RAM",
    ] {
        run.wait_for(&pattern(text)?, BOOT_LIMIT)
            .map_err(|missing| no_line(&format!("'{text}'"), &missing))?;
    }
    let text = r"warning: the module at .* is not used";
    for _ in 2..16 {
        run.wait_for(&pattern(text)?, BOOT_LIMIT)
            .map_err(|missing| no_line(&format!("'{text}'"), &missing))?;
    }
    Ok(Verdict::Pass(String::new()))
}

fn refuses_a_table(context: &Context<'_>) -> Result<Verdict, Verdict> {
    let content = "build/logs/acpi-table";
    std::fs::write(content, [0])
        .map_err(|error| Verdict::NoVerdict(format!("{content}: {error}")))?;
    let table = format!("sig=HPET,data={content}");
    let machine = Machine {
        processors: 2,
        hpet: Hpet::Absent,
        extra: vec!["-acpitable".into(), table],
        ..Machine::default()
    };
    let (run, [processors, ..]) = boot(context, &machine, Path::new(TEST_IMAGE))?;
    let has_said = |text| run.lines().iter().any(|line| line.text.contains(text));
    let is_named =
        pattern(r"warning: ACPI: ACPI table HPET at 0x[0-9a-f]+ refused: length is 37 bytes")?;
    Ok(
        if !run.lines().iter().any(|line| is_named.is_match(&line.text)) {
            Verdict::Fail("the table is not refused by name".into())
        } else if processors != "2" || !has_said("by ACPI PM timer") {
            Verdict::Fail("the other tables are not used".into())
        } else {
            Verdict::Pass(String::new())
        },
    )
}

/// With nothing to do, every processor is halted.
fn sleeps(context: &Context<'_>) -> Result<Verdict, Verdict> {
    let machine = Machine {
        processors: 4,
        ..Machine::default()
    };
    let (run, _) = boot(context, &machine, Path::new(TEST_IMAGE))?;
    let started = Instant::now();
    loop {
        let registers = run
            .command_monitor("info registers -a")
            .map_err(|error| Verdict::NoVerdict(format!("QEMU's monitor: {error}")))?;
        let halted = registers.matches("HLT=1").count();
        if halted == 4 {
            return Ok(Verdict::Pass(String::new()));
        }
        if started.elapsed() > SLEEP_LIMIT {
            return Ok(Verdict::Fail(format!("{halted} of 4 processors sleep")));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The hypervisor's page tables: nothing is writable and executable, nothing of its own is a guest's, and every
/// stack, that of boot and those of each processor, has its guards.
fn keeps_its_promises(context: &Context<'_>, model: &str) -> Result<Verdict, Verdict> {
    let qemu = Qemu::installed().map_err(Verdict::NoVerdict)?;
    let machine = Machine {
        processors: 2,
        cpu: model.into(),
        ..Machine::default()
    };
    let recipe = Recipe::new(TEST_IMAGE, format!("{OPTIONS} test=audit"));
    let mut run = context.boot(&qemu, &machine, &recipe)?;
    let sum = run
        .wait_for(&pattern(r"audit: \d+ mappings")?, BOOT_LIMIT)
        .map_err(|missing| no_line("the audit's sum", &missing))?;
    let expected =
        pattern(r"audit: [1-9]\d* mappings \([1-9]\d* executable\), 3 stack blocks: 0 faults$")?;
    let text = sum.text.split("] ").nth(1).unwrap_or_default().to_string();
    Ok(if expected.is_match(&text) {
        Verdict::Pass(text)
    } else {
        Verdict::Fail(text)
    })
}

/// The same ISO boots by UEFI: all processors and memory are found, and that there is no text screen is said.
fn boots_by_uefi(context: &Context<'_>, processors: u32, screen: &str) -> Result<Verdict, Verdict> {
    if !Path::new(UEFI).exists() {
        return Err(Verdict::Skipped(format!("there is no {UEFI} here")));
    }
    let qemu = Qemu::installed().map_err(Verdict::NoVerdict)?;
    let machine = Machine {
        processors,
        extra: ["-bios", UEFI, "-vga", screen].map(Into::into).to_vec(),
        ..Machine::default()
    };
    let options = "console=com1,vga loglvl=all test=exit";
    let mut run = context.boot(&qemu, &machine, &Recipe::new(TEST_IMAGE, options))?;
    let complete = pattern(BOOT_COMPLETE)?;
    let line = run
        .wait_for(&complete, UEFI_LIMIT)
        .map_err(|missing| no_line("the end-of-boot line", &missing))?;
    let found = complete
        .captures(&line.text)
        .ok_or(Verdict::NoVerdict("the line has changed".into()))?;
    let (nr_found, mib): (u32, u32) = match (found[1].parse(), found[2].parse()) {
        (Ok(nr_found), Ok(mib)) => (nr_found, mib),
        _ => return Ok(Verdict::Fail("the line has numbers that are none".into())),
    };
    let has_said = |text| run.lines().iter().any(|line| line.text.contains(text));
    let is_said = has_said("warning: vga: UEFI has no text screen");
    let is_all_memory = (machine.memory_mib - MAX_UEFI_MIB..=machine.memory_mib).contains(&mib);
    Ok(if nr_found != processors {
        Verdict::Fail(format!("{nr_found} processors are up"))
    } else if !is_all_memory {
        Verdict::Fail(format!("{mib} MiB RAM were found"))
    } else if !is_said {
        Verdict::Fail("it does not say that there is no text screen".into())
    } else {
        Verdict::Pass(format!("{mib} MiB"))
    })
}

/// `make run`: the serial console on the terminal, with a shell of the first domain at the end. It says what to try, which is
/// there to be tried, and how to leave.
fn is_run_by_make(context: &Context<'_>) -> Result<Verdict, Verdict> {
    let mut make = Command::new("make");
    // This may itself be a child of make, whose flags are not meant for another one.
    make.arg("run").env_remove("MAKEFLAGS").env_remove("MFLAGS");
    let mut run = context.spawn(make)?;
    for expected in [
        r"To leave: Ctrl-\], then X",
        BOOT_COMPLETE,
        "^A guest to try: xm create -c debian .*; xm list; xm shutdown -w debian",
    ] {
        run.wait_for(&pattern(expected)?, MAKE_LIMIT)
            .map_err(|missing| no_line(expected, &missing))?;
    }
    let mut shell = Shell {
        run,
        after: Duration::ZERO,
    };
    shell.must_prompt()?;
    // All daemons work together for it. Its own way to a login takes longer: `guests/debian` goes that. The bar that a person
    // is shown is not for us.
    shell.output_within("xm create -qp debian 2>/tmp/said", MAKE_LIMIT)?;
    let listed = shell.output("xm list | awk 'NR > 1 { print $1 }'")?;
    if listed != ["Domain-0", "debian"] {
        return Err(Verdict::Fail(format!("xm list names {listed:?}")));
    }
    shell.output("xm destroy debian")?;
    shell.send("\x1dx")?;
    Ok(match shell.run.wait_for_end(EXIT_LIMIT) {
        Ending::Exited(0) => Verdict::Pass(String::new()),
        ending => Verdict::Fail(format!("it is not left so: {ending}")),
    })
}

/// The loader may put the image anywhere. Here it is asked to put it as high as it can.
fn runs_where_it_is_put(context: &Context<'_>) -> Result<Verdict, Verdict> {
    let moved = PathBuf::from("build/paravane-test-high");
    let mut image = std::fs::read(TEST_IMAGE)
        .map_err(|error| Verdict::NoVerdict(format!("{TEST_IMAGE}: {error}")))?;
    prefer_highest(&mut image)
        .ok_or_else(|| Verdict::NoVerdict("the image has no relocation tag".into()))?;
    std::fs::write(&moved, image)
        .map_err(|error| Verdict::NoVerdict(format!("{}: {error}", moved.display())))?;
    let machine = Machine {
        processors: 2,
        ..Machine::default()
    };
    let (run, [processors, ..]) = boot(context, &machine, &moved)?;
    let at = pattern(r"image at (0x[0-9a-f]+);")?;
    let place = run
        .lines()
        .iter()
        .find_map(|line| Some(at.captures(&line.text)?[1].to_string()));
    Ok(match place.as_deref() {
        Some("0x200000") | None => {
            Verdict::NoVerdict(format!("the loader has not moved it: {place:?}"))
        }
        Some(_) if processors != "2" => Verdict::Fail(format!("{processors} processors are up")),
        Some(place) => Verdict::Pass(place.into()),
    })
}

/// Changes the preference in the multiboot2 header's relocation tag from the lowest place to the highest.
fn prefer_highest(image: &mut [u8]) -> Option<()> {
    const MAGIC: [u8; 4] = 0xe852_50d6u32.to_le_bytes();
    // Type 10, optional, 24 bytes; lowest and highest address and alignment come before the preference.
    const TAG: [u8; 8] = [10, 0, 1, 0, 24, 0, 0, 0];
    const PREFERENCE: usize = 20;
    const HIGHEST: u8 = 2;
    let header = image.windows(4).position(|word| word == MAGIC)?;
    let header = image.get_mut(header..)?;
    let tag = header.windows(8).position(|word| word == TAG)?;
    *header.get_mut(tag + PREFERENCE)? = HIGHEST;
    Some(())
}

/// The first domain's RAM disk, made once more from the same packages and programs, is the same to the last bit.
fn is_made_the_same() -> Result<Verdict, Verdict> {
    const FIRST: &str = "build/dom0";
    const AGAIN: &str = "build/dom0-again";
    let error = |error: std::io::Error| Verdict::NoVerdict(error.to_string());
    let first = match std::fs::read(Path::new(FIRST).join("initrd")) {
        Ok(first) => first,
        Err(_) => {
            return Err(Verdict::Skipped(format!(
                "there is no {FIRST}/initrd: boot/make-dom0 makes it"
            )));
        }
    };
    let _ = std::fs::remove_dir_all(AGAIN);
    std::fs::create_dir_all(AGAIN).map_err(error)?;
    for words in [
        ["cp", "-al", "build/dom0/packages", AGAIN],
        ["boot/make-dom0", "stable", AGAIN, ""],
    ] {
        let words = words.iter().filter(|word| !word.is_empty());
        let words: Vec<_> = words.collect();
        let output = Command::new(words[0])
            .args(&words[1..])
            .output()
            .map_err(error)?;
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr).trim().to_string();
            return Err(Verdict::Fail(format!("{words:?}: {why}")));
        }
    }
    let again = std::fs::read(Path::new(AGAIN).join("initrd")).map_err(error)?;
    std::fs::remove_dir_all(AGAIN).map_err(error)?;
    Ok(if first == again {
        Verdict::Pass(format!("{} MiB", first.len() >> 20))
    } else {
        Verdict::Fail("it differs".into())
    })
}

#[cfg(test)]
mod tests {
    use super::prefer_highest;

    #[test]
    fn the_preference_is_changed_where_it_is() {
        let mut image = vec![0u8; 64];
        image[8..12].copy_from_slice(&0xe852_50d6u32.to_le_bytes());
        image[24..32].copy_from_slice(&[10, 0, 1, 0, 24, 0, 0, 0]);
        image[44] = 1;
        prefer_highest(&mut image).unwrap();
        assert_eq!(image[44], 2);
        assert!(prefer_highest(&mut [0; 64]).is_none());
    }
}
