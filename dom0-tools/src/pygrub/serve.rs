//! The process that reads a guest's disk.

use super::answer::{Speaker, Wanted};
use super::confine::{close_others, confine};
use super::find::answer;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::panic;

/// Is that process: standard input is the disk, standard output the pipe, and the word what is wanted.
///
/// # Errors
///
/// If nothing can be said.
pub fn serve(word: Option<&str>) -> io::Result<()> {
    let wanted: Wanted = serde_json::from_str(word.unwrap_or_default())
        .map_err(|_| io::Error::other("this is run by xend and xm, for bootloader = 'pygrub'"))?;
    let mut speaker = Speaker(io::stdout());
    if let Err(error) = close_others() {
        return speaker.error(&format!(
            "the process that was to read the disk can't be confined: /proc/self/fd: {error}"
        ));
    }
    let disk = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    panic::set_hook(Box::new(|about| {
        // Of what reads the file system: there is nothing of it that is not the disk's fault.
        let said = about.payload_as_str().unwrap_or_default();
        let _ = Speaker(io::stdout()).error(&format!("the disk is damaged: {said}"));
        std::process::exit(1);
    }));
    if let Err(error) = confine() {
        return speaker.error(&format!(
            "the process that was to read the disk can't be confined: {error}"
        ));
    }
    match answer(disk, &wanted, &mut speaker) {
        Ok(()) => Ok(()),
        Err(sentence) => speaker.error(&sentence),
    }
}
