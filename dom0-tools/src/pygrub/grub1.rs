//! The configuration of GRUB 1: `menu.lst` or `grub.conf`, a command in each line.

use super::menu::{Configuration, Entry, MOST_ENTRIES, Place, Step};

/// Reads it. What is not understood is left.
pub(super) fn read(text: &str) -> Configuration {
    let mut read = Configuration::default();
    let mut root = None;
    for line in text.lines() {
        let line = line.trim();
        if line.starts_with('#') {
            continue;
        }
        let (command, rest) = line
            .split_once(|c: char| c.is_whitespace() || c == '=')
            .unwrap_or((line, ""));
        let rest = rest.trim();
        match command {
            "title" if read.entries.len() >= MOST_ENTRIES => break,
            "title" => {
                root = None;
                let step = Step {
                    index: read.entries.len(),
                    title: rest.to_owned(),
                    id: String::new(),
                };
                read.entries.push(Entry {
                    steps: vec![step],
                    ..Entry::default()
                });
            }
            // `saved`, the one that was booted last, is noted where only GRUB 1 finds it.
            "default" => read.default = rest.to_owned(),
            "timeout" => read.timeout_seconds = rest.parse().ok(),
            "root" | "rootnoverify" => root = partition(rest).map(|(partition, _)| partition),
            "kernel" | "module" | "initrd" => {
                if let Some(entry) = read.entries.last_mut() {
                    add(entry, command, rest, root);
                }
            }
            _ => {}
        }
    }
    read
}

/// A file that an entry loads.
fn add(entry: &mut Entry, command: &str, rest: &str, root: Option<u32>) {
    let mut words = rest
        .split_whitespace()
        .skip_while(|word| word.starts_with("--"));
    let Some(path) = words.next() else { return };
    let (partition, path) = match partition(path) {
        Some((partition, path)) => (Some(partition), path),
        None => (root, path),
    };
    let place = Place {
        partition,
        path: path.to_owned(),
    };
    match command {
        // A hypervisor loads the kernel behind it, and its RAM disk behind that: here it is the guest's.
        "module" if is_hypervisor(entry) => set_kernel(entry, place, words),
        "kernel" => set_kernel(entry, place, words),
        _ => entry.ramdisks.push(place),
    }
}

fn set_kernel<'w>(entry: &mut Entry, place: Place, words: impl Iterator<Item = &'w str>) {
    entry.kernel = Some(place);
    entry.arguments = words.collect::<Vec<_>>().join(" ");
}

/// Whether what it boots first is a hypervisor.
pub(super) fn is_hypervisor(entry: &Entry) -> bool {
    let Some(kernel) = &entry.kernel else {
        return false;
    };
    let name = kernel.path.rsplit('/').next().unwrap_or_default();
    name.starts_with("xen") || name.starts_with("paravane")
}

/// Reads `(hd0,1)/vmlinuz`: the number of the partition, from 1 on, and what is behind it.
fn partition(text: &str) -> Option<(u32, &str)> {
    let (device, rest) = text.strip_prefix('(')?.split_once(')')?;
    let number: u32 = device.split_once(',')?.1.parse().ok()?;
    Some((number.checked_add(1)?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read() {
        let read = read(
            "# default 7\ndefault\t\t1\ntimeout=5\n\ntitle\tDebian, old\nroot (hd0,1)\n\
             kernel /vmlinuz root=/dev/xvda1 ro  quiet\ninitrd /initrd.img\nsavedefault\n\
             title Debian\nkernel --no-mem-option (hd0,0)/boot/vmlinuz ro\n\
             title Hypervisor\nkernel /xen.gz dom0_mem=1\nmodule /vmlinuz ro 1\nmodule /initrd.img\n\
             title Windows\nrootnoverify (hd0,0)\nchainloader +1\n",
        );
        assert_eq!(
            (read.default.as_str(), read.timeout_seconds),
            ("1", Some(5))
        );
        let [old, debian, hypervisor, windows] = read.entries.as_slice() else {
            panic!("{read:?}");
        };
        let place = |partition, path: &str| Place {
            partition,
            path: path.to_owned(),
        };
        assert_eq!(old.kernel, Some(place(Some(2), "/vmlinuz")));
        assert_eq!(old.arguments, "root=/dev/xvda1 ro quiet");
        assert_eq!(old.ramdisks, [place(Some(2), "/initrd.img")]);
        assert_eq!(debian.kernel, Some(place(Some(1), "/boot/vmlinuz")));
        assert_eq!(hypervisor.kernel, Some(place(None, "/vmlinuz")));
        assert_eq!(hypervisor.arguments, "ro 1");
        assert_eq!(hypervisor.ramdisks, [place(None, "/initrd.img")]);
        assert_eq!(
            (windows.title(), &windows.kernel),
            ("Windows".into(), &None)
        );
    }

    #[test]
    fn what_is_wrong_is_left() {
        let read = read(
            "kernel /vmlinuz\ntitle\nkernel\nroot (hd0,4294967295)\nroot (hd0\ninitrd (hd0,x)/i\ndefault saved\n",
        );
        assert_eq!(read.entries.len(), 1);
        assert_eq!(read.entries[0].kernel, None);
        assert_eq!(read.default_entry(), 0);
        let many = super::read(&"title x\n".repeat(MOST_ENTRIES + 9));
        assert_eq!(many.entries.len(), MOST_ENTRIES);
    }
}
