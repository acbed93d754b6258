//! `dom0_mem=`: what is asked for, and what it comes to on this machine.
#![forbid(unsafe_code)]

use core::fmt;
use guest_abi::ids::PAGE_SIZE;

/// An amount of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryAmount {
    /// So many bytes.
    Bytes(u64),
    /// All that there is but so many bytes.
    AllBut(u64),
}

impl MemoryAmount {
    /// The amount where there are `available_bytes`: never more than those.
    #[must_use]
    pub const fn of(self, available_bytes: u64) -> u64 {
        match self {
            Self::Bytes(bytes) if bytes < available_bytes => bytes,
            Self::Bytes(_) => available_bytes,
            Self::AllBut(bytes) => available_bytes.saturating_sub(bytes),
        }
    }

    /// Whether it is more than there is, or leaves more to others than there is.
    const fn exceeds(self, available_bytes: u64) -> bool {
        match self {
            Self::Bytes(bytes) => bytes > available_bytes,
            Self::AllBut(bytes) => bytes >= available_bytes,
        }
    }
}

/// As it can be typed, in the largest unit that has no fraction.
impl fmt::Display for MemoryAmount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, bytes) = match *self {
            Self::Bytes(bytes) => ("", bytes),
            Self::AllBut(bytes) => ("-", bytes),
        };
        let units = [(40, 'T'), (30, 'G'), (20, 'M'), (10, 'K')];
        let unit = units
            .into_iter()
            .find(|&(shift, _)| bytes.trailing_zeros() >= shift);
        let (shift, name) = unit.unwrap_or((0, 'B'));
        write!(f, "{sign}{}{name}", bytes >> shift)
    }
}

/// `dom0_mem=`: memory of the first domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dom0Memory {
    /// What it starts with; `None` leaves the choice to the builder.
    pub amount: Option<MemoryAmount>,
    /// What it starts with at least.
    pub min: Option<MemoryAmount>,
    /// What it can ever have.
    pub max: Option<MemoryAmount>,
}

/// Pages of the first domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dom0Pages {
    /// What it starts with.
    pub initial: u64,
    /// What it can ever have; at least `initial`.
    pub most: u64,
}

/// A part of the option that the first domain does not get as it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortfall {
    /// What stands before the amount.
    pub part: &'static str,
    /// The amount.
    pub asked: MemoryAmount,
    /// Why not.
    pub limit: Limit,
    /// What there is instead, bytes.
    pub became_bytes: u64,
}

/// Why the first domain does not get what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// It would need more memory than is free.
    Machine,
    /// `max:` says so.
    Max,
    /// `min:` says so.
    Min,
}

impl fmt::Display for Shortfall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { part, asked, .. } = self;
        let why = match self.limit {
            Limit::Machine => "is more than the machine has free",
            Limit::Max => "is above the maximum asked for",
            Limit::Min => "is below the minimum asked for",
        };
        let what = match self.part {
            "max:" => "can have",
            _ => "starts with",
        };
        write!(
            f,
            "dom0_mem={part}{asked} {why}: the first domain {what} {} MiB",
            self.became_bytes >> 20
        )
    }
}

impl Dom0Memory {
    /// What it means where `available_bytes` can be had at all.
    #[must_use]
    pub fn pages(&self, available_bytes: u64) -> Dom0Pages {
        let mut bytes = self
            .amount
            .map_or(available_bytes, |amount| amount.of(available_bytes));
        if let Some(min) = self.min {
            bytes = bytes.max(min.of(available_bytes));
        }
        let max = self.max.map(|max| max.of(available_bytes));
        if let Some(max) = max {
            bytes = bytes.min(max);
        }
        let initial = bytes / PAGE_SIZE as u64;
        Dom0Pages {
            initial,
            most: max.map_or(initial, |max| max / PAGE_SIZE as u64),
        }
    }

    /// Where [`pages`](Self::pages) is not what was asked for.
    pub fn shortfalls(&self, available_bytes: u64) -> impl Iterator<Item = Shortfall> {
        let pages = self.pages(available_bytes);
        let initial_bytes = pages.initial * PAGE_SIZE as u64;
        let of = |amount: Option<MemoryAmount>| amount.map(|amount| amount.of(available_bytes));
        let (min, max) = (of(self.min), of(self.max));
        let is_above = |bytes: u64, bound: Option<u64>| bound.is_some_and(|bound| bytes > bound);
        let limit_of = move |part, asked: MemoryAmount| {
            let bytes = asked.of(available_bytes);
            // "All but so much" is meant to be kept within the bounds that stand beside it.
            let is_exact = matches!(asked, MemoryAmount::Bytes(_));
            match part {
                _ if asked.exceeds(available_bytes) => Some(Limit::Machine),
                "" if is_exact && is_above(bytes, max) => Some(Limit::Max),
                "" if is_exact && min.is_some_and(|min| bytes < min) => Some(Limit::Min),
                "min:" if is_above(bytes, max) => Some(Limit::Max),
                _ => None,
            }
        };
        let parts = [("", self.amount), ("min:", self.min), ("max:", self.max)];
        parts.into_iter().filter_map(move |(part, asked)| {
            let asked = asked?;
            let became_bytes = match part {
                "max:" => pages.most * PAGE_SIZE as u64,
                _ => initial_bytes,
            };
            Some(Shortfall {
                part,
                asked,
                limit: limit_of(part, asked)?,
                became_bytes,
            })
        })
    }
}
