//! What the handler of #GP does with error code 0: privileged instructions and port I/O.
//!
//! | instruction | allowed |
//! |---|---|
//! | `CLI` `STI` | by the virtual I/O privilege level; they do nothing then |
//! | `IN` `OUT` `INS` `OUTS` | by the virtual I/O privilege level or the guest's permission bitmap |
//! | `CLTS` `MOV CR` `MOV DR` `RDMSR` `WRMSR` `WBINVD` `INVD` `XSETBV` `LMSW` | guest kernel |
//! | `CPUID` | always: it traps only when the hypervisor made it trap |
//! | `RDTSC` `RDTSCP` | guest kernel, and its user space unless the guest's CR4.TSD is set |
//! | `HLT` `INVLPG` and the rest | never: kernels use hypercalls |
//!
//! What an allowed instruction then does is the business of the [`InsnMachine`] hooks.

use super::execute::{self, port_number};
use super::fetch;
use super::insn::{Gpr, Insn, Op, Width};
use super::machine::{InsnMachine, Outcome, Stop};
use crate::cpu_policy::GuestMode;
use crate::cpu_policy::control::CR4_TSD;
use crate::cpu_policy::iopl::Iopl;

/// A virtual processor of a paravirtualized guest, trapped in ring 3.
pub trait PvCpu: InsnMachine {
    /// Whether it executes the guest's kernel or user space.
    fn mode(&self) -> GuestMode;
    /// The virtual I/O privilege level, as it counts for that.
    fn iopl(&self) -> Iopl;
    /// Number of ports that the guest's permission bitmap covers, 0 without a bitmap.
    fn io_bitmap_ports(&self) -> u32;
    /// A byte of the guest's permission bitmap, read through the kernel's page table; `None` if unreadable.
    fn io_bitmap_byte(&mut self, index: u32) -> Option<u8>;
}

/// Emulates the instruction at RIP, which raised #GP with error code 0.
pub fn emulate<P: PvCpu>(cpu: &mut P) -> Outcome {
    let result = fetch::with_instruction(cpu, |cpu, insn| {
        permit(cpu, insn)?;
        Ok(execute::execute(cpu, insn))
    });
    result.unwrap_or_else(|stop| Outcome::of(Err(stop)))
}

/// Whether the guest may execute `insn` where it is now.
fn permit<P: PvCpu>(cpu: &mut P, insn: &Insn) -> Result<(), Stop> {
    let is_permitted = match insn.op {
        Op::Cli | Op::Sti => cpu.iopl().permits(cpu.mode()),
        Op::In | Op::Out => {
            let port = port_number(cpu, insn);
            may_access_ports(cpu, port, insn.width)
        }
        Op::Ins | Op::Outs => {
            let port = cpu.gpr(Gpr::Rdx) as u16;
            may_access_ports(cpu, port, insn.width)
        }
        Op::Clts
        | Op::MovFromCr
        | Op::MovToCr
        | Op::MovFromDr
        | Op::MovToDr
        | Op::Rdmsr
        | Op::Wrmsr
        | Op::Wbinvd
        | Op::Invd
        | Op::Xsetbv
        | Op::Lmsw => cpu.mode() == GuestMode::Kernel,
        Op::Cpuid => true,
        Op::Rdtsc | Op::Rdtscp => cpu.mode() == GuestMode::Kernel || cpu.read_cr(4)? & CR4_TSD == 0,
        // These don't trap, or are not offered.
        Op::Smsw | Op::Xgetbv | Op::Hlt | Op::Invlpg => false,
        // A store raises #GP only for an address that is not canonical. Nothing to emulate.
        Op::Mov | Op::Modify(_) | Op::Movs | Op::Stos => false,
    };
    if is_permitted {
        Ok(())
    } else {
        Err(Stop::Unhandleable)
    }
}

/// Whether the guest's own rules let it access `width` bytes of ports from `port` on. (Whether the *domain* may
/// is asked by [`InsnMachine::read_port`] and [`InsnMachine::write_port`], and denied silently.)
pub fn may_access_ports<P: PvCpu>(cpu: &mut P, port: u16, width: Width) -> bool {
    if cpu.iopl().permits(cpu.mode()) {
        return true;
    }
    let first = u32::from(port);
    let end = first.saturating_add(width.bytes() as u32);
    if end > cpu.io_bitmap_ports() {
        return false;
    }
    let index = first >> 3;
    let shift = first & 7;
    // A byte that can't be read denies its eight ports.
    let low = u32::from(cpu.io_bitmap_byte(index).unwrap_or(0xFF));
    let spills = shift.wrapping_add(width.bytes() as u32) > 8;
    let high = if spills {
        u32::from(cpu.io_bitmap_byte(index.wrapping_add(1)).unwrap_or(0xFF))
    } else {
        0
    };
    let denied = ((high << 8) | low) >> shift;
    u64::from(denied) & (1u64.wrapping_shl(width.bytes() as u32).wrapping_sub(1)) == 0
}
