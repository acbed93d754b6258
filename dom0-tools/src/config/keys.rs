//! The keys of configuration files.

use std::collections::BTreeMap;

/// What kind of value a key has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    /// A string.
    Text,
    /// A number.
    Integer,
    /// 0 or 1; on the command line also yes, no, y, n.
    Boolean,
    /// A list of strings.
    List,
    /// A string, or a list of strings.
    TextOrList,
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
pub const KEYS: [Key; 59] = [
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
    key("memory", Shape::Integer, "Memory at the start, in MiB."),
    key(
        "maxmem",
        Shape::Integer,
        "Memory that the domain may grow to, in MiB.",
    ),
    key(
        "shadow_memory",
        Shape::Integer,
        "Not used for paravirtualized domains.",
    ),
    key("vcpus", Shape::Integer, "Number of virtual processors."),
    key(
        "maxvcpus",
        Shape::Integer,
        "Virtual processors that are built; vcpus of them are online.",
    ),
    key(
        "vcpu_avail",
        Shape::Integer,
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
        Shape::Integer,
        "Share of processor time, 1 to 65535.",
    ),
    key(
        "cpu_cap",
        Shape::Integer,
        "Limit of processor time, percent of a processor; 0 for none.",
    ),
    key("pool", Shape::Text, "Pool of processors."),
    key(
        "features",
        Shape::Text,
        "Features that the kernel must have.",
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
        "When xend stops: ignore, shutdown or suspend.",
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
        Shape::Integer,
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
        "Ports of the machine, such as '02f8-02ff'.",
    ),
    key("irq", Shape::List, "Interrupts of the machine."),
    key("vscsi", Shape::List, "SCSI devices."),
    key("vusb", Shape::List, "USB controllers."),
    key("blkif", Shape::Boolean, "The domain has disks for others."),
    key(
        "netif",
        Shape::Boolean,
        "The domain has networks for others.",
    ),
    key(
        "tsc_mode",
        Shape::Integer,
        "Time stamp counter: 0 default, 1 emulated, 2 native, 3 native with aux.",
    ),
    key(
        "nomigrate",
        Shape::Boolean,
        "The domain may not be saved or migrated.",
    ),
    key(
        "localtime",
        Shape::Boolean,
        "The wall clock shows local time.",
    ),
    key(
        "rtc_timeoffset",
        Shape::Integer,
        "Seconds that the wall clock adds.",
    ),
    key("superpages", Shape::Boolean, "Memory in pieces of 2 MiB."),
    key(
        "machine_address_size",
        Shape::Integer,
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
    key("target", Shape::Integer, "Domain that this one serves."),
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
