//! Debian's packages of the hypervisor and its tools, in a full Debian on a disk: installed, booted, updated and removed by
//! the commands of `docs/INSTALL.md`, which are typed as they stand there.

use super::dom0_disk::{
    COMMAND_LIMIT, MANUAL, OwnDisk, REBOOT, log_in, must_be_alone, must_be_first_domain, must_end,
    plain_debian, type_block,
};
use super::guests::leave;
use super::manual::commands_of;
use super::shell::Shell;
use super::{IMAGE, no_line, pattern};
use crate::iso::Recipe;
use crate::suite::{Case, Context};
use crate::verdict::Verdict;
use std::path::{Path, PathBuf};
use std::time::Duration;

const PACKAGES: &str = "build/deb";
pub(super) const SECTION: &str = "## On a Debian machine";
/// What the first domain has by the packages' settings is half of it.
const MEMORY_MIB: u32 = 2048;
/// From a guest's creation to its RAM disk's shell: its kernel unpacks a large one.
const GUEST_LIMIT: Duration = Duration::from_secs(600);
/// All files but those of /var, in which the system works all the time, and of whoever is logged in.
const FILES: &str = "files() { find / -xdev -path /var -prune -o -path /tmp -prune -o -path /root -prune -o \
     -print | sort >$1; }";

/// The only case, which takes a disk that takes minutes to make.
pub fn cases() -> Vec<Case> {
    vec![Case::new("dom0/deb-installed-2cpu", |context| {
        are_installed(context).unwrap_or_else(|verdict| verdict)
    })]
}

/// The packages of the hypervisor and of the tools.
pub(super) fn packages() -> Result<Vec<PathBuf>, Verdict> {
    let find = |name: &str| {
        let entries = Path::new(PACKAGES).read_dir().ok()?;
        let mut paths = entries.flatten().map(|entry| entry.path());
        paths.find(|path| {
            let file = path.file_name().and_then(|file| file.to_str());
            file.is_some_and(|file| file.starts_with(name) && file.ends_with(".deb"))
        })
    };
    ["paravane-hypervisor_", "paravane-tools_"]
        .into_iter()
        .map(|name| {
            find(name).ok_or_else(|| {
                Verdict::Skipped(format!("there is no {PACKAGES}/{name}*: make deb makes it"))
            })
        })
        .collect()
}

/// A network card in a slot of its own, on a network whose router is 192.168.1.1: Debian calls it enp1s0.
pub(super) fn card() -> Vec<String> {
    let words = [
        ["-netdev", "user,id=net,net=192.168.1.0/24,host=192.168.1.1"],
        ["-device", "pcie-root-port,id=behind,chassis=1"],
        ["-device", "virtio-net-pci,netdev=net,bus=behind,romfile="],
    ];
    words.concat().into_iter().map(str::to_owned).collect()
}

/// The machine's own network: an address and a way by the card.
const OWN_NETWORK: &str = "cat >/etc/network/interfaces.d/card <<END
auto enp1s0
iface enp1s0 inet static
    address 192.168.1.10/24
    gateway 192.168.1.1
END
ifup enp1s0";
/// What is known of it.
const NETWORK: &str = "network() { ip -o -4 addr show dev enp1s0 | awk '{ print $2, $4 }'; ip route | sed 's/ *$//'; \
     ls -d /sys/class/net/enp1s0/master 2>&1; }";

/// The bridge of guests is there, without a card or an address, and so many guests on it; the machine's own network is what
/// it was.
fn bridge_is_apart(shell: &mut Shell, guests: u32) -> Result<(), Verdict> {
    shell.must_print("ls /sys/class/net/xenbr0/brif | wc -l", &guests.to_string())?;
    shell.must_print("ls /sys/class/net/xenbr0/brif | grep -vc ^vif; true", "0")?;
    shell.must_print("ip -o addr show dev xenbr0 | wc -l", "0")?;
    network_is_as_it_was(shell)
}

fn network_is_as_it_was(shell: &mut Shell) -> Result<(), Verdict> {
    shell.output(NETWORK)?;
    shell.output("network | diff - own-network")?;
    shell.output("ping -c 2 192.168.1.1 >ping").map(drop)
}

fn are_installed(context: &Context<'_>) -> Result<Verdict, Verdict> {
    let blocks = commands_of(MANUAL, SECTION)?;
    let [install, look, first, purge] = blocks.as_slice() else {
        return Err(Verdict::Fail(format!(
            "{MANUAL} has {} blocks of commands in '{SECTION}' instead of 4",
            blocks.len()
        )));
    };
    let mut disc = Recipe::new(IMAGE, "");
    for package in packages()? {
        disc.modules.push((package, String::new()));
    }
    let disk = OwnDisk::new("packages.img")?;
    let start = || disk.start_with(context, MEMORY_MIB, &disc, card());

    let mut plain = plain_debian(start()?)?;
    type_block(
        &mut plain,
        &OWN_NETWORK.lines().map(str::to_owned).collect::<Vec<_>>(),
    )?;
    plain.output(NETWORK)?;
    plain.output(
        "network >own-network; grep -q '^default via 192.168.1.1 dev enp1s0' own-network",
    )?;
    // As if they had been copied there.
    plain.output("mount -o ro /dev/sr0 /mnt")?;
    plain.output("cp /mnt/boot/module0 paravane-hypervisor.deb")?;
    plain.output("cp /mnt/boot/module1 paravane-tools.deb")?;
    plain.output("umount /mnt")?;
    plain.output(FILES)?;
    plain.output_within("files before", COMMAND_LIMIT)?;
    type_each(&mut plain, install)?;

    let mut shell = log_in(start()?)?;
    type_each(&mut shell, look)?;
    must_be_first_domain(&mut shell)?;
    let seconds = shell.after.as_secs_f64();
    daemons_run(&mut shell)?;
    bridge_is_apart(&mut shell, 0)?;
    guest_lives(&mut shell, first)?;
    bridge_is_apart(&mut shell, 1)?;
    update_leaves_guests(&mut shell)?;
    type_each(&mut shell, purge)?;
    nothing_is_left(&mut shell)?;
    type_each(&mut shell, &[REBOOT.into()])?;
    shell.must_be_healthy()?;

    let mut plain = log_in(start()?)?;
    must_be_alone(&mut plain)?;
    plain.send("systemctl poweroff\n")?;
    must_end(&mut plain)?;
    Ok(Verdict::Pass(format!("a login after {seconds:.1} s")))
}

