//! The nodes of a domain in the store.

use super::nodes::Nodes;
use super::protocol::Fault;
use super::record::Record;
use crate::builder::Built;
use crate::config::domain::Uuid;
use crate::sxp::Sxp;
use guest_abi::ids::DomId;

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
    let config = &record.config;
    let (home, vm) = (home(domain), vm(config.uuid));
    let guest_reads = vec!["n0".to_owned(), format!("r{}", domain.0)];
    let guest_owns = vec![format!("n{}", domain.0)];
    // What a domain of this number or identity has left is not this one's.
    store.remove(&home)?;
    store.remove(&vm)?;

    let image = config.sxp_image();
    let image = image.rest().iter().map(Sxp::flat).collect();
    let mut write = |directory: &str, pairs: &[(&str, String)]| {
        pairs
            .iter()
            .try_for_each(|(name, value)| store.write(&format!("{directory}/{name}"), value))
    };
    write(
        &vm,
        &[
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
        ],
    )?;
    let kib = |mib: u64| (mib << 10).to_string();
    write(
        &home,
        &[
            ("vm", vm.clone()),
            ("name", config.name.clone()),
            ("domid", domain.0.to_string()),
            ("description", config.description.clone()),
            ("memory/target", kib(config.memory_mib)),
            ("memory/static-max", kib(config.maxmem_mib)),
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
    for directory in [
        "device",
        "error",
        "guest",
        "data",
        "hvmpv",
        "control/shutdown",
        "control/sysrq",
    ] {
        write(&home, &[(directory, String::new())])?;
    }
    for vcpu in 0..config.vcpus {
        let state = if vcpu < config.online_vcpus {
            "online"
        } else {
            "offline"
        };
        write(
            &home,
            &[(&format!("cpu/{vcpu}/availability"), state.to_owned())],
        )?;
    }

    // Permissions last: what is written below a node gets the node's.
    set_perms_below(store, &home, &guest_reads)?;
    for directory in [
        "device",
        "control",
        "error",
        "memory",
        "guest",
        "data",
        "hvmpv",
        "control/shutdown",
        "control/sysrq",
    ] {
        store.set_perms(&format!("{home}/{directory}"), &guest_owns)?;
    }
    store.set_perms(&format!("{home}/memory/target"), &guest_reads)?;
    // Nothing else of it: where its kernel is in the first domain is not the guest's business.
    for node in ["/uuid", "/image/cmdline"] {
        store.set_perms(&format!("{vm}{node}"), &guest_reads)?;
    }
    store.introduce(domain, built.store.mfn, built.store.port)
}

fn set_perms_below(store: &mut dyn Nodes, path: &str, perms: &[String]) -> Result<(), Fault> {
    store.set_perms(path, perms)?;
    for child in store.children(path)? {
        set_perms_below(store, &format!("{path}/{child}"), perms)?;
    }
    Ok(())
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
    store.remove(&home(domain))?;
    for kind in store.children("/local/domain/0/backend")? {
        store.remove(&format!("/local/domain/0/backend/{kind}/{}", domain.0))?;
        let errors = format!("/local/domain/0/error/backend/{kind}/{}", domain.0);
        store.remove(&errors)?;
    }
    match uuid {
        Some(uuid) => store.remove(&vm(uuid)),
        None => Ok(()),
    }
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
    // Its kernel reads the target and follows it: what it has is what it should have.
    if store.read(&format!("{home}/memory/target"))?.is_none() {
        store.write(&format!("{home}/memory/target"), &memory_kib.to_string())?;
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
