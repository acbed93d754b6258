//! The executor on instructions with a memory destination, each assembled for its test.

use super::insn::{CodeSize, Gpr, Segment, Width};
use super::machine::{
    CodeSegment, DR6_SINGLE_STEP, DataSegment, Fault, Outcome, RFLAGS_DF, RFLAGS_RF, RFLAGS_TF,
    Stop,
};
use super::test_assembler::*;
use super::test_machine::*;
use super::{execute, fetch};
use iced_x86::code_asm::*;

pub(super) const DONE: Outcome = Outcome::Done { debug: 0 };

pub(super) fn run(machine: &mut Machine) -> Outcome {
    fetch::with_instruction(machine, |machine, insn| Ok(execute::execute(machine, insn)))
        .unwrap_or_else(|stop| Outcome::of(Err(stop)))
}

/// A machine with RDI at the data, about to execute one instruction, and the instruction's end.
pub(super) fn machine(
    build: impl FnOnce(&mut CodeAssembler) -> Result<(), iced_x86::IcedError>,
) -> (Machine, u64) {
    let code = assemble(build);
    let mut machine = Machine::new(&code);
    machine.set(Gpr::Rdi, DATA);
    (machine, CODE + code.len() as u64)
}

#[test]
fn resume_flag_is_cleared_and_other_flags_stay() {
    let (mut machine, end) = machine(|asm| asm.mov(qword_ptr(rdi), rsi));
    machine.rflags = RFLAGS_RF | RFLAGS_DF | 0x20_3AD7;
    assert_eq!(run(&mut machine), DONE);
    assert_eq!((machine.rip, machine.rflags), (end, RFLAGS_DF | 0x20_3AD7));
}

#[test]
fn single_step_is_reported() {
    let (mut machine, end) = machine(|asm| asm.xchg(qword_ptr(rdi), rsi));
    machine.rflags |= RFLAGS_TF;
    assert_eq!(
        run(&mut machine),
        Outcome::Done {
            debug: DR6_SINGLE_STEP
        }
    );
    assert_eq!(machine.rip, end);
    assert_ne!(machine.rflags & RFLAGS_TF, 0);
}

#[test]
fn starts_over_when_memory_changes_between_read_and_write() {
    let (mut machine, end) = machine(|asm| asm.lock().xadd(qword_ptr(rdi), rsi));
    machine.set(Gpr::Rsi, 5).put(DATA, &[10]);
    // Another processor adds 100 once.
    machine.interference = Some(|machine, address| {
        let value = machine.peek(address, Width::Byte) as u8;
        machine.put(address, &[value + 100]);
        machine.interference = None;
    });
    assert_eq!(run(&mut machine), DONE);
    assert_eq!(machine.peek(DATA, Width::Qword), 115);
    assert_eq!(machine.gprs[Gpr::Rsi.number()], 110);
    assert_eq!(machine.rip, end);
}

#[test]
fn compares_again_when_memory_changes_between_read_and_write() {
    let (mut machine, _) = machine(|asm| asm.lock().cmpxchg(dword_ptr(rdi), esi));
    machine
        .set(Gpr::Rax, 0xFFFF_FFFF_0000_000A)
        .set(Gpr::Rsi, 5)
        .put(DATA, &[10]);
    machine.interference = Some(|machine, address| machine.put(address, &[11]));
    assert_eq!(run(&mut machine), DONE);
    // It is 11 now, so the comparison fails, and says so.
    assert_eq!(machine.peek(DATA, Width::Dword), 11);
    assert_eq!(machine.gprs[Gpr::Rax.number()], 11);
    assert_eq!(machine.rflags & 0x40, 0);
}

#[test]
fn gives_way_when_memory_never_stops_changing() {
    let (mut machine, _) = machine(|asm| asm.lock().inc(qword_ptr(rdi)));
    machine.interference = Some(|machine, address| {
        let value = machine.peek(address, Width::Byte) as u8;
        machine.put(address, &[value.wrapping_add(1)]);
    });
    let before = machine.gprs;
    assert_eq!(run(&mut machine), Outcome::Retry);
    assert_eq!(
        (machine.rip, machine.gprs, machine.rflags),
        (CODE, before, 0x202)
    );
}

#[test]
fn nothing_changes_when_the_write_faults() {
    type Build = fn(&mut CodeAssembler) -> Result<(), iced_x86::IcedError>;
    let forms: [Build; 8] = [
        |asm| asm.mov(qword_ptr(rdi), rsi),
        |asm| asm.xchg(qword_ptr(rdi), rsi),
        |asm| asm.lock().xadd(qword_ptr(rdi), rsi),
        |asm| asm.lock().cmpxchg(qword_ptr(rdi), rsi),
        |asm| asm.neg(qword_ptr(rdi)),
        |asm| asm.lock().bts(qword_ptr(rdi), 3),
        |asm| asm.stosq(),
        |asm| asm.rep().movsb(),
    ];
    for form in forms {
        let (mut machine, _) = machine(form);
        machine.pages.get_mut(&(DATA / PAGE)).unwrap().is_writable = false;
        machine.set(Gpr::Rsi, DATA + PAGE).set(Gpr::Rcx, 3);
        let before = machine.clone();
        assert_eq!(
            run(&mut machine),
            Outcome::Inject(Fault::page(DATA, WRITE_FAULT))
        );
        assert_eq!(
            (machine.rip, machine.gprs, machine.rflags),
            (before.rip, before.gprs, before.rflags)
        );
        assert_eq!(machine.pages, before.pages);
    }
}

