//! A guest of any state at an instruction of any bytes, by each of the three doors: #GP, #UD and a write to a page
//! table. Whatever happens, the emulator must not do what a processor would never do.
//!
//! The input is the guest: a byte for the door and the mode, one for the code size and privilege, registers (each a
//! byte that chooses what kind of value, and what that needs), then the instruction.

use hypervisor::cpu_policy;
use hypervisor::emulate::insn::{self, Width};
use hypervisor::emulate::machine::{self, CodeSegment, DataSegment, Exchange, Outcome, Stop};
use hypervisor::emulate::pte_write::{self, EntryIndex, PageTable};
use hypervisor::emulate::{alu, forced, privileged};
use test_machine::{CODE, DATA, Machine, PAGE};

#[path = "../../../hypervisor/src/emulate/test_machine.rs"]
#[allow(dead_code)]
mod test_machine;

/// Where the page table is mapped.
const TABLE: u64 = 0xFFFF_8880_0000_5000;

struct Table {
    entries: [u64; 512],
    /// What each update does: written, changed, refused.
    answers: u8,
}

impl PageTable for Table {
    fn entry(&mut self, index: EntryIndex) -> Result<u64, Stop> {
        Ok(self.entries[index.get()])
    }
    fn update(&mut self, index: EntryIndex, old: u64, new: u64) -> Result<Exchange, Stop> {
        let answer = self.answers & 3;
        self.answers = self.answers.rotate_right(2);
        match answer {
            0 | 1 => {
                assert_eq!(self.entries[index.get()], old);
                assert_ne!(old, new);
                self.entries[index.get()] = new;
                Ok(Exchange::Written)
            }
            2 => {
                self.entries[index.get()] ^= 0x20;
                Ok(Exchange::Changed)
            }
            _ => Err(Stop::Unhandleable),
        }
    }
}

/// Takes bytes off the input; zeros at its end.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let Some((byte, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *byte
    }

    fn quad(&mut self) -> u64 {
        u64::from_le_bytes([0; 8].map(|_: u8| self.byte()))
    }

    fn register(&mut self) -> u64 {
        let kind = self.byte();
        match kind >> 5 {
            0 => u64::from(kind),
            1 => u64::from(self.byte()),
            2 => DATA + u64::from(self.byte()),
            3 => DATA + 2 * PAGE - u64::from(self.byte()),
            4 => TABLE + 8 * u64::from(self.byte()),
            5 => TABLE + PAGE - u64::from(self.byte()),
            6 => u64::from(self.byte()).wrapping_neg(),
            _ => self.quad(),
        }
    }
}

fn guest(input: &mut Input<'_>) -> Machine {
    let mut machine = Machine::new(&[]);
    let choice = input.byte();
    if choice & 1 != 0 {
        machine.mode = cpu_policy::GuestMode::User;
    }
    machine.iopl = cpu_policy::iopl::Iopl::of_rflags(u64::from(choice) << 11);
    if choice & 8 != 0 {
        machine.code_segment = CodeSegment::Bits32 {
            base: 0,
            limit: CODE as u32 + u32::from(input.byte()),
        };
        let data = DataSegment {
            base: u32::from(input.byte()) << 12,
            limit: (input.quad() >> 30) as u32,
            is_readable: choice & 16 == 0,
            is_writable: choice & 32 == 0,
            is_expand_down: choice & 64 != 0,
            is_big: choice & 128 != 0,
        };
        for segment in 0..6 {
            machine.segments.insert(segment, data);
        }
    }
    machine.bases = [u64::from(input.byte()), input.register()];
    machine.rflags = 0x202 | (u64::from(input.byte()) << 4);
    for register in insn::Gpr::ALL {
        machine.gprs[register.number()] = input.register();
    }
    machine.io_bitmap = vec![input.byte(), input.byte()];
    machine.io_bitmap_ports = u32::from(input.byte());
    machine
        .pages
        .get_mut(&(DATA / PAGE + 1))
        .unwrap()
        .is_writable = choice & 4 != 0;
    // The instruction may run into the end of its page.
    let at_end = input.byte();
    machine.rip = if at_end < 16 {
        CODE + PAGE - u64::from(at_end)
    } else {
        CODE
    };
    let room = (CODE + PAGE - machine.rip).min(16) as usize;
    let code: Vec<u8> = (0..room).map(|_| input.byte()).collect();
    machine.put(machine.rip, &code);
    machine
}

