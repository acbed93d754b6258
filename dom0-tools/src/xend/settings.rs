//! `xend-config.sxp`: forms `(key value)`, as administrators have them.

use crate::bounded_file;
use crate::sxp::{NotSxp, Sxp};
use log::LevelFilter;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where it is, and the variable that names another place.
pub const FILE: &str = "/etc/xen/xend-config.sxp";
/// See [`FILE`].
pub const FILE_VARIABLE: &str = "XEND_CONFIG";

/// The longest file.
const MOST_BYTES: u64 = 1 << 20;

/// What a value may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Shape {
    Text,
    YesNo,
    /// The least and the most, and what is counted.
    Number(u64, u64, &'static str),
    Level,
    /// Also a list, which is kept as it is written.
    Anything,
    /// Not kept, because what is kept is shown and logged.
    Secret,
}

struct Key {
    name: &'static str,
    shape: Shape,
    default: &'static str,
    /// What it is about, if that is not there yet.
    missing: &'static str,
}

const fn key(name: &'static str, shape: Shape, default: &'static str) -> Key {
    missing(name, shape, default, "")
}

const fn missing(
    name: &'static str,
    shape: Shape,
    default: &'static str,
    missing: &'static str,
) -> Key {
    Key {
        name,
        shape,
        default,
        missing,
    }
}

/// What is shown in a secret's place.
const HIDDEN: &str = "XXXXXXXX";
const PORT: Shape = Shape::Number(1, 65535, "a port, 1 to 65535");
const SECONDS: Shape = Shape::Number(0, 1 << 20, "a number of seconds, at most 1048576");
const COUNT: Shape = Shape::Number(0, 1 << 32, "a number");
const REMOTE: &str = "service to other machines";
const MIGRATION: &str = "migration";
const SCREENS: &str = "screens of guests";
const DEVICES: &str = "devices of guests";
/// What the first domain keeps of its memory.
const FIRST_LEAST: &str = "dom0-min-mem";
/// Whether it gives memory up for guests: as it is written, or else if it is known what it keeps.
const BALLOONS_FIRST: &str = "enable-dom0-ballooning";
/// How many of its virtual processors the first domain has in use; 0 for all.
const FIRST_CPUS: &str = "dom0-cpus";

