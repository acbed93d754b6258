//! All nodes of a guest and who may do what with them, in a store that is one.

use super::nodes::{NewNode, Nodes};
use super::protocol::Fault;
use super::record::Record;
use super::store_tree::{describe, describe_first, forget, rename};
use super::testing::{config, notes};
use crate::builder::Built;
use crate::store::testing::Fixture;
use guest_abi::features::Features;
use guest_abi::ids::{DomId, Mfn, Port};
use guest_abi::store_wire::MessageType;
use hypervisor::image::start::Ring;

/// A store, asked by the first domain.
struct Real(Fixture);

impl Real {
    fn ask(&mut self, message_type: MessageType, words: &[&str]) -> Result<String, Fault> {
        let payload = match (message_type, words) {
            // A value has no terminator.
            (MessageType::Write, [path, value]) => format!("{path}|{value}"),
            _ => words.iter().map(|word| format!("{word}|")).collect(),
        };
        let asked = self.0.ask(self.0.dom0, message_type, 0, &payload);
        asked.map_err(Fault::Text)
    }

    /// Each node, what may be done with it, and its value.
    fn shown(&self) -> Vec<String> {
        let nodes = self.0.store.tree().nodes().map(|(path, node)| {
            let perms = String::from_utf8(node.perms().to_wire()).unwrap();
            let value = String::from_utf8_lossy(node.value());
            let perms = perms.trim_end_matches('\0').replace('\0', ",");
            format!("{path} {perms} {value}")
        });
        let mut nodes: Vec<_> = nodes.collect();
        nodes.sort();
        nodes
    }
}

impl Nodes for Real {
    fn write(&mut self, path: &str, value: &str) -> Result<(), Fault> {
        self.ask(MessageType::Write, &[path, value]).map(drop)
    }

    fn write_together(&mut self, nodes: &[NewNode]) -> Result<(), Fault> {
        for node in nodes {
            self.write(&node.path, &node.value)?;
            if let Some(perms) = &node.perms {
                self.set_perms(&node.path, perms)?;
            }
        }
        Ok(())
    }

    fn read(&mut self, path: &str) -> Result<Option<String>, Fault> {
        Ok(self.ask(MessageType::Read, &[path]).ok())
    }

    fn remove(&mut self, path: &str) -> Result<(), Fault> {
        // What is not there is as good as removed, also where nothing above it is.
        let _ = self.ask(MessageType::Rm, &[path]);
        Ok(())
    }

    fn children(&mut self, path: &str) -> Result<Vec<String>, Fault> {
        let children = self.ask(MessageType::Directory, &[path]);
        let children = children.unwrap_or_default();
        let children = children.split('|').filter(|name| !name.is_empty());
        Ok(children.map(str::to_owned).collect())
    }

    fn set_perms(&mut self, path: &str, perms: &[String]) -> Result<(), Fault> {
        let mut words = vec![path];
        words.extend(perms.iter().map(String::as_str));
        self.ask(MessageType::SetPerms, &words).map(drop)
    }

    fn introduce(&mut self, domain: DomId, ring: Mfn, port: Port) -> Result<(), Fault> {
        let words = [domain.0.to_string(), ring.0.to_string(), port.0.to_string()];
        let words = words.each_ref().map(String::as_str);
        self.ask(MessageType::Introduce, &words).map(drop)
    }

    fn release(&mut self, domain: DomId) -> Result<(), Fault> {
        self.ask(MessageType::Release, &[&domain.0.to_string()])
            .map(drop)
    }
}

