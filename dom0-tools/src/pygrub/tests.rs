//! Disks with file systems that `mke2fs` makes, as they are and damaged.

use super::answer::{Answer, Found, NoAnswer, Speaker, Wanted, hear};
use super::find::answer;
use super::menu::Choice;
use proptest::prelude::*;
use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

const SECTOR: usize = 512;
const MIB: usize = 1 << 20;

fn place() -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("pygrub-{}-{number}", std::process::id()))
}

/// A file system with these files.
fn file_system(kind: &str, files: &[(&str, &[u8])]) -> Vec<u8> {
    let place = place();
    let (root, image) = (place.join("root"), place.join("image"));
    for (path, content) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match content.strip_prefix(b"-> ") {
            Some(to) => {
                let to = std::str::from_utf8(to).unwrap();
                std::os::unix::fs::symlink(to, path).unwrap();
            }
            None => fs::write(path, content).unwrap(),
        }
    }
    fs::create_dir_all(&root).unwrap();
    let made = Command::new("mke2fs")
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .args(["-q", "-t", kind, "-d"])
        .args([&root, &image])
        .arg("4M")
        .output()
        .expect("mke2fs, of the package e2fsprogs");
    assert!(made.status.success(), "{made:?}");
    let bytes = fs::read(&image).unwrap();
    fs::remove_dir_all(place).unwrap();
    bytes
}

/// A disk with a table of partitions, each of which has a file system or something else.
fn disk(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![0; MIB];
    for (number, part) in parts.iter().enumerate() {
        let at = 446 + 16 * number;
        bytes[at + 4] = 0x83;
        let first = (bytes.len() / SECTOR) as u32;
        bytes[at + 8..at + 12].copy_from_slice(&first.to_le_bytes());
        let sectors = (part.len() / SECTOR) as u32;
        bytes[at + 12..at + 16].copy_from_slice(&sectors.to_le_bytes());
        bytes.extend_from_slice(part);
    }
    bytes[510..512].copy_from_slice(&[0x55, 0xAA]);
    bytes
}

