//! The guest that runs, as the emulator sees it.

use super::access;
use super::bounce::CannotDeliver;
use super::entry::{deliver_exception, deliver_page_fault, vector};
use super::running::Guest;
use super::{legacy_ports, state, switch};
use crate::arch::layout::PER_VCPU_BYTES;
use crate::arch::processors::{self, Host};
use crate::arch::{fpu, memory, msr, pci, port, tables, tlb};
use crate::cpu_policy::control::{self, TaskSwitched};
use crate::cpu_policy::cpuid::{self, CpuidCaller, CpuidOrigin, CpuidState, Leaf};
use crate::cpu_policy::iopl::Iopl;
use crate::cpu_policy::msr as msr_policy;
use crate::cpu_policy::msr::{BaseRegister, MsrContext, MsrRead, MsrWrite};
use crate::cpu_policy::{GuestMode, xstate};
use crate::emulate::insn::{Gpr, Segment, Width};
use crate::emulate::machine::{
    CodeSegment, DataSegment, Exchange, Fault, GuestContext, InsnMachine, Outcome, ShortFetch, Stop,
};
use crate::emulate::ports::{Piece, PortOwner, PortRights};
use crate::emulate::privileged::PvCpu;
use crate::emulate::segment::{self, Place};
use crate::emulate::{forced as forced_prefix, privileged as privileged_instructions};
use crate::hypercall::descriptors::LdtPage;
use crate::hypercall::{self, descriptors};
use core::arch::asm;
use core::sync::atomic::Ordering;
use guest_abi::ids::{Mfn, PAGE_SIZE, Vaddr};
use guest_abi::segment::{FLAT_RING3_CS32, FLAT_RING3_CS64};

/// A page of a local table is wanted for something else at the moment.
struct NotNow;

/// A trapped guest.
pub(in crate::arch) struct Trapped<'a, 'g>(pub(in crate::arch) &'a mut Guest<'g>);

/// Error-code bits of a page fault that an access of the guest's raises: user access, and a write.
const PF_USER: u32 = 1 << 2;
const PF_WRITE: u32 = 1 << 1;

fn fault(address: u64, error_code: u32) -> Stop {
    let (at, code) = access::last_fault(address, error_code & PF_WRITE != 0);
    Stop::Fault(Fault::page(at, code | PF_USER))
}

impl GuestContext for Trapped<'_, '_> {
    fn gpr(&self, register: Gpr) -> u64 {
        let r = &self.0.registers;
        match register {
            Gpr::Rax => r.rax,
            Gpr::Rcx => r.rcx,
            Gpr::Rdx => r.rdx,
            Gpr::Rbx => r.rbx,
            Gpr::Rsp => r.rsp,
            Gpr::Rbp => r.rbp,
            Gpr::Rsi => r.rsi,
            Gpr::Rdi => r.rdi,
            Gpr::R8 => r.r8,
            Gpr::R9 => r.r9,
            Gpr::R10 => r.r10,
            Gpr::R11 => r.r11,
            Gpr::R12 => r.r12,
            Gpr::R13 => r.r13,
            Gpr::R14 => r.r14,
            Gpr::R15 => r.r15,
        }
    }

    fn set_gpr(&mut self, register: Gpr, value: u64) {
        let r = &mut self.0.registers;
        let slot = match register {
            Gpr::Rax => &mut r.rax,
            Gpr::Rcx => &mut r.rcx,
            Gpr::Rdx => &mut r.rdx,
            Gpr::Rbx => &mut r.rbx,
            Gpr::Rsp => &mut r.rsp,
            Gpr::Rbp => &mut r.rbp,
            Gpr::Rsi => &mut r.rsi,
            Gpr::Rdi => &mut r.rdi,
            Gpr::R8 => &mut r.r8,
            Gpr::R9 => &mut r.r9,
            Gpr::R10 => &mut r.r10,
            Gpr::R11 => &mut r.r11,
            Gpr::R12 => &mut r.r12,
            Gpr::R13 => &mut r.r13,
            Gpr::R14 => &mut r.r14,
            Gpr::R15 => &mut r.r15,
        };
        *slot = value;
    }

    fn rip(&self) -> u64 {
        self.0.registers.rip
    }

    fn set_rip(&mut self, rip: u64) {
        self.0.registers.rip = rip;
    }

    fn rflags(&self) -> u64 {
        self.0.registers.rflags
    }

    fn set_rflags(&mut self, rflags: u64) {
        self.0.registers.rflags = rflags;
    }