/// Types commands, each when the one before it has ended: apt hands what is typed meanwhile to those whom it calls. The last
/// one may be to start anew.
pub(super) fn type_each(shell: &mut Shell, commands: &[String]) -> Result<(), Verdict> {
    for command in commands {
        if command == REBOOT {
            shell.send(&format!("{command}\n"))?;
            return must_end(shell);
        }
        shell.output_within(command, COMMAND_LIMIT)?;
    }
    Ok(())
}

/// Those that the packages bring, and the first domain has the memory that their settings give it.
fn daemons_run(shell: &mut Shell) -> Result<(), Verdict> {
    for unit in ["xenstored", "xenconsoled", "xend", "xendomains"] {
        shell.must_print(&format!("systemctl is-active {unit}"), "active")?;
    }
    shell.must_print("xm list | awk 'NR > 1 { print $1, $3 }'", "Domain-0 1024")?;
    // Each kernel, and the same for recovery.
    shell.must_print(
        "grep -c \"^menuentry.*'paravane-\" /boot/grub/grub.cfg",
        "2",
    )?;
    shell.must_print("test -s /var/log/xen/console/hypervisor.log; echo $?", "0")
}

/// The manual's guest comes to its shell, and sees its disk and its interface.
pub(super) fn guest_lives(shell: &mut Shell, commands: &[String]) -> Result<(), Verdict> {
    type_block(shell, commands)?;
    shell.send("xm console first\n")?;
    shell
        .run
        .wait_for_prompt(&pattern(r"\(initramfs\) $")?, GUEST_LIMIT)
        .map_err(|missing| no_line("the guest's shell", &missing))?;
    shell.send("until cat /sys/block/xvda/size; do sleep 1; done\n")?;
    shell.must_say_within("131072$", COMMAND_LIMIT)?;
    // And its interface, which is on the bridge.
    shell.send("until cat /sys/class/net/e*/address; do sleep 1; done\n")?;
    shell.must_say_within("^00:16:3e:", COMMAND_LIMIT)?;
    come_back(shell)
}

/// Leaves a guest's console, for whose key and line the shell asks twice: what is typed in between is shown twice.
pub(super) fn come_back(shell: &mut Shell) -> Result<(), Verdict> {
    leave(shell)?;
    shell.output("true").map(drop)
}

/// An update starts the daemons anew, and no guest.
fn update_leaves_guests(shell: &mut Shell) -> Result<(), Verdict> {
    let before = shell.output("pidof xenstored xenconsoled xend | xargs -n 1")?;
    shell.output_within(
        "apt-get install --reinstall --yes ./paravane-tools.deb",
        COMMAND_LIMIT,
    )?;
    let after = shell.output("pidof xenstored xenconsoled xend | xargs -n 1")?;
    if before.len() != 3 || before.iter().any(|process| after.contains(process)) {
        return Err(Verdict::Fail(format!(
            "daemons were {before:?}, and are {after:?} after an update"
        )));
    }
    shell.must_print("xm list | awk '$1 == \"first\" { print $2 }'", "1")?;
    bridge_is_apart(shell, 1)?;
    // Its RAM disk has nothing that would shut it down.
    shell.output("xm destroy first").map(|_| ())
}

/// No guest, no entry, no process and no file but those that were there, and the guest that was made.
fn nothing_is_left(shell: &mut Shell) -> Result<(), Verdict> {
    shell.must_print("grep -i paravane /boot/grub/grub.cfg | wc -l", "0")?;
    shell.must_print("pgrep -f 'sbin/xen[dsc]' | wc -l", "0")?;
    shell.must_print("ip -o link show type bridge | wc -l", "0")?;
    network_is_as_it_was(shell)?;
    let written = shell.output("ls -d /var/xen /var/*/xen* 2>/dev/null; true")?;
    if !written.is_empty() {
        return Err(Verdict::Fail(format!("the daemons have left {written:?}")));
    }
    shell.output(FILES)?;
    shell.output_within("files after", COMMAND_LIMIT)?;
    let left = shell.output("diff before after | grep '^[<>]'")?;
    let mut expected = vec!["> /etc/xen", "> /etc/xen/first", "> /srv/first.img"];
    expected.retain(|line| !left.iter().any(|left| left == line));
    if !expected.is_empty() || left.len() != 3 {
        return Err(Verdict::Fail(format!(
            "instead of the guest's own files there are left {left:?}"
        )));
    }
    Ok(())
}
