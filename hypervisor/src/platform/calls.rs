//! Calls about versions, the console and the platform, read from bytes: the fuzzer's way into this room.
//!
//! The caller's memory changes behind each read, and ends somewhere. What is shown, set or turned off is what was read, once;
//! answers are written where they belong, and nothing else is; and whoever may not know or do something neither does nor
//! learns it.

use super::CallersMemory;
use super::console_io::{self, Console, PIECE, Shown};
use super::operation::{CannotSleep, Ids, Machine, Version, platform_op};
use super::version::{self, Identity};
use crate::call_bytes;
use crate::control::privilege::{self, Rights};
use crate::domain::entry_points::Arguments;
use core::cell::{Cell, RefCell};
use core::ops::Range;
use guest_abi::errno::Errno;
use guest_abi::platform::{CpuFlags, CpuInfo, INTERFACE_VERSION, PlatformOp, PlatformOperation};
use guest_abi::version::{BuildId, VersionOp};
use std::vec;
use std::vec::Vec;
use zerocopy::FromBytes;

/// Where the caller's memory begins, and how much of it there is: more than the largest answer.
const BASE: u64 = 0x7000;
const ROOM: usize = 0x800;
/// Calls of one run at the most.
const MAX_CALLS: usize = 200;
/// Of what an ordinary domain is not told.
const SECRET: u8 = 0xA5;
/// Processors that run: all numbers but one below this.
const PROCESSORS: u32 = 4;
const NOT_RUNNING: u32 = 1;
/// Bits of a value that turns the machine off.
const SLEEP_ENABLE: u16 = 1 << 13;

/// What these calls are made of.
struct Platform;

type Bytes<'b> = call_bytes::Bytes<'b, Platform>;

impl Bytes<'_> {
    /// An address of an argument: mostly in the memory.
    fn place(&mut self) -> u64 {
        let (what, offset) = (self.byte(), self.byte());
        match what {
            0..16 => 0,
            16..200 => BASE + u64::from(offset),
            200..248 => BASE + ROOM as u64 - u64::from(offset),
            _ => self.long(),
        }
    }

    /// A count of bytes: short, longer than a piece, longer than the memory, or anything.
    fn count(&mut self) -> u64 {
        match self.byte() {
            byte @ 0..64 => byte.into(),
            byte @ 64..200 => u64::from(byte) * 8,
            byte @ 200..224 => 0x7fff_ff00 + u64::from(byte),
            byte @ 224..240 => u64::from(byte) << 32 | 3,
            _ => self.long(),
        }
    }
}

/// The caller's memory, and what a call does with it.
struct Memory {
    bytes: RefCell<Vec<u8>>,
    /// Accesses that succeed; those that follow fail.
    left: Cell<u32>,
    read: RefCell<Vec<(u64, Vec<u8>)>>,
    written: RefCell<Vec<(u64, Vec<u8>)>>,
}

impl Memory {
    /// Bytes of which few are equal to their neighbours, and of whose accesses so many succeed, or all.
    fn new(left: u8) -> Self {
        let bytes = (0..ROOM).map(|at| (at ^ at >> 7 << 1) as u8).collect();
        Self {
            bytes: RefCell::new(bytes),
            left: Cell::new(match left {
                0..32 => left.into(),
                _ => u32::MAX,
            }),
            read: RefCell::default(),
            written: RefCell::default(),
        }
    }

    /// The caller writes, as far as there is memory.
    fn put(&self, at: u64, content: &[u8]) {
        let mut bytes = self.bytes.borrow_mut();
        let start = usize::try_from(at.wrapping_sub(BASE)).unwrap_or(ROOM);
        let rest = bytes.get_mut(start..).into_iter().flatten();
        rest.zip(content).for_each(|(to, from)| *to = *from);
    }

    /// The place of an access, if it succeeds.
    fn range(&self, at: u64, len: usize) -> Result<Range<usize>, Errno> {
        let left = self.left.get();
        self.left.set(left.saturating_sub(1));
        let start = at.checked_sub(BASE).ok_or(Errno::EFAULT)?;
        let start = usize::try_from(start).map_err(|_| Errno::EFAULT)?;
        let end = start.checked_add(len).ok_or(Errno::EFAULT)?;
        if left == 0 || end > ROOM {
            return Err(Errno::EFAULT);
        }
        Ok(start..end)
    }
}

impl Arguments for Memory {
    fn read<T: FromBytes>(&self, at: u64) -> Result<T, Errno> {
        let mut bytes = vec![0; size_of::<T>()];
        self.read_bytes(at, &mut bytes)?;
        T::read_from_bytes(&bytes).map_err(|_| Errno::EFAULT)
    }
}

