//! Images of disks that a process serves: `tap:qcow2:/srv/etch.qcow2`.

use super::error::Wrong;

/// What is before the path, as administrators know it, and what servers of images call that layout.
const LAYOUTS: [(&str, &str); 10] = [
    ("aio", "raw"),
    ("sync", "raw"),
    ("raw", "raw"),
    ("qcow", "qcow"),
    ("qcow2", "qcow2"),
    ("vmdk", "vmdk"),
    ("vhd", "vpc"),
    ("vpc", "vpc"),
    ("vhdx", "vhdx"),
    ("vdi", "vdi"),
];
/// Who served them in times past; there is one server now.
const SERVERS: [&str; 2] = ["ioemu", "tapdisk"];

/// An image and how it is laid out. That is never guessed: who writes the first bytes of a raw one is the guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Image<'a> {
    /// The layout, as servers call it.
    pub format: &'static str,
    /// Each write is on the disk before the guest hears of it, and not only when it asks for that.
    pub is_synchronous: bool,
    /// Of a regular file, or of a block device.
    pub path: &'a str,
}

impl<'a> Image<'a> {
    /// Reads `qcow2:/srv/etch.qcow2`, or `tapdisk:qcow2:/srv/etch.qcow2`.
    ///
    /// # Errors
    ///
    /// It is no image.
    pub fn parse(text: &'a str) -> Result<Self, Wrong> {
        let is_server = |(server, _): &(&str, &str)| SERVERS.contains(server);
        let rest = text.split_once(':').filter(is_server);
        let text = rest.map_or(text, |(_, rest)| rest);
        let (layout, path) = text.split_once(':').unwrap_or((text, ""));
        let image = Self::of(layout, path).ok_or_else(|| {
            let known: Vec<_> = LAYOUTS.iter().map(|(layout, _)| *layout).collect();
            Wrong::new(
                format!("Block device type \"tap:{layout}\" is invalid."),
                format!(
                    "write tap:TYPE:PATH, where TYPE is one of {}",
                    known.join(", ")
                ),
            )
        })?;
        // Anything else may be more than a path to who opens it.
        if !path.starts_with('/') {
            return Err(Wrong::new(
                format!("the image \"{path}\" is no absolute path"),
                format!("write tap:{layout}:/PATH"),
            ));
        }
        Ok(image)
    }

    /// The image of this layout at this path, if the layout is known.
    #[must_use]
    pub fn of(layout: &str, path: &'a str) -> Option<Self> {
        let known = LAYOUTS.iter().find(|(known, _)| *known == layout);
        known.map(|&(_, format)| Self {
            format,
            is_synchronous: layout == "sync",
            path,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn images_of_real_files_are_read() {
        for (text, format, path) in [
            ("aio:/srv/x.img", "raw", "/srv/x.img"),
            ("qcow2:/srv/a:b.qcow2", "qcow2", "/srv/a:b.qcow2"),
            ("tapdisk:aio:/srv/x.img", "raw", "/srv/x.img"),
            ("ioemu:qcow:/srv/x", "qcow", "/srv/x"),
            ("vhd:/srv/x.vhd", "vpc", "/srv/x.vhd"),
            ("vmdk:/srv/x.vmdk", "vmdk", "/srv/x.vmdk"),
        ] {
            let image = Image::parse(text).unwrap();
            assert_eq!((image.format, image.path), (format, path), "{text}");
            assert!(!image.is_synchronous);
        }
        assert!(Image::parse("sync:/srv/x.img").unwrap().is_synchronous);
    }

    #[test]
    fn what_no_server_would_open_as_a_file_is_refused() {
        for (text, told) in [
            ("ram:/srv/x", "Block device type \"tap:ram\" is invalid."),
            ("/srv/x", "Block device type \"tap:/srv/x\" is invalid."),
            (
                "tapdisk:tapdisk:aio:/x",
                "Block device type \"tap:tapdisk\" is invalid.",
            ),
            ("qcow2:", "the image \"\" is no absolute path"),
            ("qcow2:x.qcow2", "the image \"x.qcow2\" is no absolute path"),
            (
                "aio:json:{\"driver\":\"file\"}",
                "the image \"json:{\"driver\":\"file\"}\" is no absolute path",
            ),
        ] {
            assert_eq!(Image::parse(text).unwrap_err().problem, told);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_an_image_or_refused(text in "(tapdisk:|ioemu:)?(aio:|qcow2:)?\\PC{0,9}") {
            if let Ok(image) = Image::parse(&text) {
                prop_assert!(image.path.starts_with('/') && text.ends_with(image.path));
            }
        }
    }
}
