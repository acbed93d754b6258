//! The executor on ports, strings and everything privileged, each instruction assembled for its test.

use super::execute_tests::{DONE, machine, run};
use super::insn::{Gpr, Width};
use super::machine::{DR6_SINGLE_STEP, Fault, Outcome, RFLAGS_DF, RFLAGS_RF, RFLAGS_TF, Stop};
use super::test_assembler::*;
use super::test_machine::*;
use crate::cpu_policy::cpuid::CpuidOrigin;
use iced_x86::code_asm::*;

#[test]
fn ports_are_read_into_the_low_part_of_rax() {
    let all = u64::MAX;
    let cases: [(Vec<u8>, u64, Event); 4] = [
        (
            assemble(|asm| asm.in_(al, 0x71)),
            all & !0xFF | 0xD4,
            Event::PortRead(0x71, Width::Byte),
        ),
        (
            assemble(|asm| asm.in_(ax, dx)),
            all & !0xFFFF | 0xC3D4,
            Event::PortRead(0xCF8, Width::Word),
        ),
        (
            assemble(|asm| asm.in_(eax, dx)),
            0xA1B2_C3D4,
            Event::PortRead(0xCF8, Width::Dword),
        ),
        // REX.W doesn't make it wider.
        (
            vec![0x48, 0xED],
            0xA1B2_C3D4,
            Event::PortRead(0xCF8, Width::Dword),
        ),
    ];
    for (code, expected, event) in cases {
        let mut machine = Machine::new(&code);
        machine.set(Gpr::Rax, all).set(Gpr::Rdx, 0xFFFF_0CF8);
        assert_eq!(run(&mut machine), DONE);
        assert_eq!((machine.gprs[0], machine.events), (expected, vec![event]));
        assert_eq!(machine.rip, CODE + code.len() as u64);
    }
}

#[test]
fn ports_are_written_from_the_low_part_of_rax() {
    let (mut machine, _) = machine(|asm| asm.out(0x80, ax));
    machine.set(Gpr::Rax, 0x1234_5678);
    machine.io_breakpoint = Some(0x80);
    assert_eq!(run(&mut machine), Outcome::Done { debug: 1 });
    assert_eq!(
        machine.events,
        [Event::PortWrite(0x80, Width::Word, 0x5678)]
    );
}

#[test]
fn string_output_counts_and_moves() {
    let (mut machine, end) = machine(|asm| asm.rep().outsw());
    machine.put(DATA, &[1, 2, 3, 4, 5, 6]);
    machine
        .set(Gpr::Rsi, DATA)
        .set(Gpr::Rcx, 3)
        .set(Gpr::Rdx, 0x3F8);
    assert_eq!(run(&mut machine), DONE);
    let written = [0x201, 0x403, 0x605].map(|value| Event::PortWrite(0x3F8, Width::Word, value));
    assert_eq!(machine.events, written);
    assert_eq!(
        (
            machine.gprs[Gpr::Rsi.number()],
            machine.gprs[Gpr::Rcx.number()],
            machine.rip
        ),
        (DATA + 6, 0, end)
    );
}

#[test]
fn string_input_goes_down_with_the_direction_flag() {
    let (mut machine, _) = machine(|asm| asm.rep().insd());
    machine.rflags |= RFLAGS_DF;
    machine
        .set(Gpr::Rdi, DATA + 4)
        .set(Gpr::Rcx, 2)
        .set(Gpr::Rdx, 7);
    assert_eq!(run(&mut machine), DONE);
    assert_eq!(machine.peek(DATA, Width::Qword), 0xA1B2_C3D4_A1B2_C3D5);
    assert_eq!(machine.gprs[Gpr::Rdi.number()], DATA - 4);
}