impl CallersMemory for Memory {
    fn read_bytes(&self, at: u64, bytes: &mut [u8]) -> Result<(), Errno> {
        let range = self.range(at, bytes.len())?;
        let found = &mut self.bytes.borrow_mut()[range];
        bytes.copy_from_slice(found);
        self.read.borrow_mut().push((at, found.to_vec()));
        found.iter_mut().for_each(|byte| *byte = !*byte);
        Ok(())
    }

    fn write_bytes(&self, at: u64, bytes: &[u8]) -> Result<(), Errno> {
        let range = self.range(at, bytes.len())?;
        self.bytes.borrow_mut()[range].copy_from_slice(bytes);
        self.written.borrow_mut().push((at, bytes.to_vec()));
        Ok(())
    }
}

/// The console and the machine, and what has been done with them.
struct Host {
    shown: RefCell<Vec<u8>>,
    /// What was typed, and how much of it is taken.
    typed: Vec<u8>,
    taken: Cell<usize>,
    /// Pieces after which the processor is wanted.
    patience: Cell<u8>,
    clock: Cell<Option<(u64, u32, u64)>>,
    off: Cell<Option<(u16, u16)>>,
    has_register: bool,
}

impl Console for Host {
    fn show(&self, bytes: &[u8]) {
        self.shown.borrow_mut().extend(bytes);
    }

    fn take(&self, room: &mut [u8]) -> usize {
        let rest = &self.typed[self.taken.get()..];
        let count = rest.len().min(room.len());
        room[..count].copy_from_slice(&rest[..count]);
        self.taken.set(self.taken.get() + count);
        count
    }

    fn should_yield(&self) -> bool {
        let left = self.patience.get();
        self.patience.set(left.saturating_sub(1));
        left == 0
    }
}

impl Machine for Host {
    fn set_wall_clock(&self, seconds: u64, nanoseconds: u32, system_time_ns: u64) {
        self.clock.set(Some((seconds, nanoseconds, system_time_ns)));
    }

    fn processor(&self, number: u32) -> Option<Ids> {
        (number < PROCESSORS && number != NOT_RUNNING).then(|| Ids {
            apic: number * 2,
            acpi: number + 1,
        })
    }

    fn highest_processor(&self) -> u32 {
        PROCESSORS - 1
    }

    fn version(&self) -> Version {
        Version {
            vendor: *b"GenuineMadeU",
            family: 6,
            model: 7,
            stepping: 8,
        }
    }

    fn may_turn_off(&self, value_a: u16, value_b: u16) -> Result<(), CannotSleep> {
        if !self.has_register {
            return Err(CannotSleep::NoRegister);
        }
        match value_a & value_b & SLEEP_ENABLE {
            0 => Err(CannotSleep::Values),
            _ => Ok(()),
        }
    }

    fn turn_off(&self, value_a: u16, value_b: u16) {
        self.off.set(Some((value_a, value_b)));
    }
}

/// Who calls.
struct Caller {
    is_controller: bool,
    owns_hardware: bool,
    command_line: Vec<u8>,
    build_id: Option<Vec<u8>>,
}

impl Identity for Caller {
    fn rights(&self) -> Rights {
        Rights::made_up(self.is_controller, self.owns_hardware)
    }

    fn is_hardware_domain(&self) -> bool {
        self.owns_hardware
    }

    fn handle(&self) -> [u8; 16] {
        [7; 16]
    }

    fn command_line(&self) -> &[u8] {
        &self.command_line
    }

    fn build_id(&self) -> Option<&[u8]> {
        self.build_id.as_deref()
    }
}

/// Makes the calls that `bytes` say.
///
/// # Panics
/// A rule is broken.
pub fn run(bytes: &[u8]) {
    let mut bytes = Bytes::new(bytes, Platform);
    let what = bytes.byte();
    let (lengths, typed) = (bytes.word(), bytes.word());
    let mut host = Host {
        shown: RefCell::default(),
        typed: (0..typed % 1000).map(|at| at as u8).collect(),
        taken: Cell::new(0),
        patience: Cell::new(0),
        clock: Cell::new(None),
        off: Cell::new(None),
        has_register: what & 4 != 0,
    };
    let caller = Caller {
        is_controller: what & 1 != 0,
        owns_hardware: what & 2 != 0,
        command_line: vec![SECRET; usize::from(lengths) % 2000],
        build_id: (what & 8 != 0).then(|| vec![SECRET; usize::from(lengths % 40)]),
    };
    for _ in 0..MAX_CALLS {
        if bytes.is_empty() {
            break;
        }
        let memory = Memory::new(bytes.byte());
        match bytes.byte() % 4 {
            0 => show(&memory, &mut host, &mut bytes),
            1 => take(&memory, &host, &mut bytes),
            2 => who(&memory, &caller, &mut bytes),
            _ => operate(&memory, &mut host, caller.rights(), &mut bytes),
        }
    }
}

