//! Calls that set a vCPU's state, and images of such states, read from bytes: the fuzzer's way to what a guest says
//! about its entry points, descriptor tables and registers.
//!
//! The guest's memory changes behind each read. After each call the state has nothing that could fault in the hypervisor, or
//! mean something to its own return to guests, and it is what was read, once; what is refused has changed nothing, but for a
//! list of handlers, of which those before the bad one are taken.

use super::context::{Callback, Context, EventMask, TrapHandler};
use super::entry_points::{Arguments, GdtFrames, callback_op, set_trap_table};
use super::image;
use crate::call_bytes;
use crate::cpu_policy::cpuid::Vendor;
use crate::cpu_policy::{GuestMode, Policy, Speculation};
use core::cell::{Cell, RefCell};
use guest_abi::callback_op::{CallbackRegister, CallbackType};
use guest_abi::errno::Errno;
use guest_abi::ids::{Mfn, PAGE_SIZE, Vaddr};
use guest_abi::segment::{FLAT_RING3_CS64, FLAT_RING3_SS};
use guest_abi::trap::{IretFlags, IretFrame, TrapInfo};
use guest_abi::vcpu_context::{ContextFlags, VcpuGuestContext};
use std::vec::Vec;
use zerocopy::{FromBytes, FromZeros, IntoBytes};

/// Where the guest's memory begins, and how much of it there is: more than the longest list.
const BASE: u64 = 0x7000;
const ROOM: usize = 0x1200;
/// Calls of one run at the most.
const MAX_CALLS: usize = 200;

/// Memory of the guest's in which nothing is twice the same.
struct Memory {
    bytes: RefCell<Vec<u8>>,
    /// Reads that succeed; those that follow fail.
    reads_left: Cell<u32>,
    /// What the call has read, and where.
    read: RefCell<Vec<(u64, Vec<u8>)>>,
}

impl Arguments for Memory {
    fn read<T: FromBytes>(&self, at: u64) -> Result<T, Errno> {
        let left = self.reads_left.get();
        self.reads_left.set(left.saturating_sub(1));
        let start = at.checked_sub(BASE).ok_or(Errno::EFAULT)?;
        let start = usize::try_from(start).map_err(|_| Errno::EFAULT)?;
        let end = start.checked_add(size_of::<T>()).ok_or(Errno::EFAULT)?;
        let mut bytes = self.bytes.borrow_mut();
        let found = bytes.get_mut(start..end).ok_or(Errno::EFAULT)?;
        if left == 0 {
            return Err(Errno::EFAULT);
        }
        let value = T::read_from_bytes(found).map_err(|_| Errno::EFAULT)?;
        self.read.borrow_mut().push((at, found.to_vec()));
        found.iter_mut().for_each(|byte| *byte = !*byte);
        Ok(value)
    }
}

/// What guests say of their vCPUs' states.
struct States;

type Bytes<'b> = call_bytes::Bytes<'b, States>;

impl Bytes<'_> {
    /// An address of an argument: mostly in the memory.
    fn place(&mut self) -> u64 {
        let (what, offset) = (self.byte(), self.byte());
        match what {
            0..16 => 0,
            16..240 => BASE + u64::from(offset) * 8,
            240..248 => BASE + ROOM as u64 - u64::from(offset),
            _ => self.long(),
        }
    }

    /// A number that often is one that decides something.
    fn value(&mut self) -> u64 {
        const EDGES: [u64; 16] = [
            0,
            0x1000,
            0x7fff_ffff_ffff,
            0x8000_0000_0000,
            0xffff_7fff_ffff_ffff,
            0xffff_8000_0000_0000,
            0xffff_ffff_8000_0000,
            u64::MAX,
            7168,
            7169,
            8192,
            8193,
            0x3f_ffff,
            0xe030,
            0xdead_0000_0000_0000,
            1 << 63,
        ];
        match self.byte() {
            0..160 => self.long(),
            byte => EDGES[usize::from(byte % 16)],
        }
    }
}

