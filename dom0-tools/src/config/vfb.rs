//! Framebuffers as administrators write them: `vnc=1,vnclisten=0.0.0.0`.

use super::error::Wrong;
use super::pairs::{is_yes, number, pairs};
use serde::{Deserialize, Serialize};

/// A framebuffer and a keyboard of a guest.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Vfb {
    /// Whether VNC viewers can connect.
    pub vnc: bool,
    /// Whether the first free display is taken.
    pub vncunused: bool,
    /// The address to listen on; else the daemon's setting.
    pub vnclisten: Option<String>,
    /// Which display; else the domain's number.
    pub vncdisplay: Option<u16>,
    /// What viewers must know.
    pub vncpasswd: Option<String>,
    /// Which keyboard.
    pub keymap: Option<String>,
    /// Whether a window is shown.
    pub sdl: bool,
    /// Where the window is shown.
    pub display: Option<String>,
    /// What allows to show it there.
    pub xauthority: Option<String>,
    /// Whether it is drawn by OpenGL.
    pub opengl: Option<bool>,
    /// Memory for the picture.
    pub videoram_mib: Option<u32>,
}

impl Vfb {
    /// Reads a description.
    ///
    /// # Errors
    ///
    /// It is none.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        let mut vfb = Self::default();
        for (key, value) in pairs(text)? {
            let text = || Some(value.to_owned()).filter(|value| !value.is_empty());
            match (key, value) {
                ("vnc", value) => vfb.vnc = is_yes(key, value)?,
                ("sdl", value) => vfb.sdl = is_yes(key, value)?,
                ("type", "vnc") => vfb.vnc = true,
                ("type", "sdl") => vfb.sdl = true,
                ("type", value) => {
                    return Err(Wrong::new(
                        format!("Invalid value: {value}"),
                        "the type of a framebuffer is vnc or sdl",
                    ));
                }
                ("vncunused", value) => vfb.vncunused = is_yes(key, value)?,
                ("vnclisten", _) => vfb.vnclisten = text(),
                ("vncdisplay", value) => vfb.vncdisplay = Some(number(key, value)?),
                ("vncpasswd", _) => vfb.vncpasswd = text(),
                ("keymap", _) => vfb.keymap = text(),
                ("display", _) => vfb.display = text(),
                ("xauthority", _) => vfb.xauthority = text(),
                ("opengl", value) => vfb.opengl = Some(is_yes(key, value)?),
                ("videoram", value) => vfb.videoram_mib = Some(number(key, value)?),
                (key, _) => {
                    return Err(Wrong::new(
                        format!("configuration option {key} unknown to vfbs"),
                        "there are vnc, vncunused, vnclisten, vncdisplay, vncpasswd, keymap, sdl, display, \
                         xauthority, opengl, videoram",
                    ));
                }
            }
        }
        Ok(vfb)
    }

    /// What can be said.
    pub(super) fn every_key() -> Vec<(&'static str, String)> {
        let text = || Some(String::from("-"));
        let every = Self {
            vnc: true,
            vncunused: true,
            vnclisten: text(),
            vncdisplay: Some(0),
            vncpasswd: text(),
            keymap: text(),
            sdl: true,
            display: text(),
            xauthority: text(),
            opengl: Some(true),
            videoram_mib: Some(0),
        };
        every.said()
    }

    /// What was said, without the password.
    #[must_use]
    pub fn said(&self) -> Vec<(&'static str, String)> {
        let flag = |is_set: bool| is_set.then(|| "1".to_owned());
        let pairs = [
            ("vnc", flag(self.vnc)),
            ("vncunused", flag(self.vncunused)),
            ("vnclisten", self.vnclisten.clone()),
            (
                "vncdisplay",
                self.vncdisplay.map(|number| number.to_string()),
            ),
            (
                "vncpasswd",
                self.vncpasswd.as_ref().map(|_| "XXXXXXXX".to_owned()),
            ),
            ("keymap", self.keymap.clone()),
            ("sdl", flag(self.sdl)),
            ("display", self.display.clone()),
            ("xauthority", self.xauthority.clone()),
            (
                "opengl",
                self.opengl.map(|is_set| u8::from(is_set).to_string()),
            ),
            ("videoram", self.videoram_mib.map(|size| size.to_string())),
        ];
        let said = |(key, value): (&'static str, Option<String>)| Some((key, value?));
        pairs.into_iter().filter_map(said).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn framebuffers_of_real_files_are_read() {
        let vfb =
            Vfb::parse("vnc=1,vncunused=1,vnclisten=0.0.0.0,vncdisplay=1,vncpasswd=x,keymap=de")
                .unwrap();
        assert!(vfb.vnc && vfb.vncunused && !vfb.sdl);
        assert_eq!(vfb.vncdisplay, Some(1));
        assert_eq!(vfb.vncpasswd.as_deref(), Some("x"));
        assert!(vfb.said().contains(&("vncpasswd", "XXXXXXXX".into())));
        assert!(Vfb::parse("type=vnc").unwrap().vnc);
    }

    #[test]
    fn wrong_framebuffers_are_refused() {
        let problem = |text: &str| Vfb::parse(text).unwrap_err().problem;
        assert_eq!(
            problem("vnc=1,colour=red"),
            "configuration option colour unknown to vfbs"
        );
        assert_eq!(problem("vncdisplay=first"), "Invalid value: first");
        assert_eq!(problem("vnc=maybe"), "Invalid value: maybe");
        assert_eq!(problem("type=x"), "Invalid value: x");
        assert!(problem("vnc").starts_with("vnc should be a pair"));
    }
}
