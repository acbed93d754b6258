//! The addresses of the interface that has the host's default route.

use std::net::Ipv4Addr;

/// Addresses as texts; empty where there is none.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Addresses {
    /// Of the interface.
    pub address: String,
    /// Its network's mask.
    pub mask: String,
    /// Where the route leads.
    pub gateway: String,
}

/// The addresses of the interface with the default route.
#[must_use]
pub(super) fn default_route() -> Addresses {
    let routes = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
    let Some((interface, gateway)) = default_of(&routes) else {
        return Addresses::default();
    };
    let (address, mask) = nix::ifaddrs::getifaddrs()
        .ok()
        .and_then(|mut all| {
            all.find_map(|one| {
                let address = one.address?.as_sockaddr_in()?.ip();
                let mask = one.netmask?.as_sockaddr_in()?.ip();
                (one.interface_name == interface).then(|| (address.to_string(), mask.to_string()))
            })
        })
        .unwrap_or_default();
    Addresses {
        address,
        mask,
        gateway: gateway.to_string(),
    }
}

/// The interface and the gateway of the kernel's default route.
fn default_of(routes: &str) -> Option<(String, Ipv4Addr)> {
    routes.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace();
        let (interface, destination, gateway) = (fields.next()?, fields.next()?, fields.next()?);
        let gateway = u32::from_str_radix(gateway, 16).ok()?;
        // The kernel prints the bytes of the address as a number of the processor's order.
        let gateway = Ipv4Addr::from(gateway.to_le_bytes());
        (destination == "00000000").then(|| (interface.to_owned(), gateway))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_route_is_found() {
        let table = "Iface\tDestination\tGateway \tFlags\n\
                     eth1\t0000000A\t00000000\t0001\n\
                     eth0\t00000000\t0102A8C0\t0003\n";
        assert_eq!(
            default_of(table),
            Some(("eth0".into(), Ipv4Addr::new(192, 168, 2, 1)))
        );
        assert_eq!(default_of("Iface\n"), None);
    }
}