/// Makes the calls that `bytes` say.
///
/// # Panics
/// A rule is broken.
pub fn run(bytes: &[u8]) {
    let mut bytes = Bytes::new(bytes, States);
    let mut run = Run {
        memory: Memory {
            bytes: RefCell::new(vec![0; ROOM]),
            reads_left: Cell::new(0),
            read: RefCell::default(),
        },
        context: Context::new(Mfn(1)),
        policy: policy(bytes.byte()),
    };
    for _ in 0..MAX_CALLS {
        if bytes.is_empty() {
            break;
        }
        run.call(&mut bytes);
        check(&run.context, &run.policy);
    }
}

fn policy(bits: u8) -> Policy {
    Policy {
        vendor: Vendor::Other,
        xcr0_permitted: u64::from(bits & 1) * 7,
        has_fsgsbase: bits & 2 != 0,
        has_tsc_aux: false,
        has_invariant_tsc: false,
        has_machine_check: false,
        speculation: Speculation::default(),
        machine_address_width: 40,
        interface_version: (4, 17),
    }
}

struct Run {
    memory: Memory,
    context: Context,
    policy: Policy,
}

impl Run {
    fn call(&mut self, bytes: &mut Bytes<'_>) {
        let which = bytes.byte();
        self.memory.read.borrow_mut().clear();
        self.memory.reads_left.set(match which & 0x80 {
            0 => u32::MAX,
            _ => u32::from(bytes.byte()),
        });
        match which % 8 {
            0 | 1 => self.store(bytes),
            2 => self.set_trap_table(bytes.place()),
            3 => self.callback_op(u64::from(bytes.byte() % 3), bytes.place()),
            4 => self.gdt(bytes),
            5 => self.iret(bytes),
            _ => self.take_image(bytes),
        }
    }

    /// The guest writes words to its memory.
    fn store(&self, bytes: &mut Bytes<'_>) {
        for _ in 0..bytes.byte() % 16 {
            let at = usize::from(bytes.byte()) * 8;
            let value = bytes.value();
            if let Some(place) = self.memory.bytes.borrow_mut().get_mut(at..at + 8) {
                place.copy_from_slice(&value.to_le_bytes());
            }
        }
    }

    /// What was read, each once, and one behind the other from `first` on.
    fn read<T: FromBytes>(&self, first: u64) -> Vec<T> {
        let read = self.memory.read.borrow();
        let values = (0u64..).zip(read.iter()).map(|(index, (at, bytes))| {
            assert_eq!(*at, first.wrapping_add(index * size_of::<T>() as u64));
            T::read_from_bytes(bytes).expect("as long as it was read")
        });
        values.collect()
    }

    fn set_trap_table(&mut self, list: u64) {
        let mut expected = self.context.traps;
        let outcome = set_trap_table(&mut self.context.traps, &self.memory, list);
        let read: Vec<TrapInfo> = self.read(list);
        assert!(read.len() <= 257);
        if list == 0 {
            assert!(outcome.is_ok() && read.is_empty());
            expected = [TrapHandler::NONE; 256];
        }
        let mut end = None;
        for entry in read {
            assert_eq!(end, None, "more is read than the list has");
            end = match entry.address.0 {
                0 => Some(Ok(())),
                at if !is_sound(at) => Some(Err(Errno::EINVAL)),
                _ => {
                    expected[usize::from(entry.vector)] = TrapHandler {
                        address: entry.address,
                        cs: entry.cs | 3,
                        dpl: entry.flags.bits() & 3,
                        mask: mask(entry.flags.bits() & 4 != 0),
                    };
                    None
                }
            };
        }
        match end {
            Some(end) => assert_eq!(outcome, end),
            // There is no list, one without an end, or one that can't be read.
            None => assert!(matches!(outcome, Ok(()) | Err(Errno::EFAULT))),
        }
        assert_eq!(self.context.traps, expected);
    }

    fn callbacks(&self) -> [Callback; 5] {
        let all = &self.context.callbacks;
        [
            all.event,
            all.failsafe,
            all.syscall,
            all.syscall32,
            all.sysenter,
        ]
    }

