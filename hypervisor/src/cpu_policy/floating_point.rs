//! Whose floating-point state a processor's registers hold, and what that spares.
//!
//! Every vCPU has an area in memory for its state, with a [`Residence`]; every processor has an [`Occupancy`]. The two
//! name each other while, and only while, the registers hold what the area holds or something newer that belongs
//! to the same vCPU. Then the vCPU goes on with the registers as they are. In every other case they are loaded anew
//! before its first instruction, so no instruction of a guest, not even one that is only speculated on, ever
//! meets another's values.
//!
//! | what happens | area | processor |
//! |---|---|---|
//! | the vCPU is loaded on processor `c`, or kept there | says `c` | says this area |
//! | it is put away from `c` | as before: the registers equal the area | as before |
//! | another is loaded on `c` | still says `c`, which is no longer true of `c` | says the other area |
//! | the vCPU is loaded on `d` | says `d` | `c` may still say this area, which `d` contradicts |
//! | somebody writes into the area | says nowhere | may still say this area |
//! | the vCPU is gone, another is at its address | says nowhere: new | may still say the address |
//!
//! Both are written by whoever holds the vCPU's context only, and the occupancy by its own processor only, so
//! their atomics order nothing: they can be read for reports.
#![forbid(unsafe_code)]

use super::cpuid::Vendor;
use super::xstate::{SSE, X87};
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Of an area: the processor whose registers hold the same, plus one; 0 for none.
#[derive(Debug, Default)]
pub struct Residence(AtomicU32);

impl Residence {
    /// In memory only.
    #[must_use]
    pub const fn nowhere() -> Self {
        Self(AtomicU32::new(0))
    }

    /// The area is written: no processor's registers hold the same any more.
    pub fn forget(&self) {
        self.0.store(0, Relaxed);
    }

    /// What tells areas apart while they exist.
    fn identity(&self) -> usize {
        core::ptr::from_ref(self).addr()
    }
}

/// What is to be done before a vCPU runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Load {
    /// Its area is to be loaded.
    FromArea,
    /// The registers hold its state.
    IsThere,
}

/// What a processor's registers hold, and how often that has changed.
#[derive(Debug, Default)]
pub struct Occupancy {
    /// Identity of the area; 0 for none.
    area: AtomicUsize,
    nr_saves: AtomicU64,
    nr_loads: AtomicU64,
    nr_kept: AtomicU64,
}

/// How often a processor has moved floating-point state.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Moves {
    /// From registers to areas.
    pub saves: u64,
    /// From areas to registers.
    pub loads: u64,
    /// A vCPU came back and found its state.
    pub kept: u64,
}

impl Occupancy {
    /// Nobody's.
    #[must_use]
    pub const fn nobody() -> Self {
        Self {
            area: AtomicUsize::new(0),
            nr_saves: AtomicU64::new(0),
            nr_loads: AtomicU64::new(0),
            nr_kept: AtomicU64::new(0),
        }
    }

    /// The vCPU whose state is in `area` is about to run here, on processor `cpu`.
    pub fn enter(&self, cpu: u32, area: &Residence) -> Load {
        if area.0.load(Relaxed) == cpu + 1 && self.area.load(Relaxed) == area.identity() {
            self.nr_kept.fetch_add(1, Relaxed);
            return Load::IsThere;
        }
        area.0.store(cpu + 1, Relaxed);
        self.area.store(area.identity(), Relaxed);
        self.nr_loads.fetch_add(1, Relaxed);
        Load::FromArea
    }

    /// The vCPU that runs here is put away: its registers have been written to its area.
    pub fn saved(&self) {
        self.nr_saves.fetch_add(1, Relaxed);
    }

    /// For reports.
    #[must_use]
    pub fn moves(&self) -> Moves {
        Moves {
            saves: self.nr_saves.load(Relaxed),
            loads: self.nr_loads.load(Relaxed),
            kept: self.nr_kept.load(Relaxed),
        }
    }
}

/// Whether restoring x87 state always replaces the pointers to the last instruction and its operand (FIP, FDP,
/// FOP). AMD's processors of before `RstrFpErrPtrs` (bit 2 of `EBX`, leaf `0x8000_0008`) leave them as they
/// are unless the state has a pending exception, so the next vCPU would see those of the last (CVE-2006-1056).
#[must_use]
pub fn restores_pointers(vendor: Vendor, leaf_80000008_ebx: u32) -> bool {
    vendor != Vendor::Amd || leaf_80000008_ebx & 1 << 2 != 0
}

