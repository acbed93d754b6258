//! The machine and the hypervisor, as `xm info` shows them.

use super::Xend;
use super::protocol::Fault;
use super::view::HostView;
use guest_abi::ids::PAGE_SIZE;
use guest_abi::sysctl::PhysCapabilities;
use nix::sys::utsname::uname;

const PAGES_PER_MIB: u64 = (1 << 20) / PAGE_SIZE as u64;

/// What schedulers are called.
const SCHEDULERS: [(u32, &str); 5] = [
    (5, "credit"),
    (6, "credit2"),
    (7, "arinc653"),
    (8, "rtds"),
    (9, "null"),
];

impl Xend {
    pub(super) fn host(&self) -> Result<HostView, Fault> {
        let uname = uname().map_err(Fault::text)?;
        let text = |part: &std::ffi::OsStr| part.to_string_lossy().into_owned();
        let machine = self.machine.physical()?;
        let version = self.machine.version()?;
        let scheduler = self.machine.scheduler()?;
        let scheduler = SCHEDULERS.iter().find(|(id, _)| *id == scheduler);
        let hw_caps: Vec<_> = machine
            .hw_cap
            .iter()
            .map(|word| format!("{word:08x}"))
            .collect();
        let mut virt_caps = Vec::new();
        if machine.capabilities.contains(PhysCapabilities::HVM) {
            virt_caps.push("hvm");
            if machine.capabilities.contains(PhysCapabilities::DIRECTIO) {
                virt_caps.push("hvm_directio");
            }
        }
        // Consumers compute the number of sockets.
        let per_socket = machine.cores_per_socket * machine.threads_per_core;
        let (cores, threads) = if per_socket != 0 && machine.nr_cpus.is_multiple_of(per_socket) {
            (machine.cores_per_socket, machine.threads_per_core)
        } else {
            (1, 1)
        };
        let free = machine.free_pages.saturating_sub(machine.outstanding_pages);
        let or_nothing = |text: &str, nothing: &str| {
            if text.is_empty() {
                nothing.to_owned()
            } else {
                text.to_owned()
            }
        };
        let fields = [
            ("host", text(uname.nodename())),
            ("release", text(uname.release())),
            ("version", text(uname.version())),
            ("machine", text(uname.machine())),
            ("nr_cpus", machine.nr_cpus.to_string()),
            ("nr_nodes", machine.nr_nodes.to_string()),
            ("cores_per_socket", cores.to_string()),
            ("threads_per_core", threads.to_string()),
            ("cpu_mhz", (machine.cpu_khz / 1000).to_string()),
            ("hw_caps", hw_caps.join(":")),
            ("virt_caps", virt_caps.join(" ")),
            (
                "total_memory",
                (machine.total_pages / PAGES_PER_MIB).to_string(),
            ),
            ("free_memory", (free / PAGES_PER_MIB).to_string()),
            ("free_cpus", "0".to_owned()),
            ("xen_major", version.major.to_string()),
            ("xen_minor", version.minor.to_string()),
            ("xen_extra", version.extra),
            ("xen_caps", version.capabilities),
            (
                "xen_scheduler",
                scheduler.map_or("unknown", |(_, name)| name).to_owned(),
            ),
            ("xen_pagesize", version.page_bytes.to_string()),
            (
                "platform_params",
                format!("virt_start={:#x}", version.virt_start),
            ),
            (
                "xen_changeset",
                or_nothing(&version.changeset, "unavailable"),
            ),
            ("xen_commandline", version.command_line),
            ("cc_compiler", version.compiled.compiler),
            ("cc_compile_by", version.compiled.by),
            ("cc_compile_domain", version.compiled.domain),
            ("cc_compile_date", version.compiled.date),
            ("xend_config_format", "4".to_owned()),
        ];
        let topology = self.machine.topology()?;
        let nodes = topology.nodes.iter().enumerate().map(|(index, node)| {
            let count = topology.nodes.len();
            let distances = topology.distances.get(index * count..(index + 1) * count);
            let mib = |bytes: u64| bytes >> 20;
            (
                mib(node.memsize),
                mib(node.memfree),
                distances.unwrap_or_default().to_vec(),
            )
        });
        Ok(HostView {
            fields: fields
                .map(|(name, value)| (name.to_owned(), value))
                .to_vec(),
            cpu_topology: topology
                .cpus
                .iter()
                .map(|cpu| (cpu.core, cpu.socket, cpu.node))
                .collect(),
            nodes: nodes.collect(),
            settings: self.settings().all(),
        })
    }
}
