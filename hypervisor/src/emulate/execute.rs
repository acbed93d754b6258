//! Executing a decoded instruction on an [`InsnMachine`].

use super::insn::{Gpr, Insn, Op, Place, Source, Width};
use super::machine::{DR6_SINGLE_STEP, GuestContext, InsnMachine, Outcome, RFLAGS_TF, Stop};
use super::memory_op::{self, finish};
use super::operand::{self, Access};
use super::string;
use crate::cpu_policy::cpuid::CpuidOrigin;

/// CR0 bits that `LMSW` loads: PE, MP, EM, TS. It can't clear PE.
const MACHINE_STATUS: u64 = 0xF;
const CR0_PE: u64 = 1;

/// Executes `insn` and advances RIP past it.
///
/// Only arithmetic flags and RF change in RFLAGS. With RFLAGS.TF set before, the outcome says that a
/// single-step exception is due.
pub fn execute<M: InsnMachine>(machine: &mut M, insn: &Insn) -> Outcome {
    let stepping = single_step(machine);
    Outcome::of(dispatch(machine, insn).map(|debug| debug | stepping))
}

/// [`execute`] for instructions whose only effects are in memory and in registers, where there is no machine.
pub fn execute_memory<C: GuestContext>(cpu: &mut C, insn: &Insn) -> Outcome {
    let stepping = single_step(cpu);
    Outcome::of(memory(cpu, insn).map(|()| stepping))
}

/// The DR6 bit that is due when the instruction about to be executed is complete.
#[inline(always)]
pub(super) fn single_step<C: GuestContext>(cpu: &C) -> u64 {
    if cpu.rflags() & RFLAGS_TF != 0 {
        DR6_SINGLE_STEP
    } else {
        0
    }
}

fn dispatch<M: InsnMachine>(machine: &mut M, insn: &Insn) -> Result<u64, Stop> {
    match insn.op {
        Op::Ins | Op::Outs => return string::port(machine, insn),
        Op::In | Op::Out => {
            let debug = port(machine, insn)?;
            finish_plain(machine, insn);
            return Ok(debug);
        }
        Op::Mov | Op::Modify(_) | Op::Movs | Op::Stos => return memory(machine, insn).map(|()| 0),
        // Whether these are allowed is asked before; allowed, they do nothing: the virtual interrupt flag is
        // in memory that the guest shares.
        Op::Cli | Op::Sti => {}
        Op::Hlt => return Err(Stop::Unhandleable),
        Op::Clts => machine.clear_task_switched()?,
        Op::MovFromCr | Op::MovToCr | Op::MovFromDr | Op::MovToDr => {
            special_register(machine, insn)?
        }
        Op::Lmsw => load_machine_status(machine, insn)?,
        Op::Smsw => store_machine_status(machine, insn)?,
        Op::Rdmsr => {
            let value = machine.read_msr(machine.gpr(Gpr::Rcx) as u32)?;
            set_edx_eax(machine, value);
        }
        Op::Wrmsr => machine.write_msr(machine.gpr(Gpr::Rcx) as u32, edx_eax(machine))?,
        Op::Cpuid => cpuid(machine, CpuidOrigin::Faulting)?,
        Op::Rdtsc => {
            let value = machine.time_stamp()?;
            set_edx_eax(machine, value);
        }
        Op::Rdtscp => {
            let aux = machine.time_stamp_aux()?;
            let value = machine.time_stamp()?;
            set_edx_eax(machine, value);
            machine.set_gpr(Gpr::Rcx, u64::from(aux));
        }
        Op::Wbinvd | Op::Invd => machine.write_back_caches()?,
        Op::Xgetbv => {
            let value = machine.read_xcr(machine.gpr(Gpr::Rcx) as u32)?;
            set_edx_eax(machine, value);
        }
        Op::Xsetbv => machine.write_xcr(machine.gpr(Gpr::Rcx) as u32, edx_eax(machine))?,
        Op::Invlpg => {
            let Place::Memory(place) = &insn.place else {
                return Err(Stop::Unhandleable);
            };
            let address = operand::address(machine, insn, place, 0, Width::Byte, Access::Read)?;
            machine.invalidate_page(address)?;
        }
    }
    finish_plain(machine, insn);
    Ok(0)
}

/// Executes an instruction whose only effects are in memory and in registers.
#[inline(always)]
pub(super) fn memory<C: GuestContext>(cpu: &mut C, insn: &Insn) -> Result<(), Stop> {
    if matches!(insn.op, Op::Movs | Op::Stos) {
        return string::memory(cpu, insn);
    }
    match &insn.place {
        Place::Memory(destination) => memory_op::execute(cpu, insn, destination),
        _ => Err(Stop::Unhandleable),
    }
}

