//! Who may execute what: the table of the privileged-instruction handler, and marked `CPUID`.

use super::insn::{Gpr, Width};
use super::machine::{CodeSegment, DR6_SINGLE_STEP, Fault, Outcome, RFLAGS_TF};
use super::test_assembler::*;
use super::test_machine::*;
use super::{forced, privileged};
use crate::cpu_policy::GuestMode;
use crate::cpu_policy::control::CR4_TSD;
use crate::cpu_policy::cpuid::CpuidOrigin;
use crate::cpu_policy::iopl::Iopl;
use iced_x86::code_asm::*;

type Build = fn(&mut CodeAssembler) -> Result<(), iced_x86::IcedError>;
const DONE: Outcome = Outcome::Done { debug: 0 };

fn outcome(build: Build, mode: GuestMode, iopl: u32) -> Outcome {
    let mut machine = Machine::new(&assemble(build));
    machine.mode = mode;
    machine.iopl = Iopl::new(iopl).unwrap();
    machine.set(Gpr::Rdi, DATA).set(Gpr::Rsi, DATA);
    let outcome = privileged::emulate(&mut machine);
    if outcome == Outcome::NotHandled {
        assert_eq!((machine.rip, machine.events.len()), (CODE, 0));
    }
    outcome
}

#[test]
fn kernels_execute_privileged_instructions_and_users_do_not() {
    let forms: [Build; 15] = [
        |asm| asm.clts(),
        |asm| asm.mov(rax, cr0),
        |asm| asm.mov(cr0, rax),
        |asm| asm.mov(rax, cr2),
        |asm| asm.mov(cr3, rax),
        |asm| asm.mov(rax, cr4),
        |asm| asm.mov(rax, dr0),
        |asm| asm.mov(dr7, rax),
        |asm| asm.rdmsr(),
        |asm| asm.wrmsr(),
        |asm| asm.wbinvd(),
        |asm| asm.invd(),
        |asm| asm.xsetbv(),
        |asm| asm.lmsw(ax),
        |asm| asm.mov(cr4, rax),
    ];
    for form in forms {
        for iopl in 0..4 {
            assert_eq!(outcome(form, GuestMode::Kernel, iopl), DONE);
            assert_eq!(outcome(form, GuestMode::User, iopl), Outcome::NotHandled);
        }
    }
}

#[test]
fn what_traps_only_on_our_account_is_for_everyone() {
    let form: Build = |asm| asm.cpuid();
    assert_eq!(outcome(form, GuestMode::Kernel, 0), DONE);
    assert_eq!(outcome(form, GuestMode::User, 0), DONE);
}

#[test]
fn the_time_stamp_is_for_user_space_unless_its_kernel_forbids_it() {
    let forms: [Build; 2] = [|asm| asm.rdtsc(), |asm| asm.rdtscp()];
    for form in forms {
        for (mode, control, expected) in [
            (GuestMode::Kernel, 0, DONE),
            (GuestMode::Kernel, CR4_TSD, DONE),
            (GuestMode::User, !CR4_TSD, DONE),
            (GuestMode::User, CR4_TSD, Outcome::NotHandled),
        ] {
            let mut machine = Machine::new(&assemble(form));
            (machine.mode, machine.cr4) = (mode, control);
            assert_eq!(
                privileged::emulate(&mut machine),
                expected,
                "{mode:?} {control:#x}"
            );
        }
    }
}

#[test]
fn of_16_bit_code_what_is_the_same_there_is_emulated() {
    let run = |bytes: &[u8], limit: u32| {
        let mut machine = Machine::new(bytes);
        machine.code_segment = CodeSegment::Bits16 {
            base: CODE as u32,
            limit,
        };
        machine.rip = 0;
        (privileged::emulate(&mut machine), machine.rip)
    };
    // CPUID, the same with a prefix, RDTSC, RDTSCP.
    for bytes in [
        &[0x0f, 0xa2][..],
        &[0x66, 0x0f, 0xa2],
        &[0x0f, 0x31],
        &[0x0f, 0x01, 0xf9],
    ] {
        let length = bytes.len() as u64;
        assert_eq!(run(bytes, length as u32 - 1), (DONE, length), "{bytes:x?}");
        // The segment ends within it.
        let fault = Outcome::Inject(Fault::GENERAL_PROTECTION);
        assert_eq!(run(bytes, length as u32 - 2), (fault, 0), "{bytes:x?}");
    }
    // IN of AX or EAX, of which 16-bit code means the first; WBINVD; what is none.
    for bytes in [&[0xed][..], &[0x0f, 0x09], &[0x0f, 0xff]] {
        assert_eq!(run(bytes, 0xffff), (Outcome::NotHandled, 0), "{bytes:x?}");
    }
}

