//! Page-table stores: what the table sees, what the guest sees, and the frequent path against the general one.

use super::{EntryIndex, PageTable, emulate, frequent, general};
use crate::emulate::insn::{Gpr, Width};
use crate::emulate::machine::{
    DR6_SINGLE_STEP, Exchange, Fault, Outcome, RFLAGS_RF, RFLAGS_TF, Stop,
};
use crate::emulate::test_assembler::*;
use crate::emulate::test_machine::*;
use crate::emulate::test_random::Random;
use crate::test_cases::cases;
use guest_abi::ids::Vaddr;
use iced_x86::code_asm::*;

/// Where the table is mapped, read-only.
const TABLE: u64 = 0xFFFF_8880_0000_5000;
const ENTRY: u64 = 0x8000_0001_2345_6067;
const DONE: Outcome = Outcome::Done { debug: 0 };

#[derive(Clone, PartialEq, Eq, Debug)]
struct Table {
    entries: Vec<u64>,
    /// What was asked for, successful or not.
    updates: Vec<(usize, u64, u64)>,
    /// Bits that the processor sets in an entry after each of the next reads.
    interference: Vec<u64>,
    refusal: Option<Stop>,
}

impl Table {
    fn new() -> Self {
        Self {
            entries: vec![ENTRY; 512],
            updates: Vec::new(),
            interference: Vec::new(),
            refusal: None,
        }
    }
}

impl PageTable for Table {
    fn entry(&mut self, index: EntryIndex) -> Result<u64, Stop> {
        let entry = self.entries[index.get()];
        if let Some(bits) = self.interference.pop() {
            self.entries[index.get()] |= bits;
        }
        Ok(entry)
    }
    fn update(&mut self, index: EntryIndex, old: u64, new: u64) -> Result<Exchange, Stop> {
        self.updates.push((index.get(), old, new));
        if let Some(stop) = self.refusal {
            return Err(stop);
        }
        if self.entries[index.get()] != old {
            return Ok(Exchange::Changed);
        }
        self.entries[index.get()] = new;
        Ok(Exchange::Written)
    }
}

type Build = fn(&mut CodeAssembler) -> Result<(), iced_x86::IcedError>;

/// A guest about to execute one instruction with RDI at entry 5 and RSI at 0x1067.
fn guest(build: Build) -> Machine {
    let code = assemble(build);
    let mut machine = Machine::new(&code);
    machine
        .set(Gpr::Rdi, TABLE + 40)
        .set(Gpr::Rsi, 0x1067)
        .set(Gpr::Rax, ENTRY);
    machine
}

fn run(machine: &mut Machine, table: &mut Table) -> Outcome {
    emulate(machine, Vaddr(TABLE + 40), table)
}