/// Where an area of XSAVE's standard format has the components that it holds.
const COMPONENTS: usize = 512;
/// Where x87 state is: control word to the operand's pointer, then the registers.
const X87_POINTERS: core::ops::Range<usize> = 0..24;
const X87_REGISTERS: core::ops::Range<usize> = 32..160;
/// Where the XMM registers are.
const XMM_REGISTERS: core::ops::Range<usize> = 160..416;
/// The control word after initialisation.
const INITIAL_FCW: [u8; 2] = 0x37f_u16.to_le_bytes();

/// Makes an area that a processor has saved fit to be looked at. A processor that finds a component in its initial
/// state may say so in the area's header and leave the component's bytes as they were; here they become what they
/// mean. Nothing is done where the header says that x87 and SSE state are there.
///
/// Components behind the header are theirs to clear who knows where they are: `others` is called for each that the
/// header does not name, out of those of `permitted`.
pub fn fill_initial(area: &mut [u8], permitted: u64, mut others: impl FnMut(&mut [u8], u32)) {
    let Some(header) = area
        .get(COMPONENTS..COMPONENTS + 8)
        .and_then(|bytes| bytes.try_into().ok())
    else {
        return;
    };
    let absent = !u64::from_le_bytes(header);
    let mut clear = |range: core::ops::Range<usize>| {
        if let Some(bytes) = area.get_mut(range) {
            bytes.fill(0);
        }
    };
    if absent & X87 != 0 {
        clear(X87_POINTERS);
        clear(X87_REGISTERS);
    }
    if absent & SSE != 0 {
        clear(XMM_REGISTERS);
    }
    if absent & X87 != 0
        && let Some(control) = area.get_mut(0..2)
    {
        control.copy_from_slice(&INITIAL_FCW);
    }
    for component in 2..63 {
        if absent & permitted & 1 << component != 0 {
            others(area, component);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CPUS: usize = 3;
    const VCPUS: usize = 4;

    /// A vCPU's area and what it must find in its registers.
    struct Vcpu {
        residence: Box<Residence>,
        area: u64,
        expected: u64,
        on: Option<usize>,
    }

    /// A processor with the optimisation of XSAVEOPT: what was not modified since it was loaded from an area is
    /// not written to that area again.
    #[derive(Default)]
    struct Cpu {
        occupancy: Occupancy,
        registers: u64,
        loaded_from: Option<usize>,
        is_modified: bool,
        runs: Option<usize>,
    }

    struct World {
        cpus: [Cpu; CPUS],
        vcpus: [Vcpu; VCPUS],
    }

    impl World {
        fn new() -> Self {
            Self {
                cpus: Default::default(),
                vcpus: core::array::from_fn(|_| Vcpu {
                    residence: Box::default(),
                    area: 0,
                    expected: 0,
                    on: None,
                }),
            }
        }

        fn put_away(&mut self, cpu: usize) {
            let processor = &mut self.cpus[cpu];
            let Some(vcpu) = processor.runs.take() else {
                return;
            };
            let state = &mut self.vcpus[vcpu];
            if processor.loaded_from != Some(state.residence.identity()) || processor.is_modified {
                state.area = processor.registers;
            }
            processor.occupancy.saved();
            state.on = None;
            assert_eq!(state.area, state.expected, "state was lost");
        }

        fn run(&mut self, cpu: usize, vcpu: usize) {
            if self.vcpus[vcpu].on.is_some() {
                return;
            }
            self.put_away(cpu);
            let (processor, state) = (&mut self.cpus[cpu], &mut self.vcpus[vcpu]);
            match processor.occupancy.enter(cpu as u32, &state.residence) {
                Load::FromArea => {
                    processor.registers = state.area;
                    processor.loaded_from = Some(state.residence.identity());
                    processor.is_modified = false;
                }
                Load::IsThere => {}
            }
            assert_eq!(
                processor.registers, state.expected,
                "the registers are another's"
            );
            processor.runs = Some(vcpu);
            state.on = Some(cpu);
        }

        fn compute(&mut self, cpu: usize, value: u64) {
            let processor = &mut self.cpus[cpu];
            if let Some(vcpu) = processor.runs {
                processor.registers = value;
                processor.is_modified = true;
                self.vcpus[vcpu].expected = value;
            }
        }

        fn write(&mut self, vcpu: usize, value: u64) {
            let state = &mut self.vcpus[vcpu];
            if state.on.is_none() {
                state.residence.forget();
                (state.area, state.expected) = (value, value);
            }
        }

        /// Another vCPU takes this one's place in memory.
        fn replace(&mut self, vcpu: usize) {
            let state = &mut self.vcpus[vcpu];
            if state.on.is_none() {
                *state.residence = Residence::nowhere();
                (state.area, state.expected) = (0, 0);
            }
        }
    }

    proptest! {
        #[test]
        fn no_vcpu_meets_anothers_values(
            steps in proptest::collection::vec((0..6u8, 0..CPUS, 0..VCPUS, 1..u64::MAX), 1..400),
        ) {
            let mut world = World::new();
            for (what, cpu, vcpu, value) in steps {
                match what {
                    0 | 1 => world.run(cpu, vcpu),
                    2 => world.put_away(cpu),
                    3 => world.compute(cpu, value),
                    4 => world.write(vcpu, value),
                    _ => world.replace(vcpu),
                }
            }
        }
    }

    #[test]
    fn whoever_comes_back_to_its_registers_keeps_them() {
        let (first, second) = (Residence::nowhere(), Residence::nowhere());
        let cpus = [Occupancy::nobody(), Occupancy::nobody()];
        assert_eq!(cpus[0].enter(0, &first), Load::FromArea);
        cpus[0].saved();
        assert_eq!(cpus[0].enter(0, &first), Load::IsThere);
        cpus[0].saved();
        let moves = Moves {
            saves: 2,
            loads: 1,
            kept: 1,
        };
        assert_eq!(cpus[0].moves(), moves);
        // Written meanwhile.
        first.forget();
        assert_eq!(cpus[0].enter(0, &first), Load::FromArea);
        // Elsewhere meanwhile, and the registers here are as it left them.
        assert_eq!(cpus[1].enter(1, &first), Load::FromArea);
        assert_eq!(cpus[0].enter(0, &first), Load::FromArea);
        // Another one here meanwhile.
        assert_eq!(cpus[0].enter(0, &second), Load::FromArea);
        assert_eq!(cpus[0].enter(0, &first), Load::FromArea);
        assert_eq!(cpus[1].enter(1, &second), Load::FromArea);
    }

    #[test]
    fn old_processors_of_amd_keep_the_pointers() {
        assert!(restores_pointers(Vendor::Intel, 0));
        assert!(restores_pointers(Vendor::Other, 0));
        assert!(!restores_pointers(Vendor::Amd, 0));
        assert!(!restores_pointers(Vendor::Amd, !(1 << 2)));
        assert!(restores_pointers(Vendor::Amd, 1 << 2));
    }

    #[test]
    fn bytes_of_components_that_are_not_there_become_initial() {
        let saved = |components: u64| {
            let mut area = [0xaa; 1024];
            area[512..520].copy_from_slice(&components.to_le_bytes());
            let mut others = Vec::new();
            fill_initial(&mut area, 0b111, |_, component| others.push(component));
            (area, others)
        };
        let (all, others) = saved(0b111);
        assert!(all[..512].iter().all(|&byte| byte == 0xaa) && others.is_empty());

        let (none, others) = saved(0);
        assert_eq!(others, [2]);
        assert_eq!(none[0..2], [0x7f, 3]);
        assert!(none[2..24].iter().all(|&byte| byte == 0));
        // MXCSR and its mask are always written.
        assert!(none[24..32].iter().all(|&byte| byte == 0xaa));
        assert!(none[32..416].iter().all(|&byte| byte == 0));

        let (only_sse, _) = saved(SSE);
        assert!(only_sse[32..160].iter().all(|&byte| byte == 0));
        assert!(only_sse[160..416].iter().all(|&byte| byte == 0xaa));
        let (only_x87, _) = saved(X87);
        assert!(only_x87[..160].iter().all(|&byte| byte == 0xaa));
        assert!(only_x87[160..416].iter().all(|&byte| byte == 0));
        // Too short to have a header.
        fill_initial(&mut [0xaa; 515], 0b111, |_, _| unreachable!());
    }
}