#[test]
fn a_count_of_zero_does_nothing() {
    let (mut machine, end) = machine(|asm| asm.rep().outsb());
    machine.set(Gpr::Rsi, 0x6666_0000);
    assert_eq!(run(&mut machine), DONE);
    assert_eq!((machine.rip, machine.events.len()), (end, 0));
    // A 32-bit count ignores the upper half, and leaves it where there is nothing to do.
    let mut machine = Machine::new(&[0x67, 0xF3, 0x6E]);
    machine.set(Gpr::Rcx, 0x1_0000_0000);
    assert_eq!(run(&mut machine), DONE);
    assert_eq!(machine.gprs[Gpr::Rcx.number()], 0x1_0000_0000);
}

#[test]
fn a_long_string_operation_stops_and_resumes() {
    let (mut machine, end) = machine(|asm| asm.rep().insb());
    machine.set(Gpr::Rcx, 1000).set(Gpr::Rdx, 5);
    let mut calls = 0;
    loop {
        let outcome = run(&mut machine);
        calls += 1;
        let done = DATA + 1000 - machine.gprs[Gpr::Rcx.number()];
        assert_eq!(machine.gprs[Gpr::Rdi.number()], done);
        if outcome == DONE {
            break;
        }
        assert_eq!((outcome, machine.rip), (Outcome::Retry, CODE));
        // An interrupt handler that returns here must not meet the instruction's breakpoint again.
        assert_ne!(machine.rflags & RFLAGS_RF, 0);
    }
    assert_eq!(
        (calls, machine.rip, machine.rflags & RFLAGS_RF),
        (8, end, 0)
    );
    assert_eq!(machine.events.len(), 1000);
}

#[test]
fn a_fault_in_the_middle_keeps_the_progress_and_reads_no_port_in_vain() {
    let (mut machine, _) = machine(|asm| asm.rep().insb());
    machine.pages.remove(&(DATA / PAGE + 1));
    machine
        .set(Gpr::Rdi, DATA + PAGE - 3)
        .set(Gpr::Rcx, 10)
        .set(Gpr::Rdx, 5);
    assert_eq!(
        run(&mut machine),
        Outcome::Inject(Fault::page(DATA + PAGE, WRITE_FAULT))
    );
    assert_eq!(
        (
            machine.gprs[Gpr::Rcx.number()],
            machine.gprs[Gpr::Rdi.number()]
        ),
        (7, DATA + PAGE)
    );
    assert_eq!((machine.events.len(), machine.rip), (3, CODE));
}

#[test]
fn string_operations_step_by_iteration() {
    let (mut machine, end) = machine(|asm| asm.rep().outsb());
    machine.rflags |= RFLAGS_TF;
    machine.set(Gpr::Rsi, DATA).set(Gpr::Rcx, 2);
    let stepped = Outcome::Done {
        debug: DR6_SINGLE_STEP,
    };
    assert_eq!(run(&mut machine), stepped);
    assert_eq!((machine.rip, machine.gprs[Gpr::Rcx.number()]), (CODE, 1));
    assert_eq!(run(&mut machine), stepped);
    assert_eq!((machine.rip, machine.gprs[Gpr::Rcx.number()]), (end, 0));
}

#[test]
fn an_io_breakpoint_interrupts_a_string_operation() {
    let (mut machine, _) = machine(|asm| asm.rep().outsb());
    machine.io_breakpoint = Some(5);
    machine
        .set(Gpr::Rsi, DATA)
        .set(Gpr::Rcx, 4)
        .set(Gpr::Rdx, 5);
    assert_eq!(run(&mut machine), Outcome::Done { debug: 1 });
    assert_eq!((machine.rip, machine.gprs[Gpr::Rcx.number()]), (CODE, 3));
}

#[test]
fn string_sources_may_be_overridden_and_destinations_not() {
    // MOVSB with a GS prefix.
    let mut machine = Machine::new(&[0x65, 0xA4]);
    machine.bases = [0, 0x100];
    machine.put(DATA + 0x100, &[9]);
    machine.set(Gpr::Rsi, DATA).set(Gpr::Rdi, DATA + PAGE);
    assert_eq!(run(&mut machine), DONE);
    assert_eq!(machine.peek(DATA + PAGE, Width::Byte), 9);
}

