//! What the process that reads a guest's disk says: pieces, each with its kind and its length. Who hears it has asked for a
//! menu or for a kernel, with bounds, and takes nothing else: the guest may have become the speaker.

use super::menu::{Choice, MOST_ENTRIES, Menu, deceives};
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};

/// Bytes of a piece.
const MOST_PIECE_BYTES: usize = 256 << 10;
/// Bytes of a sentence and of names that are shown.
const MOST_SHOWN: usize = 400;

/// What is asked for.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Wanted {
    /// Only what there is to choose from.
    pub only_menu: bool,
    /// The entry.
    pub choice: Choice,
    /// The path of a kernel on the guest's disk, instead of the entry's; empty for none.
    pub kernel: String,
    /// The path of its RAM disk.
    pub ramdisk: String,
    /// Bytes that the kernel's file may have.
    pub most_kernel_bytes: u64,
    /// Bytes that the RAM disk may have.
    pub most_ramdisk_bytes: u64,
}

/// A kernel that was found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Found {
    /// Its entry's title, and where it was, to be shown.
    pub what: String,
    /// The entry's command line.
    pub arguments: String,
    /// Its file.
    pub kernel: Vec<u8>,
    /// Its RAM disk; empty for none.
    pub ramdisk: Vec<u8>,
}

/// What was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// What was asked for by [`Wanted::only_menu`].
    Menu(Menu),
    /// A kernel.
    Found(Found),
}

/// Kinds of pieces.
const MENU: u8 = b'm';
const ABOUT: u8 = b'a';
const KERNEL: u8 = b'k';
const RAMDISK: u8 = b'r';
const END: u8 = b'.';
const ERROR: u8 = b'!';

/// Says what was found, or why nothing was.
pub(super) struct Speaker<W>(pub(super) W);

impl<W: Write> Speaker<W> {
    fn say(&mut self, kind: u8, bytes: &[u8]) -> io::Result<()> {
        let length = bytes.len() as u32;
        self.0.write_all(&[kind])?;
        self.0.write_all(&length.to_le_bytes())?;
        self.0.write_all(bytes)?;
        self.0.flush()
    }

    pub(super) fn menu(&mut self, menu: &Menu) -> io::Result<()> {
        let bytes = postcard::to_stdvec(menu).map_err(io::Error::other)?;
        self.say(MENU, &bytes)
    }

    /// What was found, and its command line.
    pub(super) fn about(&mut self, what: &str, arguments: &str) -> io::Result<()> {
        let bytes = postcard::to_stdvec(&(what, arguments)).map_err(io::Error::other)?;
        self.say(ABOUT, &bytes)
    }

    pub(super) fn kernel(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.say(KERNEL, bytes)
    }

    pub(super) fn ramdisk(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.say(RAMDISK, bytes)
    }

    pub(super) fn end(&mut self) -> io::Result<()> {
        self.say(END, b"")
    }

    pub(super) fn error(&mut self, sentence: &str) -> io::Result<()> {
        let end = sentence.floor_char_boundary(MOST_SHOWN);
        self.say(ERROR, sentence.get(..end).unwrap_or_default().as_bytes())
    }
}

/// Why there is no answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum NoAnswer {
    /// It says so itself.
    Told(String),
    /// It has ended before it was done.
    Ended,
    /// It says what was not asked for.
    Senseless,
    /// It says more than was asked for.
    TooLong,
}

/// Text of a guest as it may be shown.
fn shown(text: &str) -> String {
    let end = text.floor_char_boundary(MOST_SHOWN);
    text.get(..end).unwrap_or_default().replace(deceives, "?")
}

/// Hears an answer to its end.
pub(super) fn hear(mut from: impl Read, wanted: &Wanted) -> Result<Answer, NoAnswer> {
    let mut found = Found::default();
    let mut piece = Vec::new();
    let mut is_about = false;
    loop {
        let kind = hear_piece(&mut from, &mut piece)?;
        match (kind, wanted.only_menu) {
            (ERROR, _) => return Err(NoAnswer::Told(shown(&String::from_utf8_lossy(&piece)))),
            (MENU, true) => {
                let menu: Menu = postcard::from_bytes(&piece).map_err(|_| NoAnswer::Senseless)?;
                return checked(menu).map(Answer::Menu);
            }
            (ABOUT, false) if !is_about => {
                let about = postcard::from_bytes::<(String, String)>(&piece);
                let (what, arguments) = about.map_err(|_| NoAnswer::Senseless)?;
                found.what = shown(&what);
                found.arguments = arguments.replace(char::is_control, " ");
                is_about = true;
            }
            (KERNEL, false) => add(&mut found.kernel, &piece, wanted.most_kernel_bytes)?,
            (RAMDISK, false) => add(&mut found.ramdisk, &piece, wanted.most_ramdisk_bytes)?,
            (END, false) if is_about => return Ok(Answer::Found(found)),
            _ => return Err(NoAnswer::Senseless),
        }
    }
}

