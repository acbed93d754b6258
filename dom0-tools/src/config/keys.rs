//! The keys of configuration files.

use super::options::{MAX_MIB, MAX_VCPUS};
use super::value::Value;
use std::collections::BTreeMap;

/// The most percent of a processor, of all a domain's virtual processors together, that the scheduler can be told.
const MAX_CAP: i64 = 65534;
/// The last number of a domain.
const MAX_DOMID: i64 = 0x7FEF;

/// What kind of value a key has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    /// A string.
    Text,
    /// A whole number, the least and the most.
    Integer(i64, i64),
    /// 0 or 1; on the command line also yes, no, y, n.
    Boolean,
    /// A list of strings.
    List,
    /// A string, or a list of strings.
    TextOrList,
}

impl Shape {
    /// What to write instead of a value that has another shape. A string of a number is as good as the number, and an
    /// empty one is as if there were none.
    #[must_use]
    pub fn complaint(self, value: &Value) -> Option<String> {
        let is_one = |value: &Value| !matches!(value, Value::List(_));
        let is_empty = matches!(value, Value::Text(text) if text.is_empty());
        let is_within = |least, most| {
            let number = value.as_integer();
            is_empty || number.is_some_and(|number| (least..=most).contains(&number))
        };
        let (is_right, right) = match (self, value) {
            (Self::Text, _) => (is_one(value), "write one string, not a list".to_owned()),
            (Self::Integer(least, most), _) => (
                is_within(least, most),
                format!("write a whole number from {least} to {most}"),
            ),
            (Self::Boolean, _) => (is_within(0, 1), "write 0 or 1".to_owned()),
            (Self::List | Self::TextOrList, Value::List(items)) => (
                items.iter().all(is_one),
                "write strings into the list, and no lists".to_owned(),
            ),
            (Self::List, _) => (
                is_empty,
                "write a list of strings in brackets, such as ['...']".to_owned(),
            ),
            (Self::TextOrList, _) => return None,
        };
        (!is_right).then_some(right)
    }
}

/// A key of configuration files.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// The shape of its value.
    pub shape: Shape,
    /// What it means, for `--help_config`.
    pub meaning: &'static str,
}

const fn key(name: &'static str, shape: Shape, meaning: &'static str) -> Key {
    Key {
        name,
        shape,
        meaning,
    }
}

