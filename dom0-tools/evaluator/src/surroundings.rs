//! What configuration files may know of the machine.

use std::net::Ipv4Addr;
use std::process::Command;

/// The kernel, as `os.uname()` has it: system, host, release, version, machine.
#[must_use]
pub(super) fn uname() -> [String; 5] {
    let text = |field: &std::ffi::OsStr| field.to_string_lossy().into_owned();
    match nix::sys::utsname::uname() {
        Ok(name) => [
            text(name.sysname()),
            text(name.nodename()),
            text(name.release()),
            text(name.version()),
            text(name.machine()),
        ],
        Err(_) => Default::default(),
    }
}

/// What a shell's command prints.
///
/// # Errors
///
/// The command can't be run.
pub(super) fn output_of(command: &str) -> std::io::Result<String> {
    let output = Command::new("/bin/sh").arg("-c").arg(command).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Address, network mask and router of an interface, or of the one that the default route leads to. What
/// there is not is empty.
#[must_use]
pub(super) fn interface(name: &str) -> [String; 3] {
    let routes = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
    let default = default_route(&routes);
    let name = match (name, &default) {
        ("defaultroute", Some((device, _))) => device.as_str(),
        (name, _) => name,
    };
    let gateway = default.as_ref().filter(|(device, _)| device == name);
    let gateway = gateway
        .map(|(_, router)| router.to_string())
        .unwrap_or_default();
    let (address, mask) = address(name);
    [address, mask, gateway]
}

/// Of the kernel's table of routes.
fn default_route(routes: &str) -> Option<(String, Ipv4Addr)> {
    routes.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [device, "00000000", router, ..] = fields.as_slice() else {
            return None;
        };
        let router = u32::from_str_radix(router, 16).ok()?;
        Some(((*device).to_owned(), Ipv4Addr::from(router.swap_bytes())))
    })
}

fn address(name: &str) -> (String, String) {
    let mut interfaces = nix::ifaddrs::getifaddrs().into_iter().flatten();
    let found = interfaces.find_map(|interface| {
        let address = interface.address.as_ref()?.as_sockaddr_in()?.ip();
        let mask = interface.netmask.as_ref()?.as_sockaddr_in()?.ip();
        (interface.interface_name == name).then(|| (address.to_string(), mask.to_string()))
    });
    found.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_route_is_found() {
        let routes = "Iface\tDestination\tGateway \tFlags\n\
                      eth1\t0000A8C0\t00000000\t0001\n\
                      eth0\t00000000\t0100000A\t0003\n";
        let router = Ipv4Addr::new(10, 0, 0, 1);
        assert_eq!(default_route(routes), Some(("eth0".into(), router)));
        assert_eq!(default_route(""), None);
    }

    #[test]
    fn interfaces_have_addresses() {
        let [address, mask, gateway] = interface("lo");
        assert!(
            (address.is_empty() && mask.is_empty())
                || (address == "127.0.0.1" && mask == "255.0.0.0")
        );
        assert_eq!(gateway, "");
        assert_eq!(interface("none such"), ["", "", ""].map(String::from));
    }
}