#[test]
fn every_form_changes_its_entry() {
    let forms: [(Build, u64); 23] = [
        (|asm| asm.mov(qword_ptr(rdi), rsi), 0x1067),
        (|asm| asm.mov(qword_ptr(rdi), 0), 0),
        (|asm| asm.mov(qword_ptr(rdi), -2), -2i64 as u64),
        (
            |asm| asm.mov(dword_ptr(rdi + 4), esi),
            0x0000_1067_2345_6067,
        ),
        (|asm| asm.mov(byte_ptr(rdi + 7), 0), 0x0000_0001_2345_6067),
        (|asm| asm.mov(word_ptr(rdi + 2), si), 0x8000_0001_1067_6067),
        (|asm| asm.movnti(qword_ptr(rdi), rsi), 0x1067),
        (|asm| asm.xchg(qword_ptr(rdi), rsi), 0x1067),
        (|asm| asm.lock().and(qword_ptr(rdi), -3), ENTRY & !2),
        (
            |asm| asm.lock().and(byte_ptr(rdi), 0xFDu32 as i32 as i8 as i32),
            ENTRY & !2,
        ),
        (|asm| asm.lock().or(byte_ptr(rdi), 8), ENTRY | 8),
        (|asm| asm.lock().or(qword_ptr(rdi), rsi), ENTRY | 0x1067),
        (|asm| asm.xor(dword_ptr(rdi), esi), ENTRY ^ 0x1067),
        (|asm| asm.lock().btr(qword_ptr(rdi), 5), ENTRY & !0x20),
        (|asm| asm.lock().bts(qword_ptr(rdi), 3), ENTRY | 8),
        (|asm| asm.lock().btr(qword_ptr(rdi), rsi), ENTRY),
        (|asm| asm.btc(qword_ptr(rdi), 0), ENTRY & !1),
        (|asm| asm.lock().cmpxchg(qword_ptr(rdi), rsi), 0x1067),
        (|asm| asm.lock().xadd(qword_ptr(rdi), rsi), ENTRY + 0x1067),
        (|asm| asm.inc(qword_ptr(rdi)), ENTRY + 1),
        (|asm| asm.not(byte_ptr(rdi)), ENTRY ^ 0xFF),
        (|asm| asm.sub(qword_ptr(rdi), 0x1000), ENTRY - 0x1000),
        (|asm| asm.stosq(), ENTRY),
    ];
    for (form, expected) in forms {
        let mut machine = guest(form);
        machine.rflags |= RFLAGS_RF;
        let mut table = Table::new();
        let code = assemble(form);
        assert_eq!(run(&mut machine, &mut table), DONE, "{code:02x?}");
        // A bit number beyond 63 is a bit of another entry: 0x1067 is in entry 5 + 65.
        let (index, expected) = if code.ends_with(&[0x0F, 0xB3, 0x37]) {
            (70, ENTRY & !(1 << 39))
        } else {
            (5, expected)
        };
        assert_eq!(table.entries[index], expected, "{code:02x?}");
        let updates = if expected == ENTRY {
            vec![]
        } else {
            vec![(index, ENTRY, expected)]
        };
        assert_eq!(table.updates, updates, "{code:02x?}");
        assert_eq!(
            (machine.rip, machine.rflags & RFLAGS_RF),
            (CODE + code.len() as u64, 0)
        );
    }
}

#[test]
fn old_values_come_back_to_the_guest() {
    let mut machine = guest(|asm| asm.xchg(qword_ptr(rdi), rsi));
    assert_eq!(run(&mut machine, &mut Table::new()), DONE);
    assert_eq!(machine.gprs[Gpr::Rsi.number()], ENTRY);

    let mut machine = guest(|asm| asm.lock().cmpxchg(qword_ptr(rdi), rsi));
    machine.set(Gpr::Rax, 1);
    let mut table = Table::new();
    assert_eq!(run(&mut machine, &mut table), DONE);
    assert_eq!((machine.gprs[0], machine.rflags & 0x40), (ENTRY, 0));
    assert_eq!(table, Table::new());

    let mut machine = guest(|asm| asm.lock().btr(qword_ptr(rdi), 5));
    assert_eq!(run(&mut machine, &mut Table::new()), DONE);
    assert_eq!(machine.rflags & 1, 1);
}

#[test]
fn accessed_and_dirty_bits_set_meanwhile_are_not_lost() {
    let forms: [(Build, u64); 4] = [
        (
            |asm| asm.lock().and(byte_ptr(rdi), 0x7D),
            (ENTRY & !0x82) | 0x300,
        ),
        (|asm| asm.mov(byte_ptr(rdi), 0), (ENTRY & !0xFF) | 0x300),
        (|asm| asm.mov(qword_ptr(rdi), rsi), 0x1067),
        (
            |asm| asm.lock().xadd(qword_ptr(rdi), rsi),
            (ENTRY | 0x300) + 0x1067,
        ),
    ];
    for (form, expected) in forms {
        let mut machine = guest(form);
        let mut table = Table::new();
        table.interference = vec![0x200, 0x100];
        assert_eq!(run(&mut machine, &mut table), DONE);
        assert_eq!(table.entries[5], expected);
        assert!(table.updates.len() > 1);
    }
    let mut machine = guest(|asm| asm.xchg(qword_ptr(rdi), rsi));
    let mut table = Table::new();
    table.interference = vec![0x200, 0x100];
    assert_eq!(run(&mut machine, &mut table), DONE);
    assert_eq!(machine.gprs[Gpr::Rsi.number()], ENTRY | 0x300);
}