/// Everything of a `CPUID` but RIP.
pub(super) fn cpuid<M: InsnMachine>(machine: &mut M, origin: CpuidOrigin) -> Result<(), Stop> {
    let leaf = machine.cpuid(
        origin,
        machine.gpr(Gpr::Rax) as u32,
        machine.gpr(Gpr::Rcx) as u32,
    )?;
    machine.set_gpr(Gpr::Rax, u64::from(leaf.eax));
    machine.set_gpr(Gpr::Rbx, u64::from(leaf.ebx));
    machine.set_gpr(Gpr::Rcx, u64::from(leaf.ecx));
    machine.set_gpr(Gpr::Rdx, u64::from(leaf.edx));
    Ok(())
}

/// Completes an instruction that leaves the flags alone.
fn finish_plain<M: InsnMachine>(machine: &mut M, insn: &Insn) {
    let rflags = machine.rflags();
    finish(machine, insn, rflags);
}

/// The port that an `IN`, `OUT`, `INS` or `OUTS` names.
pub(super) fn port_number<C: GuestContext>(cpu: &C, insn: &Insn) -> u16 {
    match insn.source {
        Source::Immediate(port) => port as u16,
        _ => cpu.gpr(Gpr::Rdx) as u16,
    }
}

fn port<M: InsnMachine>(machine: &mut M, insn: &Insn) -> Result<u64, Stop> {
    let port = port_number(machine, insn);
    if matches!(insn.op, Op::In) {
        let value = machine.read_port(port, insn.width)?;
        operand::set_gpr(machine, Gpr::Rax, insn.width, u64::from(value));
    } else {
        let value = machine.gpr(Gpr::Rax) & insn.width.mask();
        machine.write_port(port, insn.width, value as u32)?;
    }
    Ok(machine.io_breakpoints(port, insn.width))
}

fn special_register<M: InsnMachine>(machine: &mut M, insn: &Insn) -> Result<(), Stop> {
    let (Source::Special(number), Place::Gpr(register)) = (insn.source, insn.place) else {
        return Err(Stop::Unhandleable);
    };
    let value = machine.gpr(register) & insn.width.mask();
    let read = match insn.op {
        Op::MovFromCr => machine.read_cr(number)?,
        Op::MovFromDr => machine.read_dr(number)?,
        Op::MovToCr => return machine.write_cr(number, value),
        Op::MovToDr => return machine.write_dr(number, value),
        _ => return Err(Stop::Unhandleable),
    };
    operand::set_gpr(machine, register, insn.width, read);
    Ok(())
}

fn load_machine_status<M: InsnMachine>(machine: &mut M, insn: &Insn) -> Result<(), Stop> {
    let status = match &insn.place {
        Place::Gpr(register) => machine.gpr(*register),
        Place::Memory(place) => {
            let address = operand::address(machine, insn, place, 0, Width::Word, Access::Read)?;
            machine.read(address, Width::Word)?
        }
        Place::None => return Err(Stop::Unhandleable),
    };
    let cr0 = machine.read_cr(0)?;
    let loaded = (cr0 & !MACHINE_STATUS) | (status & MACHINE_STATUS) | (cr0 & CR0_PE);
    machine.write_cr(0, loaded)
}

fn store_machine_status<M: InsnMachine>(machine: &mut M, insn: &Insn) -> Result<(), Stop> {
    let cr0 = machine.read_cr(0)?;
    match &insn.place {
        Place::Gpr(register) => operand::set_gpr(machine, *register, insn.width, cr0),
        Place::Memory(place) => {
            let address = operand::address(machine, insn, place, 0, Width::Word, Access::Write)?;
            machine.write(address, Width::Word, cr0 & Width::Word.mask())?;
        }
        Place::None => return Err(Stop::Unhandleable),
    }
    Ok(())
}

fn edx_eax<M: InsnMachine>(machine: &M) -> u64 {
    (machine.gpr(Gpr::Rdx) << 32) | (machine.gpr(Gpr::Rax) & Width::Dword.mask())
}

fn set_edx_eax<M: InsnMachine>(machine: &mut M, value: u64) {
    machine.set_gpr(Gpr::Rax, value & Width::Dword.mask());
    machine.set_gpr(Gpr::Rdx, value >> 32);
}
