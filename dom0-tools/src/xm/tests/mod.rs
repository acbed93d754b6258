//! Command lines, and everything they print, against a `xend` that has two guests.

mod done;
mod printed;
mod refused;

use super::client::Xend;
use super::progress::Progress;
use super::run::{Session, run};
use crate::config::error::ConfigError;
use crate::xend::devices::running::DeviceView;
use crate::xend::protocol::{Fault, Request, Response};
use crate::xend::view::{
    CreditRow, DomainView, HostView, MemoryRow, MemoryView, Refusal, VcpuView,
};
use std::collections::VecDeque;
use std::io;

/// What was asked, and what is answered.
#[derive(Default)]
struct Stub {
    asked: Vec<Request>,
    is_away: bool,
    /// Domains that are gone when they are listed again.
    is_ending: bool,
    /// What is listed instead, one after the other.
    listed: VecDeque<Vec<DomainView>>,
    /// What is answered to all that lists nothing.
    refusal: Option<Fault>,
    /// Domains that are made are gone at once.
    has_finished: bool,
}

fn view(name: &str, domid: u16, state: &str) -> DomainView {
    DomainView {
        domid: Some(domid),
        name: name.to_owned(),
        uuid: format!("00000000-0000-0000-0000-00000000000{domid}"),
        memory_mib: 128,
        maxmem_mib: 128,
        online_vcpus: 1,
        vcpus: 2,
        state: state.to_owned(),
        is_suspended: false,
        cpu_seconds: 12.7,
        start_time: 0.0,
        paused_by_admin: true,
        restart_count: 0,
        store_mfn: 0,
        console_mfn: 0,
        config: None,
    }
}

fn all() -> Vec<DomainView> {
    vec![
        view("Domain-0", 0, "r-----"),
        view("etch", 3, "-b----"),
        view("sarge", 4, "--p---"),
    ]
}

fn memory() -> MemoryView {
    MemoryView {
        total_kib: 1_000_000,
        hypervisor_kib: 20_000,
        domains_kib: 780_000,
        free_kib: 200_000,
        claimed_kib: 65_536,
        last_refusal: Some(Refusal {
            name: "sarge".into(),
            time: 86_400.0 + 61.5,
            reason: "I need 5 KiB but only have 4.".into(),
        }),
        domains: vec![
            MemoryRow {
                name: "Domain-0".into(),
                domid: 0,
                current_kib: 700_000,
                target_kib: 700_000,
                maximum_kib: None,
                ballooned_kib: 100_000,
            },
            MemoryRow {
                name: "etch".into(),
                domid: 3,
                current_kib: 80_000,
                target_kib: 65_536,
                maximum_kib: Some(131_072),
                ballooned_kib: 51_072,
            },
        ],
    }
}

impl Xend for Stub {
    fn ask(&mut self, request: &Request) -> io::Result<Response> {
        if self.is_away {
            return Err(io::Error::from_raw_os_error(
                nix::errno::Errno::ECONNREFUSED as i32,
            ));
        }
        self.asked.push(request.clone());
        if let Some(refusal) = &self.refusal
            && !matches!(request, Request::List { .. })
        {
            return Ok(Response::Fault(refusal.clone()));
        }
        let known = |domain: &String| {
            let found = all()
                .into_iter()
                .find(|view| view.name == *domain || view.key() == *domain);
            found.ok_or_else(|| Fault::NoDomain(domain.clone()))
        };
        let known_or_made = |domain: &String| match &**domain {
            "5" if !self.has_finished => Ok(view("made", 5, "-b----")),
            _ => known(domain),
        };
        let answer = match request {
            Request::List { domains } if domains.is_empty() && !self.listed.is_empty() => {
                let views = self.listed.pop_front().unwrap_or_default();
                Ok(Response::Domains(views))
            }
            Request::List { domains } if domains.is_empty() => {
                let mut views = all();
                if self.is_ending {
                    views.truncate(1);
                }
                self.is_ending = self
                    .asked
                    .iter()
                    .any(|asked| matches!(asked, Request::Shutdown { .. }));
                if self.is_ending {
                    views.truncate(1);
                }
                Ok(Response::Domains(views))
            }
            Request::List { domains } => domains
                .iter()
                .map(known)
                .collect::<Result<_, _>>()
                .map(Response::Domains),
            Request::Vcpus { .. } => Ok(Response::Vcpus(vec![VcpuView {
                name: "etch".into(),
                domid: Some(3),
                vcpu: 0,
                cpu: Some(1),
                state: "-b-".into(),
                cpu_seconds: 1.25,
                affinity: "any cpu".into(),
            }])),
            Request::Shares { .. } => Ok(Response::Shares(vec![CreditRow {
                name: "etch".into(),
                domid: Some(3),
                weight: Some(256),
                cap: Some(0),
            }])),
            Request::Schedule {
                tslice_ms,
                ratelimit_us,
            } => Ok(Response::Schedule {
                tslice_ms: tslice_ms.unwrap_or(30),
                ratelimit_us: ratelimit_us.unwrap_or(1000),
            }),
            Request::Host => Ok(Response::Host(Box::new(HostView {
                fields: vec![("host".into(), "talon".into())],
                cpu_topology: vec![(0, 0, 0), (1, 0, 0)],
                ..HostView::default()
            }))),
            Request::Memory => Ok(Response::Memory(Box::new(memory()))),
            Request::Dmesg { .. } | Request::Log => Ok(Response::Text("(XEN) booted\n".into())),
            Request::Destroy { domain }
            | Request::Pause { domain }
            | Request::Unpause { domain } => {
                known_or_made(domain).and_then(|view| match view.domid {
                    Some(0) => Err(Fault::text("Cannot pause privileged domain Domain-0")),
                    _ => Ok(Response::Done),
                })
            }
            Request::Devices { .. } => Ok(Response::Devices(vec![DeviceView {
                number: 51712,
                backend: "/local/domain/0/backend/vbd/3/51712".into(),
                mac: Some("00:16:3e:00:00:11".into()),
                frontend: Vec::new(),
            }])),
            Request::Create { .. } | Request::Start { .. } => Ok(Response::Created {
                domid: 5,
                warnings: Vec::new(),
            }),
            _ => Ok(Response::Done),
        };
        Ok(answer.unwrap_or_else(Response::Fault))
    }
}

/// Standard output, standard error, status.
fn typed(line: &str) -> (String, String, u8) {
    typed_with(line, &mut Stub::default())
}

fn typed_with(line: &str, stub: &mut Stub) -> (String, String, u8) {
    let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let status = run(
        &words,
        &mut Session {
            xend: stub,
            evaluate: &|path, _| {
                Err(ConfigError::Failed {
                    origin: None,
                    reason: format!("{} is not to be read", path.display()),
                })
            },
            progress: Progress::Hidden,
            out: &mut out,
            err: &mut err,
        },
    );
    (
        String::from_utf8(out).unwrap(),
        String::from_utf8(err).unwrap(),
        status,
    )
}

fn asked(line: &str) -> Vec<Request> {
    let mut stub = Stub::default();
    let (out, err, status) = typed_with(line, &mut stub);
    assert_eq!((&*out, &*err, status), ("", "", 0), "{line}");
    stub.asked
}