pub fn run(input: &[u8]) {
    let mut input = Input(input);
    let door = input.byte();
    let before = guest(&mut input);
    let mut after = before.clone();
    let mut table = Table {
        entries: [0x8000_0001_2345_6067; 512],
        answers: input.byte(),
    };
    let outcome = match door % 3 {
        0 => privileged::emulate(&mut after),
        1 => forced::emulate(&mut after),
        _ => {
            let fault_address = guest_abi::ids::Vaddr(TABLE + u64::from(input.byte()) * 16);
            let outcome = pte_write::emulate(&mut after, fault_address, &mut table);
            // Other memory is only read by this door, and the machine is out of reach.
            assert_eq!(after.pages, before.pages);
            assert_eq!(after.events, []);
            outcome
        }
    };
    check(&before, &after, outcome);
}

fn check(before: &Machine, after: &Machine, outcome: Outcome) {
    const RF: u64 = machine::RFLAGS_RF;
    let length = after.rip.wrapping_sub(before.rip);
    let changed = |keep: &[usize]| {
        (0..16).any(|register| {
            !keep.contains(&register) && after.gprs[register] != before.gprs[register]
        })
    };
    assert_eq!(
        (after.rflags ^ before.rflags) & !(alu::ARITHMETIC_FLAGS | RF),
        0
    );
    // A repeated string operation that has been interrupted: RCX, RSI, RDI and RF.
    let is_partial = after.rflags & RF != 0;
    match outcome {
        Outcome::Done { debug } => {
            assert!(
                (1..=15).contains(&length) || (is_partial && debug != 0),
                "length {length}"
            );
            let stepping = before.rflags & machine::RFLAGS_TF != 0;
            assert_eq!(debug & machine::DR6_SINGLE_STEP != 0, stepping);
        }
        Outcome::Retry | Outcome::Inject(_) | Outcome::NotHandled => {
            assert_eq!(length, 0);
            assert!(!changed(if is_partial { &[1, 6, 7] } else { &[] }));
            assert_eq!(after.rflags & !RF, before.rflags & !RF);
            if !is_partial {
                assert_eq!(after.pages, before.pages);
                assert_eq!(after.events, before.events);
            }
        }
    }
    if let Outcome::Inject(fault) = outcome {
        assert!(matches!(fault.vector, 6 | 12 | 13 | 14));
        assert_eq!(fault.cr2.is_some(), fault.vector == 14);
    }
    // What user space does goes no further than ports and CPUID.
    if before.mode == cpu_policy::GuestMode::User {
        use test_machine::Event;
        let is_harmless = |event: &Event| {
            matches!(
                event,
                Event::Cpuid(..) | Event::PortRead(..) | Event::PortWrite(..)
            )
        };
        assert!(after.events.iter().all(is_harmless), "{:?}", after.events);
        let may = |port: u16, width: Width| {
            before.iopl.permits(before.mode)
                || (0..width.bytes() as u32).all(|byte| is_open(before, u32::from(port) + byte))
        };
        for event in &after.events {
            if let Event::PortRead(port, width) | Event::PortWrite(port, width, _) = *event {
                assert!(may(port, width), "{event:?}");
            }
        }
    }
}

/// Whether the guest kernel has opened a port to its user space.
fn is_open(guest: &Machine, port: u32) -> bool {
    let byte = guest.io_bitmap.get(port as usize / 8).copied();
    port < guest.io_bitmap_ports && byte.is_some_and(|byte| byte >> (port % 8) & 1 == 0)
}