#[test]
fn a_failed_comparison_still_needs_the_right_to_write() {
    let (mut machine, _) = machine(|asm| asm.lock().cmpxchg(qword_ptr(rdi), rsi));
    machine.set(Gpr::Rax, 1);
    machine.pages.get_mut(&(DATA / PAGE)).unwrap().is_writable = false;
    assert_eq!(
        run(&mut machine),
        Outcome::Inject(Fault::page(DATA, WRITE_FAULT))
    );
    assert_eq!(machine.gprs[Gpr::Rax.number()], 1);
}

#[test]
fn testing_a_bit_needs_no_right_to_write() {
    let (mut machine, _) = machine(|asm| asm.bt(qword_ptr(rdi), 9));
    machine.put(DATA, &[0, 2]);
    machine.pages.get_mut(&(DATA / PAGE)).unwrap().is_writable = false;
    assert_eq!(run(&mut machine), DONE);
    assert_eq!(machine.rflags & 1, 1);
}

#[test]
fn bit_numbers_in_registers_reach_beyond_the_operand() {
    for (number, at, mask) in [
        (64i64, 8i64, 1u8),
        (-1, -1, 0x80),
        (-64, -8, 1),
        (1000, 125, 1),
        (71, 8, 0x80),
    ] {
        let (mut machine, _) = machine(|asm| asm.lock().bts(qword_ptr(rdi), rsi));
        machine
            .set(Gpr::Rdi, DATA + 1024)
            .set(Gpr::Rsi, number as u64);
        assert_eq!(run(&mut machine), DONE);
        assert_eq!(
            machine.peek((DATA + 1024).wrapping_add_signed(at), Width::Byte),
            u64::from(mask),
            "{number}"
        );
    }
}

#[test]
fn addresses_that_are_not_canonical_raise_the_exception_of_their_segment() {
    let outside = 0x0000_8000_0000_0000;
    let (mut first, _) = machine(|asm| asm.mov(qword_ptr(rdi), rsi));
    first.set(Gpr::Rdi, outside - 7);
    assert_eq!(run(&mut first), Outcome::Inject(Fault::GENERAL_PROTECTION));
    let (mut second, _) = machine(|asm| asm.mov(qword_ptr(rbp), rsi));
    second.set(Gpr::Rbp, outside);
    assert_eq!(run(&mut second), Outcome::Inject(Fault::STACK_SEGMENT));
    // The last address that is canonical, and the top of the address space, are only not mapped.
    for address in [outside - 8, u64::MAX - 7, 0xFFFF_8000_0000_0000] {
        let (mut machine, _) = machine(|asm| asm.mov(qword_ptr(rdi), rsi));
        machine.set(Gpr::Rdi, address);
        assert_eq!(
            run(&mut machine),
            Outcome::Inject(Fault::page(address, WRITE_FAULT))
        );
    }
}

#[test]
fn segment_bases_are_added() {
    let (mut machine, _) = machine(|asm| asm.mov(qword_ptr(rdi).gs(), rsi));
    machine.set(Gpr::Rdi, 0x10).set(Gpr::Rsi, 0x77);
    machine.bases = [1, DATA];
    assert_eq!(run(&mut machine), DONE);
    assert_eq!(machine.peek(DATA + 0x10, Width::Qword), 0x77);
}

#[test]
fn fetching_across_a_page_names_the_first_missing_byte() {
    let code = assemble(|asm| asm.mov(qword_ptr(rdi + 0x1000), 0x1234_5678));
    for present in 1..code.len() as u64 {
        let mut machine = Machine::new(&[]);
        machine.rip = CODE + PAGE - present;
        machine.put(machine.rip, &code[..present as usize]);
        let before = machine.rip;
        assert_eq!(
            run(&mut machine),
            Outcome::Inject(Fault::page(CODE + PAGE, FETCH_FAULT))
        );
        assert_eq!(machine.rip, before);
    }
    // One that ends with the page is complete.
    let mut machine = Machine::new(&[]);
    machine.rip = CODE + PAGE - code.len() as u64;
    machine.put(machine.rip, &code);
    machine.set(Gpr::Rdi, DATA);
    assert_eq!(run(&mut machine), DONE);
    assert_eq!(machine.rip, CODE + PAGE);
}