    fn code_segment(&mut self) -> CodeSegment {
        let selector = self.0.registers.cs as u16;
        if selector == FLAT_RING3_CS64 {
            return CodeSegment::Bits64;
        }
        if selector == FLAT_RING3_CS32 {
            return CodeSegment::Bits32 {
                base: 0,
                limit: u32::MAX,
            };
        }
        match self.descriptor(selector) {
            Ok(descriptor) => descriptor.map_or(CodeSegment::Unsupported, segment::code),
            Err(NotNow) => CodeSegment::NotNow,
        }
    }

    fn segment_base(&mut self, segment: Segment) -> u64 {
        let (fs, gs, _) = state::bases();
        match segment {
            Segment::Fs => fs,
            Segment::Gs => gs,
            _ => 0,
        }
    }

    fn data_segment(&mut self, segment: Segment) -> Result<Option<DataSegment>, Stop> {
        let selector = match segment {
            Segment::Cs => self.0.registers.cs as u16,
            Segment::Ss => self.0.registers.ss as u16,
            other => switch::data_selector(other),
        };
        let descriptor = self.descriptor(selector).map_err(|NotNow| Stop::Retry)?;
        let Some(data) = descriptor.and_then(segment::data) else {
            return Ok(None);
        };
        // These two may have got a base of their own since; what the processor uses is in its registers.
        let base = match segment {
            Segment::Fs | Segment::Gs => self.segment_base(segment) as u32,
            _ => data.base,
        };
        Ok(Some(DataSegment { base, ..data }))
    }

    fn fetch(&mut self, address: u64, window: &mut [u8; 16]) -> Result<(), ShortFetch> {
        if let Ok(bytes) = access::read(Vaddr(address)) {
            *window = bytes;
            return Ok(());
        }
        let count = access::read_some(Vaddr(address), window);
        if count == window.len() {
            return Ok(());
        }
        let at = address.wrapping_add(count as u64);
        Err(ShortFetch {
            available: count as u8,
            fault: Fault::page(at, PF_USER),
        })
    }

    fn read(&mut self, address: u64, width: Width) -> Result<u64, Stop> {
        let mut bytes = [0u8; 8];
        let Some(used) = bytes.get_mut(..width.bytes() as usize) else {
            return Err(Stop::Unhandleable);
        };
        access::read_bytes(Vaddr(address), used).map_err(|_| fault(address, 0))?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn write(&mut self, address: u64, width: Width, value: u64) -> Result<(), Stop> {
        let bytes = value.to_le_bytes();
        let Some(used) = bytes.get(..width.bytes() as usize) else {
            return Err(Stop::Unhandleable);
        };
        access::write_bytes(Vaddr(address), used).map_err(|_| fault(address, PF_WRITE))
    }

    fn probe_write(&mut self, address: u64, width: Width) -> Result<(), Stop> {
        let bytes = width.bytes();
        for at in [address, address.wrapping_add(bytes - 1)] {
            access::probe_write(Vaddr(at)).map_err(|_| fault(at, PF_WRITE))?;
        }
        Ok(())
    }

    fn compare_exchange(&mut self, _: u64, _: Width, _: u64, _: u64) -> Result<Exchange, Stop> {
        // Only stores to page tables are emulated with a destination in memory, and those go elsewhere.
        Err(Stop::Unhandleable)
    }
}

/// Reads the descriptor at `address` in a vCPU's tables; `None` if its page is not there. Eight bytes in one go: other
/// vCPUs change them.
fn read_descriptor(address: u64) -> Option<u64> {
    let (descriptor, is_read): (u64, u32);
    // SAFETY: the tables of the vCPU that runs are the hypervisor's to read; a fault goes on at label 3 (exception table).
    unsafe {
        asm!(
            "2: mov {descriptor}, [{address}]",
            "mov {is_read:e}, 1",
            "3:",
            ".pushsection .extable, \"a\", @progbits",
            ".balign 4",
            ".long 2b - .",
            ".long 3b - .",
            ".popsection",
            descriptor = inout(reg) 0u64 => descriptor,
            address = in(reg) address,
            is_read = inout(reg) 0u32 => is_read,
            options(nostack, readonly),
        );
    }
    (is_read != 0).then_some(descriptor)
}

fn cr0() -> u64 {
    x86_64::registers::control::Cr0::read_raw()
}

impl InsnMachine for Trapped<'_, '_> {
    fn read_port(&mut self, at: u16, width: Width) -> Result<u32, Stop> {
        let mut value = 0;
        for piece in self.port_rights().pieces(at, width) {
            value |= self.read_piece(piece) << piece.shift;
        }
        Ok(value)
    }

