//! What a kernel finds when its first instruction runs: the start-of-day structure, its registers, and
//! the hypercall page if it has one.

use super::{command_line::CommandLine, layout::Layout};
use guest_abi::{
    hypercall::{Hypercall, NR_STUBS, STUB_SIZE},
    ids::{Mfn, PAGE_SIZE, Port},
    segment::{FLAT_RING3_CS64, FLAT_RING3_SS},
    start_of_day::{INITIAL_RFLAGS, MAGIC_DOM0, MAGIC_DOMU, StartFlags, StartInfo},
    vcpu_context::CpuUserRegs,
};
use zerocopy::FromZeros;

/// RFLAGS bit that is always set.
const RFLAGS_ALWAYS: u64 = 1 << 1;

/// A ring that is shared with another domain: its frame, and the port that announces news in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ring {
    /// The ring's frame.
    pub mfn: Mfn,
    /// The domain's own port.
    pub port: Port,
}

/// What differs between the first domain's start-of-day structure and another's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Devices {
    /// The first domain.
    Dom0 {
        /// Bytes of the screen's description directly behind the structure; 0 for none.
        screen_info_len: u32,
        /// Hints for power management, the byte at [`StartFlags::PM_MASK`].
        power_management: u8,
    },
    /// Any other domain. Neither port may be 0: that means "none" to the kernel.
    DomU {
        /// The ring to the store.
        store: Ring,
        /// The console's ring.
        console: Ring,
    },
}

/// The start-of-day structure for a domain that is laid out as `layout`. `shared_info` is the machine
/// address of the page shared with the hypervisor.
#[must_use]
pub fn start_info(
    layout: &Layout,
    shared_info: u64,
    devices: Devices,
    command_line: &CommandLine,
) -> StartInfo {
    let mut info = StartInfo::new_zeroed();
    info.nr_pages = layout.nr_pages;
    info.shared_info = shared_info;
    info.pt_base = layout.vaddr(layout.page_tables.start());
    info.nr_pt_frames = layout.page_tables.len();
    info.mfn_list = layout.vaddr(layout.p2m.start());
    info.cmd_line = *command_line.field();
    let mut flags = StartFlags::empty();
    let magic = match devices {
        Devices::Dom0 {
            screen_info_len,
            power_management,
        } => {
            flags |= StartFlags::PRIVILEGED | StartFlags::INITDOMAIN;
            let shift = StartFlags::PM_MASK.bits().trailing_zeros();
            flags |= StartFlags::from_bits_retain(u32::from(power_management) << shift);
            if screen_info_len != 0 {
                info.set_vga(size_of::<StartInfo>() as u32, screen_info_len);
            }
            MAGIC_DOM0
        }
        Devices::DomU { store, console } => {
            (info.store_mfn, info.store_evtchn) = (store.mfn, store.port);
            (info.console_mfn, info.console_evtchn) = (console.mfn, console.port);
            MAGIC_DOMU
        }
    };
    for (to, from) in info.magic.iter_mut().zip(magic.bytes()) {
        *to = from;
    }
    if let Some(initrd) = layout.initrd {
        let start = initrd.pfns.start();
        info.mod_len = initrd.len;
        info.mod_start = if initrd.is_mapped {
            layout.vaddr(start).0
        } else {
            start.0
        };
        if !initrd.is_mapped {
            flags |= StartFlags::MOD_START_PFN;
        }
    }
    info.flags = flags;
    info
}

/// The first vCPU's registers. Its kernel stack (`kernel_ss`, `kernel_sp`) is what is in SS and RSP here.
#[must_use]
pub fn registers(layout: &Layout) -> CpuUserRegs {
    let mut registers = CpuUserRegs::new_zeroed();
    registers.rip = layout.entry.0;
    registers.cs = FLAT_RING3_CS64;
    registers.ss = FLAT_RING3_SS;
    // The stack grows down from the end of its page.
    registers.rsp = layout.vaddr(layout.stack).0.wrapping_add(PAGE_SIZE as u64);
    registers.rsi = layout.vaddr(layout.start_info.start()).0;
    registers.rflags = INITIAL_RFLAGS | RFLAGS_ALWAYS;
    registers
}

/// Fills a page with the stubs that kernels call to make hypercalls: number n at n times [`STUB_SIZE`].
pub fn write_hypercall_page(page: &mut [u8; PAGE_SIZE]) {
    const INT3: u8 = 0xCC;
    page.fill(INT3);
    for (number, stub) in (0_u64..).zip(page.chunks_exact_mut(STUB_SIZE).take(NR_STUBS)) {
        let [a, b, c, d, ..] = number.to_le_bytes();
        let code: &[u8] = if number == Hypercall::Iret.number() {
            // push rcx; push r11; push rax; mov eax, number; syscall. It is jumped to and never returns.
            &[0x51, 0x41, 0x53, 0x50, 0xB8, a, b, c, d, 0x0F, 0x05]
        } else {
            // push rcx; push r11; mov eax, number; syscall; pop r11; pop rcx; ret
            &[
                0x51, 0x41, 0x53, 0xB8, a, b, c, d, 0x0F, 0x05, 0x41, 0x5B, 0x59, 0xC3,
            ]
        };
        for (to, from) in stub.iter_mut().zip(code) {
            *to = *from;
        }
    }
}