/// Accesses one behind the other from an address on, as one.
fn joined(accesses: &[(u64, Vec<u8>)], from: u64) -> Vec<u8> {
    let mut all = Vec::new();
    for (at, bytes) in accesses {
        assert_eq!(*at, from + all.len() as u64, "in order, each once");
        assert!(bytes.len() <= PIECE);
        all.extend(bytes);
    }
    all
}

/// A count as a C int; `None` for a negative one.
fn int(count: u64) -> Option<usize> {
    i32::try_from(count as u32).ok().map(|count| count as usize)
}

fn show(memory: &Memory, host: &mut Host, bytes: &mut Bytes<'_>) {
    let (count, at) = (bytes.count(), bytes.place());
    host.patience.set(bytes.byte());
    host.shown.get_mut().clear();
    let result = console_io::write(memory, host, count, at);
    let (read, shown) = (memory.read.borrow(), host.shown.get_mut());
    assert_eq!(joined(&read, at), *shown);
    assert!(memory.written.borrow().is_empty());
    let expected = match (int(count), result) {
        (None, result) => {
            assert_eq!(result, Err(Errno::EINVAL));
            return assert!(shown.is_empty());
        }
        (Some(count), Ok(Shown::All)) => count,
        (Some(count), Ok(Shown::Until { left, at: next })) => {
            assert_eq!(next, at.wrapping_add(shown.len() as u64));
            assert_ne!(left, 0);
            count - left as usize
        }
        (Some(count), Err(errno)) => {
            assert_eq!(errno, Errno::EFAULT);
            return assert!(shown.len() < count);
        }
    };
    assert_eq!(shown.len(), expected);
}

fn take(memory: &Memory, host: &Host, bytes: &mut Bytes<'_>) {
    let (count, at) = (bytes.count(), bytes.place());
    let before = host.taken.get();
    let result = console_io::read(memory, host, count, at);
    let written = joined(&memory.written.borrow(), at);
    assert!(memory.read.borrow().is_empty());
    assert_eq!(host.typed[before..][..written.len()], written[..]);
    let taken = host.taken.get() - before;
    match (int(count), result) {
        (None, result) => assert_eq!((result, taken), (Err(Errno::EINVAL), 0)),
        (Some(count), Ok(done)) => {
            assert_eq!(done as usize, count.min(host.typed.len() - before));
            assert_eq!((written.len(), taken), (done as usize, done as usize));
        }
        (Some(count), Err(errno)) => {
            assert_eq!(errno, Errno::EFAULT);
            // No more is lost than one piece.
            assert!(taken <= count && (1..=PIECE).contains(&(taken - written.len())));
        }
    }
}

/// The largest that an operation's structure is.
fn size_of_answer(operation: VersionOp, id: usize) -> usize {
    use guest_abi::version as abi;
    match operation {
        VersionOp::Version | VersionOp::PageSize => 0,
        VersionOp::ExtraVersion => abi::EXTRA_VERSION_SIZE,
        VersionOp::CompileInfo => size_of::<abi::CompileInfo>(),
        VersionOp::Capabilities => abi::CAPABILITIES_SIZE,
        VersionOp::Changeset => abi::CHANGESET_SIZE,
        VersionOp::PlatformParameters => size_of::<abi::PlatformParameters>(),
        VersionOp::GetFeatures => size_of::<abi::FeatureInfo>(),
        VersionOp::GuestHandle => abi::GUEST_HANDLE_SIZE,
        VersionOp::CommandLine => abi::COMMAND_LINE_SIZE,
        VersionOp::BuildId => size_of::<BuildId>() + id,
    }
}

fn who(memory: &Memory, caller: &Caller, bytes: &mut Bytes<'_>) {
    let operation = match bytes.byte() {
        byte @ 0..240 => u64::from(byte % 12),
        _ => bytes.long(),
    };
    let at = bytes.place();
    memory.put(at, &[bytes.byte() % 48, 0, 0, 0]);
    let result = version::version(memory, caller, operation, at);
    let written = memory.written.borrow();
    let Some(known) = u32::try_from(operation)
        .ok()
        .and_then(|operation| VersionOp::try_from(operation).ok())
    else {
        assert_eq!(result, Err(Errno::ENOSYS));
        return assert!(written.is_empty() && memory.read.borrow().is_empty());
    };
    let id = caller.build_id.as_ref().map_or(0, Vec::len);
    match result {
        Err(_) => assert!(written.is_empty(), "what is refused says nothing"),
        Ok(value) if known == VersionOp::BuildId => assert_eq!(value, id as u64),
        Ok(value) => assert!(i32::try_from(value).is_ok()),
    }
    for (start, answer) in written.iter() {
        assert!(*start >= at);
        assert!(start - at + answer.len() as u64 <= size_of_answer(known, id) as u64);
        let is_told = answer.windows(2).any(|pair| pair == [SECRET; 2]);
        assert!(!is_told || caller.is_controller);
    }
    if let (VersionOp::BuildId, [(_, room)]) = (known, &memory.read.borrow()[..]) {
        let room = BuildId::read_from_bytes(room).expect("a header is read");
        let answer = written.first().map_or(0, |(_, answer)| answer.len());
        assert!(answer <= room.len as usize);
    }
}

