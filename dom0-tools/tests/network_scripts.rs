//! The scripts for networks, each test in a network, a `/run` and a store of its own: real bridges and routes, and pairs
//! of interfaces in place of cards and of guests'. Where such a thing can't be had that is said.

use std::cell::Cell;
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;

/// Makes that place; then follow the commands of a test.
const PLACE: &str = r#"
set -eu
mount -t sysfs sys /sys
mount -t tmpfs none /run
mkdir -p /run/bin /run/store
printf '#!/bin/sh\ncat "/run/store/${1##*/}"\n' >/run/bin/xenstore-read
printf '#!/bin/sh\nprintf "%%s" "$2" >"/run/store/${1##*/}"\n' >/run/bin/xenstore-write
chmod +x /run/bin/*
PATH=/run/bin:$PATH
ip link set lo up
ip link add br-probe type bridge && ip link del br-probe
# card NAME: one with the other side up.
card() { ip link add "$1" type veth peer name "far-$1" && ip link set "far-$1" up; }
# guest NAME NODE=VALUE...: its interface, and what its directory in the store says.
guest() {
    ip link add "$1" type veth peer name "its-$1"
    export vif=$1 XENBUS_PATH=backend/vif/1/0
    rm -f /run/store/*
    shift
    for node in "$@"; do printf '%s' "${node#*=}" >"/run/store/${node%%=*}"; done
}
run() { script=$1; shift; "$SCRIPTS/$script" "$@"; }
said() { echo "$(cat /run/store/hotplug-status): $(cat /run/store/hotplug-error 2>/dev/null)"; rm -f /run/store/hotplug-*; }
addresses() { ip -o -4 addr show dev "$1" | awk '{ print $4 }'; }
routes() { ip route show | sed 's/ *$//;s/ linkdown//' | sort; }
master() { basename "$(readlink "/sys/class/net/$1/master")"; }
echo ready
"#;

thread_local! {
    /// The test that runs in this thread has said so.
    static IS_SKIPPED: Cell<bool> = const { Cell::new(false) };
}

/// Says, once in a test and straight to the terminal, what is not tried: the test harness hides what a passing test prints.
fn skip(what: &str) {
    if IS_SKIPPED.replace(true) {
        return;
    }
    let note = format!("\n*** SKIPPED: {what}\n");
    let _ = io::stderr().write_all(note.as_bytes());
}

/// What the commands print; `None`: it can't be tried here.
fn lines(commands: &str) -> Option<Vec<String>> {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    let output = Command::new("unshare")
        .args(["--map-root-user", "--net", "--mount", "sh", "-c"])
        .arg(format!("{PLACE}{commands}"))
        .env("SCRIPTS", scripts)
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) => {
            skip(&format!(
                "scripts for networks are not tried: unshare: {error}"
            ));
            return None;
        }
    };
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    if lines.first().is_none_or(|line| line != "ready") {
        skip(&format!("scripts for networks are not tried: {errors}"));
        return None;
    }
    lines.remove(0);
    assert!(output.status.success(), "{lines:#?} {errors}");
    lines.extend(errors.lines().map(|line| format!("error: {line}")));
    Some(lines)
}

fn prints(commands: &str, wanted: &[&str]) {
    if let Some(lines) = lines(commands) {
        assert_eq!(lines, wanted, "{commands}");
    }
}

#[test]
fn a_bridge_takes_over_a_card_and_gives_it_back() {
    let there = "
        card eth0
        ip addr add 10.2.0.2/24 dev eth0 && ip link set eth0 up
        ip route add default via 10.2.0.1 && ip route add 10.7.0.0/16 via 10.2.0.9
        routes >/run/before; mac=$(cat /sys/class/net/eth0/address)
        ";
    let back = "
        routes | cmp - /run/before; addresses eth0
        ls /run/xen-hotplug
        ";
    prints(
        &format!(
            "{there}
            run network-bridge start
            [ $(cat /sys/class/net/eth0/address) = $mac ]
            routes | cmp - /run/before; addresses eth0; addresses peth0; master peth0
            run network-bridge start
            run network-bridge status | grep port
            run network-bridge stop
            {back}"
        ),
        &[
            "10.2.0.2/24",
            "eth0",
            "eth0 is there already",
            "port peth0",
            "10.2.0.2/24",
        ],
    );
    prints(
        &format!(
            "{there}
            run network-bridge start bridge=xenbr0 netdev=eth0
            routes | grep -c xenbr0; addresses xenbr0; addresses eth0; master eth0
            run network-bridge stop bridge=xenbr0
            {back}"
        ),
        &["3", "10.2.0.2/24", "xenbr0", "10.2.0.2/24"],
    );
}

#[test]
fn a_bridge_that_can_t_be_made_leaves_the_card_as_it_was() {
    prints(
        "
        card eth0
        ip addr add 10.2.0.2/24 dev eth0 && ip link set eth0 up
        printf '#!/bin/sh\\n[ \"$*\" != \"link set eth0 up\" ] || [ ! -e /sys/class/net/peth0 ] || exit 1
            exec $(PATH=${PATH#*:}; command -v ip) \"$@\"' >/run/bin/ip
        chmod +x /run/bin/ip
        run network-bridge start || echo status $?
        addresses eth0; ls -d /sys/class/net/*eth0; ls /run/xen-hotplug
        ",
        &[
            "status 1",
            "10.2.0.2/24",
            "/sys/class/net/eth0",
            "/sys/class/net/far-eth0",
            "error: network-bridge: ip link set eth0 up: it has failed",
        ],
    );
}

#[test]
fn bridges_without_a_card_and_those_of_others() {
    prints(
        "
        run network-bridge start netdev=none bridge=xenbr1
        ls /sys/class/net | grep xenbr; run network-bridge stop bridge=xenbr1
        ls /sys/class/net | grep xenbr || true
        ip link add mine type bridge
        run network-bridge start bridge=mine; run network-bridge stop bridge=mine
        ls /sys/class/net | grep mine
        run network-bridge start netdev=eth7 || echo status $?
        run network-bridge start netdev=none || echo status $?
        run network-bridge status bridge=none || echo status $?
        run network-bridge begin || echo status $?
        ",
        &[
            "xenbr1",
            "mine is there already",
            "mine",
            "status 1",
            "status 1",
            "there is no bridge none",
            "status 3",
            "status 2",
            "error: network-bridge: There is no network interface eth7: write netdev=NAME",
            "error: network-bridge: netdev=none needs a name: bridge=xenbr0",
            "error: network-bridge: 'begin' is neither start, stop nor status",
        ],
    );
}

#[test]
fn a_bridge_of_guests_has_no_address_but_its_own() {
    prints(
        "
        v6() { ip -o -6 addr show dev xenbr0 | wc -l; }
        run network-bridge start netdev=none bridge=xenbr0
        addresses xenbr0; v6; cat /proc/sys/net/ipv6/conf/xenbr0/accept_ra
        run network-bridge stop netdev=none bridge=xenbr0
        run network-bridge start netdev=none bridge=xenbr0 address=10.9.0.1/24
        addresses xenbr0; routes
        run network-bridge stop netdev=none bridge=xenbr0
        routes; ls /run/xen-hotplug
        run network-bridge start netdev=none bridge=xenbr0 address=10.9.0.256/24 2>/run/said || echo status $?
        cat /run/said | cut -d: -f1-2; ls /run/xen-hotplug; ls /sys/class/net | grep xenbr || true
        card eth0
        run network-bridge start netdev=eth0 address=10.9.0.1/24 || echo status $?
        ",
        &[
            "0",
            "0",
            "10.9.0.1/24",
            "10.9.0.0/24 dev xenbr0 proto kernel scope link src 10.9.0.1",
            "status 1",
            "network-bridge: ip addr add 10.9.0.256/24 dev xenbr0",
            "status 1",
            "error: network-bridge: address=10.9.0.1/24: the bridge has those of eth0; with netdev=none it has its own",
        ],
    );
}

#[test]
fn a_bridge_of_guests_that_others_use_is_theirs() {
    for (used, is_left) in [
        ("true", false),
        ("ip addr add 10.6.0.1/24 dev xenbr0", true),
        ("card eth0; ip link set eth0 master xenbr0", true),
        ("ip addr del 10.9.0.1/24 dev xenbr0", true),
    ] {
        let commands = format!(
            "
            run network-bridge start netdev=none bridge=xenbr0 address=10.9.0.1/24
            {used}
            run network-bridge stop netdev=none bridge=xenbr0
            ls /sys/class/net | grep xenbr || true
            ls /run/xen-hotplug
            run network-bridge stop netdev=none bridge=xenbr0
            "
        );
        let left: &[&str] = match is_left {
            true => &["xenbr0 has become others', and stays", "xenbr0"],
            false => &[],
        };
        prints(&commands, left);
    }
}

#[test]
fn a_guest_is_plugged_into_its_bridge() {
    prints(
        "
        guest vif1.0 mac=00:16:3e:00:00:01
        run vif-bridge online 2>/dev/null || said
        ip link add xenbr0 mtu 1400 type bridge; ip link add xenbr1 type bridge
        run vif-bridge online; said; master vif1.0; cat /sys/class/net/vif1.0/address /sys/class/net/vif1.0/mtu
        run vif-bridge offline; master vif1.0; run vif-bridge online bridge=xenbr1; master vif1.0
        guest vif2.0 mac=00:16:3e:00:00:01 bridge=xenbr1 vifname=etch
        run vif-bridge online bridge=xenbr0; said; master etch
        guest vif3.0 bridge=none
        run vif-bridge online 2>/dev/null || said
        guest vif4.0 vifname=etch
        run vif-bridge online 2>/dev/null || said
        ",
        &[
            "error: Could not find bridge, and none was specified",
            "connected: ",
            "xenbr0",
            "fe:ff:ff:ff:ff:ff",
            "1400",
            "",
            "xenbr1",
            "connected: ",
            "xenbr1",
            "error: Could not find bridge device none",
            "error: There is already an interface etch.",
        ],
    );
}

/// Whether there is `nft`, and a kernel that filters.
fn filters() -> bool {
    let said = lines("nft 'add table bridge t' && nft 'add table ip t' && echo filters");
    let is_so = said.is_some_and(|said| said.iter().any(|line| line == "filters"));
    if !is_so {
        skip("there is no nft here, or no kernel that filters");
    }
    is_so
}

/// Two places beside the first domain, with the other ends of interfaces. Who answers that nobody serves there is reached.
const OTHERS: &str = r#"
place() { ip netns add "$1" && ip link set "$2" netns "$1" && inside "$1" ip link set "$2" up; }
inside() { where=$1; shift; ip netns exec "$where" "$@"; }
reach() {
    if inside "$1" timeout 2 bash -c ": </dev/tcp/$2/9" 2>&1 | grep -q refused; then echo reached; else echo not reached; fi
}
"#;

#[test]
fn who_does_not_keep_to_its_addresses_reaches_nobody() {
    if !filters() {
        return;
    }
    let commands = "
        ip link add xenbr0 type bridge && ip addr add 10.9.0.1/24 dev xenbr0 && ip link set xenbr0 up
        ip addr add 10.7.0.1/24 dev xenbr0
        guest vif1.0 ip='10.9.0.2 10.9.0.5' bridge=xenbr0
        mac=$(cat /sys/class/net/its-vif1.0/address)
        echo $mac >/run/store/mac
        place g its-vif1.0
        inside g ip addr add 10.9.0.2/24 dev its-vif1.0; inside g ip addr add 10.7.0.2/24 dev its-vif1.0
        run vif-bridge online antispoof=yes; said
        reach g 10.9.0.1; reach g 10.7.0.1
        inside g ip link set its-vif1.0 address 00:16:3e:00:00:09; reach g 10.9.0.1
        inside g ip link set its-vif1.0 address $mac; reach g 10.9.0.1
        run vif-bridge offline; nft list tables | wc -l
        run vif-bridge online; reach g 10.7.0.1
        ";
    prints(
        &format!("{OTHERS}{commands}"),
        &[
            "connected: ",
            "reached",
            "not reached",
            "not reached",
            "reached",
            "0",
            "reached",
        ],
    );
}

#[test]
fn a_guest_leaves_behind_the_first_domains_address() {
    if !filters() {
        return;
    }
    let commands = "
        card eth0; place outside far-eth0
        ip addr add 10.5.0.1/24 dev eth0 && ip link set eth0 up
        inside outside ip addr add 10.5.0.2/24 dev far-eth0
        guest vif1.0 ip=10.8.0.2; place g its-vif1.0
        run vif-nat online; said
        inside g ip addr add 10.8.0.2/24 dev its-vif1.0
        inside g ip route add default via 10.8.0.129
        reach g 10.8.0.129; reach g 10.5.0.2
        run network-nat start netdev=eth0; reach g 10.5.0.2
        run network-nat start netdev=eth0; nft list ruleset | grep -c masquerade
        run network-nat status netdev=eth0 | grep -c masquerade
        inside g ip addr add 10.8.1.2/24 dev its-vif1.0; inside g ip addr del 10.8.0.2/24 dev its-vif1.0
        inside g ip route replace default via 10.8.0.129 dev its-vif1.0 onlink; reach g 10.5.0.2
        run network-nat stop netdev=eth0; nft list tables | wc -l
        ";
    prints(
        &format!("{OTHERS}{commands}"),
        &[
            "connected: ",
            "reached",
            "not reached",
            "reached",
            "1",
            "1",
            "not reached",
            "0",
        ],
    );
}

/// What is given to `nft`, which need not be here.
#[test]
fn a_guest_is_held_to_its_addresses() {
    prints(
        "
        ip link add xenbr0 type bridge
        guest vif1.0 mac=00:16:3e:00:00:01 ip='10.0.0.5 10.1.0.0/16 fd00::5'
        # It writes down what it is given.
        printf '#!/bin/sh\\n{ [ $1 = delete ] && echo $* || cat; } >>/run/nft' >/run/bin/nft; chmod +x /run/bin/nft
        run vif-bridge online; [ ! -e /run/nft ]
        run vif-bridge online antispoof=yes; said; grep -v delete /run/nft
        run vif-bridge offline; tail -n 1 /run/nft
        run network-bridge start netdev=none bridge=xenbr1 antispoof=yes
        guest vif2.0 mac=00:16:3e:00:00:02 bridge=xenbr1
        rm /run/nft; run vif-bridge online; grep saddr /run/nft
        guest vif3.0 ip='10.0.0.5;drop'
        run vif-bridge online antispoof=yes 2>/dev/null || said
        ",
        &[
            "connected: ",
            "table bridge guest-vif1.0 { chain from { type filter hook prerouting priority -300;",
            "iifname != vif1.0 accept",
            "ether saddr != 00:16:3e:00:00:01 drop",
            "ip saddr { 10.0.0.5, 10.1.0.0/16 } accept",
            "arp saddr ip { 10.0.0.5, 10.1.0.0/16, 0.0.0.0 } accept",
            "ip saddr 0.0.0.0 udp sport 68 udp dport 67 accept",
            "ip6 saddr { fd00::5, fe80::/10, :: } accept",
            "drop",
            "}",
            "}",
            "delete table bridge guest-vif1.0",
            "ether saddr != 00:16:3e:00:00:02 drop",
            "error: ip=10.0.0.5;drop: 10.0.0.5;drop is neither an address nor a network",
        ],
    );
}

#[test]
fn a_guest_is_routed() {
    prints(
        "
        guest vif1.0 ip='10.3.0.5 10.4.0.0/24'
        run vif-route online; said; routes
        cat /proc/sys/net/ipv4/conf/vif1.0/proxy_arp /proc/sys/net/ipv4/conf/vif1.0/rp_filter
        run vif-route offline; routes
        guest vif2.0
        run vif-route online 2>/dev/null || said
        ",
        &[
            "connected: ",
            "10.3.0.5 dev vif1.0 scope link",
            "10.4.0.0/24 dev vif1.0 scope link",
            "1",
            "1",
            "error: There is no address to route: write ip=ADDRESS in the guest's vif",
        ],
    );
}

#[test]
fn a_guest_has_a_network_of_its_own() {
    prints(
        "
        guest vif1.0 frontend-id=513 handle=1 mac=00:16:3e:00:00:01 domain=etch
        run vif-nat online; said; addresses vif1.0; routes
        run vif-nat offline; routes
        guest vif2.0 frontend-id=3 handle=0 ip='10.3.0.200 10.4.0.0/24'
        run vif-nat online; said; addresses vif2.0; routes
        guest vif3.0 frontend-id=3 handle=127
        run vif-nat online 2>/dev/null || said
        guest vif4.0 frontend-id=3 handle=0 ip=fd00::1
        run vif-nat online 2>/dev/null || said
        ",
        &[
            "connected: ",
            "10.2.1.129/32",
            "10.2.1.2 dev vif1.0 scope link src 10.2.1.129",
            "connected: ",
            "10.3.0.73/32",
            "10.3.0.200 dev vif2.0 scope link src 10.3.0.73",
            "10.4.0.0/24 dev vif2.0 scope link src 10.3.0.73",
            "error: interface 127 gets no address: write ip=ADDRESS in the guest's vif",
            "error: ip=fd00::1: the first has to be one like 10.0.0.5",
        ],
    );
}

#[test]
fn a_guest_gets_its_address_from_dhcpd() {
    prints(
        "
        mount -t tmpfs none /etc
        guest vif1.0 frontend-id=3 handle=0 mac=00:16:3e:00:00:01 domain=etch
        run vif-nat online dhcp=yes 2>/dev/null || said
        mkdir /etc/dhcp; printf '#!/bin/sh\\necho $* >>/run/services' >/run/bin/service; chmod +x /run/bin/service
        run vif-nat online dhcp=yes
        guest vif2.0 frontend-id=4 handle=1 mac=00:16:3e:00:00:02 domain=sarge
        run vif-nat online dhcp=yes; run vif-nat online dhcp=yes 2>/dev/null || true
        cat /etc/dhcp/guests.conf
        run vif-nat offline dhcp=yes
        wc -l </etc/dhcp/guests.conf; sort -u /run/services
        ",
        &[
            "error: dhcp=yes: there is no /etc/dhcp, and so no dhcpd",
            "host etch { hardware ethernet 00:16:3e:00:00:01; fixed-address 10.0.3.1; option routers 10.0.3.128; \
             option host-name \"etch\"; }",
            "host sarge-1 { hardware ethernet 00:16:3e:00:00:02; fixed-address 10.0.4.2; option routers 10.0.4.129; \
             option host-name \"sarge-1\"; }",
            "1",
            "isc-dhcp-server restart",
        ],
    );
}

#[test]
fn the_first_domain_becomes_a_router() {
    prints(
        "
        card eth0
        state() { cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf/eth0/proxy_arp | tr '\\n' ' '; }
        state
        run network-route start netdev=eth0; run network-route start netdev=eth0; state
        run network-route stop netdev=eth0; state
        printf '#!/bin/sh\\necho nft $* >>/run/nft' >/run/bin/nft; chmod +x /run/bin/nft
        run network-nat start netdev=eth0; state; run network-nat stop netdev=eth0; state
        echo; cat /run/nft
        printf '#!/bin/sh\\necho no such table >&2; exit 1' >/run/bin/nft
        run network-nat start netdev=eth0 || state
        run network-nat status netdev=eth0 >/dev/null || echo $?
        run network-route start netdev=eth9 || true
        ",
        &[
            "0 0 1 1 0 0 1 0 0 0 ",
            "nft delete table ip guests-eth0",
            "nft table ip guests-eth0 { chain leave { type nat hook postrouting priority 100; oifname eth0 masquerade; }; }",
            "nft delete table ip guests-eth0",
            "0 0 3",
            "error: network-nat: nft table ip guests-eth0 { chain leave { type nat hook postrouting priority 100; \
             oifname eth0 masquerade; }; }: no such table",
            "error: network-route: There is no network interface eth9: write netdev=NAME",
        ],
    );
}