#[test]
fn an_entry_that_never_holds_still_gives_the_guest_another_try() {
    for form in [(|asm| asm.mov(qword_ptr(rdi), rsi)) as Build, |asm| {
        asm.lock().inc(qword_ptr(rdi))
    }] {
        let mut machine = guest(form);
        let mut table = Table::new();
        table.interference = (8..40).map(|bit| 1 << bit).collect();
        let before = machine.clone();
        assert_eq!(run(&mut machine, &mut table), Outcome::Retry);
        assert_eq!(
            (machine.rip, machine.gprs, machine.rflags),
            (CODE, before.gprs, before.rflags)
        );
    }
}

#[test]
fn a_refused_entry_is_the_guests_page_fault() {
    let forms: [Build; 6] = [
        |asm| asm.mov(qword_ptr(rdi), rsi),
        |asm| asm.xchg(qword_ptr(rdi), rsi),
        |asm| asm.lock().cmpxchg(qword_ptr(rdi), rsi),
        |asm| asm.lock().and(byte_ptr(rdi), 0x10),
        |asm| asm.lock().xadd(qword_ptr(rdi), rsi),
        |asm| asm.mov(dword_ptr(rdi + 4), esi),
    ];
    let refusals = [
        (Stop::Unhandleable, Outcome::NotHandled),
        (Stop::Retry, Outcome::Retry),
        (
            Stop::Fault(Fault::GENERAL_PROTECTION),
            Outcome::Inject(Fault::GENERAL_PROTECTION),
        ),
    ];
    for form in forms {
        for (stop, expected) in refusals {
            let mut machine = guest(form);
            let mut table = Table::new();
            table.refusal = Some(stop);
            let before = machine.clone();
            assert_eq!(run(&mut machine, &mut table), expected);
            assert_eq!(
                (machine.rip, machine.gprs, machine.rflags),
                (CODE, before.gprs, before.rflags)
            );
            assert_eq!(table.updates.len(), 1);
        }
    }
}

#[test]
fn what_is_not_a_store_to_one_entry_is_refused() {
    let forms: [(Build, u64); 12] = [
        // Across two entries, or not aligned.
        (|asm| asm.mov(qword_ptr(rdi), rsi), TABLE + 44),
        (|asm| asm.mov(qword_ptr(rdi), rsi), TABLE + 41),
        (|asm| asm.mov(dword_ptr(rdi), esi), TABLE + 42),
        (|asm| asm.mov(word_ptr(rdi), si), TABLE + 47),
        (|asm| asm.xchg(qword_ptr(rdi), rsi), TABLE + 4092),
        // Another page than the one that faulted.
        (|asm| asm.mov(qword_ptr(rdi), rsi), TABLE + 4096),
        (|asm| asm.mov(qword_ptr(rdi), rsi), TABLE - 8),
        (|asm| asm.lock().or(byte_ptr(rdi), 1), DATA),
        (|asm| asm.stosq(), DATA),
        // No store at all, or one that is not emulated.
        (|asm| asm.bt(qword_ptr(rdi), 5), TABLE + 40),
        (|asm| asm.mov(rsi, qword_ptr(rdi)), TABLE + 40),
        (|asm| asm.lock().cmpxchg16b(xmmword_ptr(rdi)), TABLE + 32),
    ];
    for (form, address) in forms {
        let mut machine = guest(form);
        machine.set(Gpr::Rdi, address);
        let before = machine.clone();
        let mut table = Table::new();
        assert_eq!(
            run(&mut machine, &mut table),
            Outcome::NotHandled,
            "{:02x?}",
            assemble(form)
        );
        assert_eq!(
            (machine.rip, machine.gprs, machine.pages),
            (CODE, before.gprs, before.pages)
        );
        assert_eq!(table, Table::new());
    }
}

