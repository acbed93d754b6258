//! Finding the kernel on a disk.

use super::answer::{Speaker, Wanted};
use super::menu::{Choice, Configuration, Entry, Place};
use super::volumes::{Volume, Volumes};
use super::{grub1, grub2};
use ext4_view::File as GuestFile;
use std::fs::File;
use std::io::{Read, Write};

/// Where GRUB 2 has its configuration, of a file system that is the root or `/boot`.
const GRUB2: [&str; 4] = [
    "/boot/grub/grub.cfg",
    "/boot/grub2/grub.cfg",
    "/grub/grub.cfg",
    "/grub2/grub.cfg",
];
/// Where GRUB 1 has it.
const GRUB1: [&str; 4] = [
    "/boot/grub/menu.lst",
    "/boot/grub/grub.conf",
    "/grub/menu.lst",
    "/grub/grub.conf",
];
/// What is read at once.
const PIECE_BYTES: usize = 64 << 10;
/// RAM disks behind each other begin at multiples of this.
const RAMDISK_ALIGN: u64 = 4;
/// RAM disks of one entry.
const MOST_RAMDISKS: usize = 16;
/// Entries that are named where one is not there.
const MOST_NAMED: usize = 8;

/// Says what is wanted of a disk.
///
/// # Errors
///
/// A sentence on why there is nothing.
pub(super) fn answer<W: Write>(
    disk: File,
    wanted: &Wanted,
    speaker: &mut Speaker<W>,
) -> Result<(), String> {
    let volumes = Volumes::of(disk).map_err(|error| format!("the disk can't be read: {error}"))?;
    if volumes.all.is_empty() {
        return Err(no_file_system(&volumes));
    }
    if !wanted.kernel.is_empty() && !wanted.only_menu {
        return tell(&volumes, 0, &of_paths(wanted), wanted, speaker);
    }
    let (number, configuration) = configuration(&volumes)?;
    if configuration.entries.is_empty() {
        return Err(format!(
            "the configuration of GRUB on {} has no entries{}",
            volumes
                .all
                .get(number)
                .map_or_else(String::new, |volume| volume.part.to_string()),
            if configuration.has_others {
                " that are read here, but those of blscfg: name the kernel and its RAM disk by their paths in the guest, \
                 by kernel and ramdisk"
            } else {
                ""
            }
        ));
    }
    if wanted.only_menu {
        return speaker
            .menu(&configuration.menu())
            .map_err(|error| error.to_string());
    }
    let entry = chosen(&configuration, &wanted.choice)?;
    tell(&volumes, number, entry, wanted, speaker)
}

fn no_file_system(volumes: &Volumes) -> String {
    match (volumes.damaged.first(), volumes.parts) {
        (Some(damaged), _) => format!("no file system can be read; {damaged}"),
        (None, 1) => {
            "there is neither a table of partitions nor an ext4 (or ext2, ext3) file system"
                .to_owned()
        }
        (None, parts) => format!(
            "none of {} partitions has an ext4 (or ext2, ext3) file system",
            parts - 1
        ),
    }
}

/// The first configuration of GRUB, and the number of the file system that it is on.
fn configuration(volumes: &Volumes) -> Result<(usize, Configuration), String> {
    for (number, volume) in volumes.all.iter().enumerate() {
        for path in GRUB2 {
            let Some(text) = volume.text(path)? else {
                continue;
            };
            let environment = path.replace("grub.cfg", "grubenv");
            // Without it there is only no entry that was booted last.
            let environment = volume.text(&environment).unwrap_or_default();
            return Ok((number, grub2::read(&text, environment.as_deref())));
        }
        for path in GRUB1 {
            if let Some(text) = volume.text(path)? {
                return Ok((number, grub1::read(&text)));
            }
        }
    }
    let parts: Vec<_> = volumes
        .all
        .iter()
        .map(|volume| volume.part.to_string())
        .collect();
    let what = match volumes.damaged.first() {
        Some(damaged) => format!("; {damaged}"),
        None => String::new(),
    };
    Err(format!(
        "there is no configuration of GRUB (/boot/grub/grub.cfg, menu.lst, grub.conf) on {}{what}",
        parts.join(", ")
    ))
}

/// What the domain's own configuration names.
fn of_paths(wanted: &Wanted) -> Entry {
    let place = |path: &String| Place {
        partition: None,
        path: path.clone(),
    };
    Entry {
        kernel: Some(place(&wanted.kernel)),
        ramdisks: Some(&wanted.ramdisk)
            .filter(|path| !path.is_empty())
            .map(place)
            .into_iter()
            .collect(),
        ..Entry::default()
    }
}

