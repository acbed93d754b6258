//! Where a port access of a guest goes, once the guest's own rules allow it.
//!
//! A domain without hardware has no ports: reads give ones, writes vanish, because its kernel pokes at the usual
//! ones while it boots. The domain that owns the hardware has all of them, but for those that the hypervisor uses
//! or watches. An access of several bytes may touch ports of both kinds and is then taken apart.

use super::insn::Width;

/// Who serves a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PortOwner {
    /// Nobody: ones are read, nothing is written.
    Nobody,
    /// The hardware.
    Hardware,
    /// Interrupt controllers: 0x20, 0x21, 0xA0, 0xA1.
    InterruptController,
    /// Interval timer: 0x40 to 0x43.
    IntervalTimer,
    /// Speaker and timer gate: 0x61.
    SpeakerControl,
    /// Real-time clock and its memory: 0x70, 0x71.
    RealTimeClock,
    /// PCI configuration address: four bytes at 0xCF8. (Single bytes there are something else.)
    PciAddress,
    /// PCI configuration data: 0xCFC to 0xCFF.
    PciData,
    /// The power-management timer, four bytes, wherever the firmware has put it.
    PowerManagementTimer,
}

/// Which ports a domain has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PortRights {
    /// None.
    None,
    /// Those of the domain that owns the hardware.
    Hardware {
        /// First port of the power-management timer.
        power_management_timer: Option<u16>,
    },
}

/// A part of an access that one owner serves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piece {
    /// Who serves it.
    pub owner: PortOwner,
    /// Its first port.
    pub port: u16,
    /// Its width: one, two or four bytes.
    pub width: Width,
    /// Where its lowest bit is in the value of the whole access.
    pub shift: u32,
}

impl PortRights {
    /// Takes an access of `width` at `port` apart. Ports beyond 0xFFFF belong to nobody.
    pub fn pieces(self, port: u16, width: Width) -> impl Iterator<Item = Piece> {
        let mut done = 0u32;
        let total = width.bytes() as u32;
        core::iter::from_fn(move || {
            let rest = total.checked_sub(done).filter(|rest| *rest > 0)?;
            let at = u32::from(port).saturating_add(done);
            let (owner, width) = match u16::try_from(at) {
                Ok(port) => self.piece(port, rest),
                Err(_) => (PortOwner::Nobody, Width::Byte),
            };
            let piece = Piece {
                owner,
                port: at as u16,
                width,
                shift: done.saturating_mul(8),
            };
            done = done.saturating_add(width.bytes() as u32);
            Some(piece)
        })
    }

    /// The owner of `port`, and how much of an access of `bytes` from there it serves at once.
    fn piece(self, port: u16, bytes: u32) -> (PortOwner, Width) {
        let Self::Hardware {
            power_management_timer,
        } = self
        else {
            return (PortOwner::Nobody, widest(bytes));
        };
        let end = u32::from(port).saturating_add(bytes);
        if port == 0xCF8 && bytes == 4 {
            return (PortOwner::PciAddress, Width::Dword);
        }
        match owner(port, power_management_timer) {
            owner @ (PortOwner::PciData | PortOwner::PowerManagementTimer) => {
                // As much as stays within the register.
                let start = if owner == PortOwner::PciData {
                    0xCFC
                } else {
                    power_management_timer.unwrap_or(port)
                };
                let within = u32::from(start)
                    .saturating_add(4)
                    .saturating_sub(u32::from(port));
                (owner, widest(bytes.min(within)))
            }
            PortOwner::Hardware => {
                let is_plain = (u32::from(port)..end).all(|at| {
                    u16::try_from(at)
                        .is_ok_and(|at| owner(at, power_management_timer) == PortOwner::Hardware)
                });
                (
                    PortOwner::Hardware,
                    if is_plain { widest(bytes) } else { Width::Byte },
                )
            }
            owner => (owner, Width::Byte),
        }
    }
}

fn owner(port: u16, power_management_timer: Option<u16>) -> PortOwner {
    match port {
        0x20 | 0x21 | 0xA0 | 0xA1 => PortOwner::InterruptController,
        0x40..=0x43 => PortOwner::IntervalTimer,
        0x61 => PortOwner::SpeakerControl,
        0x70 | 0x71 => PortOwner::RealTimeClock,
        0xCFC..=0xCFF => PortOwner::PciData,
        _ if power_management_timer.is_some_and(|first| port.wrapping_sub(first) < 4) => {
            PortOwner::PowerManagementTimer
        }
        _ => PortOwner::Hardware,
    }
}

/// What a command to the interval timer, port 0x43, is about (8254 data sheet).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimerCommand {
    /// Channel 2 alone: the one that drives the speaker, which the hypervisor leaves to the first domain.
    Channel2,
    /// Another channel, or several.
    Other,
}

/// What command `value` is about.
#[must_use]
pub const fn timer_command(value: u8) -> TimerCommand {
    // Bits 6 and 7 name the channel; 3 is "read back" of the channels in bits 1 to 3.
    match value >> 6 {
        2 => TimerCommand::Channel2,
        3 if value & 0b1110 == 0b1000 => TimerCommand::Channel2,
        _ => TimerCommand::Other,
    }
}

/// What goes into port 0x61, which holds `now`, when the first domain writes `wish`: timer gate and speaker, bits 0
/// and 1, are its own; the others mask parity and bus errors.
#[must_use]
pub const fn gate(now: u8, wish: u8) -> u8 {
    const OWN: u8 = 0b11;
    // Bits 4 to 7 are read-only.
    (now & 0b1100) | (wish & OWN)
}

