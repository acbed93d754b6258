//! The nodes of a domain in the store.

use super::image_notes;
use super::nodes::{NewNode, Nodes};
use super::protocol::Fault;
use super::record::Record;
use crate::builder::Built;
use crate::config::domain::Uuid;
use crate::config::file::random_uuid;
use crate::sxp::Sxp;
use guest_abi::ids::DomId;

/// The state of a device that nobody has connected yet.
const INITIALISING: &str = "1";

/// A domain's home.
#[must_use]
pub fn home(domain: DomId) -> String {
    format!("/local/domain/{}", domain.0)
}

/// What is kept of a domain over reboots.
#[must_use]
pub fn vm(uuid: Uuid) -> String {
    format!("/vm/{uuid}")
}

/// Where the first domain's half of a guest's console is described. The guest's own half is served by its rings, which
/// are described elsewhere; tools look here.
fn console_backend(domain: DomId) -> String {
    format!("{CONSOLE_BACKENDS}/{}/0", domain.0)
}

/// Is there from the start, so that a guest leaves nothing that was not.
const CONSOLE_BACKENDS: &str = "/local/domain/0/backend/console";

/// Writes the nodes of a domain that is being built; `console_limit` are the bytes of its output that are kept while
/// nobody is attached.
///
/// # Errors
///
/// The store's.
pub fn describe(
    store: &mut dyn Nodes,
    domain: DomId,
    record: &Record,
    built: &Built,
    console_limit: u64,
) -> Result<(), Fault> {
    let vm = vm(record.config.uuid);
    let guest_reads = vec!["n0".to_owned(), format!("r{}", domain.0)];
    // What a domain of this number or identity has left is not this one's.
    store.remove_all(&[home(domain), vm.clone(), console_backend(domain)])?;
    describe_vm(store, record)?;
    // Nothing else of it: where its kernel is in the first domain is not the guest's business.
    for node in ["/uuid", "/image/cmdline"] {
        store.set_perms(&format!("{vm}{node}"), &guest_reads)?;
    }
    describe_home(store, domain, record, built, console_limit, &guest_reads)?;
    describe_console(store, domain, record, built, &guest_reads)?;
    store.introduce(domain, built.store.mfn, built.store.port)
}

/// What stays of it over reboots.
fn describe_vm(store: &mut dyn Nodes, record: &Record) -> Result<(), Fault> {
    let config = &record.config;
    let image = config.sxp_image();
    let image = image.rest().iter().map(Sxp::flat).collect();
    if record.is_restarting {
        note_restarting(store, config.uuid)?;
    }
    let mut pairs = vec![
        ("uuid", config.uuid.to_string()),
        ("name", config.name.clone()),
        ("vcpus", config.vcpus.to_string()),
        ("vcpu_avail", avail_mask(config.online_vcpus)),
        ("memory", config.memory_mib.to_string()),
        ("maxmem", config.maxmem_mib.to_string()),
        ("shadow_memory", "0".to_owned()),
        ("start_time", format!("{:.2}", record.start_time)),
        ("on_poweroff", config.on_poweroff.name().to_owned()),
        ("on_reboot", config.on_reboot.name().to_owned()),
        ("on_crash", config.on_crash.name().to_owned()),
        ("on_xend_start", config.on_xend_start.clone()),
        ("on_xend_stop", config.on_xend_stop.clone()),
        ("pool_name", config.pool.clone()),
        ("image", image),
        ("image/ostype", "linux".to_owned()),
        ("image/kernel", config.kernel.clone()),
        ("image/cmdline", config.command_line.clone()),
        ("image/ramdisk", config.ramdisk.clone()),
        ("xend/restart_count", record.restart_count.to_string()),
        ("rtc/timeoffset", config.rtc_timeoffset.to_string()),
    ];
    // Only where there is one.
    if !config.bootloader.is_empty() {
        pairs.push(("bootloader", config.bootloader.clone()));
        pairs.push(("bootloader_args", config.bootargs.clone()));
    }
    store.write_all(&vm(config.uuid), &pairs)
}