fn chosen<'c>(configuration: &'c Configuration, choice: &Choice) -> Result<&'c Entry, String> {
    let number = match choice {
        Choice::Default => Some(configuration.default_entry()),
        Choice::Numbered(number) => Some(*number as usize),
        Choice::Named(name) => configuration.named(name),
    };
    number
        .and_then(|number| configuration.entries.get(number))
        .ok_or_else(|| {
            let titles = configuration.entries.iter().take(MOST_NAMED);
            let titles: Vec<_> = titles.map(|entry| format!("'{}'", entry.title())).collect();
            let name = match choice {
                Choice::Named(name) => name.clone(),
                Choice::Numbered(number) => number.to_string(),
                Choice::Default => "default".to_owned(),
            };
            format!(
                "there is no entry '{name}'; there are {}",
                titles.join(", ")
            )
        })
}

/// Opens a file of an entry: on the partition that is named, else where the configuration is, else anywhere.
fn open<'v>(
    volumes: &'v Volumes,
    number: usize,
    place: &Place,
) -> Result<(&'v Volume, GuestFile), String> {
    let named = volumes
        .all
        .iter()
        .filter(|volume| volume.part.number == place.partition);
    let named = named.filter(|_| place.partition.is_some());
    for volume in named.chain(volumes.all.get(number)).chain(&volumes.all) {
        if let Some(file) = volume.open(&place.path)? {
            return Ok((volume, file));
        }
    }
    let parts: Vec<_> = volumes
        .all
        .iter()
        .map(|volume| volume.part.to_string())
        .collect();
    Err(format!(
        "there is no {} on {}",
        place.path,
        parts.join(", ")
    ))
}

/// Tells of an entry, and what is in its files.
fn tell<W: Write>(
    volumes: &Volumes,
    number: usize,
    entry: &Entry,
    wanted: &Wanted,
    speaker: &mut Speaker<W>,
) -> Result<(), String> {
    let title = entry.title();
    let Some(kernel) = &entry.kernel else {
        return Err(format!("the entry '{title}' boots no Linux kernel"));
    };
    let (volume, mut file) = open(volumes, number, kernel)?;
    let length = file.metadata().len();
    if length > wanted.most_kernel_bytes {
        return Err(format!(
            "the kernel {} has {length} bytes; at most {} are taken, an eighth of what the first domain has free",
            kernel.path, wanted.most_kernel_bytes
        ));
    }
    if entry.ramdisks.len() > MOST_RAMDISKS {
        return Err(format!(
            "the entry '{title}' has more than {MOST_RAMDISKS} RAM disks"
        ));
    }
    let mut ramdisks = Vec::new();
    let mut ramdisk_bytes = 0_u64;
    for place in &entry.ramdisks {
        let (_, file) = open(volumes, number, place)?;
        let end = ramdisk_bytes.checked_add(file.metadata().len());
        ramdisk_bytes = end
            .and_then(|end| end.checked_next_multiple_of(RAMDISK_ALIGN))
            .unwrap_or(u64::MAX);
        if ramdisk_bytes > wanted.most_ramdisk_bytes {
            return Err(format!(
                "the RAM disk {} has more than {} bytes, which is all that is taken: not more than the guest has memory, and a \
                 quarter of what the first domain has free",
                place.path, wanted.most_ramdisk_bytes
            ));
        }
        ramdisks.push((place, file));
    }
    let what = match title.as_str() {
        "" => format!("{} on {}", kernel.path, volume.part),
        title => format!("'{title}': {} on {}", kernel.path, volume.part),
    };
    let failed = |error: std::io::Error| error.to_string();
    speaker.about(&what, &entry.arguments).map_err(failed)?;
    copy(&mut file, kernel, length, |bytes| speaker.kernel(bytes))?;
    for (place, mut file) in ramdisks {
        let length = file.metadata().len();
        copy(&mut file, place, length, |bytes| speaker.ramdisk(bytes))?;
        let missing = length.next_multiple_of(RAMDISK_ALIGN) - length;
        let zeros = [0; RAMDISK_ALIGN as usize];
        speaker
            .ramdisk(zeros.get(..missing as usize).unwrap_or_default())
            .map_err(failed)?;
    }
    speaker.end().map_err(failed)
}

/// Passes a file on, as far as it is as long as it said.
fn copy(
    file: &mut GuestFile,
    place: &Place,
    length: u64,
    mut say: impl FnMut(&[u8]) -> std::io::Result<()>,
) -> Result<(), String> {
    let mut piece = vec![0; PIECE_BYTES];
    let mut left = length;
    while left > 0 {
        // A read ends with a block of the file system; a piece has as many as there is room for.
        let most = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let mut filled = 0;
        while filled < most {
            let into = piece.get_mut(filled..most).unwrap_or_default();
            match file.read(into) {
                Ok(0) => {
                    return Err(format!(
                        "{} is shorter than its file system says",
                        place.path
                    ));
                }
                Ok(count) => filled += count,
                Err(error) => return Err(format!("{} can't be read: {error}", place.path)),
            }
        }
        let piece = piece.get(..filled).unwrap_or_default();
        say(piece).map_err(|error| error.to_string())?;
        left -= filled as u64;
    }
    Ok(())
}
