//! Guests that compute beside a stock first domain: who gets how much of the processors by what the configurations
//! say, and how the first domain's tools answer meanwhile.

use super::Extent;
use super::accounts;
use super::guests_many::{INITRD, case, machine, make, number};
use super::kernels::Hypervisor;
use super::shell::{Boot, Shell};
use crate::suite::{Case, Context};
use crate::verdict::Verdict;
use std::path::Path;
use std::time::Duration;

/// The reference's tools, with the same guests.
const STOCK_INITRD: &str = "build/tiny-guests/stock-initrd";

/// Guests that compute, beside the first domain, on two processors.
const HOGS: u32 = 16;
const CREATE_LIMIT: Duration = Duration::from_secs(300);
/// How often a short command is timed: the median counts.
const TRIES: usize = 15;
/// `xm list` beside all of them takes less, in seconds: a person waits for it, and the machine is an emulated one.
const MOST_LIST_SECONDS: f64 = 3.0;
/// How long shares are measured, in seconds of the first domain's clock.
const MEASURED: u64 = 20;
/// Tolerance of a share of processor time by weight, in its own percent.
const WEIGHT_PERCENT: f64 = 5.0;
/// That of a cap, in percent of a processor.
const CAP_PERCENT: f64 = 2.0;

/// All cases. What tiny kernels show of weights and caps is shown always; this takes minutes.
pub fn cases(extent: Extent) -> Vec<Case> {
    match extent {
        Extent::WholeProduct => vec![
            case("hogs", hogs),
            case("configured-shares", shares),
            Case::new("guests/hogs-beside-reference", |context| {
                hogs_beside_reference(context).unwrap_or_else(|verdict| verdict)
            }),
        ],
        Extent::AllPairs => Vec::new(),
    }
}

/// The first domain's tools answer while every processor is wanted by many.
fn hogs(shell: &mut Shell) -> Result<String, Verdict> {
    let [alone, beside] = time_list(shell, "xm")?;
    let said = format!(
        "xm list takes {beside:.2} s beside {HOGS} guests that compute, {alone:.2} s alone"
    );
    if beside > MOST_LIST_SECONDS {
        return Err(Verdict::TooSlow(said));
    }
    Ok(said)
}

/// They do so no later than the reference's on the reference, one after the other on the same machine.
fn hogs_beside_reference(context: &Context<'_>) -> Result<Verdict, Verdict> {
    make()?;
    if !Path::new(STOCK_INITRD).exists() {
        return Err(Verdict::Skipped(format!(
            "there is no {STOCK_INITRD}: tests/stock-tools makes what it is made of"
        )));
    }
    let machine = machine();
    let boot = Boot {
        initrd: Some(Path::new(INITRD)),
        ..Boot::of(&machine)
    };
    let ours = time_list(&mut boot.shell(context)?, "xm")?;
    let boot = Boot {
        hypervisor: Hypervisor::Reference,
        options: " sched=credit",
        words: " rdinit=/stock-init",
        initrd: Some(Path::new(STOCK_INITRD)),
        ..Boot::of(&machine)
    };
    let reference = time_list(&mut boot.shell(context)?, "xl")?;
    let said = format!(
        "beside {HOGS} guests that compute xm list takes {:.2} s, alone {:.2} s; on the reference xl list {:.2} s and {:.2} s",
        ours[1], ours[0], reference[1], reference[0]
    );
    Ok(if ours[1] <= reference[1] {
        Verdict::Pass(said)
    } else {
        Verdict::TooSlow(said)
    })
}