fn operate(memory: &Memory, host: &mut Host, rights: Rights, bytes: &mut Bytes<'_>) {
    use guest_abi::platform::{EnterAcpiSleep, SetTime32, SetTime64};
    let number = match bytes.byte() {
        0..60 => PlatformOp::SetTime64.number(),
        60..80 => PlatformOp::SetTime32.number(),
        80..120 => PlatformOp::EnterAcpiSleep.number(),
        120..150 => PlatformOp::GetCpuInfo.number(),
        150..170 => PlatformOp::GetCpuVersion.number(),
        170..180 => PlatformOp::SetProcessorPminfo.number(),
        180..190 => PlatformOp::FirmwareInfo.number(),
        byte @ 190..250 => u32::from(byte - 190),
        _ => bytes.long() as u32,
    };
    let version = match bytes.byte() {
        0 => bytes.long() as u32,
        _ => INTERFACE_VERSION,
    };
    let at = bytes.place();
    memory.put(at, &number.to_le_bytes());
    memory.put(at.wrapping_add(4), &version.to_le_bytes());
    let content: [u8; 24] = core::array::from_fn(|_| bytes.byte());
    memory.put(at.wrapping_add(8), &content);
    host.clock.set(None);
    host.off.set(None);
    let result = platform_op(memory, host, rights, at);

    let (read, written) = (memory.read.borrow(), memory.written.borrow());
    let (clock, off) = (host.clock.get(), host.off.get());
    let has_effect = clock.is_some() || off.is_some() || !written.is_empty();
    let Some((_, argument)) = read.first() else {
        assert_eq!(result, Err(Errno::EFAULT));
        return assert!(!has_effect);
    };
    let argument = PlatformOperation::read_from_bytes(argument).expect("the argument is read");
    let known = PlatformOp::try_from(argument.cmd).ok();
    let rule = known.map_or(privilege::UNKNOWN, privilege::platform);
    let may = match argument.interface_version {
        INTERFACE_VERSION => rule.admit(rights),
        _ => Err(Errno::EACCES),
    };
    if let Err(errno) = may {
        assert_eq!(result, Err(errno));
        assert_eq!((read.len(), has_effect), (1, false));
        return;
    }
    assert!(result.is_ok() || !has_effect);
    match known {
        Some(PlatformOp::SetTime64) => {
            let time: SetTime64 = argument.u.read();
            let expected = (time.secs, time.nsecs, time.system_time);
            assert_eq!(clock, (time.mbz == 0).then_some(expected));
        }
        Some(PlatformOp::SetTime32) => {
            let time: SetTime32 = argument.u.read();
            assert_eq!(
                clock,
                Some((time.secs.into(), time.nsecs, time.system_time))
            );
        }
        _ => assert_eq!(clock, None),
    }
    let sleep: EnterAcpiSleep = argument.u.read();
    let is_soft_off = known == Some(PlatformOp::EnterAcpiSleep)
        && (sleep.sleep_state, sleep.flags.bits()) == (5, 0)
        && host.may_turn_off(sleep.val_a, sleep.val_b).is_ok();
    assert_eq!(off, is_soft_off.then_some((sleep.val_a, sleep.val_b)));
    // Answers go behind the header.
    for (start, answer) in written.iter() {
        assert_eq!(*start, at + 8);
        assert_eq!(answer.len() + 8, size_of::<PlatformOperation>());
    }
    if let (Some(PlatformOp::GetCpuInfo), [(_, answer)]) = (known, &written[..]) {
        let (asked, told) = (argument.u.read(), CpuInfo::read_from_prefix(answer));
        check_processor(asked, told.expect("it is that long").0, host);
    }
}

fn check_processor(asked: CpuInfo, told: CpuInfo, host: &Host) {
    assert_eq!(told.xen_cpuid, asked.xen_cpuid);
    assert_eq!(told.max_present, host.highest_processor());
    match host.processor(asked.xen_cpuid) {
        Some(ids) => {
            assert_eq!(told.flags, CpuFlags::ONLINE);
            assert_eq!((told.apic_id, told.acpi_id), (ids.apic, ids.acpi));
        }
        None => assert_eq!(told.flags, CpuFlags::INVALID),
    }
}

#[cfg(test)]
mod tests {
    use crate::made_up_bytes::made_up_bytes;

    #[test]
    fn calls_read_from_made_up_bytes_break_no_rule() {
        for bytes in made_up_bytes(200, 1000) {
            super::run(&bytes);
        }
    }
}
