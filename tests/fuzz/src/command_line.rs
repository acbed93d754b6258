//! A command line of any bytes: options within their bounds, and warnings that can be printed.

use hypervisor::options::{self, Baud, MAX_WARNINGS, MemoryAmount};

pub fn run(line: &[u8]) {
    let parsed = options::parse(line);
    assert!(parsed.warnings.len() <= MAX_WARNINGS);
    for warning in &parsed.warnings {
        assert!(!warning.to_string().chars().any(char::is_control));
    }
    let mut nr_warnings = 0;
    options::each_warning(line, |_| nr_warnings += 1);
    assert_eq!(
        nr_warnings,
        parsed.warnings.len() + parsed.warnings.ignored() as usize
    );
    let options = parsed.options;
    assert!(options.max_processors() >= 1);
    let com1 = options.com1;
    assert!(
        (5..=8).contains(&com1.data_bits)
            && (1..=2).contains(&com1.stop_bits)
            && com1.io_base <= 0xfff8
    );
    assert_eq!(com1.divisor().is_none(), com1.baud == Baud::Auto);
    assert!(options.loglvl.always <= options.loglvl.rate_limited);
    assert!(options.guest_loglvl.always <= options.guest_loglvl.rate_limited);
    let memory = options.dom0_mem;
    for amount in [memory.amount, memory.min, memory.max]
        .into_iter()
        .flatten()
    {
        let (MemoryAmount::Bytes(bytes) | MemoryAmount::AllBut(bytes)) = amount;
        assert!((1..=1 << 52).contains(&bytes));
        assert!(amount.of(1 << 30) <= 1 << 30);
    }
    if let Some(count) = options.dom0_max_vcpus {
        assert!((1..=count.max).contains(&count.min) && count.max <= 8192);
    }
    assert!((1..=1000).contains(&options.sched_credit_tslice_ms));
    assert!(
        options.sched_ratelimit_us == 0 || (100..=500_000).contains(&options.sched_ratelimit_us)
    );
}
