//! Sets of processors as administrators write them: `0-3,5,^1`, from left to right; `all`.

use std::collections::BTreeSet;
use std::fmt;

/// A number of a processor above this is a mistake.
const MAX_CPU: u32 = 4095;

/// A set of processors.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CpuList(BTreeSet<u32>);

/// A text that is no list of processors.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NotACpuList(pub String);

impl fmt::Display for NotACpuList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "'{}' is no list of processors; write numbers, ranges and exceptions such as 0-3,5,^1",
            self.0
        )
    }
}

impl CpuList {
    /// The first `count` processors.
    #[must_use]
    pub fn first(count: u32) -> Self {
        Self((0..count).collect())
    }

    /// Reads a list; `all` is the first `nr_cpus` processors.
    ///
    /// # Errors
    ///
    /// The text is no list.
    pub fn parse(text: &str, nr_cpus: u32) -> Result<Self, NotACpuList> {
        let wrong = || NotACpuList(text.trim().to_owned());
        if text.trim() == "all" {
            return Ok(Self::first(nr_cpus));
        }
        let number = |text: &str| {
            let number = text.trim().parse::<u32>().map_err(|_| wrong())?;
            Some(number).filter(|&cpu| cpu <= MAX_CPU).ok_or_else(wrong)
        };
        let mut cpus = BTreeSet::new();
        for part in text.split(',') {
            let part = part.trim();
            if let Some(except) = part.strip_prefix('^') {
                cpus.remove(&number(except)?);
            } else if let Some((first, last)) = part.split_once('-') {
                let (first, last) = (number(first)?, number(last)?);
                if first > last {
                    return Err(wrong());
                }
                cpus.extend(first..=last);
            } else {
                cpus.insert(number(part)?);
            }
        }
        Ok(Self(cpus))
    }

    /// From the hypervisor's bits, of which the first `nr_cpus` count.
    #[must_use]
    pub fn from_bitmap(bytes: &[u8], nr_cpus: u32) -> Self {
        let is_in = |&cpu: &u32| {
            let byte = bytes.get(cpu as usize / 8).copied().unwrap_or(0);
            byte >> (cpu % 8) & 1 == 1
        };
        Self((0..nr_cpus).filter(is_in).collect())
    }

    /// As the hypervisor's bits.
    #[must_use]
    pub fn bitmap(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.0.last().map_or(0, |&cpu| cpu as usize / 8) + 1];
        for &cpu in &self.0 {
            if let Some(byte) = bytes.get_mut(cpu as usize / 8) {
                *byte |= 1 << (cpu % 8);
            }
        }
        bytes
    }

    /// Whether no processor is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().copied()
    }

    /// As `vcpu-list` shows it, on a machine of `nr_cpus` processors.
    #[must_use]
    pub fn shown(&self, nr_cpus: u32) -> String {
        if self.0.is_empty() {
            return "no cpus".to_owned();
        }
        if (0..nr_cpus).all(|cpu| self.0.contains(&cpu)) {
            return "any cpu".to_owned();
        }
        self.to_string()
    }
}

impl fmt::Display for CpuList {
    /// Ascending ranges: `0-1,3`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        for &cpu in &self.0 {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == cpu => *last = cpu,
                _ => ranges.push((cpu, cpu)),
            }
        }
        for (index, (first, last)) in ranges.into_iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            if first == last {
                write!(f, "{comma}{first}")?;
            } else {
                write!(f, "{comma}{first}-{last}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Result<String, NotACpuList> {
        CpuList::parse(text, 4).map(|list| list.to_string())
    }

    #[test]
    fn lists_are_read_from_left_to_right() {
        assert_eq!(shown("0-3,5,^1"), Ok("0,2-3,5".into()));
        assert_eq!(shown("^1,0-3"), Ok("0-3".into()));
        assert_eq!(shown(" 7 , 2 - 3 "), Ok("2-3,7".into()));
        assert_eq!(shown("all"), Ok("0-3".into()));
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for text in ["", "x", "3-1", "1,,2", "-1", "99999", "1-"] {
            assert!(shown(text).is_err(), "{text}");
        }
    }

    #[test]
    fn lists_go_to_the_hypervisor_and_back() {
        let list = CpuList::parse("0,3,8-9", 16).unwrap();
        assert_eq!(list.bitmap(), [0b1001, 0b11]);
        assert_eq!(CpuList::from_bitmap(&list.bitmap(), 16), list);
        // Bits of processors that the machine has not do not count.
        assert_eq!(CpuList::from_bitmap(&[0xFF], 2), CpuList::first(2));
    }

    #[test]
    fn lists_are_shown_as_by_vcpu_list() {
        assert_eq!(CpuList::first(4).shown(4), "any cpu");
        assert_eq!(CpuList::first(8).shown(4), "any cpu");
        assert_eq!(CpuList::default().shown(4), "no cpus");
        assert_eq!(CpuList::parse("0-1,3", 4).unwrap().shown(4), "0-1,3");
    }
}
