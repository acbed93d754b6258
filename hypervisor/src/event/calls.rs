//! Event-channel calls of three domains, read from bytes: the fuzzer's way into this room.
//!
//! Between two calls the guests write what they like to the bits that they share. Whatever happens, nothing
//! outlives its domain's ports: at the end all of them can be closed, nobody waits for one, and connections are
//! mutual.

use super::port::Binding;
use super::test_domain::{TestDomain, TestDomains};
use super::wait;
use super::*;
use crate::sync::atomic::Ordering::SeqCst;
use guest_abi::event_channel::BindPirqFlags;
use guest_abi::ids::{DomId, Port, VcpuId};

const DOMAINS: u16 = 3;
const VCPUS: u32 = 2;
/// Few, so that they run out.
const MAX_PORT: u32 = 70;
/// Calls of one run at the most.
const MAX_CALLS: usize = 2000;

/// Makes the calls that `bytes` say.
///
/// # Panics
/// A rule is broken.
pub fn run(bytes: &[u8]) {
    let domains = TestDomains(
        (0..DOMAINS)
            .map(|id| TestDomain::new(id, MAX_PORT, VCPUS, 2))
            .collect(),
    );
    for bytes in bytes.chunks_exact(4).take(MAX_CALLS) {
        if let &[which, who, a, b] = bytes {
            call(&domains, which, who, u32::from(a), u32::from(b));
        }
        check_connections(&domains);
    }
    for domain in &domains.0 {
        assert_eq!(
            close_all(&domains, domain, Port(1), || false),
            Progress::Done
        );
    }
    for domain in &domains.0 {
        for port in 1..=MAX_PORT {
            let is_free = domain
                .ports()
                .snapshot(Port(port))
                .is_none_or(|snapshot| snapshot.binding == Binding::Free);
            assert!(is_free, "port {port} is left");
        }
    }
}

/// A number that is mostly small, and sometimes at an edge.
fn spread(number: u32) -> u32 {
    match number {
        0..240 => number % 80,
        240..248 => 4088 + number % 8 * 2,
        _ => u32::MAX << (number % 8 * 4),
    }
}

fn call(domains: &TestDomains, which: u8, who: u8, a: u32, b: u32) {
    let domain = &domains.0[usize::from(who) % domains.0.len()];
    let vcpu = VcpuId(b % (VCPUS + 1));
    let own_vcpu = VcpuId(b % VCPUS);
    let remote = match who / 64 {
        3 => DomId::SELF,
        other => DomId(u16::from(other)),
    };
    let port = Port(spread(a));
    let shared = domain.shared();
    let bit = 1 << (a % 64);
    let word = (a / 64 % 2) as usize;
    match which % 20 {
        0 | 1 => {
            let _ = alloc_unbound(domain, remote);
        }
        2..5 => {
            let _ = bind_interdomain(domains, domain, remote, port);
        }
        5 => {
            let _ = bind_virq(domain, a % 26, vcpu);
        }
        6 => {
            let _ = bind_ipi(domain, vcpu);
        }
        7 => {
            let _ = bind_pirq(domain, a % 5, BindPirqFlags::empty());
        }
        8 => {
            let _ = bind_vcpu(domain, port, vcpu);
        }
        9 => {
            let _ = close(domains, domain, port);
        }
        10 | 11 => {
            let _ = send(domains, domain, port);
        }
        12 => {
            let _ = unmask(domain, port);
        }
        13 => {
            let _ = status(domain, port);
        }
        14 => {
            raise_virq(domain, a % 26, own_vcpu);
        }
        15 => {
            raise_pirq(domain, 2 + a % 2, Port(b % MAX_PORT));
        }
        16 => {
            let run = &domain.vcpu(own_vcpu).run;
            if which & 128 == 0 {
                let _ = wait::block(domain, own_vcpu, run);
            } else {
                let ports = [port, Port(b % 16)];
                let _ = wait::poll(domain, own_vcpu, run, &ports[..1 + (b as usize & 1)]);
            }
            // Its time is over at once: it goes on running.
            let _ = wait::end(domain, own_vcpu, run);
        }
        17 => {
            shared.mask[word].fetch_xor(bit, SeqCst);
            shared.pending[word].fetch_and(!(u64::from(b) << (a % 56)), SeqCst);
        }
        18 => {
            let vcpu = domain.vcpu(own_vcpu);
            vcpu.selector.store(u64::from(a), SeqCst);
            vcpu.upcall_pending.store((b & 1) as u8, SeqCst);
            vcpu.upcall_mask.store((b >> 1 & 1) as u8, SeqCst);
        }
        _ => {
            let _ = close_all(domains, domain, Port(1), || false);
        }
    }
}

/// Who is connected is connected with somebody who says so too.
fn check_connections(domains: &TestDomains) {
    for domain in &domains.0 {
        for port in (1..=MAX_PORT).map(Port) {
            let Some(snapshot) = domain.ports().snapshot(port) else {
                continue;
            };
            let Binding::Interdomain { remote, port: peer } = snapshot.binding else {
                continue;
            };
            let back = domains
                .get(remote)
                .and_then(|remote| remote.ports().snapshot(peer))
                .map(|snapshot| snapshot.binding);
            let expected = Binding::Interdomain {
                remote: domain.id(),
                port,
            };
            assert_eq!(back, Some(expected), "{}: {port:?}", domain.id());
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::run;
    use crate::made_up_bytes::made_up_bytes;

    #[test]
    fn calls_read_from_made_up_bytes_break_no_rule() {
        for bytes in made_up_bytes(100, 2000) {
            run(&bytes);
        }
    }
}