#[test]
fn addresses_of_32_bits_clear_the_upper_half_of_their_registers() {
    // STOSB with an address-size prefix.
    let mut machine = Machine::new(&[0x67, 0xAA]);
    machine
        .set(Gpr::Rdi, 0xDEAD_0000_0000_0000 | DATA)
        .set(Gpr::Rax, 0x42);
    assert_eq!(run(&mut machine), DONE);
    assert_eq!(
        (
            machine.peek(DATA, Width::Byte),
            machine.gprs[Gpr::Rdi.number()]
        ),
        (0x42, DATA + 1)
    );
}

#[test]
fn register_pairs_are_split_and_joined() {
    let (mut reader, _) = machine(|asm| asm.rdmsr());
    reader
        .set(Gpr::Rcx, 0xFFFF_FFFF_C000_0102)
        .set(Gpr::Rax, u64::MAX)
        .set(Gpr::Rdx, u64::MAX);
    assert_eq!(run(&mut reader), DONE);
    assert_eq!((reader.gprs[0], reader.gprs[2]), (0xC000_0102, 0x1234_5678));

    let (mut writer, _) = machine(|asm| asm.wrmsr());
    writer
        .set(Gpr::Rcx, 0x10)
        .set(Gpr::Rax, 0xAAAA_BBBB_0000_0001)
        .set(Gpr::Rdx, 0xCCCC_DDDD_0000_0002);
    assert_eq!(run(&mut writer), DONE);
    assert_eq!(writer.events, [Event::Msr(0x10, 0x2_0000_0001)]);

    let (mut clock, _) = machine(|asm| asm.rdtscp());
    assert_eq!(run(&mut clock), DONE);
    assert_eq!(
        (clock.gprs[0], clock.gprs[2], clock.gprs[1]),
        (0x89AB_CDEF, 0x0123_4567, 0xFFFF_0001)
    );

    let (mut xcr, _) = machine(|asm| asm.xgetbv());
    assert_eq!(run(&mut xcr), DONE);
    assert_eq!((xcr.gprs[0], xcr.gprs[2]), (0, 7));
    let (mut xcr, _) = machine(|asm| asm.xsetbv());
    xcr.set(Gpr::Rax, 7);
    assert_eq!(run(&mut xcr), DONE);
    assert_eq!(xcr.events, [Event::Xcr(0, 7)]);
}

#[test]
fn control_and_debug_registers_are_64_bits_wide() {
    let (mut reader, _) = machine(|asm| asm.mov(r15, cr4));
    assert_eq!(run(&mut reader), DONE);
    assert_eq!(reader.gprs[15], 0x1111_2222_8005_0035);
    let (mut reader, _) = machine(|asm| asm.mov(rbx, dr7));
    assert_eq!(run(&mut reader), DONE);
    assert_eq!(reader.gprs[Gpr::Rbx.number()], 0xD7);
    let (mut writer, _) = machine(|asm| asm.mov(cr8, rdi));
    assert_eq!(run(&mut writer), DONE);
    assert_eq!(writer.events, [Event::Cr(8, DATA)]);
    let (mut writer, _) = machine(|asm| asm.mov(dr3, rdi));
    assert_eq!(run(&mut writer), DONE);
    assert_eq!(writer.events, [Event::Dr(3, DATA)]);
}

#[test]
fn machine_status_word_is_the_low_part_of_cr0() {
    let (mut memory, _) = machine(|asm| asm.smsw(word_ptr(rdi)));
    assert_eq!(run(&mut memory), DONE);
    assert_eq!(memory.peek(DATA, Width::Qword), 0x31);
    let (mut register, _) = machine(|asm| asm.smsw(edi));
    assert_eq!(run(&mut register), DONE);
    assert_eq!(register.gprs[Gpr::Rdi.number()], 0x8005_0031);
    // Four bits are loaded; protection can't be left.
    let (mut load, _) = machine(|asm| asm.lmsw(ax));
    load.set(Gpr::Rax, 0xFFF8);
    assert_eq!(run(&mut load), DONE);
    assert_eq!(load.events, [Event::Cr(0, 0x1111_2222_8005_0039)]);
    let (mut load, _) = machine(|asm| asm.lmsw(word_ptr(rdi)));
    load.put(DATA, &[0x3]);
    assert_eq!(run(&mut load), DONE);
    assert_eq!(load.events, [Event::Cr(0, 0x1111_2222_8005_0033)]);
}