    fn write_port(&mut self, at: u16, width: Width, value: u32) -> Result<(), Stop> {
        for piece in self.port_rights().pieces(at, width) {
            self.write_piece(piece, value >> piece.shift);
        }
        Ok(())
    }

    fn io_breakpoints(&mut self, port: u16, width: Width) -> u64 {
        self.0
            .context
            .debug
            .io_breakpoints(port, width.bytes() as u32)
    }

    fn read_cr(&mut self, number: u8) -> Result<u64, Stop> {
        let context = &self.0.context;
        match number {
            0 => {
                let ts = if context.is_task_switched {
                    TaskSwitched::Set
                } else {
                    TaskSwitched::Clear
                };
                Ok(control::read_cr0(cr0(), ts))
            }
            2 => Ok(self.0.vcpu.info().cr2()),
            3 => Ok(context.kernel_root.address()),
            4 => Ok(state::cr4(context)),
            _ => Err(Stop::Unhandleable),
        }
    }

    fn write_cr(&mut self, number: u8, value: u64) -> Result<(), Stop> {
        match number {
            0 => {
                let ts = control::write_cr0(cr0() & !control::CR0_TS, value)
                    .map_err(|_| Stop::Fault(Fault::GENERAL_PROTECTION))?;
                fpu::set_guest_trap(self.0.context, ts == TaskSwitched::Set);
            }
            2 => self.0.vcpu.info().set_cr2(value),
            3 => {
                if value & 0xfff != 0 {
                    return Err(Stop::Fault(Fault::GENERAL_PROTECTION));
                }
                return hypercall::load_root(self.0, Mfn::of_address(value)).map_err(|error| {
                    match error {
                        hypercall::RootRefusal::Preempted => Stop::Retry,
                        hypercall::RootRefusal::Refused => Stop::Fault(Fault::GENERAL_PROTECTION),
                    }
                });
            }
            4 => state::set_cr4(self.0.context, self.0.domain, value),
            _ => return Err(Stop::Unhandleable),
        }
        Ok(())
    }

    fn clear_task_switched(&mut self) -> Result<(), Stop> {
        fpu::set_guest_trap(self.0.context, false);
        Ok(())
    }

    fn read_dr(&mut self, number: u8) -> Result<u64, Stop> {
        state::debug_register(self.0.context, u32::from(number))
            .map_err(|_| Stop::Fault(Fault::INVALID_OPCODE))
    }

    fn write_dr(&mut self, number: u8, value: u64) -> Result<(), Stop> {
        use crate::cpu_policy::debug::DebugError;
        state::set_debug_register(self.0.context, u32::from(number), value).map_err(|error| {
            Stop::Fault(match error {
                DebugError::NoRegister => Fault::INVALID_OPCODE,
                _ => Fault::GENERAL_PROTECTION,
            })
        })
    }

    fn read_msr(&mut self, index: u32) -> Result<u64, Stop> {
        let (fs, gs, other_gs) = state::bases();
        match msr_policy::read(index, &self.msr_context()) {
            MsrRead::Value(value) => Ok(value),
            MsrRead::Base(BaseRegister::Fs) => Ok(fs),
            MsrRead::Base(BaseRegister::Gs) => Ok(gs),
            MsrRead::Base(BaseRegister::KernelGs) => Ok(other_gs),
            MsrRead::Host { keep, set } => {
                let value =
                    msr::read_if_there(index).ok_or(Stop::Fault(Fault::GENERAL_PROTECTION))?;
                Ok(value & keep | set)
            }
            MsrRead::TimeStamp => Ok(msr::tsc()),
            MsrRead::TscAux => Ok(u64::from(self.0.context.tsc_aux)),
            MsrRead::SpecCtrl => Ok(0),
            MsrRead::ZeroIfHostHas if msr::read_if_there(index).is_some() => Ok(0),
            MsrRead::ZeroIfHostHas | MsrRead::Fault => Err(Stop::Fault(Fault::GENERAL_PROTECTION)),
        }
    }

    fn write_msr(&mut self, index: u32, value: u64) -> Result<(), Stop> {
        match msr_policy::write(index, value, &self.msr_context()) {
            MsrWrite::Base(BaseRegister::Fs, base) => state::set_fs_base(base),
            MsrWrite::Base(BaseRegister::Gs, base) => state::set_gs_base(base),
            MsrWrite::Base(BaseRegister::KernelGs, base) => state::set_other_gs_base(base),
            MsrWrite::TscAux(value) => {
                self.0.context.tsc_aux = value;
                // SAFETY: shown to guests only where the register exists.
                unsafe { msr::write(msr::TSC_AUX, u64::from(value)) };
            }
            MsrWrite::Ignore => {}
            MsrWrite::SpecCtrl(_)
            | MsrWrite::Command(_)
            | MsrWrite::HypercallPage(_)
            | MsrWrite::Fault => {
                return Err(Stop::Fault(Fault::GENERAL_PROTECTION));
            }
        }
        Ok(())
    }