#[test]
fn of_16_bit_code_at_the_end_of_a_page_only_what_a_processor_fetches_is_missed() {
    // The next page is not there, or the segment ends with this one.
    let run = |bytes: &[u8], limit: u32| {
        let start = CODE + PAGE - bytes.len() as u64;
        let mut machine = Machine::new(&[]);
        machine.put(start, bytes);
        machine.code_segment = CodeSegment::Bits16 {
            base: CODE as u32,
            limit,
        };
        machine.rip = start - CODE;
        let outcome = privileged::emulate(&mut machine);
        assert!(machine.rip == start - CODE || outcome == DONE, "{bytes:x?}");
        outcome
    };
    let whole_page = PAGE as u32 - 1;
    let missing = Outcome::Inject(Fault::page(CODE + PAGE, FETCH_FAULT));
    let beyond = Outcome::Inject(Fault::GENERAL_PROTECTION);
    // All there.
    for bytes in [
        &[0x0f, 0xa2][..],
        &[0x2e, 0x66, 0x0f, 0x31],
        &[0x0f, 0x01, 0xf9],
    ] {
        assert_eq!(run(bytes, 0xffff), DONE, "{bytes:x?}");
    }
    // A byte more is needed, whatever it is.
    for bytes in [&[0x0f][..], &[0x66], &[0x67, 0x3e, 0x0f], &[0x0f, 0x01]] {
        assert_eq!(run(bytes, 0xffff), missing, "{bytes:x?}");
        assert_eq!(run(bytes, whole_page), beyond, "{bytes:x?}");
    }
    // 16-bit code has all of it, which would be longer as 32-bit code: MOV of a word to [BX+SI] by a number of two bytes, to [DI];
    // ADD to an address of two bytes; LMSW of one.
    for bytes in [
        &[0xc7, 0x00, 0x34, 0x12][..],
        &[0xc7, 0x05, 0x34, 0x12],
        &[0x01, 0x06, 0x34, 0x12],
        &[0x0f, 0x01, 0x36, 0x34, 0x12],
        &[0x66, 0xc7],
    ] {
        for limit in [0xffff, whole_page] {
            assert_eq!(run(bytes, limit), Outcome::NotHandled, "{bytes:x?}");
        }
    }
}

#[test]
fn of_16_bit_code_the_segment_alone_ends_what_is_fetched() {
    // It crosses 64 KiB, and so does the processor.
    let rip = 0xffff;
    let mut machine = Machine::new(&[0x0f, 0xa2]);
    machine.code_segment = CodeSegment::Bits16 {
        base: CODE as u32 - rip,
        limit: 0xf_ffff,
    };
    machine.rip = rip.into();
    assert_eq!(privileged::emulate(&mut machine), DONE);
    assert_eq!(machine.rip, 0x1_0001);
}

#[test]
fn what_is_not_offered_stays_a_protection_fault() {
    let forms: [Build; 12] = [
        |asm| asm.hlt(),
        |asm| asm.invlpg(byte_ptr(rdi)),
        |asm| asm.lgdt(dword_ptr(rdi)),
        |asm| asm.lidt(dword_ptr(rdi)),
        |asm| asm.lldt(ax),
        |asm| asm.ltr(ax),
        |asm| asm.swapgs(),
        |asm| asm.iretq(),
        |asm| asm.sysretq(),
        |asm| asm.smsw(rax),
        |asm| asm.mov(qword_ptr(rdi), rsi),
        |asm| asm.rep().movsb(),
    ];
    for form in forms {
        assert_eq!(outcome(form, GuestMode::Kernel, 3), Outcome::NotHandled);
    }
}

#[test]
fn io_privilege_level_decides_about_ports_and_interrupt_flag() {
    let forms: [Build; 6] = [
        |asm| asm.cli(),
        |asm| asm.sti(),
        |asm| asm.in_(al, 0x60),
        |asm| asm.out(dx, eax),
        |asm| asm.insb(),
        |asm| asm.outsd(),
    ];
    for form in forms {
        let handled = |mode| [0, 1, 2, 3].map(|iopl| outcome(form, mode, iopl) == DONE);
        assert_eq!(handled(GuestMode::Kernel), [false, true, true, true]);
        assert_eq!(handled(GuestMode::User), [false, false, false, true]);
    }
}

