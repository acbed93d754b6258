//! What domains are given of the processors: weights, caps, and how the scheduler cuts time.

use super::Xend;
use super::protocol::{Fault, Response};
use super::view::CreditRow;
use guest_abi::domctl_vcpu::SchedulerCredit;
use guest_abi::ids::DomId;

impl Xend {
    pub(super) fn shares(&self, domains: &[String]) -> Result<Response, Fault> {
        let rows = self.list(domains)?.into_iter().map(|view| {
            let config = view.config.as_ref();
            let share = match view.domid {
                Some(number) => self.machine.credit(DomId(number)).ok(),
                None => config.map(|config| SchedulerCredit {
                    weight: config.cpu_weight,
                    cap: config.cpu_cap,
                }),
            };
            CreditRow {
                domid: view.domid,
                weight: share.map(|share| share.weight.into()),
                cap: share.map(|share| share.cap.into()),
                name: view.name,
            }
        });
        Ok(Response::Shares(rows.collect()))
    }

    pub(super) fn set_share(
        &self,
        domain: &str,
        weight: Option<i64>,
        cap: Option<i64>,
    ) -> Result<Response, Fault> {
        let view = self.resolve(domain)?;
        let most = (100 * i64::from(view.vcpus)).min(65534);
        if weight.is_some_and(|weight| !(1..=65535).contains(&weight)) {
            return Err(Fault::text(
                "Cpu weight out of range, valid values are within range from 1 to 65535",
            ));
        }
        if cap.is_some_and(|cap| !(0..=most).contains(&cap)) {
            return Err(Fault::text(format!(
                "Cpu cap out of range, valid range is from 0 to {most} for specified number of vcpus"
            )));
        }
        if view.domid.is_none() {
            return self.change_kept(&view, |config| {
                config.cpu_weight = weight.map_or(config.cpu_weight, |weight| weight as u16);
                config.cpu_cap = cap.map_or(config.cpu_cap, |cap| cap as u16);
            });
        }
        self.alone(&view, |domain, record| {
            let mut share = self.machine.credit(domain)?;
            share.weight = weight.map_or(share.weight, |weight| weight as u16);
            share.cap = cap.map_or(share.cap, |cap| cap as u16);
            let (weight, cap) = (share.weight, share.cap);
            self.machine.set_credit(domain, share)?;
            if let Some(mut record) = record {
                (record.config.cpu_weight, record.config.cpu_cap) = (weight, cap);
                self.table.put(&record);
            }
            Ok(Response::Done)
        })
    }

    pub(super) fn schedule(
        &self,
        tslice_ms: Option<u32>,
        ratelimit_us: Option<u32>,
    ) -> Result<Response, Fault> {
        let mut schedule = self.machine.schedule(None)?;
        if tslice_ms.is_some() || ratelimit_us.is_some() {
            schedule.tslice_ms = tslice_ms.unwrap_or(schedule.tslice_ms);
            schedule.ratelimit_us = ratelimit_us.unwrap_or(schedule.ratelimit_us);
            let wanted = format!(
                "a time slice of {} ms and a rate limit of {} us: a slice is 1 to 1000 ms, the limit 0 or 100 to 500000 us \
                 and at most a slice",
                schedule.tslice_ms, schedule.ratelimit_us
            );
            schedule = self
                .machine
                .schedule(Some(schedule))
                .map_err(|error| Fault::text(format!("{error}, to {wanted}")))?;
        }
        Ok(Response::Schedule {
            tslice_ms: schedule.tslice_ms,
            ratelimit_us: schedule.ratelimit_us,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::create::Start;
    use super::super::testing::{World, config};
    use super::*;

    #[test]
    fn a_share_is_changed_within_its_limits_and_remembered() {
        let world = World::default();
        let xend = world.xend("shares");
        let _ = xend.create(config("etch"), Start::Running).unwrap();
        let share = || match xend.shares(&["etch".to_owned()]) {
            Ok(Response::Shares(rows)) => (rows[0].weight, rows[0].cap),
            other => panic!("{other:?}"),
        };
        // What is kept is what it has after its next reboot.
        let kept = || {
            let config = xend.table.all().remove(0).config;
            (config.cpu_weight, config.cpu_cap)
        };
        assert_eq!(share(), (Some(256), Some(0)));
        assert_eq!(xend.set_share("etch", Some(512), None), Ok(Response::Done));
        assert_eq!(kept(), (512, 0));
        assert_eq!(xend.set_share("etch", None, Some(50)), Ok(Response::Done));
        assert_eq!((share(), kept()), ((Some(512), Some(50)), (512, 50)));
        for (weight, cap, sentence) in [
            (Some(0), None, "Cpu weight out of range"),
            (Some(65536), None, "Cpu weight out of range"),
            (None, Some(-1), "Cpu cap out of range"),
            // It has two virtual processors.
            (None, Some(201), "valid range is from 0 to 200 for"),
            (Some(1), Some(201), "Cpu cap out of range"),
        ] {
            let said = xend.set_share("etch", weight, cap).unwrap_err().to_string();
            assert!(said.contains(sentence), "{said}");
        }
        assert_eq!((share(), kept()), ((Some(512), Some(50)), (512, 50)));
        // Neither is noted what the hypervisor refuses.
        world.state().refuse_at(1);
        assert!(xend.set_share("etch", Some(3), Some(3)).is_err());
        assert_eq!((share(), kept()), ((Some(512), Some(50)), (512, 50)));
        for (weight, cap) in [(1, 0), (65535, 200)] {
            let set = xend.set_share("etch", Some(weight), Some(cap));
            assert_eq!(set, Ok(Response::Done));
            assert_eq!(kept(), (weight as u16, cap as u16));
        }
        assert!(matches!(
            xend.set_share("nobody", Some(1), None),
            Err(Fault::NoDomain(_))
        ));
    }

    #[test]
    fn the_largest_cap_is_one_that_the_hypervisor_knows() {
        let xend = World::default().xend("largest-cap");
        let mut large = config("large");
        large.vcpus = 700;
        let _ = xend.create(large, Start::Running).unwrap();
        let set = |cap| xend.set_share("large", None, Some(cap));
        let said = set(65535).unwrap_err().to_string();
        assert!(said.contains("from 0 to 65534 for"), "{said}");
        assert_eq!(set(65534), Ok(Response::Done));
    }

    #[test]
    fn of_the_scheduler_changes_what_is_given_and_what_it_refuses_is_told() {
        let xend = World::default().xend("schedule");
        let is = |tslice_ms, ratelimit_us| {
            Ok(Response::Schedule {
                tslice_ms,
                ratelimit_us,
            })
        };
        assert_eq!(xend.schedule(None, None), is(30, 1000));
        assert_eq!(xend.schedule(Some(10), None), is(10, 1000));
        assert_eq!(xend.schedule(None, Some(500)), is(10, 500));
        let said = xend.schedule(Some(0), None).unwrap_err().to_string();
        let sentence = ", to a time slice of 0 ms and a rate limit of 500 us: a slice is 1 to 1000 ms, the limit 0 or 100 to \
                        500000 us and at most a slice";
        assert!(said.ends_with(sentence), "{said}");
        assert_eq!(xend.schedule(None, None), is(10, 500));
    }
}