    fn callback_op(&mut self, operation: u64, argument: u64) {
        let (mut traps, mut callbacks) = (self.context.traps, self.callbacks());
        let outcome = callback_op(&mut self.context, &self.memory, operation, argument);
        let read = self.memory.read.borrow();
        assert!(read.len() <= 1);
        if outcome.is_ok() {
            let (at, bytes) = read.first().expect("an argument");
            assert_eq!(*at, argument);
            let kind = CallbackType::try_from(u16::from_le_bytes([bytes[0], bytes[1]]));
            let new =
                CallbackRegister::read_from_bytes(bytes).map_or(Callback::NONE, |wish| Callback {
                    address: wish.address,
                    mask: mask(wish.flags.bits() & 1 != 0),
                });
            let place = match kind.expect("a known one") {
                CallbackType::Event => Some(0),
                CallbackType::Failsafe => Some(1),
                CallbackType::Syscall => Some(2),
                CallbackType::Syscall32 => Some(3),
                CallbackType::Sysenter => Some(4),
                CallbackType::Nmi => None,
                CallbackType::SysenterDeprecated => panic!("this one is not offered"),
            };
            match place {
                Some(place) => {
                    assert_eq!(operation, 0, "it can't be removed");
                    callbacks[place] = new;
                }
                None => {
                    traps[2] = TrapHandler {
                        address: new.address,
                        cs: FLAT_RING3_CS64,
                        dpl: 0,
                        mask: new.mask,
                    };
                }
            }
        }
        drop(read);
        assert_eq!(self.context.traps, traps);
        assert_eq!(self.callbacks(), callbacks);
    }

    fn gdt(&self, bytes: &mut Bytes<'_>) {
        let (list, entries) = (bytes.place(), bytes.value());
        let entries = if entries > 1 << 40 {
            entries & 0x1fff
        } else {
            entries
        };
        let outcome = GdtFrames::read(&self.memory, list, entries);
        let read: Vec<u64> = self.read(list);
        match outcome {
            Ok(table) => {
                assert!(entries <= 7168);
                assert_eq!(u64::from(table.entries), entries);
                assert_eq!(read.len() as u64, entries.div_ceil(512));
                let frames = table.used().iter().map(|frame| frame.0);
                assert!(frames.eq(read.iter().copied()));
                let unused = table.frames.iter().skip(read.len());
                assert!(unused.copied().all(|frame| frame == Mfn(0)));
            }
            Err(Errno::EINVAL) => assert!(entries > 7168 && read.is_empty()),
            Err(errno) => assert_eq!(errno, Errno::EFAULT),
        }
    }

    fn iret(&mut self, bytes: &mut Bytes<'_>) {
        let mut frame = IretFrame::new_zeroed();
        for word in frame.as_mut_bytes().chunks_exact_mut(8) {
            word.copy_from_slice(&bytes.value().to_le_bytes());
        }
        let registers = &mut self.context.registers;
        let before = *registers;
        registers.go_on(&frame);
        let wanted = match frame.flags.contains(IretFlags::IN_SYSCALL) {
            true => (registers.rip, registers.rflags),
            false => (frame.rcx, frame.r11),
        };
        assert_eq!((registers.rcx, registers.r11), wanted);
        assert_eq!(
            (registers.rax, registers.rip, registers.rsp),
            (frame.rax, frame.rip, frame.rsp)
        );
        assert_eq!((registers.rdi, registers.gs), (before.rdi, before.gs));
        // Where it goes on may be nowhere: that faults at the return, in the guest's place.
        check_frame(&self.context);
        self.context.registers.rip = 0;
    }

    /// Takes an image that is like a usual one, but for some words.
    fn take_image(&mut self, bytes: &mut Bytes<'_>) {
        let mut image = usual_image();
        for _ in 0..bytes.byte() % 16 {
            let (at, value) = (usize::from(bytes.word() % 646) * 8, bytes.value());
            if let Some(place) = image.as_mut_bytes().get_mut(at..at + 8) {
                place.copy_from_slice(&value.to_le_bytes());
            }
        }
        let mut context = Context::new(Mfn(0));
        let outcome = image::fill(&mut context, &self.policy, &image);
        assert_eq!(outcome, judge(&image));
        if outcome.is_err() {
            return;
        }
        let (registers, user) = (&context.registers, &image.user_regs);
        assert_eq!(registers.as_bytes()[..120], user.as_bytes()[..120]);
        assert_eq!(
            (registers.rip, registers.rsp, registers.fs),
            (user.rip, user.rsp, user.fs.into())
        );
        assert_eq!(context.kernel_root, Mfn(image.ctrlreg[3] >> 12));
        let user_root = Some(image.ctrlreg[1]).filter(|&root| root != 0);
        assert_eq!(context.user_root, user_root.map(|root| Mfn(root >> 12)));
        for (handler, entry) in context.traps.iter().zip(&image.trap_ctxt) {
            assert_eq!((handler.address, handler.cs), (entry.address, entry.cs | 3));
        }
        let used = context.tables.gdt_frames().iter().map(|frame| frame.0);
        assert!(used.eq(image.gdt_frames[..image.gdt_ents.div_ceil(512) as usize].to_vec()));
        self.context = context;
    }
}

