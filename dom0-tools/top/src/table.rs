//! The lines of a table, in the format that programs of administrators read.

use crate::sample::{Disk, Domain, Interface, Sample, Vcpu};
use std::cmp::Ordering;
use std::fmt::Write;
use std::time::Duration;

/// Names and widths of the columns, which stand at their right ends with a blank between.
const COLUMNS: [(&str, usize); 19] = [
    ("NAME", 10),
    ("STATE", 6),
    ("CPU(sec)", 10),
    ("CPU(%)", 6),
    ("MEM(k)", 10),
    ("MEM(%)", 6),
    ("MAXMEM(k)", 10),
    ("MAXMEM(%)", 9),
    ("VCPUS", 5),
    ("NETS", 4),
    ("NETTX(k)", 8),
    ("NETRX(k)", 8),
    ("VBDS", 4),
    ("VBD_OO", 8),
    ("VBD_RD", 8),
    ("VBD_WR", 8),
    ("VBD_RSECT", 10),
    ("VBD_WSECT", 10),
    ("SSID", 4),
];
const NAME: usize = 0;
const STATE: usize = 1;
/// Of names that are cut.
const NAME_LETTERS: usize = 10;
const VCPUS_A_LINE: usize = 5;
const NS_PER_S: u64 = 1_000_000_000;

/// What is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(clippy::struct_excessive_bools)] // options of a command
pub struct Shown {
    /// Names are whole.
    pub whole_names: bool,
    /// There is a header before each domain.
    pub header_each: bool,
    /// A line for each interface.
    pub interfaces: bool,
    /// A line for each disk.
    pub disks: bool,
    /// Lines of virtual processors.
    pub vcpus: bool,
}

/// By which column domains are sorted: names and states from the first letter on, numbers from the largest down.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Order(usize);

impl Order {
    /// By the next column; behind the last one comes the first.
    #[must_use]
    pub const fn next(self) -> Self {
        Self((self.0 + 1) % COLUMNS.len())
    }

    /// The column's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        COLUMNS[self.0].0
    }
}

/// A domain with what it did since the former look.
struct Row<'s> {
    domain: &'s Domain,
    sample: &'s Sample,
    cpu_percent: f64,
}

impl<'s> Row<'s> {
    fn of(domain: &'s Domain, sample: &'s Sample, former: Option<&Sample>) -> Self {
        Self {
            domain,
            sample,
            cpu_percent: former.map_or(0.0, |former| cpu_percent(domain, sample.at, former)),
        }
    }

    fn memory_percent(&self, kib: u64) -> f64 {
        100.0 * ratio(kib, self.sample.total_kib)
    }

    /// What a numeric column sorts by.
    fn value(&self, column: usize) -> f64 {
        let domain = self.domain;
        let of_interfaces = |bytes: fn(&Interface) -> u64| as_f64(sum(&domain.interfaces, bytes));
        let of_disks = |count: fn(&Disk) -> u64| as_f64(sum(&domain.disks, count));
        match column {
            2 => as_f64(domain.cpu_ns),
            3 => self.cpu_percent,
            4 | 5 => as_f64(domain.memory_kib),
            6 | 7 => domain.limit_kib.map_or(f64::INFINITY, as_f64),
            8 => domain.online_vcpus.into(),
            9 => as_f64(domain.interfaces.len() as u64),
            10 => of_interfaces(|interface| interface.sent.bytes),
            11 => of_interfaces(|interface| interface.received.bytes),
            12 => as_f64(domain.disks.len() as u64),
            13 => of_disks(|disk| disk.waits),
            14 => of_disks(|disk| disk.reads),
            15 => of_disks(|disk| disk.writes),
            16 => of_disks(|disk| disk.sectors_read),
            17 => of_disks(|disk| disk.sectors_written),
            _ => domain.ssid.into(),
        }
    }

