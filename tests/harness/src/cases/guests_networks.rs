//! Networks of several guests: what is sent arrives, by bridges, routes, and through a guest that is a gateway.

use super::Extent;
use super::guests::{GUEST_LIMIT, GUEST_PROMPT, case, leave};
use super::guests_devices::{
    TRANSFER_LIMIT, create_of, in_guest, must_be_same, no_device_is_left, prepare, sum_of,
};
use super::manual::recipe;
use super::shell::Shell;
use crate::suite::Case;
use crate::verdict::Verdict;

const GATEWAY: &str = "### A guest as gateway between two bridges";
const ROUTED: &str = "### A guest that is routed";
const HIDDEN: &str = "### Guests behind the first domain's address";
/// What guests send to each other, in bytes.
const SENT: u64 = 8 << 20;

/// All cases: with several guests, which take long to start.
pub fn cases(extent: Extent) -> Vec<Case> {
    match extent {
        Extent::AllPairs => Vec::new(),
        Extent::WholeProduct => vec![
            case("gateway", 2, gateway),
            case("route", 1, route),
            case("own-network", 1, own_network),
        ],
    }
}

/// Enters a guest's console, which has been left.
fn enter(shell: &mut Shell, guest: &str) -> Result<(), Verdict> {
    shell.send(&format!("xm console {guest}\n\n"))?;
    shell.must_ask(GUEST_PROMPT, GUEST_LIMIT)
}

/// Makes a file to be sent, serves it, and returns its checksum.
fn serve(shell: &mut Shell) -> Result<String, Verdict> {
    in_guest(shell, &format!("head -c {SENT} /dev/urandom >/tmp/f"))?;
    in_guest(shell, "httpd -h /tmp")?;
    sum_of(&in_guest(shell, "md5sum /tmp/f")?)
}

/// The manual's three guests: what one sends reaches the one on the other bridge, through the third.
fn gateway(shell: &mut Shell) -> Result<(), Verdict> {
    shell.output("stty columns 250")?;
    shell.output("state() { ls /sys/class/net /sys/bus/xen-backend/devices; }")?;
    shell.output("state >/tmp/before")?;
    let [first, in_guests @ ..] = recipe::<4>(GATEWAY)?;
    let lines: String = first.iter().map(|line| format!("{line}\n")).collect();
    shell.output("set -e")?;
    shell.send(&lines)?;
    shell.output_within("set +e", GUEST_LIMIT * 3)?;
    let guests = ["gateway", "left", "right"];
    for (guest, commands) in guests.iter().zip(&in_guests) {
        enter(shell, guest)?;
        in_guest(shell, "stty columns 250")?;
        for command in commands {
            in_guest(shell, command)?;
        }
        if *guest == "right" {
            in_guest(shell, "ping -c 2 10.1.0.2 >/tmp/ping")?;
        }
        leave(shell)?;
    }
    enter(shell, "right")?;
    let sent = serve(shell)?;
    leave(shell)?;
    enter(shell, "left")?;
    let fetch = "wget -q -O - http://10.2.0.2/f | md5sum";
    must_be_same(
        "what came through the gateway",
        &sent,
        &sum_of(&in_guest(shell, fetch)?)?,
    )?;
    // One hop less than what is sent to a neighbour.
    in_guest(shell, "ping -c 2 10.2.0.2 | grep -q ttl=63")?;
    // On the first domain's bridge, though not in its network.
    in_guest(shell, "ip addr add 10.9.0.2/24 dev eth0")?;
    let own = serve(shell)?;
    leave(shell)?;
    let fetch = "wget -q -O - http://10.9.0.2/f | md5sum";
    must_be_same(
        "what the first domain received",
        &own,
        &sum_of(&shell.output_within(fetch, TRANSFER_LIMIT)?)?,
    )?;
    // Nobody else leads to the other bridge.
    enter(shell, "gateway")?;
    let fetch = "wget -q -O - http://10.1.0.2/f | md5sum";
    must_be_same(
        "what a neighbour received",
        &own,
        &sum_of(&in_guest(shell, fetch)?)?,
    )?;
    in_guest(shell, "echo 0 >/proc/sys/net/ipv4/ip_forward")?;
    leave(shell)?;
    enter(shell, "left")?;
    in_guest(shell, "! ping -c 1 -W 3 10.2.0.2 >/tmp/ping")?;
    leave(shell)?;
    shell.output("for g in gateway left right; do xm destroy $g; done")?;
    shell.output("ip link del xenbr1")?;
    no_device_is_left(shell)
}