fn ask(disk: &[u8], wanted: &Wanted) -> Result<Answer, NoAnswer> {
    let path = place();
    fs::write(&path, disk).unwrap();
    let file = File::open(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let mut said = Vec::new();
    let mut speaker = Speaker(&mut said);
    if let Err(sentence) = answer(file, wanted, &mut speaker) {
        speaker.error(&sentence).unwrap();
    }
    hear(&*said, wanted)
}

fn wanted() -> Wanted {
    Wanted {
        most_kernel_bytes: MIB as u64,
        most_ramdisk_bytes: MIB as u64,
        ..Wanted::default()
    }
}

fn found(disk: &[u8], wanted: &Wanted) -> Found {
    match ask(disk, wanted) {
        Ok(Answer::Found(found)) => found,
        other => panic!("{other:?}"),
    }
}

fn sentence(disk: &[u8], wanted: &Wanted) -> String {
    match ask(disk, wanted) {
        Err(NoAnswer::Told(sentence)) => sentence,
        other => panic!("{other:?}"),
    }
}

const MENU: &[u8] = b"set timeout=3\nmenuentry 'New' --id new { linux /boot/vmlinuz root=/dev/xvda1\n initrd /a /b\n }\n\
      menuentry 'Old' { linux /vmlinuz.old quiet\n}\nmenuentry Windows { chainloader +1\n}\n";
const FILES: [(&str, &[u8]); 6] = [
    ("boot/grub/grub.cfg", MENU),
    ("boot/vmlinuz", b"-> vmlinuz-6.1"),
    ("boot/vmlinuz-6.1", &[7; 70_000]),
    ("vmlinuz.old", b"old"),
    ("a", b"aaaaa"),
    ("b", b"bb"),
];
static DISK: LazyLock<Vec<u8>> = LazyLock::new(|| disk(&[&[0; MIB], &file_system("ext4", &FILES)]));

#[test]
fn the_kernel_of_the_default_entry_is_found() {
    let found = found(&DISK, &wanted());
    assert_eq!(found.what, "'New': /boot/vmlinuz on partition 2");
    assert_eq!(found.arguments, "root=/dev/xvda1");
    assert_eq!(found.kernel, [7; 70_000]);
    // Those behind the first begin where kernels look for them.
    assert_eq!(found.ramdisk, b"aaaaa\0\0\0bb\0\0");
}

#[test]
fn entries_are_chosen() {
    let of = |choice| Wanted { choice, ..wanted() };
    let old = found(&DISK, &of(Choice::Numbered(1)));
    assert_eq!(
        (&*old.kernel, &*old.arguments, &*old.ramdisk),
        (&b"old"[..], "quiet", &b""[..])
    );
    assert_eq!(found(&DISK, &of(Choice::Named("Old".into()))), old);
    let none = sentence(&DISK, &of(Choice::Named("x".into())));
    assert_eq!(
        none,
        "there is no entry 'x'; there are 'New', 'Old', 'Windows'"
    );
    let windows = sentence(&DISK, &of(Choice::Numbered(2)));
    assert_eq!(windows, "the entry 'Windows' boots no Linux kernel");
    let menu = Wanted {
        only_menu: true,
        ..wanted()
    };
    let Ok(Answer::Menu(menu)) = ask(&DISK, &menu) else {
        panic!()
    };
    assert_eq!(
        (menu.titles.len(), menu.default, menu.timeout_seconds),
        (3, 0, Some(3))
    );
}

#[test]
fn paths_of_the_configuration_are_taken_without_a_menu() {
    let bare = file_system("ext2", &[("k", b"kernel"), ("r", b"disk")]);
    let paths = Wanted {
        kernel: "k".into(),
        ramdisk: "/r".into(),
        ..wanted()
    };
    let found = found(&bare, &paths);
    assert_eq!(found.what, "/k on the whole disk".replace("/k", "k"));
    assert_eq!(
        (&*found.kernel, &*found.ramdisk),
        (&b"kernel"[..], &b"disk"[..])
    );
}

#[test]
fn a_boot_partition_of_its_own_and_grub_1_are_read() {
    let boot = file_system(
        "ext3",
        &[
            ("grub/menu.lst", b"default 1\ntitle a\nkernel /none\ntitle b\nroot (hd0,0)\nkernel (hd0,1)/vmlinuz ro\ninitrd /initrd\n"),
            ("initrd", b"disk"),
            ("vmlinuz", b"wrong"),
        ],
    );
    let root = file_system("ext4", &[("vmlinuz", b"right"), ("initrd", b"wrong")]);
    let found = found(&disk(&[&boot, &root]), &wanted());
    assert_eq!(
        (&*found.kernel, &*found.ramdisk),
        (&b"right"[..], &b"disk"[..])
    );
    assert_eq!(
        found.what,
        "'b': (hd0,1)/vmlinuz on partition 2".replace("(hd0,1)", "")
    );
}

#[test]
fn what_is_missing_is_told() {
    let with = |files: &[(&str, &[u8])]| file_system("ext4", files);
    for (disk, told) in [
        (
            vec![0; MIB],
            "there is neither a table of partitions nor an ext4 (or ext2, ext3) file system",
        ),
        (
            Vec::new(),
            "there is neither a table of partitions nor an ext4 (or ext2, ext3) file system",
        ),
        (
            disk(&[&[0; MIB], &[0; MIB]]),
            "none of 2 partitions has an ext4 (or ext2, ext3) file system",
        ),
        (
            disk(&[&with(&[])]),
            "there is no configuration of GRUB (/boot/grub/grub.cfg, menu.lst, grub.conf) on partition 1",
        ),
        (
            with(&[("boot/grub/grub.cfg", b"menuentry a { linux /boot/none\n}")]),
            "there is no /boot/none on the whole disk",
        ),
        (
            with(&[("boot/grub/grub.cfg", b"insmod blscfg\nblscfg\n")]),
            "the configuration of GRUB on the whole disk has no entries that are read here, but those of blscfg: name \
             the kernel and its RAM disk by their paths in the guest, by kernel and ramdisk",
        ),
        (
            with(&[("boot/grub/grub.cfg", &[b'#'; MIB + 1])]),
            "/boot/grub/grub.cfg on the whole disk has more than 1048576 bytes, which no configuration of GRUB has",
        ),
        (
            with(&[("boot/grub/grub.cfg", b"menuentry a { linux /boot\n}")]),
            "/boot on the whole disk can't be read: path is a directory",
        ),
        (
            with(&[
                ("boot/grub/grub.cfg", b"menuentry a { linux /l\n}"),
                ("l", b"-> l"),
            ]),
            "/l on the whole disk can't be read: too many levels of symbolic links",
        ),
    ] {
        assert_eq!(sentence(&disk, &wanted()), told);
    }
    let small = Wanted {
        most_ramdisk_bytes: 11,
        ..wanted()
    };
    let told = "the RAM disk /b has more than 11 bytes, which is all that is taken: not more than the guest has memory, and a \
                quarter of what the first domain has free";
    assert_eq!(sentence(&DISK, &small), told);
    let small = Wanted {
        most_kernel_bytes: 1,
        ..wanted()
    };
    let told = sentence(&DISK, &small);
    assert!(
        told.ends_with("at most 1 are taken, an eighth of what the first domain has free"),
        "{told}"
    );
}

proptest! {
    // Each case reads a file system.
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever is on a disk, there is an answer or a sentence. A panic of what reads the file system is a sentence of the
    /// process; it is none of ours.
    #[test]
    fn damaged_disks_are_read_or_refused(
        changes in prop::collection::vec((0..600_usize * 1024, any::<u8>()), 0..200),
        near in prop::collection::vec((1024..1400_usize, any::<u8>()), 0..6),
    ) {
        let mut bytes = DISK.clone();
        let start = 2 * MIB;
        for (at, byte) in changes.into_iter().chain(near) {
            bytes[start + at] = byte;
        }
        let answer = catch_unwind(AssertUnwindSafe(|| ask(&bytes, &wanted())));
        prop_assert!(!matches!(answer, Ok(Err(NoAnswer::Senseless | NoAnswer::TooLong))));
    }
}