/// All keys of paravirtualized domains.
pub const KEYS: &[Key] = &[
    key("name", Shape::Text, "Domain name. Must be unique."),
    key(
        "uuid",
        Shape::Text,
        "Identity of the domain; random unless given.",
    ),
    key("description", Shape::Text, "Free text."),
    key("builder", Shape::Text, "Kind of kernel: linux."),
    key("kernel", Shape::Text, "Path to the kernel image."),
    key("ramdisk", Shape::Text, "Path to the initial RAM disk."),
    key(
        "memory",
        Shape::Integer(1, MAX_MIB),
        "Memory at the start, in MiB.",
    ),
    key(
        "maxmem",
        Shape::Integer(0, MAX_MIB),
        "Memory that the domain may grow to, in MiB.",
    ),
    key(
        "shadow_memory",
        Shape::Integer(0, MAX_MIB),
        "Not used for paravirtualized domains.",
    ),
    key(
        "vcpus",
        Shape::Integer(1, MAX_VCPUS),
        "Number of virtual processors.",
    ),
    key(
        "maxvcpus",
        Shape::Integer(1, MAX_VCPUS),
        "Virtual processors that are built; vcpus of them are online.",
    ),
    key(
        "vcpu_avail",
        Shape::Integer(1, i64::MAX),
        "Bitmask of the virtual processors that are online at the start.",
    ),
    key(
        "cpu",
        Shape::TextOrList,
        "Processor of virtual processor 0.",
    ),
    key(
        "cpus",
        Shape::TextOrList,
        "Processors that may be used, such as \"0-3,5,^1\", or a list of such.",
    ),
    key(
        "cpu_weight",
        Shape::Integer(1, 65535),
        "Share of processor time, 1 to 65535.",
    ),
    key(
        "cpu_cap",
        Shape::Integer(0, MAX_CAP),
        "Limit of processor time, percent of a processor; 0 for none.",
    ),
    key("pool", Shape::Text, "Pool of processors."),
    key(
        "features",
        Shape::Text,
        "Features that the kernel must have, such as dom0|pae_pgdir_above_4gb.",
    ),
    key(
        "on_poweroff",
        Shape::Text,
        "After power-off: destroy, restart, preserve or rename-restart.",
    ),
    key("on_shutdown", Shape::Text, "The same as on_poweroff."),
    key(
        "on_reboot",
        Shape::Text,
        "After a reboot: destroy, restart, preserve or rename-restart.",
    ),
    key(
        "on_crash",
        Shape::Text,
        "After a crash: as on_reboot, or coredump-destroy, coredump-restart.",
    ),
    key(
        "restart",
        Shape::Text,
        "Deprecated: onreboot, always or never.",
    ),
    key(
        "on_xend_start",
        Shape::Text,
        "When xend starts: ignore or start.",
    ),
    key(
        "on_xend_stop",
        Shape::Text,
        "When xend stops: ignore or shutdown; suspend has no effect yet.",
    ),
    key(
        "bootloader",
        Shape::Text,
        "pygrub: the kernel is the one that GRUB on the first disk would boot.",
    ),
    key("bootargs", Shape::Text, "Its arguments."),
    key("bootloader_args", Shape::TextOrList, "The same."),
    key(
        "root",
        Shape::Text,
        "Root device, for the kernel's command line.",
    ),
    key(
        "extra",
        Shape::Text,
        "The rest of the kernel's command line.",
    ),
    key(
        "ip",
        Shape::Text,
        "IP address, for the kernel's command line.",
    ),
    key("gateway", Shape::Text, "Gateway."),
    key("netmask", Shape::Text, "Mask of the network."),
    key("hostname", Shape::Text, "Host name."),
    key(
        "interface",
        Shape::Text,
        "Network interface; eth0 unless given.",
    ),
    key("dhcp", Shape::Text, "How to get addresses: off or dhcp."),
    key(
        "nfs_server",
        Shape::Text,
        "Address of the server of the root file system.",
    ),
    key(
        "nfs_root",
        Shape::Text,
        "Path of the root file system on its server.",
    ),
    key("disk", Shape::List, "Disks, such as 'phy:vg0/etch,xvda,w'."),
    key(
        "vif",
        Shape::List,
        "Network interfaces, such as 'mac=00:16:3e:00:00:11,bridge=xenbr0'.",
    ),
    key(
        "nics",
        Shape::Integer(-1, 64),
        "Deprecated: number of network interfaces.",
    ),
    key("vfb", Shape::List, "Screens, such as 'vnc=1,vncdisplay=1'."),
    key(
        "pci",
        Shape::List,
        "Devices of the machine, such as '0000:01:00.0'.",
    ),
    key(
        "ioports",
        Shape::List,
        "Ports of the machine, such as '02f8-02ff': refused, only the first domain may use them.",
    ),
    key(
        "irq",
        Shape::List,
        "Interrupts of the machine: refused, only the first domain may use them.",
    ),
    key("vscsi", Shape::List, "SCSI devices: refused, not offered."),
    key(
        "vusb",
        Shape::List,
        "USB controllers: refused, not offered.",
    ),
    key("blkif", Shape::Boolean, "The domain has disks for others."),
    key(
        "netif",
        Shape::Boolean,
        "The domain has networks for others.",
    ),
    key(
        "tsc_mode",
        Shape::Text,
        "Time stamp counter: 0 default, 1 always_emulate, 2 native, 3 native_paravirt.",
    ),
    key(
        "nomigrate",
        Shape::Boolean,
        "The domain may not be saved or migrated.",
    ),
    key(
        "localtime",
        Shape::Boolean,
        "The wall clock shows the first domain's local time at the start.",
    ),
    key(
        "rtc_timeoffset",
        Shape::Integer(-(1 << 31), 1 << 31),
        "Seconds that the wall clock adds.",
    ),
    key("superpages", Shape::Boolean, "Memory in pieces of 2 MiB."),
    key(
        "machine_address_size",
        Shape::Integer(1, 64),
        "Bits of the addresses of its memory.",
    ),
    key(
        "suppress_spurious_page_faults",
        Shape::Boolean,
        "For old kernels.",
    ),
    key(
        "access_control",
        Shape::List,
        "Security label, such as 'policy=P,label=L'.",
    ),
    key("cpuid", Shape::List, "What CPUID shows."),
    key(
        "cpuid_check",
        Shape::List,
        "What CPUID must show of the machine.",
    ),
    key(
        "target",
        Shape::Integer(0, MAX_DOMID),
        "Domain that this one serves.",
    ),
    key(
        "vncviewer",
        Shape::Boolean,
        "A viewer shows the screen after the start.",
    ),
    key(
        "vncconsole",
        Shape::Boolean,
        "A viewer shows the screen after the start.",
    ),
    key("keymap", Shape::Text, "Keyboard of the screen."),
    key(
        "videoram",
        Shape::Integer(0, MAX_MIB),
        "Memory of the screen, in MiB.",
    ),
    key(
        "device_model",
        Shape::Text,
        "Program that serves the screen.",
    ),
    key(
        "pci_msitranslate",
        Shape::Boolean,
        "Not used for paravirtualized domains.",
    ),
    key(
        "pci_power_mgmt",
        Shape::Boolean,
        "Not used for paravirtualized domains.",
    ),
];

/// What the command line sets.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Overrides(pub Vec<(String, String)>);

impl Overrides {
    /// Variables that are no keys: the file sees them.
    #[must_use]
    pub fn script_variables(&self) -> BTreeMap<String, String> {
        let others = self.0.iter().filter(|(name, _)| shape_of(name).is_none());
        others.cloned().collect()
    }
}

pub(super) fn shape_of(name: &str) -> Option<Shape> {
    KEYS.iter()
        .find(|key| key.name == name)
        .map(|key| key.shape)
}
