//! How long a stock kernel takes as the first domain, from the moment when the boot loader hands over to its shell:
//! compared with the reference hypervisor, one after the other on the same machine.

use super::kernels::Hypervisor;
use super::pattern;
use super::shell::Boot;
use crate::machine::Machine;
use crate::suite::{Case, Context};
use crate::verdict::Verdict;

/// Time here in units of time there. Two times of the same machine with other work to do differ by so much.
const MOST: f64 = 1.25;
/// How often both are tried, if it takes that: the shortest times count.
const ROUNDS: usize = 2;

/// All cases.
pub fn cases() -> Vec<Case> {
    vec![Case::new("dom0/boot-speed-q35-1cpu", |context| {
        compare(context).unwrap_or_else(|verdict| verdict)
    })]
}

fn compare(context: &Context<'_>) -> Result<Verdict, Verdict> {
    let (mut ours, mut reference) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..ROUNDS {
        reference = reference.min(seconds(context, Hypervisor::Reference)?);
        ours = ours.min(seconds(context, Hypervisor::Paravane)?);
        if ours <= reference * MOST {
            break;
        }
    }
    let said = format!(
        "{ours:.1} s, on the reference {reference:.1} s, the ratio is {:.2}",
        ours / reference
    );
    Ok(if ours <= reference * MOST {
        Verdict::Pass(said)
    } else {
        Verdict::TooSlow(said)
    })
}

/// From the hypervisor's first line to the prompt.
fn seconds(context: &Context<'_>, hypervisor: Hypervisor) -> Result<f64, Verdict> {
    let machine = Machine::default();
    let boot = Boot {
        hypervisor,
        ..Boot::of(&machine)
    };
    let shell = boot.shell(context)?;
    let first = pattern(match hypervisor {
        Hypervisor::Paravane => r"Paravane \d+\.\d+\.\d+",
        Hypervisor::Reference => r"\(XEN\)",
    })?;
    let lines = shell.run.lines();
    let first = lines.iter().find(|line| first.is_match(&line.text));
    let first = first.ok_or_else(|| Verdict::NoVerdict("the hypervisor says nothing".into()))?;
    Ok((shell.after - first.at).as_secs_f64())
}