/// What the guest reads, and where it writes.
fn describe_home(
    store: &mut dyn Nodes,
    domain: DomId,
    record: &Record,
    built: &Built,
    console_limit: u64,
    guest_reads: &[String],
) -> Result<(), Fault> {
    let (config, home) = (&record.config, home(domain));
    // What is written below a node gets the node's permissions.
    store.write(&home, "")?;
    store.set_perms(&home, guest_reads)?;
    let kib = |mib: u64| (mib << 10).to_string();
    store.write_all(
        &home,
        &[
            ("vm", vm(config.uuid)),
            ("name", config.name.clone()),
            ("domid", domain.0.to_string()),
            ("description", config.description.clone()),
            (TARGET, kib(config.memory_mib)),
            (MAXIMUM, kib(config.maxmem_mib)),
            ("console/ring-ref", built.console.mfn.0.to_string()),
            ("console/port", built.console.port.0.to_string()),
            ("console/limit", console_limit.to_string()),
            ("console/type", "xenconsoled".to_owned()),
            ("store/ring-ref", built.store.mfn.0.to_string()),
            ("store/port", built.store.port.0.to_string()),
            (
                "control/platform-feature-multiprocessor-suspend",
                "1".to_owned(),
            ),
            ("control/platform-feature-xs_reset_watches", "1".to_owned()),
        ],
    )?;
    let vcpus: Vec<_> = (0..config.vcpus)
        .map(|vcpu| {
            (
                format!("cpu/{vcpu}/availability"),
                vcpu < config.online_vcpus,
            )
        })
        .collect();
    let vcpus: Vec<_> = vcpus
        .iter()
        .map(|(node, is_online)| {
            let state = if *is_online { "online" } else { "offline" };
            (&**node, state.to_owned())
        })
        .collect();
    store.write_all(&home, &vcpus)?;
    let notes = image_notes::nodes(&built.notes);
    let notes: Vec<_> = notes
        .iter()
        .map(|(name, value)| (&**name, value.clone()))
        .collect();
    store.write_all(&format!("{home}/image"), &notes)?;
    let empty = |node: &'static str| (node, String::new());
    store.write_all(&home, &["control/shutdown", "control/sysrq"].map(empty))?;
    // Last: what is there by now stays the first domain's.
    let guest_owns = [format!("n{}", domain.0)];
    store.write_all(
        &home,
        &["device", "error", "guest", "data", "hvmpv"].map(empty),
    )?;
    let owned = [
        "device",
        "control",
        "error",
        "memory",
        "guest",
        "data",
        "hvmpv",
        "control/shutdown",
        "control/sysrq",
    ];
    store.set_all_perms(&owned.map(|node| format!("{home}/{node}")), &guest_owns)
}

/// Its console, as devices are described.
fn describe_console(
    store: &mut dyn Nodes,
    domain: DomId,
    record: &Record,
    built: &Built,
    guest_reads: &[String],
) -> Result<(), Fault> {
    let config = &record.config;
    let frontend = format!("{}/device/console/0", home(domain));
    let backend = console_backend(domain);
    let uuid = random_uuid().map_err(|error| Fault::text(format!("no random numbers: {error}")))?;
    let of_both = [
        ("backend", backend.clone()),
        ("backend-id", DomId::DOM0.0.to_string()),
    ];
    let of_frontend = [
        ("frontend", frontend.clone()),
        ("frontend-id", domain.0.to_string()),
    ];
    let in_vm = format!("{}/device/console/0", vm(config.uuid));
    store.write_all(&in_vm, &of_both)?;
    store.write_all(&in_vm, &of_frontend)?;
    // A device counts as soon as it has a state: kernels look at all else then.
    let state = ("state", INITIALISING.to_owned());
    store.write_all(&frontend, &of_both)?;
    store.write_all(&frontend, std::slice::from_ref(&state))?;
    store.write(&backend, "")?;
    store.set_perms(&backend, guest_reads)?;
    store.write_all(&backend, &of_frontend)?;
    store.write_all(
        &backend,
        &[
            ("domain", config.name.clone()),
            ("uuid", uuid.to_string()),
            ("location", built.console.port.0.to_string()),
            ("protocol", "vt100".to_owned()),
            ("online", "1".to_owned()),
            state,
        ],
    )
}

/// What says that a domain is being built again. One that is left over keeps it from being built once more.
fn restarting(uuid: Uuid) -> String {
    format!("{}/xend/restart_in_progress", vm(uuid))
}

fn note_restarting(store: &mut dyn Nodes, uuid: Uuid) -> Result<(), Fault> {
    store.write(&restarting(uuid), "True")
}

/// A domain is built again.
///
/// # Errors
///
/// The store's.
pub fn note_restarted(store: &mut dyn Nodes, uuid: Uuid) -> Result<(), Fault> {
    store.remove(&restarting(uuid))
}

/// Whether it was not noted that a domain is built again.
///
/// # Errors
///
/// The store's.
pub fn is_restarting(store: &mut dyn Nodes, uuid: Uuid) -> Result<bool, Fault> {
    Ok(store.read(&restarting(uuid))?.is_some())
}

/// What says that a core of a domain is being written.
fn dumping(uuid: Uuid) -> String {
    format!("{}/xend/dumpcore_in_progress", vm(uuid))
}

/// A core of a domain will be written.
///
/// # Errors
///
/// The store's.
pub fn note_dumping(store: &mut dyn Nodes, uuid: Uuid) -> Result<(), Fault> {
    store.write(&dumping(uuid), "True")
}

/// No core of a domain is being written.
///
/// # Errors
///
/// The store's.
pub fn note_dumped(store: &mut dyn Nodes, uuid: Uuid) -> Result<(), Fault> {
    store.remove(&dumping(uuid))
}