    fn cells(&self, shown: Shown) -> [String; COLUMNS.len()] {
        let domain = self.domain;
        let kib =
            |bytes: fn(&Interface) -> u64| (sum(&domain.interfaces, bytes) / 1024).to_string();
        let of_disks = |count: fn(&Disk) -> u64| sum(&domain.disks, count).to_string();
        let name = match shown.whole_names {
            true => domain.name.clone(),
            false => domain.name.chars().take(NAME_LETTERS).collect(),
        };
        let (limit, limit_percent) = match domain.limit_kib {
            None => ("no limit".to_owned(), "n/a".to_owned()),
            Some(kib) => (kib.to_string(), format!("{:.1}", self.memory_percent(kib))),
        };
        [
            name,
            domain.state.letters(),
            (domain.cpu_ns / NS_PER_S).to_string(),
            format!("{:.1}", self.cpu_percent),
            domain.memory_kib.to_string(),
            format!("{:.1}", self.memory_percent(domain.memory_kib)),
            limit,
            limit_percent,
            domain.online_vcpus.to_string(),
            domain.interfaces.len().to_string(),
            kib(|interface| interface.sent.bytes),
            kib(|interface| interface.received.bytes),
            domain.disks.len().to_string(),
            of_disks(|disk| disk.waits),
            of_disks(|disk| disk.reads),
            of_disks(|disk| disk.writes),
            of_disks(|disk| disk.sectors_read),
            of_disks(|disk| disk.sectors_written),
            domain.ssid.to_string(),
        ]
    }

    fn compare(&self, other: &Self, order: Order) -> Ordering {
        let by_name = || self.domain.name.cmp(&other.domain.name);
        let column = match order.0 {
            NAME => by_name(),
            STATE => {
                let letters = |row: &Self| row.domain.state.letters();
                letters(self).cmp(&letters(other))
            }
            column => other.value(column).total_cmp(&self.value(column)),
        };
        column
            .then_with(by_name)
            .then(self.domain.domid.cmp(&other.domain.domid))
    }
}

#[allow(clippy::cast_precision_loss)] // for percentages and sorting
const fn as_f64(number: u64) -> f64 {
    number as f64
}

fn ratio(part: u64, whole: u64) -> f64 {
    match whole {
        0 => 0.0,
        _ => as_f64(part) / as_f64(whole),
    }
}

fn sum<T>(of: &[T], number: fn(&T) -> u64) -> u64 {
    of.iter()
        .fold(0, |sum, one| sum.saturating_add(number(one)))
}

/// Of one processor.
fn cpu_percent(domain: &Domain, at: Duration, former: &Sample) -> f64 {
    let before = former.domains.iter().find(|one| one.domid == domain.domid);
    let elapsed = at.saturating_sub(former.at).as_nanos();
    match (before, u64::try_from(elapsed)) {
        (Some(before), Ok(elapsed)) => {
            100.0 * ratio(domain.cpu_ns.saturating_sub(before.cpu_ns), elapsed)
        }
        _ => 0.0,
    }
}

fn line(cells: &[String; COLUMNS.len()]) -> String {
    let mut line = String::new();
    for (index, (cell, (_, width))) in cells.iter().zip(COLUMNS).enumerate() {
        let blank = if index == 0 { "" } else { " " };
        let _ = write!(line, "{blank}{cell:>width$}");
    }
    line
}

/// The names of the columns.
#[must_use]
pub fn header() -> String {
    line(&COLUMNS.map(|(name, _)| name.to_owned()))
}

/// A line of a table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Line {
    /// The names of the columns.
    Header(String),
    /// A domain.
    Domain(String),
    /// More of the domain before.
    Detail(String),
}

impl Line {
    /// What it says.
    #[must_use]
    pub fn text(&self) -> &str {
        let (Self::Header(text) | Self::Domain(text) | Self::Detail(text)) = self;
        text
    }
}

/// The whole table. Without a former look nobody has used a processor.
#[must_use]
pub fn lines(sample: &Sample, former: Option<&Sample>, shown: Shown, order: Order) -> Vec<Line> {
    let rows = sample.domains.iter();
    let mut rows: Vec<_> = rows.map(|domain| Row::of(domain, sample, former)).collect();
    rows.sort_by(|one, other| one.compare(other, order));
    let mut lines = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        if index == 0 || shown.header_each {
            lines.push(Line::Header(header()));
        }
        lines.push(Line::Domain(line(&row.cells(shown))));
        let details = details(row.domain, shown);
        lines.extend(details.into_iter().map(Line::Detail));
    }
    lines
}

fn details(domain: &Domain, shown: Shown) -> Vec<String> {
    let mut lines = Vec::new();
    if shown.vcpus {
        lines.extend(vcpus(&domain.vcpus));
    }
    if shown.interfaces {
        lines.extend(domain.interfaces.iter().map(interface));
    }
    if shown.disks {
        lines.extend(domain.disks.iter().map(disk));
    }
    lines
}

fn vcpus(vcpus: &[Vcpu]) -> Vec<String> {
    const TITLE: &str = "VCPUs(sec): ";
    let lines = vcpus.chunks(VCPUS_A_LINE).enumerate();
    lines
        .map(|(index, some)| {
            let mut line = match index {
                0 => TITLE.to_owned(),
                _ => " ".repeat(TITLE.len()),
            };
            for vcpu in some {
                let seconds = vcpu.ran_ns / NS_PER_S;
                let _ = write!(line, "  {}: {seconds:>10}s", vcpu.number);
            }
            line
        })
        .collect()
}

