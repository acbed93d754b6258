//! Disks as administrators write them: `phy:vg0/etch,xvda2,w`.

use super::device_number::VirtualDevice;
use super::error::Wrong;
use super::image::Image;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What would be right instead of a wrong disk.
const SHAPE: &str = "write 'UNAME,VDEV,MODE' and perhaps ',BACKEND' and ',PROTOCOL', such as \
                     'phy:vg0/etch,xvda,w' or 'file:/srv/etch.img,xvda,w'";

/// A disk of a guest.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Disk {
    /// What is behind it; `None`: a drive without a disk in it.
    pub source: Option<DiskSource>,
    /// What the guest sees.
    pub device: VirtualDevice,
    /// What kind of drive the guest sees.
    pub kind: DriveKind,
    /// What the guest may do.
    pub mode: DiskMode,
    /// Name or number of the domain that has the disk; `None`: the first.
    pub backend: Option<String>,
    /// How the guest's requests are laid out, such as `x86_32-abi`; `None`: as the guest's kernel does it.
    pub protocol: Option<String>,
}

/// What is behind a disk: `phy:vg0/etch`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DiskSource {
    /// What is before the first colon.
    pub kind: String,
    /// What is behind it.
    pub params: String,
}

/// Who serves a disk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DiskClass<'a> {
    /// The kernel, from the block device of this path.
    Block(String),
    /// The kernel, from the regular file of this path.
    File(&'a str),
    /// A process, from an image: `tap` or `tap2`.
    Image(Image<'a>),
    /// A script `block-X`, which makes it a block device. Where there is none it may be an image, too: `qcow2`.
    Script(&'a str),
}

fn is_tap(kind: &str) -> bool {
    matches!(kind, "tap" | "tap2")
}

impl DiskSource {
    /// Who serves it.
    #[must_use]
    pub fn class(&self) -> DiskClass<'_> {
        match self.kind.as_str() {
            "phy" if self.params.starts_with('/') || self.params.starts_with("0x") => {
                DiskClass::Block(self.params.clone())
            }
            "phy" => DiskClass::Block(format!("/dev/{}", self.params)),
            "file" => DiskClass::File(&self.params),
            kind => match self.image() {
                Some(image) if is_tap(kind) => DiskClass::Image(image),
                _ => DiskClass::Script(kind),
            },
        }
    }

    /// The image that is behind it, if it is one.
    #[must_use]
    pub fn image(&self) -> Option<Image<'_>> {
        match is_tap(&self.kind) {
            true => Image::parse(&self.params).ok(),
            false => {
                Image::of(&self.kind, &self.params).filter(|image| image.path.starts_with('/'))
            }
        }
    }

    /// Reads `phy:vg0/etch`.
    ///
    /// # Errors
    ///
    /// It is no such thing.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        let remedy = "write phy:DEVICE for a block device, file:PATH for a raw image, tap:qcow2:PATH and the like for \
                      others, or another TYPE:PARAMETERS";
        if text.is_empty() {
            let problem = "Block device must have physical details specified";
            return Err(Wrong::new(problem, remedy));
        }
        let invalid =
            |kind: &str| Wrong::new(format!("Block device type \"{kind}\" is invalid."), remedy);
        let (kind, params) = text.split_once(':').ok_or_else(|| invalid(text))?;
        // The type becomes part of a script's file name.
        let is_kind = |letter: char| letter.is_ascii_alphanumeric() || "_-+".contains(letter);
        if kind.is_empty() || !kind.chars().all(is_kind) {
            return Err(invalid(kind));
        }
        if params.is_empty() {
            let problem = "Block device must have physical details specified";
            return Err(Wrong::new(problem, remedy));
        }
        if is_tap(kind) {
            Image::parse(params)?;
        }
        Ok(Self {
            kind: kind.to_owned(),
            params: params.to_owned(),
        })
    }
}

impl fmt::Display for DiskSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.params)
    }
}

/// What kind of drive a guest sees.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DriveKind {
    /// A disk.
    Disk,
    /// A drive whose disk may change.
    Cdrom,
}

impl DriveKind {
    /// As the store says it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Cdrom => "cdrom",
        }
    }
}

/// What a guest may do with a disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum DiskMode {
    /// Read; nobody writes.
    #[serde(rename = "r")]
    ReadOnly,
    /// Write; nobody else uses it.
    #[serde(rename = "w")]
    Exclusive,
    /// Write, whoever else uses it.
    #[serde(rename = "w!")]
    Shared,
}