fn hear_piece(from: &mut impl Read, piece: &mut Vec<u8>) -> Result<u8, NoAnswer> {
    let mut head = [0; 5];
    from.read_exact(&mut head).map_err(|_| NoAnswer::Ended)?;
    let [kind, length @ ..] = head;
    let length = u32::from_le_bytes(length) as usize;
    if length > MOST_PIECE_BYTES {
        return Err(NoAnswer::TooLong);
    }
    piece.resize(length, 0);
    from.read_exact(piece).map_err(|_| NoAnswer::Ended)?;
    Ok(kind)
}

fn add(to: &mut Vec<u8>, piece: &[u8], most: u64) -> Result<(), NoAnswer> {
    if (to.len() + piece.len()) as u64 > most {
        return Err(NoAnswer::TooLong);
    }
    to.try_reserve(piece.len()).map_err(|_| NoAnswer::TooLong)?;
    to.extend_from_slice(piece);
    Ok(())
}

fn checked(mut menu: Menu) -> Result<Menu, NoAnswer> {
    if menu.titles.is_empty() || menu.titles.len() > MOST_ENTRIES {
        return Err(NoAnswer::Senseless);
    }
    menu.default = menu.default.min(menu.titles.len() as u32 - 1);
    for title in &mut menu.titles {
        *title = shown(title);
    }
    Ok(menu)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn said(say: impl FnOnce(&mut Speaker<&mut Vec<u8>>)) -> Vec<u8> {
        let mut bytes = Vec::new();
        say(&mut Speaker(&mut bytes));
        bytes
    }

    fn kernel() -> Vec<u8> {
        said(|speaker| {
            speaker.about("Debian", "root=a\nb").unwrap();
            for piece in ["ker", "nel"] {
                speaker.kernel(piece.as_bytes()).unwrap();
            }
            speaker.ramdisk(b"disk").unwrap();
            speaker.end().unwrap();
        })
    }

    fn wanted(most_ramdisk_bytes: u64) -> Wanted {
        Wanted {
            most_kernel_bytes: 1 << 20,
            most_ramdisk_bytes,
            ..Wanted::default()
        }
    }

    #[test]
    fn what_is_asked_for_is_heard() {
        let right = Found {
            what: "Debian".into(),
            arguments: "root=a b".into(),
            kernel: b"kernel".into(),
            ramdisk: b"disk".into(),
        };
        assert_eq!(hear(&*kernel(), &wanted(4)), Ok(Answer::Found(right)));
        assert_eq!(hear(&*kernel(), &wanted(3)), Err(NoAnswer::TooLong));
        let menu = Menu {
            titles: vec!["a\u{1b}\u{202E}".into()],
            default: 7,
            timeout_seconds: None,
        };
        let bytes = said(|speaker| speaker.menu(&menu).unwrap());
        let only_menu = Wanted {
            only_menu: true,
            ..Wanted::default()
        };
        let Ok(Answer::Menu(heard)) = hear(&*bytes, &only_menu) else {
            panic!()
        };
        assert_eq!((heard.titles, heard.default), (vec!["a??".to_owned()], 0));
        // Neither is the other.
        assert_eq!(hear(&*bytes, &wanted(4)), Err(NoAnswer::Senseless));
        assert_eq!(hear(&*kernel(), &only_menu), Err(NoAnswer::Senseless));
        let bytes = said(|speaker| speaker.error("it \u{7}is so").unwrap());
        assert_eq!(
            hear(&*bytes, &only_menu),
            Err(NoAnswer::Told("it ?is so".into()))
        );
    }

    #[test]
    fn who_says_too_much_is_not_heard_out() {
        let long = [&[KERNEL][..], &u32::MAX.to_le_bytes()].concat();
        assert_eq!(hear(&*long, &wanted(4)), Err(NoAnswer::TooLong));
        let endless = said(|speaker| speaker.kernel(b"").unwrap()).repeat(1000);
        assert_eq!(hear(&*endless, &wanted(4)), Err(NoAnswer::Ended));
        let no_word = said(|speaker| speaker.end().unwrap());
        assert_eq!(hear(&*no_word, &wanted(4)), Err(NoAnswer::Senseless));
    }

    proptest! {
        #[test]
        fn damaged_answers_are_refused_or_within_bounds(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8), only_menu: bool,
        ) {
            let mut bytes = kernel();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let wanted = Wanted { only_menu, most_kernel_bytes: 6, most_ramdisk_bytes: 4, ..Wanted::default() };
            if let Ok(Answer::Found(found)) = hear(&*bytes, &wanted) {
                prop_assert!(found.ramdisk.len() <= 4);
            }
        }
    }
}
