//! Every case: its name, how it ends, and what it needs.

/// Which of the linked kernels a case runs in. They differ in their notes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kernel {
    /// The one without extras.
    Plain,
    /// The one with a page of hypercall stubs.
    HypercallPage,
    /// The one whose list of frames is mapped outside of the initial mapping, and whose RAM disk is not mapped.
    InitP2m,
}

impl Kernel {
    /// The program's name.
    #[must_use]
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::Plain => "kernel",
            Self::HypercallPage => "kernel-hypercall-page",
            Self::InitP2m => "kernel-init-p2m",
        }
    }
}

/// How a case ends when all is well.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// With the verdict `PASS`.
    Verdict,
    /// With the line `EXPECT CRASH`, after which the hypervisor crashes the domain.
    DomainCrash,
    /// The same, and the machine stays as it is because of `noreboot`.
    CrashStays,
    /// The same, and the machine boots anew after the pause for reading.
    CrashReboots,
    /// With the line `EXPECT POWEROFF`, after which the domain, and so the machine, is switched off.
    Poweroff,
    /// With the line `EXPECT REBOOT`, after which the domain reboots the machine.
    Reboot,
    /// In any way, after the line `EXPECT ANYTHING`.
    Anything,
    /// The same, and then the machine is reset and it begins anew, until what came after those lines has taken the time of
    /// [`Case::runs_for_s`].
    AnythingAgain,
    /// With the line `EXPECT REBOOT`, after which the machine reboots because its watchdog wants it.
    Watchdog,
    /// With the line `EXPECT REBOOT`, after which the machine reboots as that is the end of a soft reset.
    SoftReset,
    /// With the line `EXPECT SUSPEND`, after which the domain ends for a reason that is none, and the machine stays as
    /// `noreboot` wants.
    SuspendStays,
    /// The same, and the machine boots anew after the pause for reading.
    SuspendReboots,
}

/// One case.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// `group/behaviour`.
    pub name: &'static str,
    /// How it ends.
    pub ending: Ending,
    /// Where it runs.
    pub kernel: Kernel,
    /// More words for its command line.
    pub arguments: &'static str,
    /// Seconds that it takes on purpose, when nobody asks for more; 0 where time is of no matter. It is told by
    /// the word `seconds=`.
    pub runs_for_s: u32,
    /// The machine's time goes by instructions and nothing else, so that it is the same however busy its host is. The kernel is
    /// told by the word `exact=1`.
    pub counts_instructions: bool,
    /// More of the machine: what QEMU's `-device` takes.
    pub devices: &'static [&'static str],
    /// More options of the hypervisor.
    pub options: &'static str,
    /// Another processor model than usual, as QEMU's `-cpu` takes it.
    pub cpu: Option<&'static str>,
    /// What it is about, older emulators get wrong: a newer one is taken if there is one. On an older one the case says
    /// that it is skipped, when it has tried what that gets right.
    pub wants_right_interrupts: bool,
    /// Bytes of the RAM disk that it is given, of [`ram_disk_word`]s; 0 for none.
    pub ram_disk: u32,
    /// It runs on four processors, the others on one. With `FULL=1` all run on one, two and four.
    pub is_about_processors: bool,
    #[cfg(target_os = "none")]
    pub(crate) run: fn(),
}

/// Bytes of a RAM disk: whole pages, a part of one, and a part of a word.
pub const RAM_DISK_BYTES: u32 = 21 * 4096 + 1234;