impl DiskMode {
    /// Reads `r`, `w` or `w!`.
    ///
    /// # Errors
    ///
    /// It is none of these.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        match text {
            "r" => Ok(Self::ReadOnly),
            "w" => Ok(Self::Exclusive),
            "w!" => Ok(Self::Shared),
            _ => Err(Wrong::new(
                "Invalid mode",
                "the mode is r to read, w to write what nobody else uses, or w! to write without that check",
            )),
        }
    }

    /// Reads what `xm block-attach` also takes: `ro` and `rw`, as its manual has it.
    ///
    /// # Errors
    ///
    /// It is no mode.
    pub fn parse_of_command(text: &str) -> Result<Self, Wrong> {
        match text {
            "ro" => Ok(Self::ReadOnly),
            "rw" => Ok(Self::Exclusive),
            text => Self::parse(text),
        }
    }

    /// As it is written.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::ReadOnly => "r",
            Self::Exclusive => "w",
            Self::Shared => "w!",
        }
    }
}

impl Disk {
    /// Reads `UNAME,VDEV,MODE[,BACKEND[,PROTOCOL]]`.
    ///
    /// # Errors
    ///
    /// It is no disk.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        let fields: Vec<&str> = text.split(',').collect();
        let (uname, device, mode, rest) = match fields.as_slice() {
            [uname, device, mode, rest @ ..] if rest.len() <= 2 => (*uname, *device, *mode, rest),
            _ => return Err(Wrong::new(format!("Invalid disk specifier: {text}"), SHAPE)),
        };
        let optional = |index: usize| {
            let text = rest
                .get(index)
                .map(|text| text.trim())
                .filter(|text| !text.is_empty());
            text.map(str::to_owned)
        };
        Self::from_parts(
            uname,
            device.trim(),
            DiskMode::parse(mode.trim())?,
            optional(0),
            optional(1),
        )
    }

    /// From its parts, as `xm block-attach` has them.
    ///
    /// # Errors
    ///
    /// A part is wrong, or they do not go together.
    pub fn from_parts(
        uname: &str,
        device: &str,
        mode: DiskMode,
        backend: Option<String>,
        protocol: Option<String>,
    ) -> Result<Self, Wrong> {
        let device = device.strip_prefix("ioemu:").unwrap_or(device);
        let (device, kind) = match device.rsplit_once(':') {
            Some((device, "cdrom")) => (device, DriveKind::Cdrom),
            Some((device, "disk")) => (device, DriveKind::Disk),
            _ => (device, DriveKind::Disk),
        };
        let device = VirtualDevice::parse(device)?;
        let source = match (uname, kind) {
            ("", DriveKind::Cdrom) => None,
            _ => Some(DiskSource::parse(uname)?),
        };
        let mode = match kind {
            DriveKind::Cdrom => DiskMode::ReadOnly,
            DriveKind::Disk => mode,
        };
        Ok(Self {
            source,
            device,
            kind,
            mode,
            backend,
            protocol,
        })
    }
}

