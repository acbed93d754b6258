//! An ordinary domain whose two vCPUs make hypercalls without end: whatever happens to it, happens in the middle of one.

use super::super::prelude::*;
use crate::control::{BASE, DATA, FRAMES, Guest, L1, ordinary};
use crate::memory::{KERNEL_RO, KERNEL_RW, entry};
use crate::{control, grant};
use guest_abi::domctl::DomctlOp;
use guest_abi::domctl_memory::MaxMem;
use guest_abi::event_channel::EventChannelOp;
use guest_abi::grant_op::{GrantTableOp, MapFlags};
use guest_abi::grant_table::EntryType;
use guest_abi::hypercall::Hypercall;
use guest_abi::ids::PAGE_SIZE;
use guest_abi::memory_op::MemoryOp;
use guest_abi::mmu::{MmuextOp, UVMF_INVLPG};
use guest_abi::vcpu_op::VcpuOp;

// Each vCPU makes the calls of its own list, for ever: entries of 16 words, with a number and four arguments in the first
// five. They are copied to a scratch entry first, as answers are written into arguments. A number of -2 copies the word at
// the second argument to the first one, and -1 counts and begins anew.
user_code!(
    works,
    "cld",
    "mov r15, rsi",
    "mov rbp, rdi",
    "mov r13, rdi",
    "shl r13, 12",
    "lea r12, [r15 + r13 + 4096]",
    "shl rdi, 9",
    "lea rbx, [r15 + rdi + 512]",
    "2: mov r14, r12",
    "3: mov rsi, r14",
    "mov rdi, rbx",
    "mov ecx, 16",
    "rep movsq",
    "add r14, 128",
    "mov rax, [rbx]",
    "mov rdi, [rbx + 8]",
    "mov rsi, [rbx + 16]",
    "mov rdx, [rbx + 24]",
    "mov r10, [rbx + 32]",
    "cmp rax, -1",
    "je 5f",
    "cmp rax, -2",
    "je 4f",
    "syscall",
    "test rax, rax",
    "js 3b",
    "lock inc qword ptr [r15 + 16]",
    "jmp 3b",
    "4: mov rax, [rsi]",
    "mov [rdi], rax",
    "jmp 3b",
    "5: inc qword ptr [r15 + rbp * 8]",
    "jmp 2b",
);

/// Numbers in a list that are no hypercalls.
const AGAIN: u64 = u64::MAX;
const COPY: u64 = u64::MAX - 1;

/// Words of an entry, and where the argument begins in it.
const ENTRY: usize = 16;
const CONTENT: usize = 5;

/// Where in the window its grant table is for a moment. Not where anything else is: translations may stay until the window is
/// cleared.
const GRANT_FRAME: usize = control::SHARED - 1;

/// What its frames are for, behind those that any domain has.
const LISTS: usize = DATA + 1;
pub(super) const TABLE: usize = 9;
const EXCHANGED: usize = 10;
const GIVEN_BACK: usize = 11;
const GRANT_PLACE: usize = 12;
/// What it grants, and copies to.
pub(super) const PLAIN: usize = 13;
const VCPU_INFO: usize = 14;
pub(super) const DESCRIPTORS: usize = 15;

/// Words of its data page: lists finished by each vCPU, calls that weren't refused, and what it remembers.
const SUCCESSES: usize = 2;
const MEMORY: usize = 256;
const TO_EXCHANGE: usize = MEMORY;
const GOT: usize = MEMORY + 1;
const BALLOONED: usize = MEMORY + 2;

/// Grants by which the first domain and it share a frame each.
pub(super) const TO_GUEST: u32 = 40;
pub(super) const FROM_GUEST: u32 = 12;

const fn va(frame: usize) -> u64 {
    BASE + (frame * PAGE_SIZE) as u64
}

const fn word_va(word: usize) -> u64 {
    va(DATA) + word as u64 * 8
}

/// A list that is written.
struct Writer<'g> {
    guest: &'g Guest,
    vcpu: usize,
    count: usize,
}