#[test]
fn privileged_instructions_do_not_get_in_by_this_door() {
    for form in [
        (|asm| asm.cli()) as Build,
        |asm| asm.wrmsr(),
        |asm| asm.out(dx, al),
        |asm| asm.insb(),
    ] {
        let mut machine = guest(form);
        assert_eq!(run(&mut machine, &mut Table::new()), Outcome::NotHandled);
        assert_eq!(machine.events, []);
    }
}

#[test]
fn string_moves_read_elsewhere_and_stop_at_the_end_of_the_table() {
    let mut machine = guest(|asm| asm.rep().movsq());
    machine.put(DATA, &[7, 0, 0, 0, 0, 0, 0, 0, 8]);
    machine
        .set(Gpr::Rsi, DATA)
        .set(Gpr::Rdi, TABLE + 4096 - 16)
        .set(Gpr::Rcx, 5);
    let mut table = Table::new();
    assert_eq!(run(&mut machine, &mut table), Outcome::Retry);
    assert_eq!((table.entries[510], table.entries[511]), (7, 8));
    assert_eq!((machine.gprs[Gpr::Rcx.number()], machine.rip), (3, CODE));

    let mut faulting = guest(|asm| asm.movsq());
    faulting.set(Gpr::Rsi, 0x6000_0000);
    let expected = Outcome::Inject(Fault::page(0x6000_0000, READ_FAULT));
    assert_eq!(run(&mut faulting, &mut Table::new()), expected);
}

#[test]
fn single_step_is_reported() {
    for form in [(|asm| asm.mov(qword_ptr(rdi), rsi)) as Build, |asm| {
        asm.inc(qword_ptr(rdi))
    }] {
        let mut machine = guest(form);
        machine.rflags |= RFLAGS_TF;
        assert_eq!(
            run(&mut machine, &mut Table::new()),
            Outcome::Done {
                debug: DR6_SINGLE_STEP
            }
        );
    }
}

#[test]
fn code_at_the_end_of_a_page_is_left_to_the_general_path() {
    let code = assemble(|asm| asm.mov(qword_ptr(rdi), 0));
    for present in 1..=code.len() {
        let mut machine = guest(|asm| asm.nop());
        machine.rip = CODE + PAGE - present as u64;
        machine.put(machine.rip, &code[..present]);
        let expected = if present == code.len() {
            DONE
        } else {
            Outcome::Inject(Fault::page(CODE + PAGE, FETCH_FAULT))
        };
        assert_eq!(run(&mut machine, &mut Table::new()), expected);
    }
}

/// Bytes that are often one of the frequent encodings, or nearly.
fn nearly_frequent(random: &mut Random) -> Vec<u8> {
    let pick =
        |random: &mut Random, from: &[u8]| from[(random.next() % from.len() as u64) as usize];
    let is_rare = |random: &mut Random| random.one_in(12);
    let two_byte = random.one_in(2);
    let opcode = match (is_rare(random), two_byte) {
        (true, _) => random.next() as u8,
        (_, true) => pick(random, &[0xB1, 0xAB, 0xB3, 0xBA, 0xBA]),
        (_, false) => pick(random, &[0x89, 0x87, 0xC7, 0x80, 0x80]),
    };
    let number = match (is_rare(random), opcode) {
        (true, _) => random.next() as u8 & 7,
        (_, 0xC7) => 0,
        (_, 0x80) => pick(random, &[1, 4]),
        (_, 0xBA) => pick(random, &[5, 6]),
        _ => random.next() as u8 & 7,
    };
    let is_store = matches!(opcode, 0x89 | 0xC7);
    let mut code = Vec::new();
    if if is_store {
        is_rare(random)
    } else {
        !is_rare(random)
    } {
        code.push(0xF0);
    }
    if is_rare(random) {
        code.push(pick(random, &[0x66, 0x67, 0xF3, 0x65, 0x3E]));
    }
    if !is_rare(random) {
        let w = if is_rare(random) { 0 } else { 8 };
        code.push(0x40 | w | (random.next() as u8 & 7));
    }
    if two_byte {
        code.push(0x0F);
    }
    code.push(opcode);
    let mode = if is_rare(random) {
        random.next() as u8 & 0xC0
    } else {
        pick(random, &[0x00, 0x40])
    };
    code.push(mode | number << 3 | (random.next() as u8 & 7));
    let displacement = random.next() as u8;
    code.push(if is_rare(random) {
        displacement
    } else {
        displacement & 0xF8
    });
    code.extend(random.bytes());
    code.truncate(16);
    code
}