impl fmt::Display for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(source) = &self.source {
            write!(f, "{source}")?;
        }
        write!(f, ",{}", self.device)?;
        if self.kind == DriveKind::Cdrom {
            f.write_str(":cdrom")?;
        }
        write!(f, ",{}", self.mode.word())?;
        match (&self.backend, &self.protocol) {
            (None, None) => Ok(()),
            (Some(backend), None) => write!(f, ",{backend}"),
            (backend, Some(protocol)) => {
                write!(f, ",{},{protocol}", backend.as_deref().unwrap_or(""))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn problem(text: &str) -> String {
        Disk::parse(text).unwrap_err().problem
    }

    #[test]
    fn disks_of_real_files_are_read() {
        let disk = Disk::parse("phy:vg0/etch, xvda2 ,w").unwrap();
        assert_eq!(disk.device.number, 51714);
        assert_eq!(disk.mode, DiskMode::Exclusive);
        let source = disk.source.unwrap();
        assert_eq!(source.class(), DiskClass::Block("/dev/vg0/etch".into()));

        let disk = Disk::parse("file:///srv/a b.img,/dev/sda1,w!,storage,x86_32-abi").unwrap();
        let source = disk.source.unwrap();
        assert_eq!(source.class(), DiskClass::File("///srv/a b.img"));
        assert_eq!(disk.device.name, "sda1");
        assert_eq!(disk.mode, DiskMode::Shared);
        assert_eq!(disk.backend.as_deref(), Some("storage"));
        assert_eq!(disk.protocol.as_deref(), Some("x86_32-abi"));

        let class = |text: &str| Disk::parse(text).unwrap().source.unwrap().kind;
        assert_eq!(class("tap:aio:/srv/x.img,xvda,w"), "tap");
        assert_eq!(class("tap2:tapdisk:aio:/srv/x.img,xvda,w"), "tap2");
        assert_eq!(class("drbd:r0,xvda,w"), "drbd");
        let disk = Disk::parse("tap2:tapdisk:vhd:/srv/x.vhd,xvda,w").unwrap();
        let source = disk.source.unwrap();
        let DiskClass::Image(image) = source.class() else {
            panic!()
        };
        assert_eq!((image.format, image.path), ("vpc", "/srv/x.vhd"));
        // A script of this name goes before.
        let source = DiskSource::parse("qcow2:/srv/x").unwrap();
        assert_eq!(source.class(), DiskClass::Script("qcow2"));
        assert_eq!(source.image().unwrap().format, "qcow2");
        assert_eq!(DiskSource::parse("qcow2:x").unwrap().image(), None);
        let disk = Disk::parse("phy:/dev/mapper/x,ioemu:hda:disk,r").unwrap();
        assert_eq!(
            (disk.device.name.as_str(), disk.kind),
            ("hda", DriveKind::Disk)
        );
        let disk = Disk::parse("phy:0x301,0x1600,r").unwrap();
        assert_eq!(
            disk.source.unwrap().class(),
            DiskClass::Block("0x301".into())
        );
    }

    #[test]
    fn drives_may_be_empty() {
        let disk = Disk::parse(",hdc:cdrom,r").unwrap();
        assert_eq!((disk.source, disk.kind), (None, DriveKind::Cdrom));
        // Nobody writes to these.
        let disk = Disk::parse("file:/srv/debian.iso,hdc:cdrom,w").unwrap();
        assert_eq!(disk.mode, DiskMode::ReadOnly);
        assert_eq!(
            problem(",hdc,r"),
            "Block device must have physical details specified"
        );
        assert_eq!(
            problem("phy:,hdc,r"),
            "Block device must have physical details specified"
        );
    }

    #[test]
    fn wrong_disks_are_refused_in_known_sentences() {
        assert_eq!(
            problem("phy:vg0/etch,xvda"),
            "Invalid disk specifier: phy:vg0/etch,xvda"
        );
        assert_eq!(
            problem("a:b,xvda,w,0,p,q"),
            "Invalid disk specifier: a:b,xvda,w,0,p,q"
        );
        assert_eq!(
            problem("phy:vg0/etch,vda,w"),
            "Unable to find number for device (vda)"
        );
        assert_eq!(problem("phy:vg0/etch,xvda,rw"), "Invalid mode");
        assert_eq!(
            problem("../x:vg0/etch,xvda,w"),
            "Block device type \"../x\" is invalid."
        );
        assert_eq!(
            problem("/dev/vg0/etch,xvda,w"),
            "Block device type \"/dev/vg0/etch\" is invalid."
        );
        assert_eq!(DiskMode::parse_of_command("rw"), Ok(DiskMode::Exclusive));
    }

    fn any_disk() -> impl Strategy<Value = Disk> {
        let source = ("[a-z][a-z0-9]{0,5}", "[^,]{1,12}")
            .prop_map(|(kind, params)| DiskSource { kind, params });
        let device = prop_oneof![
            "xvd[a-z][1-9]?",
            "hd[a-t]",
            "sd[a-i][a-u]",
            "[1-9][0-9]{0,6}",
            "0x[0-9a-f]{1,6}"
        ];
        let mode = prop_oneof![
            Just(DiskMode::ReadOnly),
            Just(DiskMode::Exclusive),
            Just(DiskMode::Shared)
        ];
        let word = || prop::option::of("[a-zA-Z0-9_-]{1,10}");
        (
            prop::option::of(source),
            device,
            mode,
            any::<bool>(),
            word(),
            word(),
        )
            .prop_map(|(source, device, mode, is_cdrom, backend, protocol)| {
                let is_cdrom = is_cdrom || source.is_none();
                Disk {
                    source,
                    device: VirtualDevice::parse(&device).unwrap(),
                    kind: if is_cdrom {
                        DriveKind::Cdrom
                    } else {
                        DriveKind::Disk
                    },
                    mode: if is_cdrom { DiskMode::ReadOnly } else { mode },
                    backend,
                    protocol,
                }
            })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(disk in any_disk()) {
            prop_assert_eq!(Disk::parse(&disk.to_string()), Ok(disk));
        }

        #[test]
        fn any_text_is_a_disk_or_refused(text in "\\PC{0,40}|[a-z:,/]{0,30}") {
            if let Ok(disk) = Disk::parse(&text) {
                prop_assert_eq!(Disk::parse(&disk.to_string()), Ok(disk));
            }
        }
    }
}