/// What is to come of an image.
fn judge(image: &VcpuGuestContext) -> Result<(), Errno> {
    let handlers = image.trap_ctxt.iter().map(|entry| entry.address.0);
    let addresses = [
        image.user_regs.rip,
        image.event_callback_eip.0,
        image.failsafe_callback_eip.0,
        image.syscall_callback_eip.0,
        image.fs_base,
        image.gs_base_kernel,
        image.gs_base_user,
        image.ldt_base.0,
    ];
    let is_fine = addresses.into_iter().chain(handlers).all(is_sound)
        && image.gdt_ents <= 7168
        && image.ldt_ents <= 8192
        && image.ldt_base.0.is_multiple_of(PAGE_SIZE as u64)
        && (image.flags.bits() & 4 != 0 || image.ctrlreg[1] != 0);
    if is_fine { Ok(()) } else { Err(Errno::EINVAL) }
}

fn usual_image() -> VcpuGuestContext {
    let mut image = VcpuGuestContext::new_zeroed();
    image.flags = ContextFlags::IN_KERNEL;
    let registers = &mut image.user_regs;
    (registers.rip, registers.rsp) = (0xffff_ffff_8100_0000, 0xffff_ffff_8200_0000);
    (registers.cs, registers.ss) = (FLAT_RING3_CS64, FLAT_RING3_SS);
    registers.rflags = 0x200;
    (image.ctrlreg[1], image.ctrlreg[3]) = (0x5000, 0x6000);
    image.event_callback_eip = Vaddr(0xffff_ffff_8100_1000);
    image
}

fn mask(is_set: bool) -> EventMask {
    match is_set {
        true => EventMask::Mask,
        false => EventMask::Keep,
    }
}

/// Whether a register takes this address: its upper 17 bits are alike.
fn is_sound(address: u64) -> bool {
    matches!(address >> 47, 0 | 0x1_ffff)
}

/// What the hypervisor relies on, whatever the guest has said.
fn check(context: &Context, policy: &Policy) {
    check_frame(context);
    assert!(is_sound(context.registers.rip));
    for handler in &context.traps {
        assert!(is_sound(handler.address.0) && handler.dpl <= 3);
        // A handler that there is runs in ring 3.
        assert!(handler.cs & 3 == 3 || *handler == TrapHandler::NONE);
    }
    let all = &context.callbacks;
    for callback in [
        all.event,
        all.failsafe,
        all.syscall,
        all.syscall32,
        all.sysenter,
    ] {
        assert!(is_sound(callback.address.0));
    }
    let bases = context.bases;
    assert!([bases.fs, bases.gs_kernel, bases.gs_user].map(is_sound) == [true; 3]);
    assert_eq!(context.kernel_stack.0 & 3, 3);
    assert!(context.mode == GuestMode::Kernel || context.user_root.is_some());
    // Time stamp, debugging extensions, bases, and the extended state.
    let permitted =
        0xc | u64::from(policy.has_fsgsbase) << 16 | u64::from(policy.xcr0_permitted != 0) << 18;
    assert_eq!(context.cr4 & !permitted, 0);
    for address in context.debug.addresses() {
        let is_hypervisors = (0xffff_8000_0000_0000..0xffff_8800_0000_0000).contains(&address);
        assert!(is_sound(address) && !is_hypervisors, "a breakpoint there");
    }
    let dr7 = context.debug.hardware_dr7();
    assert_eq!(dr7 & !0xffff_07ff, 0, "what traps the hypervisor itself");
    let tables = &context.tables;
    assert!(tables.gdt_entries <= 7168 && tables.ldt_entries <= 8192);
    let frames = tables.gdt_frames().len();
    assert_eq!(frames, tables.gdt_entries.div_ceil(512) as usize);
    assert!(is_sound(tables.ldt_base.0) && tables.ldt_base.0.is_multiple_of(4096));
}