#[test]
fn bitmap_decides_where_the_level_does_not() {
    // Ports 0 to 23 by a bitmap of three bytes; every way to set ten bits around a byte boundary.
    for pattern in 0..1024u32 {
        let bits = 0xF_FFFF & !(0x3FF << 3) | pattern << 3;
        for width in [Width::Byte, Width::Word, Width::Dword] {
            for port in 0..24u16 {
                let mut machine = Machine::new(&[]);
                machine.mode = GuestMode::User;
                // There is more of it, and it allows everything, but it doesn't count.
                machine.io_bitmap = bits.to_le_bytes().to_vec();
                machine.io_bitmap_ports = 24;
                let last = u32::from(port) + width.bytes() as u32 - 1;
                let expected =
                    last < 24 && (u32::from(port)..=last).all(|port| bits & 1 << port == 0);
                assert_eq!(
                    privileged::may_access_ports(&mut machine, port, width),
                    expected,
                    "{bits:#b} {port} {width:?}"
                );
            }
        }
    }
}

#[test]
fn unreadable_bitmap_denies_only_its_own_ports() {
    let mut machine = Machine::new(&[]);
    machine.mode = GuestMode::User;
    machine.io_bitmap_ports = 65536;
    machine.io_bitmap = vec![0];
    let allowed =
        |machine: &mut Machine, port, width| privileged::may_access_ports(machine, port, width);
    assert!(allowed(&mut machine, 4, Width::Dword));
    assert!(!allowed(&mut machine, 5, Width::Dword));
    assert!(!allowed(&mut machine, 8, Width::Byte));
    machine.io_bitmap = vec![0; 8192];
    assert!(allowed(&mut machine, 0xFFFF, Width::Byte));
    // The access would wrap.
    assert!(!allowed(&mut machine, 0xFFFF, Width::Word));
}

#[test]
fn bitmap_applies_to_the_port_that_the_instruction_names() {
    let forms: [(Build, u16); 3] = [
        (|asm| asm.out(0x70, al), 0x70),
        (|asm| asm.out(dx, al), 0x80),
        (|asm| asm.rep().outsb(), 0x80),
    ];
    for (form, port) in forms {
        for open in [0x70, 0x80] {
            let mut machine = Machine::new(&assemble(form));
            machine.mode = GuestMode::User;
            machine.io_bitmap = vec![0xFF; 32];
            machine.io_bitmap[open / 8] = 0;
            machine.io_bitmap_ports = 256;
            machine
                .set(Gpr::Rdx, 0xABC0_0080)
                .set(Gpr::Rsi, DATA)
                .set(Gpr::Rcx, 1);
            let expected = if usize::from(port) == open {
                DONE
            } else {
                Outcome::NotHandled
            };
            assert_eq!(privileged::emulate(&mut machine), expected);
        }
    }
}

const MARKED: [u8; 7] = [0x0F, 0x0B, 0x78, 0x65, 0x6E, 0x0F, 0xA2];

#[test]
fn marked_cpuid_is_emulated_in_kernel_and_user() {
    for mode in [GuestMode::Kernel, GuestMode::User] {
        let mut machine = Machine::new(&MARKED);
        machine.mode = mode;
        machine.rflags |= RFLAGS_TF;
        machine.set(Gpr::Rax, 0x4000_0000).set(Gpr::Rcx, 9);
        assert_eq!(
            forced::emulate(&mut machine),
            Outcome::Done {
                debug: DR6_SINGLE_STEP
            }
        );
        assert_eq!(
            machine.events,
            [Event::Cpuid(CpuidOrigin::Forced, 0x4000_0000, 9)]
        );
        assert_eq!(
            (machine.rip, machine.gprs[0], machine.gprs[3]),
            (CODE + 7, 1, 2)
        );
    }
}

#[test]
fn every_other_byte_is_an_invalid_opcode() {
    for at in 0..MARKED.len() {
        for byte in 0..=255 {
            let mut code = MARKED;
            code[at] = byte;
            let expected = if code == MARKED {
                DONE
            } else {
                Outcome::NotHandled
            };
            assert_eq!(forced::emulate(&mut Machine::new(&code)), expected);
        }
    }
}

#[test]
fn a_mark_at_the_end_of_a_page_waits_for_the_next() {
    for present in 1..MARKED.len() {
        let mut machine = Machine::new(&[]);
        machine.rip = CODE + PAGE - present as u64;
        machine.put(machine.rip, &MARKED[..present]);
        let expected = Outcome::Inject(Fault::page(CODE + PAGE, FETCH_FAULT));
        assert_eq!(forced::emulate(&mut machine), expected);
        // What is there already tells: not a mark.
        machine.put(CODE + PAGE - 1, &[0xCC]);
        assert_eq!(forced::emulate(&mut machine), Outcome::NotHandled);
    }
}