impl Writer<'_> {
    /// Where the argument is when the call is made.
    fn content_at(&self) -> u64 {
        va(DATA) + 512 + self.vcpu as u64 * 512 + CONTENT as u64 * 8
    }

    fn add(&mut self, number: u64, arguments: [u64; 4], content: &[u64]) {
        assert!(self.count < PAGE_SIZE / 8 / ENTRY && content.len() <= ENTRY - CONTENT);
        let first = self.count * ENTRY;
        let words = [number].into_iter().chain(arguments);
        for (index, value) in words.chain(content.iter().copied()).enumerate() {
            self.guest
                .window
                .write(LISTS + self.vcpu, first + index, value);
        }
        self.count += 1;
    }

    fn call(&mut self, call: Hypercall, arguments: [u64; 4], content: &[u64]) {
        self.add(call.number(), arguments, content);
    }

    /// A call of the usual shape: what is to be done, and where its argument is.
    fn operate(&mut self, call: Hypercall, op: u32, content: &[u64]) {
        let arguments = [op.into(), self.content_at(), 0, 0];
        self.call(call, arguments, content);
    }

    fn event(&mut self, op: EventChannelOp, content: &[u64]) {
        self.operate(Hypercall::EventChannelOp, op.number(), content);
    }

    fn memory(&mut self, op: MemoryOp, content: &[u64]) {
        self.operate(Hypercall::MemoryOp, op.number(), content);
    }

    fn vcpu(&mut self, op: VcpuOp, vcpu: u64, content: &[u64]) {
        let arguments = [op.number().into(), vcpu, self.content_at(), 0];
        self.call(Hypercall::VcpuOp, arguments, content);
    }

    fn grant(&mut self, op: GrantTableOp, content: &[u64]) {
        let arguments = [op.number().into(), self.content_at(), 1, 0];
        self.call(Hypercall::GrantTableOp, arguments, content);
    }

    fn mmuext(&mut self, op: MmuextOp, mfn: u64) {
        let arguments = [self.content_at(), 1, 0, DomId::SELF.0.into()];
        let content = [op.number().into(), mfn, 0];
        self.call(Hypercall::MmuextOp, arguments, &content);
    }

    fn map(&mut self, frame: usize, value: u64) {
        let arguments = [va(frame), value, UVMF_INVLPG, 0];
        self.call(Hypercall::UpdateVaMapping, arguments, &[]);
    }

    fn copy(&mut self, to: usize, from: u64) {
        self.add(COPY, [word_va(to), from, 0, 0], &[]);
    }
}

/// A list of one extent.
const fn extent(at: u64) -> [u64; 4] {
    [at, 1, 0, DomId::SELF.0 as u64]
}

/// Memory that comes and goes, and ports.
fn write_first(guest: &Guest) {
    let mut list = Writer {
        guest,
        vcpu: 0,
        count: 0,
    };
    let constant = |list: &mut Writer<'_>, to: usize, value: u64| {
        let at = list.content_at();
        list.add(COPY, [word_va(to), at, 0, 0], &[value]);
    };
    constant(&mut list, GOT, EXCHANGED as u64);
    let [a, b, c, d] = extent(word_va(TO_EXCHANGE));
    let [e, f, g, h] = extent(word_va(GOT));
    list.memory(MemoryOp::Exchange, &[a, b, c, d, e, f, g, h, 0]);
    list.copy(TO_EXCHANGE, word_va(GOT));
    list.memory(MemoryOp::DecreaseReservation, &extent(word_va(BALLOONED)));
    constant(&mut list, BALLOONED, GIVEN_BACK as u64);
    list.memory(MemoryOp::PopulatePhysmap, &extent(word_va(BALLOONED)));
    let own = u64::from(DomId::SELF.0);
    for remote in [0, own, 0] {
        list.event(EventChannelOp::AllocUnbound, &[own | remote << 16]);
    }
    list.event(EventChannelOp::BindIpi, &[1]);
    for port in 1..4 {
        list.event(EventChannelOp::BindInterdomain, &[port << 32, 0]);
        list.event(EventChannelOp::BindInterdomain, &[own | port << 32, 0]);
        list.event(EventChannelOp::Send, &[port + 1]);
    }
    list.event(EventChannelOp::Close, &[2]);
    list.event(EventChannelOp::Reset, &[own]);
    list.add(AGAIN, [0; 4], &[]);
}