/// What is for the guest is routed to it.
fn route(shell: &mut Shell) -> Result<(), Verdict> {
    prepare(shell)?;
    let [configuration, commands] = recipe(ROUTED)?;
    shell.output(&format!("with routed \"{}\"", configuration.join(";")))?;
    create_of(shell, "routed")?;
    for command in &commands {
        in_guest(shell, command)?;
    }
    // The first domain's address on its bridge.
    in_guest(shell, "ping -c 3 10.9.0.1 >/tmp/ping")?;
    // From another address nothing is taken.
    in_guest(shell, "ip addr add 10.8.1.2/24 dev eth0")?;
    in_guest(shell, "! ping -c 1 -W 3 -I 10.8.1.2 10.9.0.1 >/tmp/ping")?;
    leave(shell)?;
    shell.must_print("ip route | grep -c '^10.8.0.2 dev vif'", "1")?;
    shell.output("xm destroy demo")?;
    shell.must_print("ip route | grep -c 10.8.0.2; true", "0")?;
    shell.output("with bad \"vif=['script=vif-route']\"")?;
    let lines = shell.output("xm create -q /tmp/bad 2>&1 || true")?;
    let told = "Error: Device 0 (vif) could not be connected. There is no address to route";
    if !lines.iter().any(|line| line.starts_with(told)) {
        return Err(Verdict::Fail(format!("without an address: {lines:?}")));
    }
    no_device_is_left(shell)
}

/// The manual's guest whose router is the first domain, and one whose address is made of its number.
fn own_network(shell: &mut Shell) -> Result<(), Verdict> {
    prepare(shell)?;
    let [configuration, commands] = recipe(HIDDEN)?;
    shell.output(&format!("with nat \"{}\"", configuration.join(";")))?;
    create_of(shell, "nat")?;
    for command in &commands {
        in_guest(shell, command)?;
    }
    // The router's own address, and one of its others.
    for address in ["10.8.0.129", "10.9.0.1"] {
        in_guest(shell, &format!("ping -c 2 {address} >/tmp/ping"))?;
    }
    in_guest(shell, "ip addr add 10.8.1.2/24 dev eth0")?;
    in_guest(shell, "! ping -c 1 -W 3 -I 10.8.1.2 10.9.0.1 >/tmp/ping")?;
    leave(shell)?;
    shell.output("xm destroy demo")?;
    shell.output("with nat \"vif=['script=vif-nat']\"")?;
    create_of(shell, "nat")?;
    leave(shell)?;
    shell.output("id=$(xm domid demo)")?;
    shell.must_print(
        "ip addr show dev vif$id.0 | awk '/inet / { print $2 }'",
        "10.0.2.128/32",
    )?;
    enter(shell, "demo")?;
    in_guest(shell, "ip addr add 10.0.2.1/16 dev eth0")?;
    in_guest(shell, "ip link set eth0 up")?;
    in_guest(shell, "ping -c 2 10.0.2.128 >/tmp/ping")?;
    leave(shell)?;
    // The setting's script, with nothing to hide guests behind.
    shell.output("echo \"(network-script 'network-nat netdev=xenbr0')\" >/tmp/c")?;
    shell.output("cat /tmp/c >>/etc/xen/xend-config.sxp; xend restart")?;
    shell.must_print(
        "xm log | grep -c 'There is neither nft nor iptables here'",
        "1",
    )?;
    shell.output("sed -i s/network-nat/network-route/ /etc/xen/xend-config.sxp")?;
    shell.output("xend restart")?;
    shell.must_print("cat /proc/sys/net/ipv4/ip_forward", "1")?;
    shell.output("xm destroy demo; xend stop")?;
    shell.must_print("cat /proc/sys/net/ipv4/ip_forward", "0")?;
    shell.output("xend start")?;
    no_device_is_left(shell)
}