/// How long `tool list` takes alone, and beside the guests that compute, in seconds by the clock.
fn time_list(shell: &mut Shell, tool: &str) -> Result<[f64; 2], Verdict> {
    shell.output(&format!("t() {{ time -p {tool} list 2>&1 >/dev/null;}}"))?;
    let alone = median_of_list(shell)?;
    // The last word on each counts, for either tool.
    shell.output("h='extra=\"test=guest/hog end=domain\"'")?;
    shell.output("c() { cat /etc/xen/tiny;echo name=\\\"hog$1\\\";echo \"$h\";}")?;
    // They begin together: who creates the last would have to share with all others.
    shell.output_within(
        &format!(
            "for i in $(seq {HOGS});do c $i >/tmp/h;{tool} create -qp /tmp/h||break;done 2>/tmp/e;cat /tmp/e"
        ),
        CREATE_LIMIT,
    )?;
    shell.output_within(
        &format!("for i in $(seq {HOGS});do {tool} unpause hog$i||break;done"),
        CREATE_LIMIT,
    )?;
    shell.must_print(
        &format!("{tool} list | grep -c '^hog.* [-r]-----'"),
        &HOGS.to_string(),
    )?;
    let beside = median_of_list(shell)?;
    // They have all run meanwhile.
    shell.must_print(
        &format!("{tool} list | awk '/^hog/ && $6 < 0.1' | wc -l"),
        "0",
    )?;
    shell.output_within(
        &format!("for i in $(seq {HOGS});do {tool} destroy hog$i||break;done"),
        CREATE_LIMIT,
    )?;
    Ok([alone, beside])
}

/// Seconds by the clock.
fn median_of_list(shell: &mut Shell) -> Result<f64, Verdict> {
    let mut times = Vec::new();
    for _ in 0..TRIES {
        let lines = shell.output("t")?;
        let seconds = lines
            .iter()
            .find_map(|line| line.strip_prefix("real")?.trim().parse::<f64>().ok());
        times.push(seconds.ok_or_else(|| Verdict::NoVerdict(format!("time prints {lines:?}")))?);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[TRIES / 2])
}

/// `cpu_weight`, `cpu_cap` and `cpus` of a configuration are what a guest gets, while others want the same.
fn shares(shell: &mut Shell) -> Result<String, Verdict> {
    shell.output("h='test=guest/hog end=domain'")?;
    // All on the second processor. The first domain has nothing to do there but for moments.
    for (name, settings) in [
        ("light", "cpu_weight=128"),
        ("heavy", "cpu_weight=256"),
        ("capped", "cpu_cap=25 cpu_weight=1024"),
    ] {
        shell.output(&format!("o='name={name} cpus=1 {settings}'"))?;
        shell.output("xm create -q tiny $o extra=\"$h\"")?;
    }
    // Name, ID, VCPU, CPU, State, Time(s), affinity.
    let elsewhere = "xm vcpu-list light heavy capped | awk 'NR>1&&$4!=1'";
    let list = "awk '$1==n{print int($6*10+0.5)}'";
    shell.output(&format!("s() {{ xm list|awk -v n=$1 {};}}", &list[4..]))?;
    let read = |shell: &mut Shell| -> Result<[f64; 4], Verdict> {
        let mut all = [0.0; 4];
        for (value, name) in all.iter_mut().zip(["light", "heavy", "capped"]) {
            *value = number(shell, &format!("s {name}"))? as f64 / 10.0;
        }
        let uptime = "awk '{print int($1*100)}' /proc/uptime";
        all[3] = number(shell, uptime)? as f64 / 100.0;
        Ok(all)
    };
    shell.output("sleep 1")?;
    let before = read(shell)?;
    for _ in 0..MEASURED / 5 {
        shell.output("sleep 5")?;
        let lines = shell.output(elsewhere)?;
        if !lines.is_empty() {
            return Err(Verdict::Fail(format!("not on processor 1: {lines:?}")));
        }
    }
    let after = read(shell)?;
    let [light, heavy, capped, passed] = std::array::from_fn(|i| after[i] - before[i]);
    accounts::percents_are_those_of_xm(shell, &["light", "heavy", "capped"])?;
    shell.output("for n in light heavy capped;do xm destroy $n;done")?;
    let cap = capped / passed * 100.0;
    let said = format!(
        "in {passed:.1} s: weight 128 {light:.1} s, weight 256 {heavy:.1} s: 1 to {:.3}; cap 25 {capped:.1} s: {cap:.1} %",
        heavy / light
    );
    let is_fair = (heavy / light - 2.0).abs() <= 2.0 * WEIGHT_PERCENT / 100.0;
    let is_capped = (cap - 25.0).abs() <= CAP_PERCENT;
    let is_used = light + heavy + capped >= passed * 0.9;
    if is_fair && is_capped && is_used {
        Ok(said)
    } else {
        Err(Verdict::Fail(said))
    }
}