/// The widest access of at most `bytes` bytes.
fn widest(bytes: u32) -> Width {
    match bytes {
        0 | 1 => Width::Byte,
        2 | 3 => Width::Word,
        _ => Width::Dword,
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const DOM0: PortRights = PortRights::Hardware {
        power_management_timer: Some(0x608),
    };

    fn pieces(rights: PortRights, port: u16, width: Width) -> Vec<(PortOwner, u16, Width, u32)> {
        rights
            .pieces(port, width)
            .map(|piece| (piece.owner, piece.port, piece.width, piece.shift))
            .collect()
    }

    #[test]
    fn only_commands_about_channel_2_alone_are_the_first_domains() {
        for value in 0..=u8::MAX {
            let channels = match value >> 6 {
                3 => value >> 1 & 7,
                channel => 1 << channel,
            };
            let expected = if channels == 0b100 {
                TimerCommand::Channel2
            } else {
                TimerCommand::Other
            };
            assert_eq!(timer_command(value), expected, "{value:#x}");
        }
    }

    #[test]
    fn only_gate_and_speaker_change() {
        assert_eq!(gate(0b1111_1100, 0b0000_0011), 0b0000_1111);
        assert_eq!(gate(0b0000_0011, 0b1111_1100), 0);
        assert_eq!(gate(0b0000_0100, 0b0000_1001), 0b0000_0101);
    }

    #[test]
    fn a_domain_without_hardware_has_no_ports() {
        for port in 0..=0xFFFF {
            for width in [Width::Byte, Width::Word, Width::Dword] {
                let owners: Vec<_> = PortRights::None
                    .pieces(port, width)
                    .map(|piece| piece.owner)
                    .collect();
                assert!(owners.iter().all(|owner| *owner == PortOwner::Nobody));
            }
        }
    }

    #[test]
    fn pieces_cover_the_access_exactly_and_stay_with_their_owner() {
        for port in 0..=0xFFFFu16 {
            for width in [Width::Byte, Width::Word, Width::Dword] {
                let mut next = 0;
                for piece in DOM0.pieces(port, width) {
                    assert_eq!(piece.shift, next * 8);
                    assert_eq!(piece.port, port.wrapping_add(next as u16));
                    if !matches!(piece.owner, PortOwner::Nobody | PortOwner::PciAddress) {
                        for at in 0..piece.width.bytes() as u16 {
                            assert_eq!(owner(piece.port + at, Some(0x608)), piece.owner);
                        }
                    }
                    next += piece.width.bytes() as u32;
                }
                assert_eq!(u64::from(next), width.bytes());
            }
        }
    }

    #[test]
    fn hardware_is_accessed_as_the_guest_does_it() {
        assert_eq!(
            pieces(DOM0, 0x3F8, Width::Byte),
            [(PortOwner::Hardware, 0x3F8, Width::Byte, 0)]
        );
        assert_eq!(
            pieces(DOM0, 0x1F0, Width::Dword),
            [(PortOwner::Hardware, 0x1F0, Width::Dword, 0)]
        );
        assert_eq!(
            pieces(DOM0, 0xCF9, Width::Byte),
            [(PortOwner::Hardware, 0xCF9, Width::Byte, 0)]
        );
        assert_eq!(
            pieces(DOM0, 0xFFFC, Width::Dword),
            [(PortOwner::Hardware, 0xFFFC, Width::Dword, 0)]
        );
    }

    #[test]
    fn configuration_space_is_watched() {
        assert_eq!(
            pieces(DOM0, 0xCF8, Width::Dword),
            [(PortOwner::PciAddress, 0xCF8, Width::Dword, 0)]
        );
        assert_eq!(
            pieces(DOM0, 0xCFC, Width::Dword),
            [(PortOwner::PciData, 0xCFC, Width::Dword, 0)]
        );
        assert_eq!(
            pieces(DOM0, 0xCFE, Width::Word),
            [(PortOwner::PciData, 0xCFE, Width::Word, 0)]
        );
        assert_eq!(
            pieces(DOM0, 0xCFA, Width::Dword),
            [
                (PortOwner::Hardware, 0xCFA, Width::Byte, 0),
                (PortOwner::Hardware, 0xCFB, Width::Byte, 8),
                (PortOwner::PciData, 0xCFC, Width::Word, 16),
            ]
        );
        assert_eq!(
            pieces(DOM0, 0xCFE, Width::Dword),
            [
                (PortOwner::PciData, 0xCFE, Width::Word, 0),
                (PortOwner::Hardware, 0xD00, Width::Word, 16),
            ]
        );
    }

    #[test]
    fn an_access_past_the_last_port_reaches_nobody() {
        assert_eq!(
            pieces(DOM0, 0xFFFF, Width::Word),
            [
                (PortOwner::Hardware, 0xFFFF, Width::Byte, 0),
                (PortOwner::Nobody, 0, Width::Byte, 8)
            ]
        );
    }

    #[test]
    fn the_hypervisors_devices_are_served_byte_by_byte() {
        assert_eq!(
            pieces(DOM0, 0x20, Width::Word),
            [
                (PortOwner::InterruptController, 0x20, Width::Byte, 0),
                (PortOwner::InterruptController, 0x21, Width::Byte, 8),
            ]
        );
        assert_eq!(
            pieces(DOM0, 0x43, Width::Byte),
            [(PortOwner::IntervalTimer, 0x43, Width::Byte, 0)]
        );
        assert_eq!(
            pieces(DOM0, 0x61, Width::Byte),
            [(PortOwner::SpeakerControl, 0x61, Width::Byte, 0)]
        );
        assert_eq!(
            pieces(DOM0, 0x71, Width::Byte),
            [(PortOwner::RealTimeClock, 0x71, Width::Byte, 0)]
        );
        assert_eq!(
            pieces(DOM0, 0x608, Width::Dword),
            [(PortOwner::PowerManagementTimer, 0x608, Width::Dword, 0)]
        );
    }
}
