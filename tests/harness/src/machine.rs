//! The machine that QEMU pretends to be.

use crate::qemu::Qemu;
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

/// The I/O port of the device by which an image ends QEMU with a status.
pub const EXIT_PORT: u16 = 0xf4;

/// What QEMU has translated is kept in so many MiB, and thrown away when they are full. By itself it takes an eighth of the host's
/// memory, up to 1 GiB, in which it then finds the less, the more is there: each store into a page from which code was executed
/// looks through all that was translated of that page, for milliseconds in a kernel's busiest pages.
const TRANSLATED_MIB: u32 = 128;

/// The board: chipset, buses, and the firmware's tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Board {
    /// Intel Q35, with PCI Express and its memory-mapped configuration space.
    Q35,
    /// Intel 440FX, of 1996.
    Pc,
    /// A PC of before PCI and ACPI.
    Isa,
}

impl Board {
    /// QEMU's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Q35 => "q35",
            Self::Pc => "pc",
            Self::Isa => "isapc",
        }
    }
}

/// Whether the machine has an HPET.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hpet {
    /// It has one.
    Present,
    /// It has none.
    Absent,
}

/// Which threads of the emulator the processors are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Threads {
    /// Each is one of its own: they truly run at once.
    Many,
    /// All are the same, and take turns of some milliseconds.
    One,
}

/// Whether the emulator can read by `io_uring` here: some kernels don't have it, or forbid it. It is asked to open a file that
/// way, and to end.
static HAS_RING: LazyLock<bool> = LazyLock::new(|| {
    let Ok(qemu) = Qemu::installed() else {
        return false;
    };
    let child = Command::new(qemu.command)
        .args(["-nodefaults", "-machine", "none", "-display", "none"])
        .args(["-monitor", "stdio", "-drive"])
        .arg("if=none,format=raw,readonly=on,aio=io_uring,file=Cargo.toml")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = child else { return false };
    let is_asked = child
        .stdin
        .take()
        .is_some_and(|mut input| input.write_all(b"quit\n").is_ok());
    child
        .wait()
        .is_ok_and(|status| is_asked && status.success())
});

/// What the emulator does when the machine is reset or switched off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AtEnd {
    /// It ends, in either case.
    Exit,
    /// Reset, the machine boots anew; off, it is kept as it is.
    Show,
}

/// What a machine reads the disc from that it boots from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reader {
    /// A drive for discs, as in a person's machine. On a BIOS every byte goes through the processor: a RAM disk takes as long
    /// as the kernel takes to boot, and on the older board many times as long.
    Drive,
    /// A disk of virtio, which reads into memory itself, on a machine without system management mode, into which the
    /// firmware would go for each read. It is the last of the machine's disks. The firmware asks for each 32 KiB, and then does
    /// nothing but look whether they are there: so the emulator asks for them at once and by `io_uring`, if it can here,
    /// instead of by other threads, which have to get a processor first.
    Virtio,
}

/// A machine, emulated without hardware acceleration so that it is the same everywhere.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Machine {
    /// The board.
    pub board: Board,
    /// Number of processors.
    pub processors: u32,
    /// How they are emulated.
    pub threads: Threads,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Processor model and its features, as QEMU's `-cpu` takes them.
    pub cpu: String,
    /// Whether there is an HPET.
    pub hpet: Hpet,
    /// What reads [`Medium::Disc`].
    pub reader: Reader,
    /// What happens when it is reset or switched off.
    pub at_end: AtEnd,
    /// Whether a store to [`EXIT_PORT`] ends it.
    pub has_exit_port: bool,
    /// More of QEMU's options.
    pub extra: Vec<String>,
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            board: Board::Q35,
            processors: 1,
            threads: Threads::Many,
            memory_mib: 1024,
            // QEMU 7.2 takes SMAP's word for its own accesses too: with it a PV kernel can't return.
            cpu: "max,-smap".into(),
            hpet: Hpet::Present,
            reader: Reader::Drive,
            at_end: AtEnd::Exit,
            has_exit_port: true,
            extra: Vec::new(),
        }
    }
}

/// What a machine boots from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Medium {
    /// A disc in the drive, by the firmware and the boot loader on it.
    Disc(PathBuf),
    /// A disk, by the firmware and the boot loader on it, with a disc in the drive beside it.
    Disk {
        /// The disk, which is written to.
        disk: PathBuf,
        /// The disc.
        disc: PathBuf,
    },
    /// An image for the first version of multiboot, which QEMU loads itself: quicker than any boot loader.
    Direct {
        /// The image.
        image: PathBuf,
        /// Its command line.
        options: String,
        /// A module.
        module: PathBuf,
        /// The module's command line, without commas.
        line: String,
        /// A second module.
        ram_disk: Option<PathBuf>,
    },
}

