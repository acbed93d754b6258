//! Recipes of `docs/ADMIN.md` for a full Debian as the first domain, typed as they stand there: a bridge with a network card,
//! a guest made by debootstrap, logical volumes, several disks and one for two guests.
//!
//! What debootstrap does is done on the host (`tests/recipe-image`), by the same commands.

use super::dom0_disk::{
    COMMAND_LIMIT, MANUAL as INSTALLING, OwnDisk, log_in, must_be_first_domain, plain_debian,
    turn_off, type_block,
};
use super::dom0_packages::{
    SECTION as PACKAGES, card, come_back, guest_lives, packages, type_each,
};
use super::manual::{blocks_of, recipe};
use super::shell::Shell;
use super::{IMAGE, no_line, pattern};
use crate::iso::Recipe;
use crate::suite::{Case, Context};
use crate::verdict::Verdict;
use std::process::Command;
use std::time::Duration;

const ISOLATED: &str = "### The bridge that is there";
const BRIDGE: &str = "### A bridge with a network card";
const DEBIAN: &str = "### A Debian made by debootstrap";
const VOLUMES: &str = "### Logical volumes";
const IMAGES: &str = "### Images";
const DISKS: &str = "### Several disks, and one for many guests";
/// What the host makes of the first block of the second.
const MAKER: &str = "tests/recipe-image";
/// The disks: a file system with the image, and an empty one.
const SRV: &str = "build/recipe/srv.img";
const EMPTY: &str = "build/recipe/empty.img";
const MIB: u32 = 1536;
const MEMORY_MIB: u32 = 2048;
/// What the third disk is called, and its file system. Kernels give names to disks as they come upon them: the machine is
/// started so often again if the names are not those in the recipes.
const SRV_DISK: &str = "/dev/sdc";
const LABEL: &str = "srv";
const MORE_STARTS: u32 = 4;
/// From a guest's creation to its login.
const LOGIN_LIMIT: Duration = Duration::from_secs(900);
const LOGIN: &str = "web login: $";
const ROOT_PROMPT: &str = r"root@web:~# $";

/// The only case, which takes disks that take minutes to make.
pub fn cases() -> Vec<Case> {
    vec![Case::new("dom0/recipes-2cpu", |context| {
        are_followed(context).unwrap_or_else(|verdict| verdict)
    })]
}

/// Runs a program on the host.
fn make(program: &str, words: &[&str]) -> Result<(), Verdict> {
    let made = Command::new(program)
        .args(words)
        .output()
        .map_err(|error| Verdict::NoVerdict(format!("{program}: {error}")))?;
    if made.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&made.stderr).trim().to_string();
    Err(Verdict::Skipped(why))
}

/// The machine's second and third disk, and a card.
fn devices() -> Result<Vec<String>, Verdict> {
    make(MAKER, &[])?;
    for image in [EMPTY, SRV] {
        let _ = std::fs::remove_file(image);
        make("truncate", &[&format!("--size={MIB}M"), image])?;
    }
    make(
        "/usr/sbin/mke2fs",
        &[
            "-q",
            "-t",
            "ext4",
            "-L",
            LABEL,
            "-d",
            "build/recipe/srv",
            SRV,
        ],
    )?;
    let mut words = Vec::new();
    for (index, image) in [(1, EMPTY), (3, SRV)] {
        words.push("-drive".to_string());
        words.push(format!("if=ide,index={index},format=raw,file={image}"));
    }
    words.extend(card());
    Ok(words)
}