fn interface(interface: &Interface) -> String {
    let traffic = [interface.received, interface.sent].map(|traffic| {
        format!(
            "{:>8}bytes {:>8}pkts {:>8}err {:>8}drop",
            traffic.bytes, traffic.packets, traffic.errors, traffic.dropped
        )
    });
    let [received, sent] = traffic;
    format!("Net{} RX: {received}  TX: {sent}", interface.number)
}

fn disk(disk: &Disk) -> String {
    // As the kernel divides numbers of devices.
    let (major, minor) = ((disk.number >> 8) & 0xfff, disk.number & 0xff);
    format!(
        "VBD BlkBack {} [{major:>2x}:{minor:>2x}]  OO: {:>8}   RD: {:>8}   WR: {:>8}   RSECT: {:>10}   WSECT: {:>10}",
        disk.number, disk.waits, disk.reads, disk.writes, disk.sectors_read, disk.sectors_written
    )
}

/// What stands above the table on a screen.
#[must_use]
pub fn head(sample: &Sample) -> [String; 3] {
    let second = sample.clock_s % 86_400;
    let clock = format!(
        "{:02}:{:02}:{:02}",
        second / 3600,
        second / 60 % 60,
        second % 60
    );
    let of = |is: fn(&Domain) -> bool| sample.domains.iter().filter(|domain| is(domain)).count();
    let used = sample.total_kib.saturating_sub(sample.free_kib);
    [
        format!("xentop - {clock}   Xen {}", sample.version),
        format!(
            "{} domains: {} running, {} blocked, {} paused, {} crashed, {} dying, {} shutdown ",
            sample.domains.len(),
            of(|domain| domain.state.running),
            of(|domain| domain.state.blocked),
            of(|domain| domain.state.paused),
            of(|domain| domain.state.crashed),
            of(|domain| domain.state.dying),
            of(|domain| domain.state.shutdown)
        ),
        format!(
            "Mem: {}k total, {used}k used, {}k free    CPUs: {} @ {}MHz",
            sample.total_kib, sample.free_kib, sample.processors, sample.mhz
        ),
    ]
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::sample::{State, Traffic};

    /// The machine of the sample that describes the format.
    pub(crate) fn sample() -> Sample {
        let dom0 = Domain {
            domid: 0,
            name: "Domain-0".to_owned(),
            state: State {
                running: true,
                ..State::default()
            },
            cpu_ns: 2_311_900_000_000,
            memory_kib: 1_494_016,
            limit_kib: None,
            online_vcpus: 2,
            vcpus: Vec::new(),
            interfaces: vec![Interface::default(); 4],
            disks: Vec::new(),
            ssid: 0,
        };
        let etch = Domain {
            domid: 3,
            name: "etch".to_owned(),
            state: State {
                blocked: true,
                ..State::default()
            },
            cpu_ns: 12_700_000_000,
            memory_kib: 131_072,
            limit_kib: Some(131_072),
            online_vcpus: 1,
            vcpus: (0..6)
                .map(|number| Vcpu {
                    number,
                    ran_ns: u64::from(number) * 12_000_000_000,
                })
                .collect(),
            interfaces: vec![Interface {
                number: 0,
                received: Traffic {
                    bytes: 1904 << 10,
                    packets: 3000,
                    errors: 1,
                    dropped: 0,
                },
                sent: Traffic {
                    bytes: 210 << 10,
                    packets: 800,
                    errors: 0,
                    dropped: 2,
                },
            }],
            disks: vec![Disk {
                number: 51714,
                waits: 0,
                reads: 4210,
                writes: 1288,
                sectors_read: 180_234,
                sectors_written: 44_120,
            }],
            ssid: 0,
        };
        Sample {
            at: Duration::from_secs(100),
            clock_s: 38_077,
            version: "4.1.4".to_owned(),
            total_kib: 4_184_064,
            free_kib: 2_574_336,
            processors: 4,
            mhz: 2393,
            idle_ns: vec![0; 4],
            domains: vec![dom0, etch],
        }
    }

    fn before(sample: &Sample) -> Sample {
        let mut before = sample.clone();
        before.at -= Duration::from_secs(10);
        before.domains[0].cpu_ns -= 324_000_000;
        before.domains[1].cpu_ns -= 36_000_000;
        before
    }

    fn texts(lines: &[Line]) -> Vec<&str> {
        lines.iter().map(Line::text).collect()
    }

    const HEADER: &str = "      NAME  STATE   CPU(sec) CPU(%)     MEM(k) MEM(%)  MAXMEM(k) MAXMEM(%) VCPUS NETS NETTX(k) \
        NETRX(k) VBDS   VBD_OO   VBD_RD   VBD_WR  VBD_RSECT  VBD_WSECT SSID";
    const DOM0: &str = "  Domain-0 -----r       2311    3.2    1494016   35.7   no limit       n/a     2    4        0        \
        0    0        0        0        0          0          0    0";
    const ETCH: &str = "      etch --b---         12    0.4     131072    3.1     131072       3.1     1    1      210     \
        1904    1        0     4210     1288     180234      44120    0";

    #[test]
    fn the_table_is_as_programs_expect_it() {
        let sample = sample();
        let lines = lines(
            &sample,
            Some(&before(&sample)),
            Shown::default(),
            Order::default(),
        );
        assert_eq!(texts(&lines), [HEADER, DOM0, ETCH]);
    }

    #[test]
    fn at_the_first_look_nobody_has_used_anything() {
        let sample = sample();
        let lines = lines(&sample, None, Shown::default(), Order::default());
        assert!(lines[1].text().contains("       2311    0.0    1494016"));
        // Nor has one that was not there.
        let mut former = before(&sample);
        former.domains.clear();
        let lines = super::lines(&sample, Some(&former), Shown::default(), Order::default());
        assert!(lines[1].text().contains("       2311    0.0    1494016"));
    }

    #[test]
    fn details_follow_their_domain() {
        let mut sample = sample();
        sample.domains.remove(0);
        let shown = Shown {
            interfaces: true,
            disks: true,
            vcpus: true,
            ..Shown::default()
        };
        let lines = lines(&sample, None, shown, Order::default());
        assert_eq!(
            texts(&lines)[2..],
            [
                "VCPUs(sec):   0:          0s  1:         12s  2:         24s  3:         36s  4:         48s",
                "              5:         60s",
                "Net0 RX:  1949696bytes     3000pkts        1err        0drop  TX:   215040bytes      800pkts        0err        2drop",
                "VBD BlkBack 51714 [ca: 2]  OO:        0   RD:     4210   WR:     1288   RSECT:     180234   WSECT:      44120",
            ]
        );
    }

    #[test]
    fn names_are_cut_unless_they_are_to_be_whole() {
        let mut sample = sample();
        sample.domains.remove(0);
        sample.domains[0].name = "a-very-long-näme".to_owned();
        let shown = Shown {
            header_each: true,
            ..Shown::default()
        };
        let cut = lines(&sample, None, shown, Order::default());
        assert!(cut[1].text().starts_with("a-very-lon --b---"));
        let whole = Shown {
            whole_names: true,
            ..shown
        };
        let whole = lines(&sample, None, whole, Order::default());
        assert!(whole[1].text().starts_with("a-very-long-näme --b---"));
    }

    #[test]
    fn a_header_may_precede_each_domain() {
        let shown = Shown {
            header_each: true,
            ..Shown::default()
        };
        let lines = lines(&sample(), None, shown, Order::default());
        let headers = lines.iter().map(|line| matches!(line, Line::Header(_)));
        assert_eq!(headers.collect::<Vec<_>>(), [true, false, true, false]);
    }

    #[test]
    fn names_ascend_and_numbers_descend() {
        let mut sample = sample();
        sample.domains[1].memory_kib = 2_000_000;
        let first = |order: Order| {
            let lines = lines(&sample, Some(&before(&sample)), Shown::default(), order);
            lines[1].text().trim_start().chars().next().unwrap()
        };
        let mut order = Order::default();
        let mut firsts = String::new();
        let mut names = Vec::new();
        for _ in 0..COLUMNS.len() {
            firsts.push(first(order));
            names.push(order.name());
            order = order.next();
        }
        assert_eq!(order, Order::default());
        assert_eq!(names[..3], ["NAME", "STATE", "CPU(sec)"]);
        // Where there is no difference names decide.
        assert_eq!(firsts, "DDDDeeDDDDeeeDeeeeD");
    }

    #[test]
    fn the_head_sums_up() {
        assert_eq!(
            head(&sample()),
            [
                "xentop - 10:34:37   Xen 4.1.4",
                "2 domains: 1 running, 1 blocked, 0 paused, 0 crashed, 0 dying, 0 shutdown ",
                "Mem: 4184064k total, 1609728k used, 2574336k free    CPUs: 4 @ 2393MHz"
            ]
        );
    }
}
