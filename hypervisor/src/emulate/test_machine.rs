//! A guest and its machine, made up. Shared by the unit tests and the fuzz target.

use super::insn::{Gpr, Segment, Width};
use super::machine::{
    CodeSegment, DataSegment, Exchange, Fault, GuestContext, InsnMachine, ShortFetch, Stop,
};
use super::privileged::PvCpu;
use crate::cpu_policy::GuestMode;
use crate::cpu_policy::cpuid::{CpuidOrigin, Leaf};
use crate::cpu_policy::iopl::Iopl;
use std::collections::{BTreeMap, HashMap};

pub(super) const CODE: u64 = 0x10_0000;
pub(super) const DATA: u64 = 0x20_0000;
pub(super) const PAGE: u64 = 4096;

/// Error code bits of a page fault: write, user.
pub(super) const WRITE_FAULT: u32 = 6;
pub(super) const READ_FAULT: u32 = 4;
pub(super) const FETCH_FAULT: u32 = 0x14;

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Page {
    pub(super) bytes: Vec<u8>,
    pub(super) is_writable: bool,
}

/// Something that the machine was asked to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Event {
    PortRead(u16, Width),
    PortWrite(u16, Width, u32),
    Cr(u8, u64),
    ClearTs,
    Dr(u8, u64),
    Msr(u32, u64),
    Cpuid(CpuidOrigin, u32, u32),
    Xcr(u32, u64),
    Caches,
    Invalidate(u64),
}

/// What happens between a read of memory and the compare-exchange after it.
pub(super) type Interference = fn(&mut Machine, u64);

/// Control register 0; the others read as this and their number.
const CR: u64 = 0x1111_2222_8005_0031;

#[derive(Clone)]
pub(super) struct Machine {
    /// Control register 4 as it reads.
    pub(super) cr4: u64,
    pub(super) gprs: [u64; 16],
    pub(super) rip: u64,
    pub(super) rflags: u64,
    pub(super) code_segment: CodeSegment,
    pub(super) bases: [u64; 2],
    pub(super) segments: HashMap<u8, DataSegment>,
    pub(super) pages: BTreeMap<u64, Page>,
    pub(super) events: Vec<Event>,
    pub(super) interference: Option<Interference>,
    pub(super) mode: GuestMode,
    pub(super) iopl: Iopl,
    pub(super) io_bitmap: Vec<u8>,
    pub(super) io_bitmap_ports: u32,
    pub(super) io_breakpoint: Option<u16>,
    /// What the next hooks return instead of doing something.
    pub(super) refusal: Option<Stop>,
}

impl Machine {
    /// 64-bit code at [`CODE`], two pages of data at [`DATA`], a kernel that may do I/O.
    pub(super) fn new(code: &[u8]) -> Self {
        let mut machine = Self {
            cr4: CR + 4,
            gprs: [0; 16],
            rip: CODE,
            rflags: 0x202,
            code_segment: CodeSegment::Bits64,
            bases: [0; 2],
            segments: HashMap::new(),
            pages: BTreeMap::new(),
            events: Vec::new(),
            interference: None,
            mode: GuestMode::Kernel,
            iopl: Iopl::new(1).unwrap(),
            io_bitmap: Vec::new(),
            io_bitmap_ports: 0,
            io_breakpoint: None,
            refusal: None,
        };
        machine.map(CODE, false);
        machine.map(DATA, true);
        machine.map(DATA + PAGE, true);
        machine.put(CODE, code);
        machine
    }

    pub(super) fn map(&mut self, address: u64, is_writable: bool) {
        self.pages.insert(
            address / PAGE,
            Page {
                bytes: vec![0; PAGE as usize],
                is_writable,
            },
        );
    }

    /// Writes memory whatever its rights.
    pub(super) fn put(&mut self, address: u64, bytes: &[u8]) {
        for (at, byte) in (address..).zip(bytes) {
            let page = self.pages.get_mut(&(at / PAGE)).expect("test memory");
            page.bytes[(at % PAGE) as usize] = *byte;
        }
    }

    pub(super) fn peek(&self, address: u64, width: Width) -> u64 {
        self.clone().read(address, width).expect("test memory")
    }

    pub(super) fn set(&mut self, register: Gpr, value: u64) -> &mut Self {
        self.gprs[register.number()] = value;
        self
    }

    fn access(&self, address: u64, width: Width, error: u32) -> Result<(), Stop> {
        for at in 0..width.bytes() {
            let at = address.wrapping_add(at);
            let is_allowed = self
                .pages
                .get(&(at / PAGE))
                .is_some_and(|page| error != WRITE_FAULT || page.is_writable);
            if !is_allowed {
                return Err(Stop::Fault(Fault::page(at, error)));
            }
        }
        Ok(())
    }

    fn event<T>(&mut self, event: Event, value: T) -> Result<T, Stop> {
        if let Some(stop) = self.refusal {
            return Err(stop);
        }
        self.events.push(event);
        Ok(value)
    }
}

