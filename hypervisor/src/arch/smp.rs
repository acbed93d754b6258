//! The other processors: starting them, and knowing which run.

use super::percpu::MAX_CPUS;
use super::{
    apic, boot_memory, clock, cpuid_faulting, death, entry_area, features, paging, percpu, tables,
    watchdog,
};
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// What the trampoline in boot/entry.S reads, in its order.
#[repr(C)]
struct Mailbox {
    early_root: u64,
    final_root: u64,
    stack: u64,
    cpu: u64,
    entry: u64,
}

unsafe extern "C" {
    static trampoline_start: u8;
    static trampoline_end: u8;
    static trampoline_mailbox: u8;
    fn secondary_high_entry();
}

/// How far a processor has come.
mod state {
    /// Not there.
    pub(super) const ABSENT: u32 = 0;
    /// Has stacks, was told to start.
    pub(super) const STARTING: u32 = 1;
    /// Runs.
    pub(super) const ONLINE: u32 = 2;
    /// Lacks a feature of the first processor; parked.
    pub(super) const REFUSED: u32 = 3;
}

/// `state` of each processor; moved forward by itself, or by whoever starts it.
static STATES: [AtomicU32; MAX_CPUS] = [const { AtomicU32::new(state::ABSENT) }; MAX_CPUS];
static APIC_IDS: [AtomicU32; MAX_CPUS] = [const { AtomicU32::new(0) }; MAX_CPUS];
/// Features that the last refused processor lacks.
static LACKING: AtomicU64 = AtomicU64::new(0);

/// How long a processor may take to arrive after its start-up interrupt.
const ARRIVAL_NS: u64 = 5_000_000_000;
/// And after the first one, until a second one is sent.
const FIRST_NS: u64 = 20_000_000;

/// Processors that run: their numbers and local APIC numbers.
pub(super) fn online() -> impl Iterator<Item = (u32, u32)> {
    // Numbers are given in order: the first that nobody has ends them.
    let all = (0u32..).zip(STATES.iter().zip(&APIC_IDS));
    let all = all.take_while(|(_, (state, _))| state.load(Ordering::Acquire) != state::ABSENT);
    all.filter(|(_, (state, _))| state.load(Ordering::Acquire) == state::ONLINE)
        .map(|(cpu, (_, id))| (cpu, id.load(Ordering::Relaxed)))
}

/// Local APIC number of a processor that runs.
pub(super) fn apic_id(cpu: u32) -> Option<u32> {
    let state = STATES.get(cpu as usize)?;
    (state.load(Ordering::Acquire) == state::ONLINE)
        .then(|| APIC_IDS[cpu as usize].load(Ordering::Relaxed))
}

/// Whether the stack block of processor `cpu` is mapped.
pub(super) fn has_stacks(cpu: u32) -> bool {
    STATES
        .get(cpu as usize)
        .is_some_and(|state| state.load(Ordering::Acquire) != state::ABSENT)
}

/// The first processor has its stacks and runs.
pub(super) fn first_is_online(apic_id: u32) {
    APIC_IDS[0].store(apic_id, Ordering::Relaxed);
    STATES[0].store(state::ONLINE, Ordering::Release);
}

/// Starts the first `most` processors with these local APIC numbers, as 1, 2, … in that order, on top of the first.
/// `early_root` is the machine address of the early page tables' root. Returns how many run then.
///
/// A processor that lacks a feature of the first is reported and left out. One that does not arrive is the
/// end of the boot: the machine is broken.
///
/// # Safety
/// Called once, by the first processor, with the final page tables in use and the early ones intact.
pub(super) unsafe fn start_others(
    apic_ids: impl Iterator<Item = u32> + Clone,
    most: usize,
    early_root: u64,
) -> u32 {
    if apic_ids.clone().next().is_none() {
        return 1;
    }
    let Some(page) = boot_memory::low_page() else {
        log::error!("no page below 1 MiB is free: only the first processor is started");
        return 1;
    };
    let start = &raw const trampoline_start;
    let length = &raw const trampoline_end as usize - start as usize;
    let mailbox_offset = &raw const trampoline_mailbox as usize - start as usize;
    let copy = paging::direct::<u8>(page);
    // SAFETY: the page is ours (low_page) and larger than the trampoline, which is constant data.
    unsafe { ptr::copy_nonoverlapping(start, copy, length) };
    // SAFETY: inside that page; aligned by the assembly.
    let mailbox = unsafe { copy.add(mailbox_offset) }.cast::<Mailbox>();

    // Those that are not to run, too: nothing but a start-up interrupt gets through to them then, the
    // watchdog's NMIs in particular.
    for apic_id in apic_ids.clone() {
        apic::send(apic_id, apic::Message::Init);
    }
    // The pause after INIT of the Intel SDM (volume 3, 10.4.4).
    clock::wait_ms(10);
    let mut cpu = 1;
    for apic_id in apic_ids.take(most) {
        if cpu as usize >= MAX_CPUS {
            log::warn!("more than {MAX_CPUS} processors: the others stay off");
            break;
        }
        paging::map_stacks(cpu);
        entry_area::map(cpu);
        // SAFETY: just mapped; the processor does not run yet.
        unsafe { percpu::install(cpu) };
        APIC_IDS[cpu as usize].store(apic_id, Ordering::Relaxed);
        STATES[cpu as usize].store(state::STARTING, Ordering::Release);
        // SAFETY: no other processor reads the mailbox now: they start one at a time.
        unsafe {
            mailbox.write_volatile(Mailbox {
                early_root,
                final_root: paging::root(),
                stack: percpu::info_address(cpu),
                cpu: u64::from(cpu),
                entry: secondary_high_entry as *const () as u64,
            });
        }
        if arrives(cpu, apic_id, (page >> 12) as u8) {
            cpu += 1;
        }
    }
    // The first domain may look there.
    // SAFETY: the page is ours (low_page); nobody executes there any more.
    unsafe { paging::fill(page, 4096, 0) };
    cpu
}