/// All keys, in the order in which they are shown.
const KEYS: [Key; 53] = [
    key("logfile", Shape::Text, "/var/log/xen/xend.log"),
    key("loglevel", Shape::Level, "INFO"),
    key(
        "console-limit",
        Shape::Number(1, 16384, "a number of KiB, 1 to 16384"),
        "1024",
    ),
    key("enable-dump", Shape::YesNo, "no"),
    key(
        "dump-reserve",
        Shape::Number(0, 90, "a percentage, 0 to 90"),
        "10",
    ),
    key(
        "dump-crash-count",
        Shape::Number(1, 1000, "a number, 1 to 1000"),
        "3",
    ),
    key("xend-domains-path", Shape::Text, "/var/lib/xend/domains"),
    missing(
        "xend-state-path",
        Shape::Text,
        "/var/lib/xend/state",
        "a state of its own",
    ),
    missing("xend-storage-path", Shape::Text, "", "storage of its own"),
    missing("xend-security-path", Shape::Text, "", "security labels"),
    missing("xsm_module_name", Shape::Text, "dummy", "security labels"),
    missing(
        "resource-label-change-script",
        Shape::Text,
        "",
        "security labels",
    ),
    key(
        FIRST_LEAST,
        Shape::Number(0, 1 << 32, "a number of MiB, at most 4294967296"),
        "0",
    ),
    key(BALLOONS_FIRST, Shape::YesNo, "no"),
    missing("total_available_memory", COUNT, "0", "a pool of memory"),
    key(FIRST_CPUS, COUNT, "0"),
    key("network-script", Shape::Text, ""),
    key("vif-script", Shape::Text, "vif-bridge"),
    key("device-create-timeout", SECONDS, "100"),
    key("device-destroy-timeout", SECONDS, "100"),
    missing("xend-udev-event-server", Shape::YesNo, "no", DEVICES),
    missing("qemu-dm-logrotate-count", COUNT, "10", DEVICES),
    missing("pci-passthrough-strict-check", Shape::YesNo, "yes", DEVICES),
    missing("pscsi-device-mask", Shape::Anything, "('*')", DEVICES),
    missing("vnc-listen", Shape::Text, "127.0.0.1", SCREENS),
    missing("vncpasswd", Shape::Secret, "", SCREENS),
    missing("vnc-tls", Shape::YesNo, "no", SCREENS),
    missing("vnc-x509-cert-dir", Shape::Text, "vnc", SCREENS),
    missing("vnc-x509-verify", Shape::YesNo, "no", SCREENS),
    missing("keymap", Shape::Text, "", SCREENS),
    missing("xend-relocation-server", Shape::YesNo, "no", MIGRATION),
    missing("xend-relocation-port", PORT, "8002", MIGRATION),
    missing("xend-relocation-address", Shape::Text, "", MIGRATION),
    missing("xend-relocation-hosts-allow", Shape::Text, "", MIGRATION),
    missing("xend-relocation-ssl-server", Shape::YesNo, "no", MIGRATION),
    missing("xend-relocation-ssl-port", PORT, "8003", MIGRATION),
    missing(
        "xend-relocation-server-ssl-key-file",
        Shape::Text,
        "",
        MIGRATION,
    ),
    missing(
        "xend-relocation-server-ssl-cert-file",
        Shape::Text,
        "",
        MIGRATION,
    ),
    missing("xend-relocation-ssl", Shape::YesNo, "no", MIGRATION),
    missing("external-migration-tool", Shape::Text, "", MIGRATION),
    missing("xen-api-server", Shape::Anything, "((unix))", REMOTE),
    missing("xend-http-server", Shape::YesNo, "no", REMOTE),
    missing("xend-port", PORT, "8000", REMOTE),
    missing("xend-address", Shape::Text, "", REMOTE),
    missing("xend-unix-server", Shape::YesNo, "no", REMOTE),
    missing(
        "xend-unix-path",
        Shape::Text,
        "/var/lib/xend/xend-socket",
        REMOTE,
    ),
    missing("xend-unix-xmlrpc-server", Shape::YesNo, "yes", REMOTE),
    missing("xend-tcp-xmlrpc-server", Shape::YesNo, "no", REMOTE),
    missing(
        "xend-tcp-xmlrpc-server-address",
        Shape::Text,
        "localhost",
        REMOTE,
    ),
    missing("xend-tcp-xmlrpc-server-port", PORT, "8006", REMOTE),
    missing(
        "xend-tcp-xmlrpc-server-ssl-key-file",
        Shape::Text,
        "",
        REMOTE,
    ),
    missing(
        "xend-tcp-xmlrpc-server-ssl-cert-file",
        Shape::Text,
        "",
        REMOTE,
    ),
    missing(
        "xend-debug",
        Shape::YesNo,
        "no",
        "a log of its own for faults",
    ),
];

/// What the file says, and the usual where it says nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Settings {
    /// As they were written.
    written: BTreeMap<&'static str, String>,
    /// What is written and of no effect, or not known.
    warnings: Vec<String>,
}

impl Settings {
    /// Reads the file; one that is missing says nothing.
    ///
    /// # Errors
    ///
    /// A sentence on what is wrong with it.
    pub fn read() -> Result<Self, String> {
        let named = std::env::var_os(FILE_VARIABLE);
        Self::read_from(&named.map_or_else(|| PathBuf::from(FILE), PathBuf::from))
    }