    fn cpuid(&mut self, origin: CpuidOrigin, leaf: u32, subleaf: u32) -> Result<Leaf, Stop> {
        let caller = CpuidCaller {
            is_dom0: self.0.domain.is_hardware_domain(),
            mode: self.0.context.mode,
            origin,
        };
        let state = CpuidState {
            cr4: self.0.context.cr4,
            xcr0: self.0.context.xcr0,
            tsc: processors::tsc_info(),
        };
        let domain = self.0.domain;
        let answer = cpuid::guest_cpuid(&Host, domain.policy(), caller, &state, leaf, subleaf);
        Ok(domain.narrow(leaf, subleaf, answer))
    }

    fn time_stamp(&mut self) -> Result<u64, Stop> {
        Ok(msr::tsc())
    }

    fn time_stamp_aux(&mut self) -> Result<u32, Stop> {
        Ok(self.0.context.tsc_aux)
    }

    fn write_back_caches(&mut self) -> Result<(), Stop> {
        if self.0.domain.is_hardware_domain() {
            tlb::write_back_caches();
        }
        Ok(())
    }

    fn read_xcr(&mut self, index: u32) -> Result<u64, Stop> {
        if index == 0 {
            Ok(self.0.context.xcr0)
        } else {
            Err(Stop::Fault(Fault::GENERAL_PROTECTION))
        }
    }

    fn write_xcr(&mut self, index: u32, value: u64) -> Result<(), Stop> {
        let permitted = self.0.domain.policy().xcr0_permitted;
        if index != 0 || permitted == 0 || xstate::validate_xcr0(value, permitted).is_err() {
            return Err(Stop::Fault(Fault::GENERAL_PROTECTION));
        }
        fpu::set_xcr0(self.0.context, value);
        Ok(())
    }

    fn invalidate_page(&mut self, _: u64) -> Result<(), Stop> {
        Err(Stop::Unhandleable)
    }
}

impl Trapped<'_, '_> {
    /// The descriptor of `selector` as it is now; `None` if there is none.
    fn descriptor(&mut self, selector: u16) -> Result<Option<u64>, NotNow> {
        let entries = self.0.context.tables.ldt_entries;
        let gdt = switch::gdt_address(self.0.vcpu.id());
        let at = |table: u64, index: u16| table + u64::from(index) * 8;
        let index = match Place::of(selector, tables::GDT_ENTRIES, entries) {
            None => return Ok(None),
            Some(Place::Global(index)) => return Ok(read_descriptor(at(gdt, index))),
            Some(Place::Local(index)) => index,
        };
        let address = at(gdt + PER_VCPU_BYTES / 2, index);
        if let Some(descriptor) = read_descriptor(address) {
            return Ok(Some(descriptor));
        }
        // Pages of a local table are shown when they are looked at, and cease to be when they are wanted otherwise.
        match descriptors::map_ldt_page(self.0, usize::from(index) * 8 / PAGE_SIZE) {
            LdtPage::Mapped => Ok(read_descriptor(address)),
            LdtPage::NotNow => Err(NotNow),
            LdtPage::Refused => Ok(None),
        }
    }

    fn msr_context(&self) -> MsrContext<'_> {
        // SAFETY: EFER exists in long mode.
        let hardware_efer = unsafe { msr::read(msr::EFER) };
        MsrContext {
            policy: self.0.domain.policy(),
            is_dom0: self.0.domain.is_hardware_domain(),
            is_boot_vcpu: self.0.vcpu.id().0 == 0,
            has_gp_handler: self.0.context.traps[vector::GENERAL_PROTECTION as usize]
                .address
                .0
                != 0,
            hardware_efer,
        }
    }

    fn port_rights(&self) -> PortRights {
        if self.0.domain.is_hardware_domain() {
            PortRights::Hardware {
                power_management_timer: None,
            }
        } else {
            PortRights::None
        }
    }