/// A word of a RAM disk: no two are equal.
#[must_use]
pub const fn ram_disk_word(index: u64) -> u64 {
    (index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Case {
    const fn ends(mut self, ending: Ending) -> Self {
        self.ending = ending;
        self
    }

    const fn with(mut self, devices: &'static [&'static str]) -> Self {
        self.devices = devices;
        self
    }

    const fn on_cpu(mut self, cpu: &'static str) -> Self {
        self.cpu = Some(cpu);
        self
    }

    const fn by_instructions(mut self, (): ()) -> Self {
        self.counts_instructions = true;
        self
    }

    const fn with_right_interrupts(mut self, (): ()) -> Self {
        self.wants_right_interrupts = true;
        self
    }

    const fn under(mut self, options: &'static str) -> Self {
        self.options = options;
        self
    }

    const fn with_ram_disk(mut self, (): ()) -> Self {
        self.ram_disk = RAM_DISK_BYTES;
        self
    }

    const fn on_many(mut self, (): ()) -> Self {
        self.is_about_processors = true;
        self
    }

    const fn runs_for(mut self, seconds: u32) -> Self {
        self.runs_for_s = seconds;
        self
    }

    const fn told(mut self, words: &'static str) -> Self {
        self.arguments = words;
        self
    }

    const fn in_kernel(mut self, kernel: Kernel) -> Self {
        self.kernel = kernel;
        self
    }
}

macro_rules! cases {
    ($(#[$about:meta])* $list:ident: $( $name:literal = $($path:ident)::+ $(, $what:ident $argument:tt)*; )*) => {
        $(#[$about])*
        pub const $list: &[Case] = &[$(
            Case {
                name: $name,
                ending: Ending::Verdict,
                kernel: Kernel::Plain,
                arguments: "",
                runs_for_s: 0,
                counts_instructions: false,
                devices: &[],
                options: "",
                cpu: None,
                wants_right_interrupts: false,
                ram_disk: 0,
                is_about_processors: false,
                #[cfg(target_os = "none")]
                run: crate::cases::$($path)::+::run,
            }
            $(.$what $argument)*
        ),*];
    };
}

cases! {
    /// What is not tested but measured.
    MEASUREMENTS:
    "bench/costs" = bench;
}

cases! {
    /// What the emulator does wrong, under any hypervisor.
    FAULTS_OF_EMULATOR:
    "emulator/patched-code" = emulator::patched_code, on_many(());
}

cases! {
    /// What guests of the tools do, which those judge who look from the first domain.
    GUESTS:
    "guest/balloon" = guest::balloon;
    "guest/console-flood" = guest::console_flood;
    "guest/device-attack" = guest::device_attack;
    "guest/hog" = guest::hog;
    "guest/idle" = guest::idle;
    "guest/last-words" = guest::last_words;
    "guest/store-attack" = guest::store_attack;
    "guest/store-use" = guest::store_use;
}

cases! {
    /// All cases.
    CASES:
    "start/initial-state" = start::initial_state;
    "start/ram-disk" = start::ram_disk, with_ram_disk(());
    "start/ram-disk-end" = start::ram_disk_end, with_ram_disk(());
    "start/ram-disk-unmapped" = start::ram_disk, with_ram_disk(()), in_kernel(Kernel::InitP2m);
    "start/start-of-day" = start::start_of_day;
    "start/boot-mapping" = start::boot_mapping;
    "start/frame-list" = start::frame_list;
    "start/floating-point" = start::floating_point;
    "start/hypercall-page" = start::hypercall_page, in_kernel(Kernel::HypercallPage);
    "start/init-p2m" = start::init_p2m, in_kernel(Kernel::InitP2m);

    "trap/frame" = trap::frame;
    "trap/divide" = trap::divide;
    "trap/single-step" = trap::single_step;
    "trap/nmi" = trap::nmi;
    "trap/breakpoint" = trap::breakpoint;
    "trap/bound-32bit" = trap::bound_32bit;
    "trap/invalid-opcode" = trap::invalid_opcode;
    "trap/not-present" = trap::not_present;
    "trap/stack-segment" = trap::stack_segment;
    "trap/general-protection" = trap::general_protection;
    "trap/page-fault" = trap::page_fault;
    "trap/page-fault-in-hypervisor" = trap::page_fault_in_hypervisor;
    "trap/x87" = trap::x87;
    "trap/alignment" = trap::alignment;
    "trap/simd" = trap::simd;
    "trap/software-interrupt" = trap::software_interrupt, with_right_interrupts(());
    "trap/event-mask" = trap::event_mask;
    "trap/flags-cleared" = trap::flags_cleared;
    "trap/table-refusals" = trap::table_refusals, ends(Ending::DomainCrash);
    "trap/bad-stack" = trap::bad_stack, ends(Ending::DomainCrash);
    "trap/unhandled" = trap::unhandled, ends(Ending::DomainCrash);

    "user/frame" = user::frame;
    "user/divide" = user::divide;
    "user/single-step" = user::single_step;
    "user/breakpoint" = user::breakpoint;
    "user/overflow-32bit" = user::overflow_32bit;
    "user/bound-32bit" = user::bound_32bit;
    "user/invalid-opcode" = user::invalid_opcode;
    "user/nmi" = user::nmi, on_many(());
    "user/not-present" = user::not_present;
    "user/stack-fault" = user::stack_fault;
    "user/alignment" = user::alignment;
    "user/simd" = user::simd;
    "user/task-switched" = user::task_switched;
    "user/general-protection" = user::general_protection;
    "user/page-fault" = user::page_fault;
    "user/floating-point" = user::floating_point;
    "user/software-interrupt" = user::software_interrupt, with_right_interrupts(());
    "user/int80-32bit" = user::int80_32bit;
    "user/syscall" = user::syscall;
    "user/syscall-event-mask" = user::syscall_event_mask;
    "user/syscall-flags" = user::syscall_flags;
    "user/syscall-without-callback" = user::syscall_without_callback;
    "user/syscall-32bit" = user::syscall_32bit;
    "user/sysenter" = user::sysenter;
    "user/sysenter-of-intel" = user::sysenter, on_cpu("max,-smap,vendor=GenuineIntel");
    "user/sysenter-nested" = user::sysenter_nested, on_cpu("max,-smap,vendor=GenuineIntel");
    "user/segment-bases" = user::segment_bases;
    "user/upcall" = user::upcall;
    "user/bad-kernel-stack" = user::bad_kernel_stack, ends(Ending::DomainCrash);

    "emulate/cache" = emulate::cache;
    "emulate/invd" = emulate::invd;
    "emulate/clts" = emulate::clts;
    "emulate/code-of-16-bits" = emulate::code_of_16_bits;
    "emulate/code-with-base" = emulate::code_with_base;
    "emulate/cpuid" = emulate::cpuid;
    "emulate/cpuid-hypervisor" = emulate::cpuid_hypervisor;
    "emulate/cr0" = emulate::cr0;
    "emulate/cr2" = emulate::cr2;
    "emulate/cr3" = emulate::cr3;
    "emulate/cr4" = emulate::cr4;
    "emulate/data-with-base" = emulate::data_with_base;
    "emulate/debug-registers" = emulate::debug_registers;
    "emulate/interrupt-flag" = emulate::interrupt_flag;
    "emulate/io-privilege" = emulate::io_privilege;
    "emulate/io-bitmap" = emulate::io_bitmap;
    "emulate/io-strings" = emulate::io_strings;
    "emulate/mark-with-base" = emulate::mark_with_base;
    "emulate/msr-bases" = emulate::msr_bases;
    "emulate/msr-efer" = emulate::msr_efer;
    "emulate/msr-known" = emulate::msr_known;
    "emulate/msr-unknown" = emulate::msr_unknown;
    "emulate/operands" = emulate::operands;
    "emulate/ports-in-16-bits" = emulate::ports_in_16_bits;
    "emulate/refused" = emulate::refused;
    "emulate/time-stamp" = emulate::time_stamp;
    "emulate/unfetchable" = emulate::unfetchable;
    "emulate/xsetbv" = emulate::xsetbv;

    "mmu/clear-and-copy" = mmu::clear_and_copy;
    "mmu/flush-cache" = mmu::flush_cache, on_many(());
    "mmu/flush-others" = mmu::flush_others, on_many(());
    "mmu/flush-owed" = mmu::flush_owed, on_many(());
    "mmu/flush-uninvolved" = mmu::flush_uninvolved, on_many(());
    "mmu/invlpg" = mmu::invlpg;
    "mmu/long-list" = mmu::long_list;
    "mmu/machphys" = mmu::machphys;
    "mmu/mmuext-refusals" = mmu::mmuext_refusals;
    "mmu/mmuext-stops-at-error" = mmu::mmuext_stops_at_error;
    "mmu/new-baseptr" = mmu::new_baseptr;
    "mmu/new-user-baseptr" = mmu::new_user_baseptr;
    "mmu/no-translate" = mmu::no_translate;
    "mmu/normal-update" = mmu::normal_update;
    "mmu/pin" = mmu::pin;
    "mmu/pin-refusals" = mmu::pin_refusals;
    "mmu/plain-store" = mmu::plain_store;
    "mmu/preserve-ad" = mmu::preserve_ad;
    "mmu/refusals" = mmu::refusals;
    "mmu/stops-at-error" = mmu::stops_at_error;
    "mmu/update-va-mapping" = mmu::update_va_mapping;
    "mmu/update-va-mapping-otherdomain" = mmu::update_va_mapping_otherdomain;
    "mmu/update-va-mapping-refusals" = mmu::update_va_mapping_refusals;

    "types/cache-attributes" = types::cache_attributes;
    "types/descriptor-table" = types::descriptor_table;
    "types/device-memory" = types::device_memory;
    "types/forbidding-table" = types::forbidding_table;
    "types/foreign-frame" = types::foreign_frame;
    "types/forced-bits" = types::forced_bits;
    "types/hypervisor-slots" = types::hypervisor_slots;
    "types/large-page" = types::large_page;
    "types/linear" = types::linear;
    "types/loaded-root" = types::loaded_root;
    "types/partial-validation" = types::partial_validation;
    "types/pin-of-writable" = types::pin_of_writable;
    "types/reserved-bits" = types::reserved_bits;
    "types/shared-table" = types::shared_table;
    "types/shared-with-hypervisor" = types::shared_with_hypervisor;
    "types/type-race" = types::type_race, on_many(());
    "types/unpinned-is-free" = types::unpinned_is_free;
    "types/writable-mapping-of-table" = types::writable_mapping_of_table;
    "types/wrong-level" = types::wrong_level;

    "pte-write/arithmetic" = pte_write::arithmetic;
    "pte-write/bits" = pte_write::bits;
    "pte-write/compare-exchange" = pte_write::compare_exchange;
    "pte-write/exchange" = pte_write::exchange;
    "pte-write/invalid" = pte_write::invalid;
    "pte-write/mov" = pte_write::mov;
    "pte-write/narrow" = pte_write::narrow;
    "pte-write/not-level-one" = pte_write::not_level_one;
    "pte-write/race" = pte_write::race, on_many(());
    "pte-write/unaligned" = pte_write::unaligned;
    "pte-write/without-assist" = pte_write::without_assist;

    "call/bad-pointers" = call::bad_pointers;
    "call/callbacks" = call::callbacks;
    "call/console" = call::console;
    "call/console-refusals" = call::console_refusals;
    "call/from-user-mode" = call::from_user_mode;
    "call/machine-check" = call::machine_check;
    "call/multicall" = call::multicall;
    "call/multicall-long" = call::multicall_long;
    "call/multicall-refusals" = call::multicall_refusals;
    "call/multicall-with-iret" = call::multicall_with_iret;
    "call/physdev-refusals" = call::physdev_refusals;
    "call/platform" = call::platform;
    "call/platform-operations" = call::platform_operations;
    "call/platform-time" = call::platform_time;
    "call/registers" = call::registers;
    "call/registers-resumed" = call::registers_resumed;
    "call/unknown-numbers" = call::unknown_numbers;
    "call/unknown-operations" = call::unknown_operations;
    "call/version-features" = call::version_features;
    "call/version-numbers" = call::version_numbers;
    "call/version-refusals" = call::version_refusals;
    "call/version-texts" = call::version_texts;
    "call/vm-assist" = call::vm_assist;

    "domain/accounts" = domain::accounts, on_many(()), under("sched=credit");
    "domain/answers" = domain::answers, under("sched=credit");
    "domain/cap" = domain::cap, on_many(()), under("sched=credit");
    "domain/context" = domain::context, on_many(());
    "domain/create" = domain::create;
    "domain/create-refusals" = domain::create_refusals;
    "domain/cycles" = domain::cycles, on_many(());
    "domain/destroy-long" = domain::destroy_long, on_many(());
    "domain/destroy-mapped" = domain::destroy_mapped, on_many(());
    "domain/ends-at-work" = domain::ends_at_work, on_many(());
    "domain/events" = domain::events, on_many(());
    "domain/entry-refusals" = domain::entry_refusals;
    "domain/far-vcpus" = domain::far_vcpus;
    "domain/foreign-tables" = domain::foreign_tables;
    "domain/grants" = domain::grants;
    "domain/info" = domain::info;
    "domain/many" = domain::many;
    "domain/maptrack" = domain::maptrack;
    "domain/number-anew" = domain::number_anew, on_many(());
    "domain/others-grant-table" = domain::others_grant_table;
    "domain/out-of-memory" = domain::out_of_memory;
    "domain/out-of-memory-race" = domain::out_of_memory_race, on_many(());
    "domain/pause" = domain::pause, on_many(());
    "domain/pinned" = domain::pinned, on_many(()), under("sched=credit");
    "domain/ports" = domain::ports;
    "domain/privileged-calls" = domain::privileged_calls;
    "domain/privileges" = domain::privileges;
    "domain/round-trip" = domain::round_trip, under("sched=credit");
    "domain/round-trip-exact" = domain::round_trip, by_instructions(()), on_many(()), under("sched=credit");
    "domain/shares" = domain::shares, on_many(()), under("sched=credit");
    "domain/shares-exact" = domain::shares, by_instructions(()), on_many(()), under("sched=credit");
    "domain/shutdown" = domain::shutdown, on_many(());
    "domain/suspend" = domain::suspend, on_many(());
    "domain/table-stores" = domain::table_stores;
    "domain/unknown" = domain::unknown;
    "domain/zombie-audit" = domain::zombie_audit;

    "grant/copy" = grant::copy;
    "grant/copy-refusals" = grant::copy_refusals;
    "grant/long" = grant::long;
    "grant/map-by-entry" = grant::map_by_entry;
    "grant/map-device" = grant::map_device;
    "grant/map-host" = grant::map_host;
    "grant/map-over" = grant::map_over;
    "grant/map-readonly" = grant::map_readonly;
    "grant/map-refusals" = grant::map_refusals;
    "grant/replace" = grant::replace;
    "grant/sizes" = grant::sizes;
    "grant/transfer" = grant::transfer;
    "grant/versions" = grant::versions;

    "memory/acquire-refusals" = memory::acquire_refusals;
    "memory/claim" = memory::claim;
    "memory/decrease" = memory::decrease;
    "memory/exchange" = memory::exchange;
    "memory/exchange-long" = memory::exchange_long;
    "memory/exchange-refusals" = memory::exchange_refusals;
    "memory/map-of-domain" = memory::map_of_domain;
    "memory/other-guests" = memory::other_guests;
    "memory/populate" = memory::populate;
    "memory/sizes" = memory::sizes, under("dom0_mem=max:96M");
    "memory/table-frames" = memory::table_frames;

    "iret/event-on-return" = iret::event_on_return;
    "iret/flags" = iret::flags;
    "iret/in-syscall" = iret::in_syscall;
    "iret/into-nowhere" = iret::into_nowhere;
    "iret/iopl" = iret::iopl;
    "iret/local-selector" = iret::local_selector;
    "iret/non-canonical" = iret::non_canonical;
    "iret/null-selector" = iret::null_selector;
    "iret/registers" = iret::registers;
    "iret/to-user" = iret::to_user;
    "iret/unreadable-frame" = iret::unreadable_frame, ends(Ending::DomainCrash);
    "iret/without-user-root" = iret::without_user_root, ends(Ending::DomainCrash);

    "irq/edge" = irq::edge, on_many(());
    "irq/eoi-frame" = irq::eoi_frame;
    "irq/io-apic" = irq::io_apic;
    "irq/level" = irq::level, with(&["edu,addr=5"]), on_many(());
    "irq/level-held" = irq::level_held, with(&["edu,addr=5"]);
    "irq/msi" = irq::msi, with(&["edu,addr=6"]), on_many(());
    "irq/msi-x" = irq::msix, with(&["nvme,addr=7,serial=1"]), on_many(());
    "irq/numbers" = irq::numbers;
    "irq/own-lines" = irq::own_lines;
    "irq/pci-devices" = irq::pci_devices;
    "irq/ports" = irq::ports;
    "irq/storm" = irq::storm, with(&["edu,addr=6"]), on_many(());
    "irq/untold" = irq::untold;

    "segment/bases" = segment::bases;
    "segment/call-gates" = segment::call_gates;
    "segment/descriptor-refusals" = segment::descriptor_refusals;
    "segment/failsafe" = segment::failsafe;
    "segment/fsgsbase" = segment::fsgsbase;
    "segment/gdt" = segment::gdt;
    "segment/gdt-refusals" = segment::gdt_refusals;
    "segment/ldt" = segment::ldt;
    "segment/ldt-absent-page" = segment::ldt_absent_page;
    "segment/ldt-bad-page" = segment::ldt_bad_page;
    "segment/ldt-refusals" = segment::ldt_refusals;
    "segment/ldt-window" = segment::ldt_window;
    "segment/selectors-survive" = segment::selectors_survive, on_many(());
    "segment/stack-switch" = segment::stack_switch;
    "segment/nmi-return" = segment::nmi_return, under("watchdog"), on_many(());
    "segment/table-of-tasks" = segment::table_of_tasks;
    "segment/update-descriptor" = segment::update_descriptor;
    "segment/user-gs-selector" = segment::user_gs_selector;

    "preempt/console" = preempt::console, by_instructions(());
    "preempt/destroy" = preempt::destroy, by_instructions(());
    "preempt/exchange" = preempt::exchange, by_instructions(());
    "preempt/grant-copy" = preempt::grant_copy, by_instructions(());
    "preempt/grant-map" = preempt::grant_map, by_instructions(());
    "preempt/grant-replace" = preempt::grant_replace, by_instructions(());
    "preempt/grant-transfer" = preempt::grant_transfer, by_instructions(());
    "preempt/mmu-list" = preempt::mmu_list, by_instructions(());
    "preempt/mmuext-list" = preempt::mmuext_list, by_instructions(());
    "preempt/multicall" = preempt::multicall, by_instructions(());
    "preempt/pin" = preempt::pin, by_instructions(());
    "preempt/ports" = preempt::ports, by_instructions(());
    "preempt/reservation" = preempt::reservation, by_instructions(());
    "preempt/table-entry" = preempt::table_entry, by_instructions(());
    "preempt/user-root" = preempt::user_root, by_instructions(());

    "processor/avx-per-vcpu" = processor::avx_per_vcpu, on_many(());
    "processor/breakpoint-held" = processor::breakpoint_held;
    "processor/breakpoint-in-argument" = processor::breakpoint_in_argument;
    "processor/breakpoint-in-kernel" = processor::breakpoint_in_kernel;
    "processor/breakpoint-in-user" = processor::breakpoint_in_user;
    "processor/breakpoint-left" = processor::breakpoint_left, on_many(());
    "processor/breakpoint-switched" = processor::breakpoint_switched;
    "processor/debug-per-vcpu" = processor::debug_per_vcpu, on_many(());
    "processor/debug-refusals" = processor::debug_refusals;
    "processor/debug-registers" = processor::debug_registers;
    "processor/fpu-idle" = processor::fpu_idle;
    "processor/fpu-moving" = processor::fpu_moving, on_many(());
    "processor/fpu-moving-of-amd" = processor::fpu_moving, on_cpu("EPYC"), on_many(());
    "processor/fpu-moving-without-xsave" = processor::fpu_moving, on_cpu("qemu64"), on_many(());
    "processor/fpu-of-new-vcpu" = processor::fpu_of_new_vcpu, on_many(());
    "processor/fpu-per-vcpu" = processor::fpu_per_vcpu, on_many(());
    "processor/task-switched" = processor::task_switched;

    "time/clock-area" = time::clock_area;
    "time/older-timer" = time::older_timer;
    "time/periodic" = time::periodic;
    "time/periodic-exact" = time::periodic, by_instructions(());
    "time/runstate" = time::runstate;
    "time/runstate-of-user" = time::runstate_of_user, on_many(());
    "time/single-shot" = time::single_shot, on_many(());
    "time/single-shot-exact" = time::single_shot, by_instructions(());

    "event/ipi" = event::ipi, on_many(());
    "event/interdomain" = event::interdomain;
    "event/interdomain-refusals" = event::interdomain_refusals;
    "event/virq" = event::virq, on_many(());
    "event/send-refusals" = event::send_refusals;
    "event/bind-vcpu" = event::bind_vcpu, on_many(());
    "event/masked" = event::masked;
    "event/upcall-mask" = event::upcall_mask;
    "event/unmask-elsewhere" = event::unmask_elsewhere, on_many(());
    "event/mask-race" = event::mask_race, on_many(());
    "event/register-info" = event::register_info, on_many(());
    "event/status" = event::status;
    "event/reset" = event::reset;
    "event/many-ports" = event::many_ports;
    "event/no-arrays" = event::no_arrays;
    "event/untold" = event::untold;
    "event/poll" = event::poll, on_many(());

    "hostile/everything" = hostile, ends(Ending::Anything), runs_for(12), on_many(());
    "hostile/unsparing" = hostile, ends(Ending::AnythingAgain), told("tame=0"), runs_for(6), on_many(());

    "sched/block-and-wake" = sched::block_and_wake, on_many(());
    "sched/crash-reboots" = sched::crash, ends(Ending::CrashReboots), under("noreboot=no");
    "sched/crash-stays" = sched::crash, ends(Ending::CrashStays);
    "sched/fairness" = sched::fairness, on_many(());
    "sched/handshake" = sched::handshake, on_many(());
    "sched/initialise-in-user-mode" = sched::initialise_in_user_mode, on_many(());
    "sched/initialise-race" = sched::initialise_race, on_many(());
    "sched/initialise-refusals" = sched::initialise_refusals, on_many(());
    "sched/initialise-with-new-roots" = sched::initialise_with_new_roots, on_many(());
    "sched/kept-reason" = sched::kept_reason, ends(Ending::Poweroff);
    "sched/last-down" = sched::last_down, ends(Ending::Poweroff), on_many(());
    "sched/mask-race" = sched::mask_race, on_many(());
    "sched/moving" = sched::moving, on_many(());
    "sched/nmi-wakes" = sched::nmi_wakes, on_many(());
    "sched/parameters" = sched::parameters, under("sched=credit sched_credit_tslice_ms=300 sched_ratelimit_us=2500");
    "sched/pin-override" = sched::pin_override;
    "sched/poll" = sched::poll, on_many(());
    "sched/poll-wake" = sched::poll_wake, on_many(());
    "sched/preemption" = sched::preemption, on_many(());
    "sched/reboot" = sched::reboot, ends(Ending::Reboot);
    "sched/refusals" = sched::refusals;
    "sched/ticking" = sched::ticking, on_many(());
    "sched/soft-reset" = sched::soft_reset, ends(Ending::SoftReset);
    "sched/suspend-reboots" = sched::suspend, ends(Ending::SuspendReboots), under("noreboot=no");
    "sched/suspend-stays" = sched::suspend, ends(Ending::SuspendStays);
    "sched/up-and-down" = sched::up_and_down, on_many(());
    "sched/watchdog" = sched::watchdog;
    "sched/watchdog-barks" = sched::watchdog_barks, ends(Ending::Watchdog);
    "sched/yielding" = sched::yielding, on_many(());
}