#[test]
fn the_frequent_path_does_what_the_general_one_does() {
    let mut random = Random::new(5);
    let mut taken = 0;
    let total = cases(20_000_u64);
    for _ in 0..total {
        let code = nearly_frequent(&mut random);
        let mut machine = Machine::new(&code);
        machine.rflags |= random.next() & 0x8D5;
        for register in Gpr::ALL {
            // Around an entry; a few bits as a bit number; the entry itself for comparisons.
            let value = match random.next() % 8 {
                0 => random.edgy(),
                1 => random.next() % 64,
                2 => ENTRY,
                3 => TABLE + 2048 + random.next() % 128,
                _ => TABLE + 2048 + 8 * (random.next() % 16),
            };
            machine.set(register, value);
        }
        let mut table = Table::new();
        if random.one_in(8) {
            table.interference = vec![1 << (random.next() % 64); (random.next() % 3) as usize];
        }
        if random.one_in(8) {
            table.refusal = Some(Stop::Unhandleable);
        }

        let (mut fast, mut fast_table) = (machine.clone(), table.clone());
        let page = TABLE / PAGE;
        let result = frequent::execute(&mut fast, page, &mut fast_table);
        let Some(result) = result else {
            // Nothing may have happened but a failed attempt.
            assert_eq!(
                (fast.rip, fast.gprs, fast.rflags),
                (machine.rip, machine.gprs, machine.rflags)
            );
            let interference = table.interference.last().copied().unwrap_or(0);
            let is_untouched = fast_table
                .entries
                .iter()
                .all(|entry| *entry | interference == ENTRY | interference);
            assert!(is_untouched);
            continue;
        };
        taken += 1;
        let (mut slow, mut slow_table) = (machine.clone(), table.clone());
        assert_eq!(
            general(&mut slow, page, &mut slow_table),
            result,
            "{code:02x?}"
        );
        assert_eq!(
            (slow.rip, slow.gprs, slow.rflags & !0x10),
            (fast.rip, fast.gprs, fast.rflags & !0x10),
            "{code:02x?}"
        );
        assert_eq!(slow_table, fast_table, "{code:02x?}");
    }
    assert!(taken > total / 8, "{taken} of {total}");
}

#[test]
fn the_frequent_path_takes_what_kernels_use() {
    let forms: [Build; 11] = [
        |asm| asm.mov(qword_ptr(rdi), rsi),
        |asm| asm.mov(qword_ptr(rdi), 0),
        |asm| asm.xchg(qword_ptr(rdi), rsi),
        |asm| asm.lock().and(byte_ptr(rdi), 0x7D),
        |asm| asm.lock().and(byte_ptr(rdi + 7), 0x7F),
        |asm| asm.lock().or(byte_ptr(rdi), 0x40),
        |asm| asm.lock().btr(qword_ptr(rdi), 5),
        |asm| asm.lock().bts(qword_ptr(rdi + 8), 5),
        |asm| asm.lock().btr(qword_ptr(rdi), rcx),
        |asm| asm.lock().cmpxchg(qword_ptr(rdi), rsi),
        |asm| asm.mov(qword_ptr(r8 + 16), r15),
    ];
    for form in forms {
        let mut machine = guest(form);
        machine.set(Gpr::R8, TABLE);
        let code = assemble(form);
        assert_eq!(
            frequent::execute(&mut machine, TABLE / PAGE, &mut Table::new()),
            Some(Ok(())),
            "{code:02x?}"
        );
    }
}

#[test]
fn entries_are_found_by_the_offset_in_the_page() {
    for address in [0, 7, 8, 4095, TABLE + 4088] {
        assert_eq!(
            EntryIndex::at(address).get() as u64,
            address % PAGE / Width::Qword.bytes()
        );
    }
}