impl GuestContext for Machine {
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
        self.code_segment
    }
    fn segment_base(&mut self, segment: Segment) -> u64 {
        match segment {
            Segment::Fs => self.bases[0],
            Segment::Gs => self.bases[1],
            other => panic!("base of {other:?} in 64-bit code"),
        }
    }
    fn data_segment(&mut self, segment: Segment) -> Result<Option<DataSegment>, Stop> {
        match self.refusal {
            Some(stop) => Err(stop),
            None => Ok(self.segments.get(&(segment as u8)).copied()),
        }
    }
    fn fetch(&mut self, address: u64, window: &mut [u8; 16]) -> Result<(), ShortFetch> {
        for (available, byte) in (0u8..).zip(window) {
            let at = address.wrapping_add(u64::from(available));
            let Some(page) = self.pages.get(&(at / PAGE)) else {
                // What is behind the end is nobody's business.
                *byte = 0xAA;
                return Err(ShortFetch {
                    available,
                    fault: Fault::page(at, FETCH_FAULT),
                });
            };
            *byte = page.bytes[(at % PAGE) as usize];
        }
        Ok(())
    }
    fn read(&mut self, address: u64, width: Width) -> Result<u64, Stop> {
        self.access(address, width, READ_FAULT)?;
        let byte = |at: u64| u64::from(self.pages[&(at / PAGE)].bytes[(at % PAGE) as usize]);
        Ok((0..width.bytes())
            .map(|at| byte(address + at) << (8 * at))
            .sum())
    }
    fn write(&mut self, address: u64, width: Width, value: u64) -> Result<(), Stop> {
        self.access(address, width, WRITE_FAULT)?;
        self.put(address, &value.to_le_bytes()[..width.bytes() as usize]);
        Ok(())
    }
    fn probe_write(&mut self, address: u64, width: Width) -> Result<(), Stop> {
        self.access(address, width, WRITE_FAULT)
    }
    fn compare_exchange(
        &mut self,
        address: u64,
        width: Width,
        old: u64,
        new: u64,
    ) -> Result<Exchange, Stop> {
        self.access(address, width, WRITE_FAULT)?;
        if let Some(interference) = self.interference {
            interference(self, address);
        }
        if self.read(address, width)? != old {
            return Ok(Exchange::Changed);
        }
        self.write(address, width, new)?;
        Ok(Exchange::Written)
    }
}

impl InsnMachine for Machine {
    fn read_port(&mut self, port: u16, width: Width) -> Result<u32, Stop> {
        let count = self.events.len() as u32;
        self.event(
            Event::PortRead(port, width),
            0xA1B2_C3D4u32.wrapping_add(count) & width.mask() as u32,
        )
    }
    fn write_port(&mut self, port: u16, width: Width, value: u32) -> Result<(), Stop> {
        self.event(Event::PortWrite(port, width, value), ())
    }
    fn io_breakpoints(&mut self, port: u16, _width: Width) -> u64 {
        u64::from(self.io_breakpoint == Some(port))
    }
    fn read_cr(&mut self, number: u8) -> Result<u64, Stop> {
        let value = match number {
            4 => self.cr4,
            number => CR + u64::from(number),
        };
        self.refusal.map_or(Ok(value), Err)
    }
    fn write_cr(&mut self, number: u8, value: u64) -> Result<(), Stop> {
        self.event(Event::Cr(number, value), ())
    }
    fn clear_task_switched(&mut self) -> Result<(), Stop> {
        self.event(Event::ClearTs, ())
    }
    fn read_dr(&mut self, number: u8) -> Result<u64, Stop> {
        self.refusal.map_or(Ok(0xD0 + u64::from(number)), Err)
    }
    fn write_dr(&mut self, number: u8, value: u64) -> Result<(), Stop> {
        self.event(Event::Dr(number, value), ())
    }
    fn read_msr(&mut self, msr: u32) -> Result<u64, Stop> {
        self.refusal
            .map_or(Ok(0x1234_5678_0000_0000 | u64::from(msr)), Err)
    }
    fn write_msr(&mut self, msr: u32, value: u64) -> Result<(), Stop> {
        self.event(Event::Msr(msr, value), ())
    }
    fn cpuid(&mut self, origin: CpuidOrigin, leaf: u32, subleaf: u32) -> Result<Leaf, Stop> {
        self.event(
            Event::Cpuid(origin, leaf, subleaf),
            Leaf {
                eax: 1,
                ebx: 2,
                ecx: 3,
                edx: 4,
            },
        )
    }
    fn time_stamp(&mut self) -> Result<u64, Stop> {
        self.refusal.map_or(Ok(0x0123_4567_89AB_CDEF), Err)
    }
    fn time_stamp_aux(&mut self) -> Result<u32, Stop> {
        self.refusal.map_or(Ok(0xFFFF_0001), Err)
    }
    fn write_back_caches(&mut self) -> Result<(), Stop> {
        self.event(Event::Caches, ())
    }
    fn read_xcr(&mut self, index: u32) -> Result<u64, Stop> {
        self.refusal
            .map_or(Ok(0x7_0000_0000 | u64::from(index)), Err)
    }
    fn write_xcr(&mut self, index: u32, value: u64) -> Result<(), Stop> {
        self.event(Event::Xcr(index, value), ())
    }
    fn invalidate_page(&mut self, address: u64) -> Result<(), Stop> {
        self.event(Event::Invalidate(address), ())
    }
}

impl PvCpu for Machine {
    fn mode(&self) -> GuestMode {
        self.mode
    }
    fn iopl(&self) -> Iopl {
        self.iopl
    }
    fn io_bitmap_ports(&self) -> u32 {
        self.io_bitmap_ports
    }
    fn io_bitmap_byte(&mut self, index: u32) -> Option<u8> {
        self.io_bitmap.get(index as usize).copied()
    }
}