    fn read_piece(&self, piece: Piece) -> u32 {
        let Piece { port, width, .. } = piece;
        let nothing = width.mask() as u32;
        match piece.owner {
            PortOwner::Nobody | PortOwner::InterruptController => nothing,
            PortOwner::IntervalTimer => legacy_ports::read_timer(port).into(),
            PortOwner::SpeakerControl => legacy_ports::read_gate().into(),
            PortOwner::RealTimeClock => {
                legacy_ports::read_clock(&self.0.domain.clock_index, port).into()
            }
            PortOwner::PciAddress => self.0.domain.pci_address.load(Ordering::Relaxed),
            PortOwner::PciData => {
                let address = self.0.domain.pci_address.load(Ordering::Relaxed);
                pci::guest_read(address, port & 3, width)
            }
            _ if !may_use_port(port, width) => nothing,
            // SAFETY: the first domain owns all devices but those of the hypervisor, which `may_use_port` keeps.
            _ => unsafe {
                match width {
                    Width::Byte => u32::from(port::read_u8(port)),
                    Width::Word => u32::from(port::read_u16(port)),
                    _ => port::read_u32(port),
                }
            },
        }
    }

    fn write_piece(&self, piece: Piece, value: u32) {
        let Piece { port, width, .. } = piece;
        match piece.owner {
            PortOwner::Nobody | PortOwner::InterruptController => {}
            PortOwner::IntervalTimer => legacy_ports::write_timer(port, value as u8),
            PortOwner::SpeakerControl => legacy_ports::write_gate(value as u8),
            PortOwner::RealTimeClock => {
                legacy_ports::write_clock(&self.0.domain.clock_index, port, value as u8);
            }
            PortOwner::PciAddress => self.0.domain.pci_address.store(value, Ordering::Relaxed),
            PortOwner::PciData => {
                let address = self.0.domain.pci_address.load(Ordering::Relaxed);
                pci::guest_write(address, port & 3, width, value);
            }
            _ if !may_use_port(port, width) => {}
            // SAFETY: as in `read_piece`.
            _ => unsafe {
                match width {
                    Width::Byte => port::write_u8(port, value as u8),
                    Width::Word => port::write_u16(port, value as u16),
                    _ => port::write_u32(port, value),
                }
            },
        }
    }
}

/// Whether the hypervisor has no device of its own at these ports.
fn may_use_port(port: u16, width: Width) -> bool {
    let last = u32::from(port) + width.bytes() as u32 - 1;
    !crate::arch::owns_port(u32::from(port), last)
}

impl PvCpu for Trapped<'_, '_> {
    fn mode(&self) -> GuestMode {
        self.0.context.mode
    }

    fn iopl(&self) -> Iopl {
        match self.0.context.is_kernel() && self.0.domain.has_architectural_iopl() {
            true => Iopl::OF_LEVEL_0,
            false => self.0.context.iopl,
        }
    }

    fn io_bitmap_ports(&self) -> u32 {
        self.0.context.io_bitmap.1
    }

    fn io_bitmap_byte(&mut self, index: u32) -> Option<u8> {
        // By the kernel's tables, whichever are in use.
        let address = self.0.context.io_bitmap.0.0.wrapping_add(u64::from(index));
        memory::read_byte(self.0.domain, self.0.context.kernel_root, Vaddr(address))
    }
}

/// Settles an emulation. `true` if nothing is left to deliver.
pub(super) fn settle(guest: &mut Guest<'_>, outcome: Outcome) -> Result<bool, CannotDeliver> {
    match outcome {
        Outcome::Done { debug: 0 } | Outcome::Retry => Ok(true),
        Outcome::Done { debug } => {
            guest.context.debug.report(debug);
            deliver_exception(guest, vector::DEBUG, 0)?;
            Ok(true)
        }
        Outcome::Inject(fault) => {
            let error_code = fault.error_code.unwrap_or(0);
            match fault.cr2 {
                Some(address) => deliver_page_fault(guest, address, error_code)?,
                None => deliver_exception(guest, u32::from(fault.vector), error_code)?,
            }
            Ok(true)
        }
        Outcome::NotHandled => Ok(false),
    }
}

/// A general protection fault without an error code: perhaps an instruction that is emulated.
pub(in crate::arch) fn privileged(guest: &mut Guest<'_>) -> Result<bool, CannotDeliver> {
    let outcome = privileged_instructions::emulate(&mut Trapped(guest));
    settle(guest, outcome)
}

/// An invalid opcode: perhaps a marked CPUID.
pub(in crate::arch) fn forced(guest: &mut Guest<'_>) -> Result<bool, CannotDeliver> {
    let outcome = forced_prefix::emulate(&mut Trapped(guest));
    settle(guest, outcome)
}
