//! `xm network-list` and `xm block-list`. A domain without such devices: nothing at all.

use crate::sxp::Sxp;
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// A network interface, as the store tells of it. What is not there is `None`: -1 or `??` for people.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct NetworkRow {
    /// The number of the interface.
    pub index: u32,
    /// Whose the backend is.
    pub backend_id: Option<u16>,
    /// Address.
    pub mac: Option<String>,
    /// The number of the interface, again.
    pub handle: Option<u32>,
    /// 1 initialising to 4 connected, 5 closing, 6 closed.
    pub state: Option<u32>,
    /// Of the frontend.
    pub event_channel: Option<u32>,
    /// Grant of what the guest sends.
    pub tx_ring_ref: Option<u32>,
    /// Grant of what the guest receives.
    pub rx_ring_ref: Option<u32>,
    /// Where the backend's part of the store is.
    pub backend: Option<String>,
}

/// A disk, as the store tells of it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct BlockRow {
    /// The number of the virtual device.
    pub virtual_device: u32,
    /// Whose the backend is.
    pub backend_id: Option<u16>,
    /// 1 initialising to 4 connected, 5 closing, 6 closed.
    pub state: Option<u32>,
    /// Of the frontend.
    pub event_channel: Option<u32>,
    /// Grant of the ring.
    pub ring_ref: Option<u32>,
    /// Where the backend's part of the store is.
    pub backend: Option<String>,
}

fn number<T: Into<i64>>(value: Option<T>) -> i64 {
    value.map_or(-1, Into::into)
}

fn text_or(value: &Option<String>) -> &str {
    value.as_deref().unwrap_or("??")
}

/// What `xm network-list` prints.
#[must_use]
pub fn network_list(rows: &[NetworkRow]) -> String {
    let mut text = String::new();
    for row in rows {
        if text.is_empty() {
            text.push_str("Idx BE     MAC Addr.     handle state evt-ch tx-/rx-ring-ref BE-path\n");
        }
        let _ = writeln!(
            text,
            "{:<3} {:<3}{:<17}    {:<3}   {:<3}    {:<3}   {:<5}/{:<5}   {:<30}  ",
            row.index,
            number(row.backend_id),
            text_or(&row.mac),
            number(row.handle),
            number(row.state),
            number(row.event_channel),
            number(row.tx_ring_ref),
            number(row.rx_ring_ref),
            text_or(&row.backend),
        );
    }
    text
}

/// What `xm block-list` prints.
#[must_use]
pub fn block_list(rows: &[BlockRow]) -> String {
    let mut text = String::new();
    for row in rows {
        if text.is_empty() {
            text.push_str("Vdev  BE handle state evt-ch ring-ref BE-path\n");
        }
        let _ = writeln!(
            text,
            "{:<5}  {:<3}  {:<3}   {:<3}    {:<3}    {:<5} {:<30}  ",
            row.virtual_device,
            number(row.backend_id),
            0, // disks have no handle but their number
            number(row.state),
            number(row.event_channel),
            number(row.ring_ref),
            text_or(&row.backend),
        );
    }
    text
}

/// What `xm network-list --long` or `block-list --long` prints of a device: its index, and its frontend's
/// directory in the store as names and values.
#[must_use]
pub fn device_long(index: u32, frontend: &[(String, String)]) -> String {
    let pair = |(name, value): &(String, String)| {
        Sxp::List(vec![Sxp::atom(name.as_str()), Sxp::atom(value.as_str())])
    };
    let directory = Sxp::List(frontend.iter().map(pair).collect());
    Sxp::List(vec![Sxp::atom(index), directory]).pretty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_as_programs_know_them() {
        let row = NetworkRow {
            index: 0,
            backend_id: Some(0),
            mac: Some("00:16:3e:11:22:33".into()),
            handle: Some(0),
            state: Some(4),
            event_channel: Some(9),
            tx_ring_ref: Some(768),
            rx_ring_ref: Some(769),
            backend: Some("/local/domain/0/backend/vif/3/0".into()),
        };
        let unknown = NetworkRow {
            index: 1,
            ..NetworkRow::default()
        };
        let expected = "\
Idx BE     MAC Addr.     handle state evt-ch tx-/rx-ring-ref BE-path
0   0  00:16:3e:11:22:33    0     4      9     768  /769     /local/domain/0/backend/vif/3/0  
1   -1 ??                   -1    -1     -1    -1   /-1      ??                              
";
        assert_eq!(network_list(&[row, unknown]), expected);
        assert_eq!(network_list(&[]), "");
    }

    #[test]
    fn disks_are_as_programs_know_them() {
        let row = BlockRow {
            virtual_device: 51714,
            backend_id: Some(0),
            state: Some(4),
            event_channel: Some(8),
            ring_ref: Some(770),
            backend: Some("/local/domain/0/backend/vbd/3/51714".into()),
        };
        let expected = "\
Vdev  BE handle state evt-ch ring-ref BE-path
51714  0    0     4      8      770   /local/domain/0/backend/vbd/3/51714  
";
        assert_eq!(block_list(&[row]), expected);
        assert_eq!(block_list(&[]), "");
    }

    #[test]
    fn long_lists_are_the_frontends_directory() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let text = device_long(
            0,
            &[
                pair("backend-id", "0"),
                pair("mac", "00:16:3e:11:22:33"),
                pair("backend", "/local/domain/0/backend/vif/3/0"),
                pair("state", "4"),
            ],
        );
        let expected = "\
(0
    ((backend-id 0)
        (mac 00:16:3e:11:22:33)
        (backend /local/domain/0/backend/vif/3/0)
        (state 4)
    )
)
";
        assert_eq!(text, expected);
        assert_eq!(device_long(2, &[pair("state", "6")]), "(2 ((state 6)))\n");
    }
}