#[test]
fn the_rest_reaches_its_hook() {
    let (mut cpuid, end) = machine(|asm| asm.cpuid());
    cpuid.set(Gpr::Rax, 0xFFFF_FFFF_0000_0007).set(Gpr::Rcx, 1);
    assert_eq!(run(&mut cpuid), DONE);
    assert_eq!(cpuid.events, [Event::Cpuid(CpuidOrigin::Faulting, 7, 1)]);
    assert_eq!(
        (
            cpuid.gprs[0],
            cpuid.gprs[3],
            cpuid.gprs[1],
            cpuid.gprs[2],
            cpuid.rip
        ),
        (1, 2, 3, 4, end)
    );

    type Build = fn(&mut CodeAssembler) -> Result<(), iced_x86::IcedError>;
    let hooks: [(Build, &[Event]); 6] = [
        (|asm| asm.clts(), &[Event::ClearTs]),
        (|asm| asm.wbinvd(), &[Event::Caches]),
        (|asm| asm.invd(), &[Event::Caches]),
        (
            |asm| asm.invlpg(byte_ptr(rdi + 8)),
            &[Event::Invalidate(DATA + 8)],
        ),
        (|asm| asm.cli(), &[]),
        (|asm| asm.sti(), &[]),
    ];
    for (build, events) in hooks {
        let (mut machine, end) = machine(build);
        assert_eq!(run(&mut machine), DONE);
        assert_eq!((machine.events.as_slice(), machine.rip), (events, end));
    }
    let (mut halt, _) = machine(|asm| asm.hlt());
    assert_eq!(run(&mut halt), Outcome::NotHandled);
}

#[test]
fn a_refusal_leaves_everything_as_it_was() {
    type Build = fn(&mut CodeAssembler) -> Result<(), iced_x86::IcedError>;
    let forms: [Build; 16] = [
        |asm| asm.rdmsr(),
        |asm| asm.wrmsr(),
        |asm| asm.mov(rax, cr0),
        |asm| asm.mov(cr3, rax),
        |asm| asm.mov(rax, dr6),
        |asm| asm.mov(dr7, rax),
        |asm| asm.in_(eax, dx),
        |asm| asm.out(dx, al),
        |asm| asm.rep().insb(),
        |asm| asm.rep().outsb(),
        |asm| asm.rdtscp(),
        |asm| asm.rdtsc(),
        |asm| asm.cpuid(),
        |asm| asm.clts(),
        |asm| asm.xsetbv(),
        |asm| asm.smsw(word_ptr(rdi)),
    ];
    let refusals = [
        (
            Stop::Fault(Fault::INVALID_OPCODE),
            Outcome::Inject(Fault::INVALID_OPCODE),
        ),
        (Stop::Retry, Outcome::Retry),
        (Stop::Unhandleable, Outcome::NotHandled),
    ];
    for form in forms {
        for (stop, expected) in refusals {
            let (mut machine, _) = machine(form);
            machine.refusal = Some(stop);
            machine.set(Gpr::Rsi, DATA).set(Gpr::Rcx, 5);
            let before = machine.clone();
            assert_eq!(run(&mut machine), expected);
            assert_eq!(
                (machine.gprs, machine.rip, machine.rflags),
                (before.gprs, before.rip, before.rflags)
            );
            assert_eq!(
                (machine.pages, machine.events),
                (before.pages, before.events)
            );
        }
    }
}