fn are_followed(context: &Context<'_>) -> Result<Verdict, Verdict> {
    let [install, _look, first, _purge] = blocks_of(INSTALLING, PACKAGES)?;
    let [address, _in_guest] = recipe(ISOLATED)?;
    let [interface, at_once] = recipe(BRIDGE)?;
    let [_made_on_the_host, guest] = recipe(DEBIAN)?;
    let [volumes, growing] = recipe(VOLUMES)?;
    let [disks, mounts, shared] = recipe(DISKS)?;
    let [images, served] = recipe(IMAGES)?;
    let mut disc = Recipe::new(IMAGE, "");
    for package in packages()? {
        disc.modules.push((package, String::new()));
    }
    let disk = OwnDisk::new("recipes.img")?;
    let start = || disk.start_with(context, MEMORY_MIB, &disc, devices()?);

    let mut plain = plain_debian(start()?)?;
    plain.output("mount -o ro /dev/sr0 /mnt")?;
    plain.output("cp /mnt/boot/module0 paravane-hypervisor.deb")?;
    plain.output("cp /mnt/boot/module1 paravane-tools.deb")?;
    plain.output("umount /mnt")?;
    type_each(&mut plain, &install)?;

    let mut shell = log_in(start()?)?;
    for _ in 0..MORE_STARTS {
        let found = shell.output(&format!(
            "blkid -o value -s LABEL {SRV_DISK}; blkid /dev/sdb; true"
        ))?;
        if found == [LABEL] {
            break;
        }
        turn_off(&mut shell, "systemctl poweroff")?;
        shell = log_in(start()?)?;
    }
    must_be_first_domain(&mut shell)?;
    shell.output(&format!("stty columns 250; mount {SRV_DISK} /srv"))?;

    // What the tools make by themselves.
    type_block(&mut shell, &address)?;
    let addresses = "ip -o -4 addr show dev xenbr0 | awk '{ print $4 }'";
    shell.must_print(addresses, "10.9.0.1/24")?;
    type_block(&mut shell, &interface)?;
    type_block(&mut shell, &at_once)?;
    let address = pattern(r"^192\.168\.1\.\d+/24$")?;
    let lines = shell.output(addresses)?;
    if lines.len() != 1 || !address.is_match(&lines.concat()) {
        return Err(Verdict::Fail(format!("xenbr0 has the addresses {lines:?}")));
    }
    shell.must_print(
        "basename $(readlink /sys/class/net/enp1s0/master)",
        "xenbr0",
    )?;
    shell.output_within("ping -c 2 192.168.1.1 >ping", COMMAND_LIMIT)?;

    type_block(&mut shell, &guest)?;
    in_guest(&mut shell, |shell| {
        is_on_its_disk(shell)?;
        in_web(shell, "echo kept >/root/kept; sync")
    })?;
    shell.output_within("xm shutdown -w web", COMMAND_LIMIT)?;

    type_block(&mut shell, &volumes)?;
    in_guest(&mut shell, |shell| {
        is_on_its_disk(shell)?;
        in_web(shell, "[ $(cat /root/kept) = kept ]")?;
        in_web(shell, "[ $(cat /sys/block/xvda/size) = 2097152 ]")
    })?;
    type_block(&mut shell, &disks)?;
    type_block(&mut shell, &growing)?;
    in_guest(&mut shell, |shell| {
        in_web(shell, "[ $(cat /root/kept) = kept ]")?;
        in_web(shell, "[ $(cat /sys/block/xvda/size) = 2457600 ]")?;
        in_web(shell, "[ $(df -m --output=size / | tail -1) -gt 1100 ]")?;
        for command in &mounts {
            in_web(shell, command)?;
        }
        in_web(shell, "echo data >/srv/data; sync; umount /srv")?;
        in_web(shell, "[ -d /mnt/lost+found ] && ! echo >/dev/xvdc")
    })?;
    guest_lives(&mut shell, &first)?;
    type_block(&mut shell, &shared)?;
    shell.send("xm console first\n\n")?;
    shell.must_ask(r"\(initramfs\) $", COMMAND_LIMIT)?;
    // What is typed ahead is answered behind the prompt.
    shell.send("until [ -e /sys/block/xvdb/size ]; do sleep 1; done; cd /sys/block/xvdb\n")?;
    shell.send("echo is $(cat ro size)\n")?;
    shell.must_say_within(r"\bis 1 131072$", COMMAND_LIMIT)?;
    come_back(&mut shell)?;
    shell.must_print(
        "xm block-attach first file:/srv/common.img xvdc w 2>&1 | grep -c 'is mounted in a guest domain'",
        "1",
    )?;
    shell.output("xm destroy first")?;
    have_images(&mut shell, &images, &served)?;
    shell.output_within("xm shutdown -w web; vgchange -an vg0", COMMAND_LIMIT)?;
    turn_off(&mut shell, "systemctl poweroff")?;
    shell.must_be_healthy()?;
    Ok(Verdict::Pass(
        "a guest by debootstrap, on a bridge with a card, from a file and from a volume that has grown, with two more disks, one of them for another guest, too".into(),
    ))
}

/// The guest has images in other layouts than a raw one, and what is served by the protocol of network block devices.
fn have_images(shell: &mut Shell, images: &[String], served: &[String]) -> Result<(), Verdict> {
    let base = shell
        .output("md5sum /srv/common.img | cut -d' ' -f1")?
        .concat();
    type_block(shell, images)?;
    type_block(shell, served)?;
    // Where root is logged in still.
    shell.send("xm console web\n\n")?;
    shell.must_ask(ROOT_PROMPT, LOGIN_LIMIT)?;
    for command in [
        "until [ -b /dev/xvdf ]; do sleep 1; done",
        "[ $(cat /sys/block/xvdd/size) = 20971520 ]",
        &format!("md5sum /dev/xvdf | grep -q ^{base}"),
        "mount /dev/xvde /srv && echo changed >/srv/new && umount /srv",
        "! echo >/dev/xvdf",
    ] {
        in_web(shell, command)?;
    }
    come_back(shell)?;
    shell.must_print("md5sum /srv/common.img | cut -d' ' -f1", &base)?;
    // It was told to stay.
    shell
        .output("xm block-detach web xvdf; pkill -f bind=127.0.0.1")
        .map(drop)
}

/// Its root is the disk that it was given, and it reaches the router.
fn is_on_its_disk(shell: &mut Shell) -> Result<(), Verdict> {
    in_web(shell, "grep -q '^/dev/xvda / ext4' /proc/mounts")?;
    in_web(shell, "ping -c 2 192.168.1.1 >/tmp/ping")
}

/// Logs root in after a start, does something, and leaves.
fn in_guest(
    shell: &mut Shell,
    work: impl FnOnce(&mut Shell) -> Result<(), Verdict>,
) -> Result<(), Verdict> {
    shell.send("xm console web\n\n")?;
    shell.must_ask(LOGIN, LOGIN_LIMIT)?;
    shell.send("root\n")?;
    shell.must_ask(ROOT_PROMPT, LOGIN_LIMIT)?;
    work(shell)?;
    come_back(shell)
}

/// Runs a command in it, which must work.
fn in_web(shell: &mut Shell, command: &str) -> Result<(), Verdict> {
    shell.send(&format!("{command}; echo web-$?\n"))?;
    shell
        .run
        .wait_for(&pattern("^web-[0-9]+$")?, COMMAND_LIMIT)
        .map_err(|missing| no_line(&format!("the end of '{command}'"), &missing))
        .and_then(|line| match line.text.as_str() {
            "web-0" => shell.must_ask(ROOT_PROMPT, COMMAND_LIMIT),
            other => Err(Verdict::Fail(format!("in the guest '{command}': {other}"))),
        })
}
