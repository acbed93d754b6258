//! A guest with several virtual processors: all of them are there, come and go, and some are kept back at the start.

use super::guests::{
    GUEST_LIMIT, GUEST_PROMPT, case, create, leave, nothing_is_left, shell_works, to_console,
};
use super::guests_devices::in_guest;
use super::shell::Shell;
use crate::suite::Case;
use crate::verdict::Verdict;

/// Virtual processors of a guest that has several.
const SMP: u32 = 4;

/// All cases.
pub fn cases() -> Vec<Case> {
    vec![case("shell-smp", 2, several)]
}

fn several(shell: &mut Shell) -> Result<(), Verdict> {
    shell_works(shell, SMP)?;
    to_console(shell)?;
    // Of prompts that were there before none is left behind this.
    in_guest(shell, "true")?;
    follows(shell)?;
    leave(shell)?;
    come_and_go(shell)?;
    shell.output("xm destroy demo")?;
    create(shell, &format!("vcpus={SMP} vcpu_avail=3"))?;
    shell.send("echo of all there are $(nproc)\n")?;
    shell.must_say("^of all there are 2$")?;
    leave(shell)?;
    shell.output("xm destroy demo")?;
    nothing_is_left(shell)
}

/// The guest, on whose console one is, says when it has two processors, then when it has all again. What it is given it has to
/// take up itself, as programs of a whole system do.
fn follows(shell: &mut Shell) -> Result<(), Verdict> {
    for line in [
        "up() { for f in $(ls -d $C/cpu[23]); do echo 1 >$f/online; done; }",
        "w() { until [ $(nproc) = $1 ]; do sleep 1; $2; done; echo now-$1; }",
        "C=/sys/devices/system/cpu",
        &format!("{{ w 2; w {SMP} up; }} 2>/dev/null &"),
    ] {
        shell.send(&format!("{line}\n"))?;
        shell.must_ask(GUEST_PROMPT, GUEST_LIMIT)?;
    }
    Ok(())
}

/// `xm vcpu-set` takes virtual processors from a guest and gives them back, and the first domain's, which settings do, too.
fn come_and_go(shell: &mut Shell) -> Result<(), Verdict> {
    shell.output("L=/var/log/xen/console/guest-demo.log")?;
    shell.output("down() { xm vcpu-list demo|awk '$4==\"-\"'|wc -l; }")?;
    for (count, down) in [(2, SMP - 2), (SMP, 0)] {
        shell.output(&format!("xm vcpu-set demo {count}"))?;
        let wait = format!("until grep -q now-{count} $L; do sleep 1; done");
        shell.output_within(&wait, GUEST_LIMIT)?;
        shell.must_print("down", &down.to_string())?;
    }
    shell.output("O=/sys/devices/system/cpu/cpu1/online")?;
    for (count, more) in [(1, ""), (2, "echo 1 >$O;")] {
        shell.output(&format!("xm vcpu-set Domain-0 {count}"))?;
        let wait = format!("until [ $(nproc) = {count} ];do sleep 1;{more}done");
        shell.output_within(&wait, GUEST_LIMIT)?;
        let listed = "xm list|awk '$2==0{print $4}'";
        shell.must_print(listed, &count.to_string())?;
    }
    // As a setting, too: more than there are is all.
    for (count, setting, more) in [(1, 1, ""), (2, 9, "echo 1 >$O;")] {
        shell.output(&format!(
            "echo '(dom0-cpus {setting})' >>/etc/xen/xend-config.sxp; xend reload"
        ))?;
        let wait = format!("until [ $(nproc) = {count} ];do sleep 1;{more}done");
        shell.output_within(&wait, GUEST_LIMIT)?;
    }
    Ok(())
}