#[test]
fn code_that_is_not_mapped_at_all_faults_at_its_first_byte() {
    let mut machine = Machine::new(&[]);
    machine.rip = 0x5000_0000;
    assert_eq!(
        run(&mut machine),
        Outcome::Inject(Fault::page(0x5000_0000, FETCH_FAULT))
    );
}

fn segment(base: u32, limit: u32) -> DataSegment {
    DataSegment {
        base,
        limit,
        is_readable: true,
        is_writable: true,
        is_expand_down: false,
        is_big: true,
    }
}

/// A 32-bit user process whose code and data segments begin at 0x1000.
fn machine_32(
    build: impl FnOnce(&mut CodeAssembler) -> Result<(), iced_x86::IcedError>,
) -> Machine {
    let code = assemble_for(CodeSize::Bits32, build);
    let mut machine = Machine::new(&code);
    machine.rip = 0xFFFF_FFFF_0000_0000 | (CODE - 0x1000);
    machine.code_segment = CodeSegment::Bits32 {
        base: 0x1000,
        limit: CODE as u32 + 0x100,
    };
    for number in [Segment::Es, Segment::Ss, Segment::Ds] {
        machine
            .segments
            .insert(number as u8, segment(0x1000, DATA as u32 - 0x1000 + 0xFF));
    }
    machine.set(Gpr::Rdi, 0xFFFF_FFFF_0000_0000 | (DATA - 0x1000));
    machine
}

#[test]
fn compatibility_code_has_bases_limits_and_32_bits() {
    let mut machine = machine_32(|asm| asm.mov(dword_ptr(edi), esi));
    machine.set(Gpr::Rsi, 0x1234_5678_9ABC_DEF0);
    assert_eq!(run(&mut machine), DONE);
    assert_eq!(machine.peek(DATA, Width::Qword), 0x9ABC_DEF0);
    assert_eq!(machine.rip, CODE - 0x1000 + 2);
}

#[test]
fn compatibility_code_is_held_to_its_segments() {
    let gp = Outcome::Inject(Fault::GENERAL_PROTECTION);
    let with = |change: &dyn Fn(&mut DataSegment)| {
        let mut machine = machine_32(|asm| asm.mov(dword_ptr(edi), esi));
        change(machine.segments.get_mut(&(Segment::Ds as u8)).unwrap());
        run(&mut machine)
    };
    let offset = DATA as u32 - 0x1000;
    assert_eq!(with(&|data| data.limit = offset + 3), DONE);
    assert_eq!(with(&|data| data.limit = offset + 2), gp);
    assert_eq!(with(&|data| data.is_writable = false), gp);
    let expand_down = |data: &mut DataSegment, limit| {
        data.is_expand_down = true;
        data.limit = limit;
    };
    assert_eq!(with(&|data| expand_down(data, offset - 1)), DONE);
    assert_eq!(with(&|data| expand_down(data, offset)), gp);
    let small = |data: &mut DataSegment| {
        expand_down(data, 0);
        data.is_big = false;
    };
    assert_eq!(with(&small), gp);

    let mut null = machine_32(|asm| asm.mov(dword_ptr(edi), esi));
    null.segments.clear();
    assert_eq!(run(&mut null), gp);
    let mut stack = machine_32(|asm| asm.mov(dword_ptr(esp), esi));
    stack.set(Gpr::Rsp, 0xFFFF_FFFE);
    assert_eq!(run(&mut stack), Outcome::Inject(Fault::STACK_SEGMENT));
}

#[test]
fn compatibility_code_may_not_run_off_its_segment() {
    let length = assemble_for(CodeSize::Bits32, |asm| asm.mov(dword_ptr(edi), 7)).len() as u32;
    for (limit, expected) in [
        (length - 1, DONE),
        (length - 2, Outcome::Inject(Fault::GENERAL_PROTECTION)),
        (0, Outcome::Inject(Fault::GENERAL_PROTECTION)),
    ] {
        let mut machine = machine_32(|asm| asm.mov(dword_ptr(edi), 7));
        let start = CODE as u32 - 0x1000;
        machine.code_segment = CodeSegment::Bits32 {
            base: 0x1000,
            limit: start.wrapping_add(limit),
        };
        assert_eq!(run(&mut machine), expected, "{limit}");
    }
    let mut reserved = machine_32(|asm| asm.cli());
    reserved.code_segment = CodeSegment::Unsupported;
    assert_eq!(run(&mut reserved), Outcome::NotHandled);
}

#[test]
fn a_descriptor_that_can_t_be_read_now_lets_the_guest_try_again() {
    let mut code = machine_32(|asm| asm.cli());
    code.code_segment = CodeSegment::NotNow;
    let mut data = machine_32(|asm| asm.mov(dword_ptr(edi), 7));
    data.refusal = Some(Stop::Retry);
    for mut machine in [code, data] {
        let start = machine.rip;
        assert_eq!(run(&mut machine), Outcome::Retry);
        assert_eq!(machine.rip, start);
    }
}