    fn read_from(path: &Path) -> Result<Self, String> {
        match bounded_file::read(path, MOST_BYTES) {
            Ok(bytes) => Self::of(path, &String::from_utf8_lossy(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(format!("{}: {error}", path.display())),
        }
    }

    fn of(path: &Path, text: &str) -> Result<Self, String> {
        let at = |line: usize| format!("{}, line {line}", path.display());
        let forms = Sxp::read_with_lines(text).map_err(|NotSxp { line }| {
            format!("{}: write (key value), and close each bracket", at(line))
        })?;
        let mut settings = Self::default();
        for (line, form) in forms {
            let name = form
                .head()
                .ok_or_else(|| format!("{}: write (key value)", at(line)))?;
            // Other keys are those of others, or badly written.
            let Some(key) = KEYS.iter().find(|key| key.name == name) else {
                let at = at(line);
                settings
                    .warnings
                    .push(format!("{at}: {name} is no setting, and is ignored"));
                continue;
            };
            let value = key.value(form.rest()).map_err(|(value, right)| {
                format!("{}: {name} = {value}: write {right}", at(line))
            })?;
            if !key.missing.is_empty() && value != key.default {
                let what = key.missing;
                settings.warnings.push(format!(
                    "{}: {name} = {value} is of no effect: {what} is not there yet",
                    at(line)
                ));
            }
            settings.written.insert(key.name, value);
        }
        Ok(settings)
    }

    /// With another directory for domains that do not run.
    #[cfg(test)]
    pub(super) fn for_test(path: &Path, domains: &Path) -> Result<Self, String> {
        let mut settings = Self::read_from(path)?;
        let domains = domains.display().to_string();
        settings.written.insert("xend-domains-path", domains);
        Ok(settings)
    }

    /// What is written and of no effect.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn text(&self, name: &str) -> &str {
        if name == BALLOONS_FIRST && !self.written.contains_key(name) && self.first_least_kib() != 0
        {
            return "yes";
        }
        let default = || {
            let key = KEYS.iter().find(|key| key.name == name);
            key.map_or("", |key| key.default)
        };
        self.written
            .get(name)
            .map_or_else(default, |text| text.as_str())
    }

    /// Where to log.
    #[must_use]
    pub fn log_file(&self) -> PathBuf {
        self.text("logfile").into()
    }

    /// How much to log.
    #[must_use]
    pub fn log_level(&self) -> LevelFilter {
        level(self.text("loglevel")).unwrap_or(LevelFilter::Info)
    }

    /// Bytes of a guest's output that are kept while nobody is attached.
    #[must_use]
    pub fn console_limit(&self) -> u64 {
        let kib: u64 = self.text("console-limit").parse().unwrap_or(0);
        kib << 10
    }

    /// Whether each domain that crashes leaves a core.
    #[must_use]
    pub fn dumps_crashed(&self) -> bool {
        self.text("enable-dump") == "yes"
    }

    /// The part of a file system that stays free when a core is written.
    #[must_use]
    pub fn dump_reserve_percent(&self) -> u64 {
        self.text("dump-reserve").parse().unwrap_or(0)
    }

    /// Cores of its crashes that are kept for each guest.
    #[must_use]
    pub fn cores_of_crashes(&self) -> usize {
        self.text("dump-crash-count").parse().unwrap_or(1)
    }

    /// What plugs interfaces, with its words, unless a guest's configuration names another script.
    #[must_use]
    pub fn vif_script(&self) -> &str {
        self.text("vif-script")
    }

    /// What makes the first domain's own network ready for guests, with its words; empty if that is done by others.
    #[must_use]
    pub fn network_script(&self) -> &str {
        self.text("network-script")
    }

    /// How long it may take until a device is connected.
    #[must_use]
    pub fn device_create_timeout(&self) -> Duration {
        Duration::from_secs(self.text("device-create-timeout").parse().unwrap_or(0))
    }

    /// How long a guest may take to give a device back, and a script to clean up behind it.
    #[must_use]
    pub fn device_destroy_timeout(&self) -> Duration {
        Duration::from_secs(self.text("device-destroy-timeout").parse().unwrap_or(0))
    }

    /// What the first domain has at least, by whatever is done with its memory here.
    #[must_use]
    pub fn first_least_kib(&self) -> u64 {
        let mib: u64 = self.text(FIRST_LEAST).parse().unwrap_or(0);
        mib << 10
    }

    /// How many of its virtual processors the first domain has in use, however few it has; none for all.
    #[must_use]
    pub fn first_vcpus(&self) -> Option<u64> {
        let count = self.text(FIRST_CPUS).parse().unwrap_or(0);
        (count != 0).then_some(count)
    }

    /// Whether the first domain gives memory up for guests.
    #[must_use]
    pub fn balloons_first(&self) -> bool {
        self.text(BALLOONS_FIRST) == "yes"
    }

    /// Where domains are kept that do not run.
    #[must_use]
    pub fn domains(&self) -> PathBuf {
        self.text("xend-domains-path").into()
    }

    /// All of them, as `xm info --config` shows them.
    #[must_use]
    pub fn all(&self) -> Vec<(String, String)> {
        KEYS.iter()
            .map(|key| (key.name.to_owned(), self.text(key.name).to_owned()))
            .collect()
    }
}

fn level(text: &str) -> Option<LevelFilter> {
    match &*text.to_ascii_uppercase() {
        "DEBUG" => Some(LevelFilter::Debug),
        "INFO" => Some(LevelFilter::Info),
        "WARN" | "WARNING" => Some(LevelFilter::Warn),
        "ERROR" | "CRITICAL" | "FATAL" => Some(LevelFilter::Error),
        _ => None,
    }
}

impl Key {
    /// The value that a form has; else how it is written, and what would be right.
    fn value(&self, written: &[Sxp]) -> Result<String, (String, String)> {
        let shown = |written: &[Sxp]| {
            let items: Vec<_> = written
                .iter()
                .map(|item| item.pretty().trim_end().to_owned())
                .collect();
            items.join(" ")
        };
        let text = match written {
            [] => "",
            [Sxp::Atom(text)] => text,
            _ if self.shape == Shape::Anything => return Ok(shown(written)),
            _ if self.shape == Shape::Secret => {
                return Err((HIDDEN.to_owned(), "one value".to_owned()));
            }
            _ => return Err((shown(written), "one value".to_owned())),
        };
        let wrong = |right: &str| Err((text.to_owned(), right.to_owned()));
        match self.shape {
            Shape::Secret if !text.is_empty() => Ok(HIDDEN.to_owned()),
            Shape::Text | Shape::Anything | Shape::Secret => Ok(text.to_owned()),
            Shape::YesNo => match &*text.to_ascii_lowercase() {
                "yes" | "on" | "true" | "1" => Ok("yes".to_owned()),
                "no" | "off" | "false" | "0" => Ok("no".to_owned()),
                _ => wrong("yes or no"),
            },
            Shape::Number(least, most, what) => match text.parse::<u64>() {
                Ok(number) if (least..=most).contains(&number) => Ok(number.to_string()),
                _ => wrong(what),
            },
            Shape::Level => match level(text) {
                Some(_) => Ok(text.to_ascii_uppercase()),
                None => wrong("DEBUG, INFO, WARNING or ERROR"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, String> {
        Settings::of(Path::new("/etc/xen/x"), text)
    }

    #[test]
    fn the_file_that_is_installed_says_what_is_usual() {
        let text = include_str!("../../xend-config.sxp");
        let settings = read(text).unwrap();
        // What keeps a person from giving the first domain less memory than it can live with, and a bridge for guests on a fresh one.
        let kept = [
            (FIRST_LEAST, "196"),
            (BALLOONS_FIRST, "yes"),
            ("network-script", "network-bridge netdev=none bridge=xenbr0"),
        ];
        let usual: Vec<_> = Settings::default()
            .all()
            .into_iter()
            .map(|(key, value)| {
                let kept = kept.iter().find(|(name, _)| *name == key);
                (key, kept.map_or(value, |(_, kept)| (*kept).to_owned()))
            })
            .collect();
        assert_eq!(settings.all(), usual);
        assert_eq!(settings.first_least_kib(), 196 << 10);
        assert_eq!(settings.warnings(), [""; 0]);
        // Each key that does something is explained in it.
        for key in KEYS.iter().filter(|key| key.missing.is_empty()) {
            let is_explained = ["\n#(", "\n("].iter().any(|bracket| {
                let form = format!("{bracket}{} ", key.name);
                text.contains(&form)
            });
            assert!(is_explained, "{}", key.name);
        }
        let asked: String = text
            .lines()
            .filter(|line| line.starts_with("#(") || line.starts_with('('))
            .map(|line| format!("{}\n", line.trim_start_matches('#')))
            .collect();
        let all = read(&asked).unwrap();
        assert_eq!(all.all(), usual);
    }

    #[test]
    fn what_is_written_counts() {
        let settings = read(
            "# note\n(console-limit 64) (loglevel warn)\n(logfile '/tmp/a b')\n(enable-dump On)\n\
             (somebody-elses 5)\n(console-limit 128)\n(xen-api-server ((9363 pam '^a$') (unix none)))\n",
        )
        .unwrap();
        assert_eq!(settings.console_limit(), 128 << 10);
        assert_eq!(settings.log_level(), LevelFilter::Warn);
        assert_eq!(settings.log_file(), Path::new("/tmp/a b"));
        assert!(settings.dumps_crashed());
        let unknown = "/etc/xen/x, line 5: somebody-elses is no setting, and is ignored";
        let warning = "/etc/xen/x, line 7: xen-api-server = ((9363 pam '^a$') (unix none)) is of no effect: \
             service to other machines is not there yet";
        assert_eq!(settings.warnings(), [unknown, warning]);
    }

    #[test]
    fn settings_are_read_again_and_wrong_ones_change_nothing() {
        use super::super::testing::World;
        let world = World::default();
        let xend = world.xend("settings");
        let path = world.directory("settings").with_extension("settings");
        let reload = |text: &str| {
            std::fs::write(&path, text).unwrap();
            xend.reload()
        };
        let shown = || {
            (
                xend.settings().console_limit(),
                xend.settings().dumps_crashed(),
            )
        };
        assert_eq!(shown(), (1 << 20, false));
        reload("(console-limit 64)\n(enable-dump yes)").unwrap();
        assert_eq!(shown(), (64 << 10, true));
        let said = reload("(console-limit 128)\n(enable-dump perhaps)").unwrap_err();
        let sentence = ".settings, line 2: enable-dump = perhaps: write yes or no";
        assert!(said.to_string().ends_with(sentence), "{said}");
        assert_eq!(shown(), (64 << 10, true));
        // What is no longer written is as usual.
        std::fs::remove_file(&path).unwrap();
        xend.reload().unwrap();
        assert_eq!(shown(), (1 << 20, false));
    }

    #[test]
    fn settings_in_effect_are_known_while_they_are_read_again() {
        use super::super::testing::World;
        use std::sync::Mutex;
        use std::sync::mpsc::channel;
        // The first time, and from then on one that the test writes.
        let (writes, written) = channel();
        let (begins, begun) = channel();
        writes.send("").unwrap();
        let written = Mutex::new(written);
        let reader = move || {
            begins.send(()).unwrap();
            read(written.lock().unwrap().recv().unwrap())
        };
        let xend = World::default().xend_that_reads("reading", Box::new(reader));
        begun.recv().unwrap();
        std::thread::scope(|scope| {
            let reading = scope.spawn(|| xend.reload());
            begun.recv().unwrap();
            // If this has to wait for what is read, it waits for ever.
            assert!(!xend.settings().dumps_crashed());
            writes.send("(enable-dump yes)").unwrap();
            reading.join().unwrap().unwrap();
        });
        assert!(xend.settings().dumps_crashed());
    }

    #[test]
    fn secrets_are_shown_to_nobody() {
        let settings = read("(vncpasswd topsecret)").unwrap();
        let shown = format!("{settings:?} {:?}", settings.all());
        assert!(shown.contains(HIDDEN) && !shown.contains("topsecret"));
        let refused = read("(vncpasswd top secret)").unwrap_err();
        assert!(!refused.contains("secret"), "{refused}");
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (text, told) in [
            (
                "\n(console-limit much)",
                ", line 2: console-limit = much: write a number of KiB, 1 to 16384",
            ),
            (
                "(console-limit 0)",
                ", line 1: console-limit = 0: write a number of KiB, 1 to 16384",
            ),
            (
                "(console-limit)",
                ", line 1: console-limit = : write a number of KiB, 1 to 16384",
            ),
            (
                "(enable-dump\nperhaps)",
                ", line 1: enable-dump = perhaps: write yes or no",
            ),
            (
                "(loglevel loud)",
                ", line 1: loglevel = loud: write DEBUG, INFO, WARNING or ERROR",
            ),
            (
                "(logfile (a b))",
                ", line 1: logfile = (a b): write one value",
            ),
            (
                "(xend-relocation-port 70000)",
                ", line 1: xend-relocation-port = 70000: write a port, 1 to 65535",
            ),
            ("(a)\nconsole-limit 5", ", line 2: write (key value)"),
            (
                "(a\n(b)\n",
                ", line 3: write (key value), and close each bracket",
            ),
        ] {
            assert_eq!(read(text), Err(format!("/etc/xen/x{told}")), "{text}");
        }
    }
}
