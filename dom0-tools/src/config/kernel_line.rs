//! The kernel's command line, put together from the options that speak of it.

/// The options, as they are written.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Parts {
    /// `extra`.
    pub extra: String,
    /// `root`.
    pub root: String,
    /// `ip`.
    pub ip: String,
    /// `gateway`.
    pub gateway: String,
    /// `netmask`.
    pub netmask: String,
    /// `hostname`.
    pub hostname: String,
    /// `interface`; empty for the default.
    pub interface: String,
    /// `dhcp`; empty for the default.
    pub dhcp: String,
    /// `nfs_server`.
    pub nfs_server: String,
    /// `nfs_root`.
    pub nfs_root: String,
}

const NO_SERVER: &str = "127.0.255.255";

/// Puts the line together.
///
/// # Errors
///
/// A sentence, if the options contradict each other.
pub fn compose(parts: &Parts) -> Result<String, String> {
    let mut extra = parts.extra.clone();
    if !parts.nfs_root.is_empty() {
        if parts.nfs_server.is_empty() {
            return Err("Must set nfs root and nfs server".to_owned());
        }
        extra = format!("nfsroot={}:{} {extra}", parts.nfs_server, parts.nfs_root);
    }
    let or = |text: &str, default: &str| {
        if text.is_empty() {
            default.to_owned()
        } else {
            text.to_owned()
        }
    };
    let dhcp = or(&parts.dhcp, "off");
    let has_word = |text: &str, word: &str| text.split_whitespace().any(|w| w.starts_with(word));
    let mut line = extra;
    if (!parts.ip.is_empty() || dhcp != "off") && !has_word(&line, "ip=") {
        let address = [
            parts.ip.strip_prefix("ip=").unwrap_or(&parts.ip).to_owned(),
            or(&parts.nfs_server, NO_SERVER),
            parts.gateway.clone(),
            parts.netmask.clone(),
            parts.hostname.clone(),
            or(&parts.interface, "eth0"),
            dhcp,
        ];
        line = format!("ip={} {line}", address.join(":"));
    }
    if !parts.root.is_empty() && !has_word(&line, "root=") {
        let root = parts.root.strip_prefix("root=").unwrap_or(&parts.root);
        line = format!("root={root} {line}");
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(change: impl FnOnce(&mut Parts)) -> Result<String, String> {
        let mut parts = Parts::default();
        change(&mut parts);
        compose(&parts)
    }

    #[test]
    fn the_line_is_put_together() {
        assert_eq!(line(|_| {}), Ok(String::new()));
        assert_eq!(
            line(|parts| parts.root = "/dev/xvda2 ro".into()),
            Ok("root=/dev/xvda2 ro ".into())
        );
        let full = line(|parts| {
            parts.root = "root=/dev/nfs".into();
            parts.ip = "10.0.0.5".into();
            parts.gateway = "10.0.0.1".into();
            parts.netmask = "255.255.255.0".into();
            parts.hostname = "etch".into();
            parts.nfs_server = "10.0.0.2".into();
            parts.nfs_root = "/srv/etch".into();
            parts.extra = "quiet".into();
        });
        assert_eq!(
            full.as_deref(),
            Ok(
                "root=/dev/nfs ip=10.0.0.5:10.0.0.2:10.0.0.1:255.255.255.0:etch:eth0:off nfsroot=10.0.0.2:/srv/etch quiet"
            )
        );
        assert_eq!(
            line(|parts| parts.dhcp = "dhcp".into()).as_deref(),
            Ok("ip=:127.0.255.255::::eth0:dhcp ")
        );
        assert_eq!(
            line(|parts| {
                parts.root = "/dev/xvda1".into();
                parts.extra = "root=/dev/xvdb ip=1.2.3.4".into();
                parts.ip = "9.9.9.9".into();
            })
            .as_deref(),
            Ok("root=/dev/xvdb ip=1.2.3.4")
        );
    }

    #[test]
    fn a_root_by_network_needs_a_server() {
        assert_eq!(
            line(|parts| parts.nfs_root = "/srv".into()),
            Err("Must set nfs root and nfs server".into())
        );
    }
}