/// The name of a domain has changed.
///
/// # Errors
///
/// The store's.
pub fn rename(
    store: &mut dyn Nodes,
    domain: DomId,
    uuid: Option<Uuid>,
    name: &str,
) -> Result<(), Fault> {
    store.write(&format!("{}/name", home(domain)), name)?;
    let Some(uuid) = uuid else { return Ok(()) };
    store.write(&format!("{}/name", vm(uuid)), name)?;
    store.write(&format!("{}/domain", console_backend(domain)), name)
}

/// The first `online` bits, however many.
fn avail_mask(online: u32) -> String {
    match 1_u128.checked_shl(online) {
        Some(bit) => (bit - 1).to_string(),
        None => u128::MAX.to_string(),
    }
}

/// Removes all nodes of a domain. Its `/vm` node stays if another domain of this identity has taken it over.
///
/// # Errors
///
/// The store's.
pub fn forget(store: &mut dyn Nodes, domain: DomId, uuid: Option<Uuid>) -> Result<(), Fault> {
    store.release(domain)?;
    let mut paths = vec![home(domain)];
    for kind in store.children("/local/domain/0/backend")? {
        for above in ["", "error/"] {
            let number = domain.0;
            paths.push(format!("/local/domain/0/{above}backend/{kind}/{number}"));
        }
    }
    paths.extend(uuid.map(vm));
    store.remove_all(&paths)
}

/// What a domain should have of the memory, and may have at most: nodes with a number of KiB.
pub const TARGET: &str = "memory/target";
/// See [`TARGET`].
pub const MAXIMUM: &str = "memory/static-max";

/// What such a node of a domain says, if it says anything.
///
/// # Errors
///
/// The store's.
pub fn kib_of(store: &mut dyn Nodes, domain: DomId, node: &str) -> Result<Option<u64>, Fault> {
    let value = store.read(&format!("{}/{node}", home(domain)))?;
    Ok(value.and_then(|text| text.trim().parse().ok()))
}

/// The number of KiB that the first domain should have.
///
/// # Errors
///
/// The store's.
pub fn set_first_target(store: &mut dyn Nodes, kib: u64) -> Result<(), Fault> {
    let node = format!("{}/{TARGET}", home(DomId::DOM0));
    store.write(&node, &kib.to_string())
}

/// What a guest should have of the memory.
///
/// # Errors
///
/// The store's. Then nothing is changed.
pub fn set_target(
    store: &mut dyn Nodes,
    domain: DomId,
    uuid: Option<Uuid>,
    mib: u64,
) -> Result<(), Fault> {
    set_memory(store, domain, uuid, [TARGET, "memory"], mib)
}

/// What a guest may have of it at most.
///
/// # Errors
///
/// The store's. Then nothing is changed.
pub fn set_maximum(
    store: &mut dyn Nodes,
    domain: DomId,
    uuid: Option<Uuid>,
    mib: u64,
) -> Result<(), Fault> {
    set_memory(store, domain, uuid, [MAXIMUM, "maxmem"], mib)
}

/// Sets a node of a domain's home to so many KiB, and one of what is kept of it to so many MiB.
fn set_memory(
    store: &mut dyn Nodes,
    domain: DomId,
    uuid: Option<Uuid>,
    [in_home, in_vm]: [&str; 2],
    mib: u64,
) -> Result<(), Fault> {
    let node = |path, value: u64| NewNode {
        path,
        value: value.to_string(),
        perms: None,
    };
    let mut nodes = vec![node(format!("{}/{in_home}", home(domain)), mib << 10)];
    nodes.extend(uuid.map(|uuid| node(format!("{}/{in_vm}", vm(uuid)), mib)));
    store.write_together(&nodes)
}

/// Writes what is said of the first domain.
///
/// # Errors
///
/// The store's.
pub fn describe_first(store: &mut dyn Nodes, memory_kib: u64, vcpus: u32) -> Result<(), Fault> {
    let home = home(DomId::DOM0);
    let vm = vm(Uuid([0; 16]));
    store.write(&format!("{home}/name"), "Domain-0")?;
    store.write(&format!("{home}/domid"), "0")?;
    store.write(&format!("{home}/vm"), &vm)?;
    store.write(CONSOLE_BACKENDS, "")?;
    // Its kernel reads the target and follows it: what it has is what it should have.
    for node in [TARGET, MAXIMUM] {
        let node = format!("{home}/{node}");
        if store.read(&node)?.is_none() {
            store.write(&node, &memory_kib.to_string())?;
        }
    }
    // `xend` runs the scripts for devices itself: those that udev would run have nothing to do.
    store.write(&format!("{home}/libxl/disable_udev"), "1")?;
    for vcpu in 0..vcpus {
        let node = format!("{home}/cpu/{vcpu}/availability");
        if store.read(&node)?.is_none() {
            store.write(&node, "online")?;
        }
    }
    store.write(&format!("{vm}/uuid"), &Uuid([0; 16]).to_string())?;
    store.write(&format!("{vm}/name"), "Domain-0")
}
