//! While upcalls are masked events gather; one upcall then tells of all. It masks further ones.

use super::super::prelude::*;

pub(crate) fn run() {
    let ports: [Port; 5] = core::array::from_fn(|_| event::bind_ipi(VcpuId(0)));
    event::unmask_upcalls();
    let before = event::upcalls(VcpuId(0));
    event::mask_upcalls();
    for _ in 0..2 {
        for port in ports {
            assert_eq!(event::send(port), Ok(0));
        }
    }
    assert_eq!(event::upcalls(VcpuId(0)), before);
    for port in ports {
        assert!(event::is_pending(port) && event::count(port) == 0);
    }
    event::unmask_upcalls();
    assert_eq!(event::upcalls(VcpuId(0)), before + 1, "one for all");
    for port in ports {
        assert!(!event::is_pending(port) && event::count(port) == 1);
    }
    assert_eq!(event::vcpu_info().upcall_mask(), 0, "as before");
    // What is sent in an upcall comes in the next one.
    static PORTS: [core::sync::atomic::AtomicU32; 2] =
        [const { core::sync::atomic::AtomicU32::new(0) }; 2];
    PORTS[0].store(ports[0].0, core::sync::atomic::Ordering::Relaxed);
    PORTS[1].store(ports[1].0, core::sync::atomic::Ordering::Relaxed);
    trap::set_handler(trap::EVENT, |_| {
        let [first, second] =
            [0, 1].map(|index| Port(PORTS[index].load(core::sync::atomic::Ordering::Relaxed)));
        assert_eq!(event::vcpu_info().upcall_mask(), 1, "masked in an upcall");
        event::dispatch();
        if event::count(first) == 2 && event::count(second) == 1 {
            assert_eq!(event::send(second), Ok(0));
            assert_eq!(event::count(second), 1, "not inside of this one");
        }
    });
    assert_eq!(event::send(ports[0]), Ok(0));
    assert_eq!((event::count(ports[0]), event::count(ports[1])), (2, 2));
}