/// Sends the start-up interrupts and waits. The second one only where the first did nothing.
fn arrives(cpu: u32, apic_id: u32, page: u8) -> bool {
    let state = &STATES[cpu as usize];
    for attempt in 0..2 {
        apic::send(apic_id, apic::Message::Startup(page));
        let patience_ns = if attempt == 0 { FIRST_NS } else { ARRIVAL_NS };
        let end_ns = clock::now_ns() + patience_ns;
        while clock::now_ns() < end_ns {
            match state.load(Ordering::Acquire) {
                state::ONLINE => return true,
                state::REFUSED => {
                    let lacks =
                        features::Features::from_bits_truncate(LACKING.load(Ordering::Relaxed));
                    log::error!("the processor with APIC id {apic_id} lacks {lacks} and stays off");
                    state.store(state::STARTING, Ordering::Release);
                    return false;
                }
                _ => {}
            }
            clock::wait_and_compare_us(10);
        }
    }
    never_arrived(cpu, apic_id)
}

/// Broken hardware, and the processor may still come at any moment: nothing that an administrator can rely on.
#[cold]
#[inline(never)]
fn never_arrived(cpu: u32, apic_id: u32) -> ! {
    death::die(
        format_args!(
            "CPU{cpu} (APIC id {apic_id}) has not started within {} s of its start-up interrupt; \
             'maxcpus={cpu}' boots without it",
            ARRIVAL_NS / 1_000_000_000
        ),
        None,
    )
}

/// First Rust code of another processor, on its own stack.
pub(super) extern "C" fn secondary_main(cpu: u32) -> ! {
    #[cfg(feature = "planted-faults")]
    super::planted::before_arrival(cpu);
    // SAFETY: the stack block is mapped and this is its processor; interrupts have been off since reset.
    unsafe {
        tables::load_own(cpu);
        entry_area::load(cpu);
    }
    // SAFETY: the final page tables are in use.
    if let Err(lacks) = unsafe { features::set_up_processor() } {
        LACKING.store(lacks.bits(), Ordering::Relaxed);
        STATES[cpu as usize].store(state::REFUSED, Ordering::Release);
        death::halt();
    }
    apic::set_up_processor();
    cpuid_faulting::set_up_processor();
    let apic_id = APIC_IDS[cpu as usize].load(Ordering::Relaxed);
    if apic::id() != apic_id {
        death::die(
            format_args!(
                "local APIC {} started where {apic_id} was called",
                apic::id()
            ),
            None,
        );
    }
    // The first processor does the same while it waits for this one.
    clock::wait_and_compare_us(50);
    STATES[cpu as usize].store(state::ONLINE, Ordering::Release);
    #[cfg(feature = "planted-faults")]
    super::planted::on_processor(cpu);
    while !GUESTS.load(Ordering::Acquire) {
        watchdog::keep_ticking();
        x86_64::instructions::interrupts::enable_and_hlt();
    }
    super::scheduler::run()
}

/// The first domain is built: processors may run vCPUs.
static GUESTS: AtomicBool = AtomicBool::new(false);

/// Makes all other processors look around.
pub(super) fn wake_others() {
    for (cpu, apic_id) in online() {
        if cpu != percpu::current_cpu() {
            apic::send(apic_id, apic::Message::Interrupt(super::traps::VECTOR_WAKE));
        }
    }
}

/// Lets all processors run vCPUs.
pub(super) fn start_guests() {
    GUESTS.store(true, Ordering::Release);
    wake_others();
}
