//! What emulating a page-table store costs, in instructions.
//!
//! ```text
//! cargo build --profile hypervisor --example emulate_cost
//! for form in mov mov-imm xchg lock-btr lock-and lock-cmpxchg mov-indexed lock-xadd; do
//!     valgrind --tool=callgrind --callgrind-out-file=/dev/null --toggle-collect='*measured*' \
//!         target/hypervisor/examples/emulate_cost $form 2>&1 | grep Collected
//! done
//! ```
//!
//! Divide by [`ROUNDS`]. Counted are fetch, decode and execute; the page table here accepts every entry.

use guest_abi::ids::Vaddr;
use hypervisor::emulate::insn::Segment;
use hypervisor::emulate::machine::{CodeSegment, DataSegment, ShortFetch};
use hypervisor::emulate::pte_write::{self, EntryIndex, PageTable};
use hypervisor::emulate::{Exchange, Gpr, GuestContext, Outcome, Stop, Width};
use std::hint::black_box;

const ROUNDS: u64 = 1000;
const TABLE: u64 = 0xFFFF_8880_1234_5000;

struct Guest {
    gprs: [u64; 16],
    rip: u64,
    rflags: u64,
    code: [u8; 16],
}

impl GuestContext for Guest {
    fn gpr(&self, register: Gpr) -> u64 {
        self.gprs[register.number()]
    }
    fn set_gpr(&mut self, register: Gpr, value: u64) {
        self.gprs[register.number()] = value;
    }
    fn rip(&self) -> u64 {
        self.rip
    }
    fn set_rip(&mut self, rip: u64) {
        self.rip = rip;
    }
    fn rflags(&self) -> u64 {
        self.rflags
    }
    fn set_rflags(&mut self, rflags: u64) {
        self.rflags = rflags;
    }
    fn code_segment(&mut self) -> CodeSegment {
        CodeSegment::Bits64
    }
    #[cold]
    fn segment_base(&mut self, _segment: Segment) -> u64 {
        0
    }
    #[cold]
    fn data_segment(&mut self, _segment: Segment) -> Result<Option<DataSegment>, Stop> {
        Ok(None)
    }
    fn fetch(&mut self, _address: u64, window: &mut [u8; 16]) -> Result<(), ShortFetch> {
        *window = self.code;
        Ok(())
    }
    #[cold]
    fn read(&mut self, _address: u64, _width: Width) -> Result<u64, Stop> {
        Err(Stop::Unhandleable)
    }
    #[cold]
    fn write(&mut self, _address: u64, _width: Width, _value: u64) -> Result<(), Stop> {
        Err(Stop::Unhandleable)
    }
    #[cold]
    fn probe_write(&mut self, _address: u64, _width: Width) -> Result<(), Stop> {
        Err(Stop::Unhandleable)
    }
    #[cold]
    fn compare_exchange(
        &mut self,
        _address: u64,
        _width: Width,
        _old: u64,
        _new: u64,
    ) -> Result<Exchange, Stop> {
        Err(Stop::Unhandleable)
    }
}

struct Table([u64; 512]);

impl PageTable for Table {
    fn entry(&mut self, index: EntryIndex) -> Result<u64, Stop> {
        Ok(self.0[index.get()])
    }
    fn update(&mut self, index: EntryIndex, old: u64, new: u64) -> Result<Exchange, Stop> {
        let entry = &mut self.0[index.get()];
        if *entry != old {
            return Ok(Exchange::Changed);
        }
        *entry = new;
        Ok(Exchange::Written)
    }
}

#[inline(never)]
fn measured(guest: &mut Guest, table: &mut Table) -> Outcome {
    pte_write::emulate(guest, Vaddr(TABLE + 8 * 5), table)
}

fn main() {
    let form = std::env::args().nth(1).unwrap_or_default();
    // All with the address in RDI and the operand in RSI.
    let code: &[u8] = match form.as_str() {
        "mov" => &[0x48, 0x89, 0x37],
        "mov-imm" => &[0x48, 0xC7, 0x07, 0, 0, 0, 0],
        "xchg" => &[0x48, 0x87, 0x37],
        "lock-btr" => &[0xF0, 0x48, 0x0F, 0xBA, 0x37, 0x01],
        "lock-and" => &[0xF0, 0x80, 0x27, 0xFD],
        "lock-cmpxchg" => &[0xF0, 0x48, 0x0F, 0xB1, 0x37],
        // Not among the frequent ones.
        "mov-indexed" => &[0x48, 0x89, 0x34, 0xCF],
        "lock-xadd" => &[0xF0, 0x48, 0x0F, 0xC1, 0x37],
        _ => panic!(
            "which form? mov mov-imm xchg lock-btr lock-and lock-cmpxchg mov-indexed lock-xadd"
        ),
    };
    let mut window = [0x90; 16];
    window[..code.len()].copy_from_slice(code);
    let mut guest = Guest {
        gprs: [0; 16],
        rip: 0,
        rflags: 0x202,
        code: window,
    };
    let mut table = Table([0; 512]);
    for round in 0..ROUNDS {
        table.0[5] = 0x8000_0001_2345_6067;
        guest.gprs[Gpr::Rax.number()] = 0x8000_0001_2345_6067;
        guest.gprs[Gpr::Rdi.number()] = TABLE + 8 * 5;
        guest.gprs[Gpr::Rsi.number()] = round;
        guest.rip = 0xFFFF_FFFF_8100_0000;
        let outcome = measured(black_box(&mut guest), black_box(&mut table));
        assert_eq!(outcome, Outcome::Done { debug: 0 });
    }
}
