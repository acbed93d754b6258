//! What tools that are not ours do and show besides a guest's life: stock `xl`, and those that developers look with.
//!
//! The guest is a tiny kernel, which stands still after its first line.

use super::shell::Shell;
use super::{guests_many, stock_tools};
use crate::suite::Case;
use crate::verdict::Verdict;
use std::time::Duration;

/// A first domain with stock tools, and with tiny guests; `tests/tiny-guests` makes it.
const INITRD: &str = "build/tiny-guests/stock-initrd";
/// A command on a machine with much else to do.
const LIMIT: Duration = Duration::from_secs(200);

/// What is typed, and the line that is printed. `$n` is the guest's number; blanks in a row count as one.
const COMMANDS: [(&str, &str); 36] = [
    (
        "xl list g | awk 'NR == 2 { print $1, $3, $4, $5 }'",
        "g 8 1 -b----",
    ),
    ("xl domid g | grep -c \"^$n$\"; xl domname $n", "1 g"),
    // The machine.
    (
        "xl info | grep -E '^(xen_version|xen_sch|virt_caps|nr_cpus)' | cut -d : -f 2",
        "2 pv gnttab-v1 4.17.0-paravane credit",
    ),
    (
        "xl info -n | grep -A 2 ^numa_info | tail -n 1 | awk '{ print $1, $4 }'",
        "0: 10",
    ),
    ("xl cpupool-list | tail -n 1", "Pool-0 2 credit y 2"),
    ("xl cpupool-list -c | tail -n 1", "Pool-0 0,1"),
    ("xl claims | tail -n 1 | awk '{ print $NF }'", "0"),
    // Processors, and shares of them.
    (
        "xl vcpu-list g | awk 'NR > 1 { print $3, $5, $7, $8, $9 }'",
        "0 -b- all / all 1 --p all / all",
    ),
    (
        "xl vcpu-pin g 0 1; xl vcpu-pin g 1 all 0; xl vcpu-list g | awk 'NR > 1 { print $7, $8, $9 }'",
        "1 / all all / 0",
    ),
    ("xl vcpu-pin g 0 7 2>&1 | grep -c ^libxl", "1"),
    (
        "xl vcpu-pin g all all all; xl vcpu-list g | awk 'NR > 1 { print $7, $8, $9 }'",
        "all / all all / all",
    ),
    (
        "xl sched-credit -d g -w 512 -c 50; xl sched-credit -d g | awk 'NR == 2 { print $3, $4 }'",
        "512 50",
    ),
    (
        "xl sched-credit -s -t 20 -r 2000; xl sched-credit -s",
        "Cpupool Pool-0: tslice=20ms ratelimit=2000us migration-delay=0us",
    ),
    (
        "xl sched-credit -s -t 30 -r 1000; xl sched-credit -s",
        "Cpupool Pool-0: tslice=30ms ratelimit=1000us migration-delay=0us",
    ),
    ("xl sched-credit2 | grep -c .; true", "0"),
    // Memory.
    (
        "xl mem-max g 12; xl list -l g | grep -o 'max_memkb.: [0-9]*'",
        "max_memkb\": 12288",
    ),
    // Its kernel lists its frames for nobody.
    (
        "xen-mfndump dump-p2m $n 2>&1 | grep -c 'p2m_size < nr_pages'",
        "1",
    ),
    (
        "xen-diag gnttab_query_size $n | sed \"s/domid=$n//\"",
        ": nr_frames=1, max_nr_frames=64",
    ),
    (
        "xl dump-core g /tmp/core 2>&1 | grep -c 'p2m_size < nr_pages'",
        "1",
    ),
    // What it is about just now.
    (
        "xl pause g; xl list g | awk 'NR == 2 { print $5 }'",
        "-bp---",
    ),
    ("xenctx -C $n | grep -c '^rip: ffffffff8'", "1"),
    (
        "xl unpause g; lsevtchn $n | grep -c 'Interdomain (Connected) - Remote Domain 0'",
        "2",
    ),
    ("lsevtchn | grep -c \"Remote Domain $n\"", "2"),
    (
        "xl rename g h; xl domid h | grep -c \"^$n$\"; xl rename h g",
        "1",
    ),
    (
        "xl uptime g | awk 'NR == 2 { print $1, $2 }' | grep -c \"^g $n$\"",
        "1",
    ),
    ("xl trigger g nmi && echo done", "done"),
    (
        "xentop -b -i 1 | awk '$1 == \"g\" { print ($3 > -1), $5, $9 }'",
        "1 8192 2",
    ),
    // The hypervisor's log: read in pieces, each of which is cleared, and nothing else.
    (
        "for i in $(seq 40); do xl debug-keys L; done; sleep 1; xl dmesg | wc -c >/tmp/all; xl dmesg -c | wc -c >/tmp/c; cat /tmp/all /tmp/c | uniq | wc -l",
        "1",
    ),
    ("xl dmesg | wc -c", "0"),
    (
        "xl debug-keys h; sleep 1; xl dmesg | grep -c 'this list'",
        "1",
    ),
    // The end of it is there each time, while it grows beyond what is kept.
    (
        "for i in $(seq 25); do xl debug-keys q; xl dmesg | tail -n 3 | wc -l; done | uniq",
        "3",
    ),
    // A watchdog that is told so bites nobody.
    (
        "xenwatchdogd 20 5; sleep 6; killall -USR1 xenwatchdogd; sleep 25; pidof xenwatchdogd; echo alive",
        "alive",
    ),
    // What its developers try.
    ("test-resource | grep -c 'Test grant table'", "1"),
    ("test-cpu-policy | tail -n 1", "Done: all ok"),
    ("test-xenstore >/tmp/log && echo done", "done"),
    (
        "xen-cpuid -p 2>/dev/null | grep -c '^PV \\(Max\\|Default\\) policy'",
        "2",
    ),
];

/// All cases.
pub fn cases() -> Vec<Case> {
    vec![Case::new("stock-tools/commands", |context| {
        if let Err(verdict) = guests_many::make() {
            return verdict;
        }
        let machine = guests_many::machine();
        match stock_tools::shell(context, &machine, INITRD).and_then(|mut shell| judge(&mut shell))
        {
            Ok(said) => Verdict::Pass(said),
            Err(verdict) => verdict,
        }
    })]
}

fn judge(shell: &mut Shell) -> Result<String, Verdict> {
    shell.output("stty columns 250")?;
    shell.output("{ cat /etc/xen/tiny; echo 'name=\"g\"; vcpus=2'; } >/tmp/g")?;
    shell.output_within("xl create /tmp/g >/tmp/log 2>&1 && sleep 2", LIMIT)?;
    shell.output("n=$(xl domid g)")?;
    let mut wrong = Vec::new();
    for (command, wanted) in COMMANDS {
        // What fails is told by what it prints.
        let lines = shell.output_within(&format!("{{ {command}; }}; true"), LIMIT)?;
        // What the debug keys have the hypervisor say there.
        let said = lines.iter().filter(|line| !line.starts_with("(PV) ["));
        let said: Vec<_> = said.flat_map(|line| line.split_whitespace()).collect();
        let said = said.join(" ");
        if said != wanted {
            wrong.push(format!("'{command}' prints '{said}' instead of '{wanted}'"));
        }
    }
    shell.output_within("xl destroy g", LIMIT)?;
    shell.must_be_healthy()?;
    if wrong.is_empty() {
        return Ok(format!("{} commands did what they do", COMMANDS.len()));
    }
    Err(Verdict::Fail(wrong.join("\n")))
}
