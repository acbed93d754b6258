//! String operations: bounded, resumable between iterations.

use super::insn::{Gpr, Insn, Op, Place, Width};
use super::machine::{GuestContext, InsnMachine, RFLAGS_DF, RFLAGS_RF, RFLAGS_TF, Stop};
use super::memory_op;
use super::operand::{self, Access};

/// Iterations of one call. Then the guest gets a chance to be interrupted, and traps again at once.
const MAX_ITERATIONS: u32 = 128;

/// What one iteration does with its two addresses.
///
/// A trait and not a closure, so that operations without a port need no machine with ports.
trait Iteration<C> {
    fn run(&mut self, cpu: &mut C, source: u64, destination: u64, width: Width)
    -> Result<(), Stop>;
}

struct Move;
impl<C: GuestContext> Iteration<C> for Move {
    fn run(
        &mut self,
        cpu: &mut C,
        source: u64,
        destination: u64,
        width: Width,
    ) -> Result<(), Stop> {
        let value = cpu.read(source, width)?;
        cpu.write(destination, width, value)
    }
}

struct Store;
impl<C: GuestContext> Iteration<C> for Store {
    fn run(
        &mut self,
        cpu: &mut C,
        _source: u64,
        destination: u64,
        width: Width,
    ) -> Result<(), Stop> {
        let value = cpu.gpr(Gpr::Rax) & width.mask();
        cpu.write(destination, width, value)
    }
}

/// `INS` and `OUTS`, with the debug events that their ports raise.
struct PortIo {
    port: u16,
    debug: u64,
}

struct Input<'a>(&'a mut PortIo);
impl<C: InsnMachine> Iteration<C> for Input<'_> {
    fn run(
        &mut self,
        cpu: &mut C,
        _source: u64,
        destination: u64,
        width: Width,
    ) -> Result<(), Stop> {
        // Reading a port may consume what it returns: first make sure that there is a place for it.
        cpu.probe_write(destination, width)?;
        let value = cpu.read_port(self.0.port, width)?;
        cpu.write(destination, width, u64::from(value))?;
        self.0.debug |= cpu.io_breakpoints(self.0.port, width);
        Ok(())
    }
}

struct Output<'a>(&'a mut PortIo);
impl<C: InsnMachine> Iteration<C> for Output<'_> {
    fn run(
        &mut self,
        cpu: &mut C,
        source: u64,
        _destination: u64,
        width: Width,
    ) -> Result<(), Stop> {
        let value = cpu.read(source, width)?;
        cpu.write_port(self.0.port, width, value as u32)?;
        self.0.debug |= cpu.io_breakpoints(self.0.port, width);
        Ok(())
    }
}

/// Executes `MOVS` or `STOS`.
pub(super) fn memory<C: GuestContext>(cpu: &mut C, insn: &Insn) -> Result<(), Stop> {
    match insn.op {
        Op::Movs => repeat(cpu, insn, &mut Move, |_| false),
        Op::Stos => repeat(cpu, insn, &mut Store, |_| false),
        _ => Err(Stop::Unhandleable),
    }
}

/// Executes `INS` or `OUTS`; returns the DR6 bits of the I/O breakpoints that were hit.
pub(super) fn port<C: InsnMachine>(cpu: &mut C, insn: &Insn) -> Result<u64, Stop> {
    let mut io = PortIo {
        port: cpu.gpr(Gpr::Rdx) as u16,
        debug: 0,
    };
    match insn.op {
        Op::Ins => repeat(cpu, insn, &mut Input(&mut io), |input| input.0.debug != 0)?,
        Op::Outs => repeat(cpu, insn, &mut Output(&mut io), |output| {
            output.0.debug != 0
        })?,
        _ => return Err(Stop::Unhandleable),
    }
    Ok(io.debug)
}

/// Runs iterations until the count is used up, an event is due, or the bound is reached.
///
/// An error after at least one iteration leaves that progress in the registers. It is reported as it is if
/// it is an exception; otherwise the guest executes the rest again and it comes up then as the first thing.
fn repeat<C: GuestContext, I: Iteration<C>>(
    cpu: &mut C,
    insn: &Insn,
    iteration: &mut I,
    is_event_due: impl Fn(&I) -> bool,
) -> Result<(), Stop> {
    let rflags = cpu.rflags();
    let address_width = if insn.is_address_32 {
        Width::Dword
    } else {
        Width::Qword
    };
    let step = if rflags & RFLAGS_DF == 0 {
        insn.width.bytes()
    } else {
        insn.width.bytes().wrapping_neg()
    };
    let mut done: u32 = 0;
    loop {
        let count = cpu.gpr(Gpr::Rcx) & address_width.mask();
        if insn.is_repeated && count == 0 {
            break;
        }
        if let Err(stop) = one(cpu, insn, iteration) {
            return match stop {
                Stop::Unhandleable if done > 0 => Err(Stop::Retry),
                stop => Err(stop),
            };
        }
        let moves_source = matches!(insn.op, Op::Movs | Op::Outs);
        let moves_destination = matches!(insn.op, Op::Movs | Op::Stos | Op::Ins);
        for (register, moves) in [(Gpr::Rsi, moves_source), (Gpr::Rdi, moves_destination)] {
            if moves {
                operand::set_gpr(
                    cpu,
                    register,
                    address_width,
                    cpu.gpr(register).wrapping_add(step),
                );
            }
        }
        if !insn.is_repeated {
            break;
        }
        operand::set_gpr(cpu, Gpr::Rcx, address_width, count.wrapping_sub(1));
        done = done.wrapping_add(1);
        if count == 1 {
            break;
        }
        // Progress is made, the instruction isn't complete: an instruction breakpoint on it has had its turn.
        cpu.set_rflags(rflags | RFLAGS_RF);
        if rflags & RFLAGS_TF != 0 || is_event_due(iteration) {
            return Ok(());
        }
        if done >= MAX_ITERATIONS {
            return Err(Stop::Retry);
        }
    }
    memory_op::finish(cpu, insn, rflags);
    Ok(())
}

/// One iteration at the addresses that the registers hold now.
fn one<C: GuestContext, I: Iteration<C>>(
    cpu: &mut C,
    insn: &Insn,
    iteration: &mut I,
) -> Result<(), Stop> {
    let source = match &insn.place {
        Place::Memory(place) => operand::address(cpu, insn, place, 0, insn.width, Access::Read)?,
        _ => 0,
    };
    let destination = match insn.op {
        Op::Outs => 0,
        _ => operand::string_destination(cpu, insn)?,
    };
    iteration.run(cpu, source, destination, insn.width)
}