impl Medium {
    fn arguments(&self, reader: Reader) -> Vec<OsString> {
        match self {
            Self::Disc(iso) if reader == Reader::Virtio => {
                let way = if *HAS_RING { ",aio=io_uring" } else { "" };
                let mut drive =
                    OsString::from(format!("if=none,id=disc,format=raw,readonly=on{way},file="));
                drive.push(iso);
                vec![
                    "-drive".into(),
                    drive,
                    "-device".into(),
                    "virtio-blk-pci,drive=disc,bootindex=0,ioeventfd=off".into(),
                ]
            }
            Self::Disc(iso) => vec!["-boot".into(), "d".into(), "-cdrom".into(), iso.into()],
            Self::Disk { disk, disc } => {
                let mut drive = OsString::from("if=ide,index=0,format=raw,file=");
                drive.push(disk);
                vec![
                    "-boot".into(),
                    "c".into(),
                    "-drive".into(),
                    drive,
                    "-cdrom".into(),
                    disc.into(),
                ]
            }
            Self::Direct {
                image,
                options,
                module,
                line,
                ram_disk,
            } => {
                let mut initrd = OsString::from(module);
                initrd.push(format!(" {line}"));
                if let Some(file) = ram_disk {
                    initrd.push(",");
                    initrd.push(file);
                }
                vec![
                    "-kernel".into(),
                    image.into(),
                    "-append".into(),
                    options.into(),
                    "-initrd".into(),
                    initrd,
                ]
            }
        }
    }
}

impl Machine {
    /// This one with its time going by instructions and nothing else, so that it is the same however busy the host is: each takes two to
    /// the power of `shift` ns, and nobody waits for time that is left. Several processors take turns, so what one does takes longer
    /// while others are not idle. [`Qemu::that_counts`] runs it.
    #[must_use]
    pub fn by_instructions(mut self, shift: u32) -> Self {
        self.threads = Threads::One;
        self.extra
            .extend(["-icount".into(), format!("shift={shift},sleep=off")]);
        if self.processors > 1 {
            // One thread emulates them all, each for its part of the time to the next timer's end, which may be milliseconds. This is
            // a timer of some 2000 instructions: nothing is connected to the network whose packets it keeps.
            self.extra.extend([
                "-netdev".into(),
                "user,id=nothing,restrict=on".into(),
                "-object".into(),
                format!(
                    "filter-buffer,id=turns,netdev=nothing,interval={}",
                    2 << shift
                ),
            ]);
            // Those that share time fairly read it for the timer of an x2APIC where they have forbidden themselves to, and end.
            self.cpu += ",-x2apic";
        }
        self
    }

    /// QEMU's arguments: this machine, booting from `medium`, with its serial line on standard input and output and
    /// its monitor on the socket `monitor`.
    pub fn arguments(&self, medium: &Medium, monitor: &Path) -> Vec<OsString> {
        let hpet = match self.hpet {
            Hpet::Present => "on",
            Hpet::Absent => "off",
        };
        let smm = match self.reader {
            Reader::Drive => "",
            Reader::Virtio => ",smm=off",
        };
        let threads = match self.threads {
            // Instructions are counted on one thread only.
            Threads::Many if self.extra.iter().any(|word| word == "-icount") => "single",
            Threads::Many => "multi",
            Threads::One => "single",
        };
        let mut arguments: Vec<OsString> = Vec::new();
        let mut add = |words: &[&str]| arguments.extend(words.iter().map(OsString::from));
        add(&[
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            match self.at_end {
                AtEnd::Exit => "-no-reboot",
                AtEnd::Show => "-no-shutdown",
            },
        ]);
        add(&[
            "-monitor",
            &format!("unix:{},server=on,wait=off", monitor.display()),
        ]);
        add(&[
            "-machine",
            &format!("{},hpet={hpet}{smm}", self.board.name()),
            "-accel",
            &format!("tcg,thread={threads},tb-size={TRANSLATED_MIB}"),
        ]);
        add(&[
            "-cpu",
            &self.cpu,
            "-smp",
            &self.processors.to_string(),
            "-m",
            &self.memory_mib.to_string(),
        ]);
        // One board with a screen and one without: nobody may rely on either.
        add(match self.board {
            Board::Q35 | Board::Isa => &["-vga", "none"],
            Board::Pc => &["-vga", "std"],
        });
        if self.has_exit_port {
            add(&[
                "-device",
                &format!("isa-debug-exit,iobase={EXIT_PORT:#x},iosize=4"),
            ]);
        }
        add(&["-serial", "stdio"]);
        arguments.extend(self.extra.iter().map(OsString::from));
        arguments.extend(medium.arguments(self.reader));
        arguments
    }
}