/// A guest's nodes as programs of administrators know them. A dot is whatever the value is.
const GUEST: &str = "\
/local/domain/0/backend/console/3 n0 
/local/domain/0/backend/console/3/0 n0,r3 
/local/domain/0/backend/console/3/0/domain n0,r3 etch
/local/domain/0/backend/console/3/0/frontend n0,r3 /local/domain/3/device/console/0
/local/domain/0/backend/console/3/0/frontend-id n0,r3 3
/local/domain/0/backend/console/3/0/location n0,r3 2
/local/domain/0/backend/console/3/0/online n0,r3 1
/local/domain/0/backend/console/3/0/protocol n0,r3 vt100
/local/domain/0/backend/console/3/0/state n0,r3 1
/local/domain/0/backend/console/3/0/uuid n0,r3 .
/local/domain/3 n0,r3 
/local/domain/3/console n0,r3 
/local/domain/3/console/limit n0,r3 65536
/local/domain/3/console/port n0,r3 2
/local/domain/3/console/ring-ref n0,r3 131070
/local/domain/3/console/type n0,r3 xenconsoled
/local/domain/3/control n3 
/local/domain/3/control/platform-feature-multiprocessor-suspend n0,r3 1
/local/domain/3/control/platform-feature-xs_reset_watches n0,r3 1
/local/domain/3/control/shutdown n3 
/local/domain/3/control/sysrq n3 
/local/domain/3/cpu n0,r3 
/local/domain/3/cpu/0 n0,r3 
/local/domain/3/cpu/0/availability n0,r3 online
/local/domain/3/cpu/1 n0,r3 
/local/domain/3/cpu/1/availability n0,r3 offline
/local/domain/3/data n3 
/local/domain/3/description n0,r3 
/local/domain/3/device n3 
/local/domain/3/device/console n3 
/local/domain/3/device/console/0 n3 
/local/domain/3/device/console/0/backend n3 /local/domain/0/backend/console/3/0
/local/domain/3/device/console/0/backend-id n3 0
/local/domain/3/device/console/0/state n3 1
/local/domain/3/domid n0,r3 3
/local/domain/3/error n3 
/local/domain/3/guest n3 
/local/domain/3/hvmpv n3 
/local/domain/3/image n0,r3 
/local/domain/3/image/entry n0,r3 18446744071578845248
/local/domain/3/image/features n0,r3 
/local/domain/3/image/features/writable-page-tables n0,r3 1
/local/domain/3/image/guest-os n0,r3 linux
/local/domain/3/image/guest-version n0,r3 2.6
/local/domain/3/image/loader n0,r3 generic
/local/domain/3/image/mod-start-pfn n0,r3 1
/local/domain/3/image/paddr-offset n0,r3 0
/local/domain/3/image/suspend-cancel n0,r3 1
/local/domain/3/image/virt-base n0,r3 18446744071562067968
/local/domain/3/memory n3 
/local/domain/3/memory/static-max n0,r3 262144
/local/domain/3/memory/target n0,r3 131072
/local/domain/3/name n0,r3 etch
/local/domain/3/store n0,r3 
/local/domain/3/store/port n0,r3 1
/local/domain/3/store/ring-ref n0,r3 131071
/local/domain/3/vm n0,r3 /vm/U
/vm/U n0 
/vm/U/device n0 
/vm/U/device/console n0 
/vm/U/device/console/0 n0 
/vm/U/device/console/0/backend n0 /local/domain/0/backend/console/3/0
/vm/U/device/console/0/backend-id n0 0
/vm/U/device/console/0/frontend n0 /local/domain/3/device/console/0
/vm/U/device/console/0/frontend-id n0 3
/vm/U/image n0 .
/vm/U/image/cmdline n0,r3 console=hvc0
/vm/U/image/kernel n0 /boot/vmlinuz
/vm/U/image/ostype n0 linux
/vm/U/image/ramdisk n0 
/vm/U/maxmem n0 256
/vm/U/memory n0 128
/vm/U/name n0 etch
/vm/U/on_crash n0 restart
/vm/U/on_poweroff n0 destroy
/vm/U/on_reboot n0 restart
/vm/U/on_xend_start n0 ignore
/vm/U/on_xend_stop n0 ignore
/vm/U/pool_name n0 Pool-0
/vm/U/rtc n0 
/vm/U/rtc/timeoffset n0 0
/vm/U/shadow_memory n0 0
/vm/U/start_time n0 1220433463.65
/vm/U/uuid n0,r3 U
/vm/U/vcpu_avail n0 1
/vm/U/vcpus n0 2
/vm/U/xend n0 
/vm/U/xend/restart_count n0 0
";

#[test]
fn a_guest_has_the_nodes_that_programs_know_and_leaves_none() {
    let mut store = Real(Fixture::new());
    describe_first(&mut store, 1 << 20, 2).unwrap();
    let before = store.shown();
    let mut config = config("etch");
    (config.memory_mib, config.maxmem_mib, config.online_vcpus) = (128, 256, 1);
    config.kernel = "/boot/vmlinuz".to_owned();
    let uuid = config.uuid;
    let mut record = Record::new(config, "boot");
    record.start_time = 1_220_433_463.65;
    let ring = |mfn, port| Ring {
        mfn: Mfn(mfn),
        port: Port(port),
    };
    let mut built = Built {
        store: ring(131_071, 1),
        console: ring(131_070, 2),
        notes: notes(),
    };
    built.notes.required_features = Features::WRITABLE_PAGE_TABLES;
    // Of a domain that had the number before, nothing stays.
    store.write("/local/domain/3/left", "x").unwrap();
    let left = "/local/domain/0/backend/console/3/0/left";
    store.write(left, "x").unwrap();
    describe(&mut store, DomId(3), &record, &built, 65536).unwrap();
    let varies = |node: &str| node.contains("/uuid n0,r3") || node.contains("/vm/U/image n0 ");
    let its: Vec<_> = store
        .shown()
        .into_iter()
        .filter(|node| !before.contains(node))
        .map(|node| node.replace(&uuid.to_string(), "U"))
        .map(|node| match node.rsplit_once(' ') {
            Some((known, value)) if varies(&node) && value != "U" => {
                let known = known.split_inclusive(' ').take(2).collect::<String>();
                format!("{} .", known.trim_end())
            }
            _ => node,
        })
        .collect();
    let expected: Vec<_> = GUEST.lines().collect();
    assert_eq!(its, expected);
    assert!(store.0.host.connected.contains_key(&DomId(3)));
    // What it is called is known in one way.
    rename(&mut store, DomId(3), Some(uuid), "sarge").unwrap();
    let named = |name: &str| {
        let ending = format!(" {name}");
        let shown = store.shown().into_iter();
        shown.filter(|node| node.ends_with(&ending)).count()
    };
    assert_eq!((named("etch"), named("sarge")), (0, 3));
    forget(&mut store, DomId(3), Some(uuid)).unwrap();
    assert_eq!(store.shown(), before);
    // One that a boot loader finds the kernel of.
    record.config.bootloader = "pygrub".to_owned();
    record.config.bootargs = "-q".to_owned();
    describe(&mut store, DomId(3), &record, &built, 65536).unwrap();
    let read = |store: &mut Real, node: &str| store.read(&format!("/vm/{uuid}/{node}")).unwrap();
    assert_eq!(read(&mut store, "bootloader").as_deref(), Some("pygrub"));
    assert_eq!(read(&mut store, "bootloader_args").as_deref(), Some("-q"));
    forget(&mut store, DomId(3), Some(uuid)).unwrap();
    assert_eq!(store.shown(), before);
}
