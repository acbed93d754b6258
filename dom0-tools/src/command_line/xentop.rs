//! How `xentop` is called.

use clap::Parser;

/// Shows what domains use of the machine, again and again
///
/// The columns are each domain's name, its state (dying, shut down, blocked, crashed, paused, running), its processor time
/// in seconds and since the last look in percent of one processor, its memory and its limit, its virtual processors,
/// interfaces and disks. NETTX and NETRX are what the first domain's ends of its interfaces have sent and received; VBD_OO is
/// how often a disk's requests had to wait.
///
/// Keys: d another delay, n networks, b disks, v virtual processors, r a header before each domain, s another column to sort
/// by, arrows scroll, Ctrl-L draws anew, q or Esc quits.
#[derive(Parser, Clone, Debug)]
#[command(name = "xentop", version = concat!("1.0 (Paravane ", env!("CARGO_PKG_VERSION"), ")"))]
pub struct XentopOptions {
    /// Between two looks
    #[arg(
        short,
        long,
        value_name = "SECONDS",
        default_value_t = 3,
        value_parser = clap::value_parser!(u32).range(1..=86_400)
    )]
    pub delay: u32,
    /// Show each interface
    #[arg(short, long)]
    pub networks: bool,
    /// Show each disk
    #[arg(short = 'x', long)]
    pub vbds: bool,
    /// Show a header before each domain
    #[arg(short, long)]
    pub repeat_header: bool,
    /// Show the seconds of each virtual processor
    #[arg(short, long)]
    pub vcpus: bool,
    /// Print for programs, without a terminal
    #[arg(short, long)]
    pub batch: bool,
    /// End after so many looks
    #[arg(short, long, value_name = "NUMBER")]
    pub iterations: Option<u64>,
    /// Show names whole that are longer than ten characters
    #[arg(short, long)]
    pub full_name: bool,
    /// As --batch, an object of JSON for each look, in a line: exact numbers, and how long each processor was idle
    #[arg(long)]
    pub json: bool,
}