/// Page tables, grants, and what belongs to a vCPU.
fn write_second(guest: &Guest) {
    let mut list = Writer {
        guest,
        vcpu: 1,
        count: 0,
    };
    let table = guest.frames[TABLE];
    let plain = guest.frames[PLAIN];
    list.map(TABLE, entry(Mfn(table), KERNEL_RO));
    list.mmuext(MmuextOp::PinL1Table, table);
    for (slot, flags) in [(3, KERNEL_RW), (4, KERNEL_RO), (3, 0)] {
        let value = if flags == 0 {
            0
        } else {
            entry(Mfn(plain), flags)
        };
        let arguments = [list.content_at(), 1, 0, DomId::SELF.0.into()];
        let content = [Mfn(table).address() + slot * 8, value];
        list.call(Hypercall::MmuUpdate, arguments, &content);
    }
    list.mmuext(MmuextOp::UnpinTable, table);
    list.map(TABLE, entry(Mfn(table), KERNEL_RW));
    let at = list.content_at() + 24;
    let own = u64::from(DomId::SELF.0);
    list.grant(GrantTableOp::SetupTable, &[own | 1 << 32, 0, at, 0]);
    let flags = u64::from(MapFlags::HOST_MAP.bits());
    let gref = u64::from(TO_GUEST);
    let place = va(GRANT_PLACE);
    list.grant(
        GrantTableOp::MapGrantRef,
        &[place, flags | gref << 32, 0, 0],
    );
    // From the grant to the frame, 64 bytes.
    list.grant(GrantTableOp::Copy, &[gref, 0, plain, own, 64 | 1 << 16]);
    // Whatever handle that was.
    for handle in 0..2 {
        list.grant(GrantTableOp::UnmapGrantRef, &[place, 0, handle, 0]);
    }
    list.vcpu(VcpuOp::RegisterVcpuInfo, 1, &[guest.frames[VCPU_INFO], 64]);
    list.vcpu(
        VcpuOp::RegisterRunstateMemoryArea,
        1,
        &[word_va(MEMORY + 8)],
    );
    list.vcpu(VcpuOp::SetPeriodicTimer, 1, &[1_000_000]);
    list.vcpu(VcpuOp::SetSingleshotTimer, 1, &[1, 0]);
    list.vcpu(VcpuOp::Up, 0, &[]);
    let arguments = [list.content_at(), 512, 0, 0];
    list.call(Hypercall::SetGdt, arguments, &[guest.frames[DESCRIPTORS]]);
    list.call(Hypercall::SetGdt, [0; 4], &[]);
    list.add(AGAIN, [0; 4], &[]);
}

/// Makes one of it, ready to be let go. `granted` is granted to it, and it grants one of its own to the first domain.
pub(super) fn make(window: control::Window, table: &grant::Table, granted: Frame) -> Guest {
    let guest = Guest::empty_as(&ordinary(2), window);
    // More than it has, so that it can be given some.
    let most = MaxMem {
        max_memkb: 4 * (FRAMES as u64 + 2),
    };
    assert_eq!(control::control(DomctlOp::MaxMem, guest.id, &most), Ok(0));
    guest.fill(works());
    for frame in [EXCHANGED, GIVEN_BACK, DESCRIPTORS] {
        guest.window.write(L1, frame, 0);
    }
    let word = |word, value| guest.window.write(DATA, word, value);
    for counter in 0..=SUCCESSES {
        word(counter, 0);
    }
    word(TO_EXCHANGE, guest.frames[EXCHANGED]);
    word(BALLOONED, guest.frames[GIVEN_BACK]);
    write_first(&guest);
    write_second(&guest);
    grant_to_first_domain(&guest);
    table.fill(
        TO_GUEST,
        EntryType::PermitAccess.number(),
        guest.id,
        granted.mfn(),
    );
    guest.seal();
    let none = [0; FRAMES - TABLE];
    let (outcome, _) = guest.window.map(DomId::SELF, TABLE, &none);
    assert_eq!(outcome, Ok(0));
    for vcpu in 0..2 {
        assert_eq!(guest.set_context(vcpu, &guest.context(vcpu)), Ok(0));
    }
    guest
}

/// Fills an entry of its grant table, as the tools do for consoles.
fn grant_to_first_domain(guest: &Guest) {
    let mut list = [0u64; 1];
    let (outcome, status) = grant::setup_table(guest.id, 1, Vaddr(list.as_mut_ptr() as u64));
    assert_eq!((outcome, status), (Ok(0), 0), "its grant table");
    let frame = entry(Mfn(list[0]), KERNEL_RW);
    let (outcome, _) = guest.window.map(guest.id, GRANT_FRAME, &[frame]);
    assert_eq!(outcome, Ok(0), "its grant table can't be mapped");
    let head = u64::from(EntryType::PermitAccess.number());
    let value = head | guest.frames[PLAIN] << 32;
    guest.window.write(GRANT_FRAME, FROM_GUEST as usize, value);
    let (outcome, _) = guest.window.map(DomId::SELF, GRANT_FRAME, &[0]);
    assert_eq!(outcome, Ok(0));
}

/// Lists that each of its vCPUs has finished.
pub(super) fn finished(guest: &Guest) -> [u64; 2] {
    [0, 1].map(|vcpu| guest.window.read(DATA, vcpu))
}

/// Calls of its that weren't refused.
pub(super) fn successes(guest: &Guest) -> u64 {
    guest.window.read(DATA, SUCCESSES)
}