/// The frame with which the hypervisor returns to the guest: ring 3, interrupts on, and of the flags none that means something
/// to the return itself.
fn check_frame(context: &Context) {
    let registers = &context.registers;
    assert_eq!((registers.cs & 3, registers.ss & 3), (3, 3));
    assert!(registers.cs <= 0xffff && registers.ss <= 0xffff);
    // I/O level, nested task, virtual mode, virtual interrupts, and what there is not.
    const NEVER: u64 = 0x3000 | 0x4000 | 0x2_0000 | 0x18_0000 | !0x3f_ffff | 0x8028;
    assert_eq!(registers.rflags & (NEVER | 0x202), 0x202);
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::made_up_bytes::made_up_bytes;

    #[test]
    fn calls_read_from_random_bytes_break_no_rule() {
        let lists = crate::test_cases::cases(2000_u32) as usize;
        for bytes in made_up_bytes(lists, 400) {
            run(&bytes);
        }
    }

    fn filled(change: impl FnOnce(&mut VcpuGuestContext)) -> Result<Context, Errno> {
        let mut image = usual_image();
        change(&mut image);
        let mut context = Context::new(Mfn(0));
        image::fill(&mut context, &policy(3), &image)?;
        check(&context, &policy(3));
        Ok(context)
    }

    #[test]
    fn each_bit_of_an_images_flags_is_a_guests_or_taken_out() {
        for bit in 0..64 {
            let wish = 1u64 << bit;
            let context = filled(|image| image.user_regs.rflags = wish).expect("sound");
            // Arithmetic, trap, direction, resume, alignment and identification.
            let is_guests = 0x25_0dd5 & wish != 0;
            let expected = 0x202 | if is_guests { wish } else { 0 };
            assert_eq!(context.registers.rflags, expected, "bit {bit}");
            assert_eq!(context.iopl.in_rflags(), wish & 0x3000);
        }
    }

    #[test]
    fn selectors_of_any_privilege_become_those_of_ring_3() {
        for selector in [0, 8, 0xe008, 0xe010, 0xe02a, 0xfffc] {
            let context = filled(|image| {
                (image.user_regs.cs, image.user_regs.ss) = (selector, selector);
                image.kernel_ss = u64::from(selector) | 0xffff_0000;
                image.trap_ctxt[3].cs = selector;
            })
            .expect("sound");
            let raised = u64::from(selector | 3);
            assert_eq!(
                (context.registers.cs, context.registers.ss),
                (raised, raised)
            );
            assert_eq!(
                (context.kernel_stack.0, context.traps[3].cs),
                (selector | 3, selector | 3)
            );
        }
    }

    #[test]
    fn an_image_with_an_address_that_no_processor_has_is_refused() {
        const NOWHERE: u64 = 0x8000_0000_0000;
        let spoil: [fn(&mut VcpuGuestContext); 10] = [
            |image| image.user_regs.rip = NOWHERE,
            |image| image.event_callback_eip = Vaddr(NOWHERE),
            |image| image.failsafe_callback_eip = Vaddr(NOWHERE),
            |image| image.syscall_callback_eip = Vaddr(NOWHERE),
            |image| image.fs_base = NOWHERE,
            |image| image.gs_base_kernel = NOWHERE,
            |image| image.gs_base_user = NOWHERE,
            |image| image.ldt_base = Vaddr(NOWHERE),
            |image| image.trap_ctxt[0].address = Vaddr(NOWHERE),
            |image| image.trap_ctxt[255].address = Vaddr(NOWHERE),
        ];
        for change in spoil {
            assert_eq!(filled(change).err(), Some(Errno::EINVAL));
        }
        // A stack may be anywhere: it is looked at when it is used.
        assert!(filled(|image| image.user_regs.rsp = NOWHERE).is_ok());
        assert!(filled(|image| image.kernel_sp = Vaddr(NOWHERE)).is_ok());
    }

    #[test]
    fn user_mode_takes_page_tables_for_it() {
        let user = |root: u64| {
            filled(|image| {
                image.flags = ContextFlags::empty();
                image.ctrlreg[1] = root;
            })
        };
        assert_eq!(user(0).err(), Some(Errno::EINVAL));
        assert!(user(0x5000).is_ok_and(|context| context.mode == GuestMode::User));
    }
}
