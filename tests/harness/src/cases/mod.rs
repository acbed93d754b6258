//! What is tested by booting.

mod accounts;
mod beside_reference;
pub mod boot;
pub mod costs;
pub mod death;
pub mod devices;
pub mod dom0;
pub mod dom0_disk;
pub mod dom0_load;
pub mod dom0_matrix;
pub mod dom0_packages;
pub mod dom0_recipes;
pub mod dom0_speed;
mod endings;
pub mod guests;
pub mod guests_attacked;
pub mod guests_consoles;
pub mod guests_daemons;
pub mod guests_debian;
pub mod guests_devices;
pub mod guests_figures;
pub mod guests_images;
pub mod guests_many;
pub mod guests_memory;
pub mod guests_networks;
pub mod guests_pygrub;
pub mod guests_recipes;
pub mod guests_sharing;
pub mod guests_speed;
pub mod guests_vcpus;
mod kernel_log;
pub mod kernels;
pub mod kernels_bochs;
mod kernels_known;
pub mod keys;
pub mod machines;
mod manual;
pub mod options;
mod outputs;
pub mod pace;
pub mod refusal;
mod shell;
pub mod stock_commands;
pub mod stock_tools;
pub mod storms;
mod traffic;

use crate::run::Missing;
use crate::suite::Case;
use crate::verdict::{Ending, Verdict};
use regex_lite::Regex;

/// The image that is shipped.
pub const IMAGE: &str = "build/paravane";
/// The image that takes `test=…`, and can be told to die.
pub const TEST_IMAGE: &str = "build/paravane-test";

/// Cases that run with `FULL=1` or when they are asked for by name, as all others have to end within half an hour on two
/// processors. Of what most of them try, a shorter case tries the essential part.
const LONG: [&str; 22] = [
    "boot/same-ram-disk",
    "costs/wake-ups-beside-others",
    "dom0/boot-speed-q35-1cpu",
    "dom0/clocks-q35-4cpu",
    "dom0/cloud-kernel",
    "dom0/deb-installed-2cpu",
    "dom0/recipes-2cpu",
    "guests/compute",
    "guests/consoles-flooded",
    "guests/debian",
    "guests/device-refusals",
    "guests/devices-attacked",
    "guests/faster-than-reference",
    "guests/many",
    "guests/memory",
    "guests/memory-sweep",
    "guests/pygrub",
    "guests/reboot",
    "guests/shell",
    "guests/store-attacked",
    "stock-tools/commands",
    "stock-tools/life-of-a-guest",
];

/// Whether a case is among the long ones, which an ordinary run of everything leaves out.
pub fn is_long(case: &Case) -> bool {
    LONG.contains(&case.name.as_str())
}

/// How much of the product of configurations is tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Extent {
    /// A set in which every two levels of every two factors meet, or, where each takes long, every level of each.
    AllPairs,
    /// Everything.
    WholeProduct,
}

/// Every case.
pub fn all(extent: Extent) -> Vec<Case> {
    let mut cases = boot::cases(extent);
    cases.extend(machines::cases());
    cases.extend(options::cases());
    cases.extend(death::cases(extent));
    cases.extend(refusal::cases());
    cases.extend(dom0_matrix::cases(extent));
    cases.extend(dom0::cases(extent));
    cases.extend(dom0_load::cases(extent));
    cases.extend(dom0_disk::cases(extent));
    cases.extend(dom0_packages::cases());
    cases.extend(dom0_recipes::cases());
    cases.extend(dom0_speed::cases());
    cases.extend(devices::cases(extent));
    cases.extend(keys::cases());
    cases.extend(guests::cases(extent));
    cases.extend(guests_vcpus::cases());
    cases.extend(guests_consoles::cases());
    cases.extend(guests_daemons::cases());
    cases.extend(guests_attacked::cases(extent));
    cases.extend(guests_debian::cases());
    cases.extend(guests_devices::cases(extent));
    cases.extend(guests_memory::cases(extent));
    cases.extend(guests_images::cases(extent));
    cases.extend(guests_many::cases(extent));
    cases.extend(guests_networks::cases(extent));
    cases.extend(guests_pygrub::cases());
    cases.extend(guests_recipes::cases(extent));
    cases.extend(guests_sharing::cases(extent));
    cases.extend(guests_speed::cases());
    cases.extend(stock_commands::cases());
    cases.extend(stock_tools::cases());
    cases.extend(storms::cases());
    cases.extend(kernels::cases(kernels::Hypervisor::Paravane, extent));
    cases.extend(kernels::on_test_image().0);
    cases.extend(kernels_bochs::cases());
    cases.push(costs::none_is_dearer());
    cases.push(beside_reference::wake_ups());
    if extent == Extent::WholeProduct {
        cases.extend(beside_reference::sharing());
    }
    cases.push(pace::half_of_the_reference());
    cases
}

/// Cases that run only when a filter names their group.
pub fn on_request() -> Vec<Case> {
    let mut cases = kernels::cases(kernels::Hypervisor::Reference, Extent::WholeProduct);
    cases.extend(kernels::faults_of_emulator());
    cases.extend(kernels::on_test_image().1);
    cases.push(costs::comparison());
    cases.push(guests_figures::comparison());
    cases
}

/// The verdict when a line that must come has not come.
fn no_line(what: &str, missing: &Missing) -> Verdict {
    match missing {
        Missing::TimedOut => Verdict::NoVerdict(format!("{what} has not come in time")),
        Missing::Slept => Verdict::EmulatorFailed(format!(
            "{what} has not come: the emulator slept until it was asked what it does"
        )),
        Missing::Ended(ending @ Ending::Killed(_)) => {
            Verdict::EmulatorFailed(format!("{what} has not come: {ending}"))
        }
        Missing::Ended(ending) => Verdict::NoVerdict(format!("{what} has not come: {ending}")),
    }
}

/// Compiles a pattern; one that is wrong is the case's fault.
fn pattern(text: &str) -> Result<Regex, Verdict> {
    Regex::new(text).map_err(|error| Verdict::NoVerdict(format!("pattern {text}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::{Extent, LONG, all};

    #[test]
    fn the_long_cases_are_there() {
        let cases = all(Extent::AllPairs);
        for name in LONG {
            assert!(cases.iter().any(|case| case.name == name), "{name}");
        }
    }
}
