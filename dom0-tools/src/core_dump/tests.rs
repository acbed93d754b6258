use super::*;
use std::collections::BTreeMap;

struct Pages(BTreeMap<u64, Vec<u8>>);

impl Frames for Pages {
    fn read(&self, frames: &[Mfn], into: &mut [u8]) -> Result<(), ControlError> {
        for (frame, page) in frames.iter().zip(into.chunks_mut(PAGE_SIZE)) {
            if let Some(content) = self.0.get(&frame.0) {
                page.copy_from_slice(content);
            }
        }
        Ok(())
    }
}

fn page_of(numbers: &[u64]) -> Vec<u8> {
    let mut page: Vec<u8> = numbers
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect();
    page.resize(PAGE_SIZE, 0xff);
    page
}

/// Frames 7 and 9 at 0 and 2, nothing at 1, and somebody else's at 3.
fn guest() -> (Subject, Pages) {
    let mut shared = vec![0; PAGE_SIZE];
    let arch = offset_of!(SharedInfo, arch);
    shared[arch..arch + 8].copy_from_slice(&4_u64.to_le_bytes());
    shared[arch + 8..arch + 16].copy_from_slice(&2_u64.to_le_bytes());
    let pages = [
        (1, shared),
        (2, page_of(&[3])),
        (3, page_of(&[4])),
        (4, page_of(&[7, u64::MAX, 9, 8 | 1 << 62, 11])),
        (7, vec![0x77; PAGE_SIZE]),
        (9, vec![0x99; PAGE_SIZE]),
    ];
    let subject = Subject {
        version: Version::default(),
        contexts: vec![0xcc; 2 * 5168],
        vcpus: 2,
        shared_info: Mfn(1),
        frames: 2,
        most_frames: 4,
    };
    (subject, Pages(pages.into()))
}

fn core() -> Vec<u8> {
    let (subject, pages) = guest();
    let mut file = Vec::new();
    assert_eq!(write(&subject, &pages, &mut file).unwrap(), 2);
    file
}

/// Name, start and content, as a reader of the format finds them.
fn sections(file: &[u8]) -> BTreeMap<String, (usize, &[u8])> {
    let half = |at: usize| u16::from_le_bytes([file[at], file[at + 1]]) as usize;
    let header = |index: usize| number(file, 40) as usize + index * half(58);
    let place = |index: usize| {
        let start = number(file, header(index) + 24) as usize;
        (
            start,
            &file[start..start + number(file, header(index) + 32) as usize],
        )
    };
    let names = place(half(62)).1;
    (1..half(60))
        .map(|index| {
            let name = &names[number(file, header(index)) as u32 as usize..];
            let end = name.iter().position(|&byte| byte == 0).unwrap();
            (
                String::from_utf8(name[..end].to_vec()).unwrap(),
                place(index),
            )
        })
        .collect()
}

#[test]
fn readers_of_the_format_find_everything() {
    let file = core();
    let sections = sections(&file);
    let (start, pages) = sections[".xen_pages"];
    assert!(start.is_multiple_of(PAGE_SIZE));
    assert_eq!(
        pages,
        [vec![0x77; PAGE_SIZE], vec![0x99; PAGE_SIZE]].concat()
    );
    let listed: Vec<_> = sections[".xen_p2m"]
        .1
        .chunks(8)
        .map(|one| number(one, 0))
        .collect();
    assert_eq!(listed, [0, 7, 2, 9]);
    assert_eq!(sections[".xen_prstatus"].1, [0xcc; 2 * 5168]);
    assert_eq!(sections[".xen_shared_info"].1.len(), PAGE_SIZE);
    assert_eq!(
        number(sections[".xen_shared_info"].1, offset_of!(SharedInfo, arch)),
        4
    );
    assert_eq!(start + pages.len(), file.len());
    let notes = sections[".note.Xen"].1;
    // The empty one, then the header's name and content.
    assert_eq!(number(notes, 16) >> 32, 32);
    assert_eq!(number(notes, 32), MAGIC);
    assert_eq!(
        [number(notes, 40), number(notes, 48), number(notes, 56)],
        [2, 2, 4096]
    );
    assert_eq!(number(notes, notes.len() - 8), FORMAT_VERSION);
    assert_eq!(notes.len(), 16 + 48 + 16 + 1280 + 24);
}

#[test]
fn binutils_reads_it() {
    let path = std::env::temp_dir().join(format!("core-{}", std::process::id()));
    std::fs::write(&path, core()).unwrap();
    let read = std::process::Command::new("readelf")
        .arg("-hSW")
        .arg(&path)
        .output();
    let _ = std::fs::remove_file(&path);
    let output = read.expect("binutils, which the linker is of, are there");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
    for word in ["CORE (Core file)", "X86-64", ".xen_pages", ".note.Xen"] {
        assert!(text.contains(word), "{text}");
    }
}

#[test]
fn guests_that_lie_get_no_core() {
    let (mut subject, mut pages) = guest();
    subject.frames = 1;
    let refused = write(&subject, &pages, &mut Vec::new());
    assert!(matches!(refused, Err(DumpError::TooLong)), "{refused:?}");
    subject.frames = 2;
    let arch = offset_of!(SharedInfo, arch);
    // More numbers than it can ever have, of which none names a frame: all pages of the list are one that has marks.
    let mut endless = pages.0.clone();
    endless.get_mut(&1).unwrap()[arch..arch + 8].copy_from_slice(&(1_u64 << 26).to_le_bytes());
    endless.insert(2, 5_u64.to_le_bytes().repeat(512));
    endless.insert(5, 6_u64.to_le_bytes().repeat(512));
    endless.insert(6, vec![0xff; PAGE_SIZE]);
    let refused = write(&subject, &Pages(endless), &mut Vec::new());
    assert!(matches!(refused, Err(DumpError::TooLong)), "{refused:?}");
    pages.0.get_mut(&1).unwrap()[arch + 8..arch + 16].fill(0);
    let refused = write(&subject, &pages, &mut Vec::new());
    assert!(matches!(refused, Err(DumpError::NoList)), "{refused:?}");
}
