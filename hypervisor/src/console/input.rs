//! What is typed on the serial line: to whom it goes, and what waits for the first domain to read it.
//!
//! The first domain gets it until somebody types Ctrl-A three times; then the hypervisor takes each character
//! as one of its debug keys, until Ctrl-A comes three times again. Fewer of them belong to whoever is typed
//! to, so they are kept back until it is known.

#![forbid(unsafe_code)]

/// Ctrl-A.
const SWITCH: u8 = 0x01;
/// That many in a row switch.
const SWITCH_COUNT: u8 = 3;

/// Whom is typed to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Listener {
    /// The first domain's console.
    FirstDomain,
    /// The hypervisor's debug keys.
    Hypervisor,
}

/// Where typed characters go.
pub trait Receiver {
    /// For the first domain.
    fn domain(&mut self, byte: u8);
    /// A debug key.
    fn key(&mut self, byte: u8);
    /// From now on `listener` is typed to.
    fn switched(&mut self, listener: Listener);
}

/// Decides who gets what is typed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InputSwitch {
    listener: Listener,
    /// Ctrl-A in a row so far, below [`SWITCH_COUNT`]; they are owed to the listener.
    held: u8,
}

impl Default for InputSwitch {
    fn default() -> Self {
        Self::new()
    }
}

impl InputSwitch {
    /// The first domain is typed to.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            listener: Listener::FirstDomain,
            held: 0,
        }
    }

    /// Whom is typed to.
    #[must_use]
    pub const fn listener(&self) -> Listener {
        self.listener
    }

    /// Takes a character.
    pub fn take(&mut self, byte: u8, receiver: &mut impl Receiver) {
        if byte != SWITCH {
            for _ in 0..core::mem::take(&mut self.held) {
                self.give(SWITCH, receiver);
            }
            self.give(byte, receiver);
            return;
        }
        self.held += 1;
        if self.held == SWITCH_COUNT {
            self.held = 0;
            self.listener = match self.listener {
                Listener::FirstDomain => Listener::Hypervisor,
                Listener::Hypervisor => Listener::FirstDomain,
            };
            receiver.switched(self.listener);
        }
    }

    fn give(&self, byte: u8, receiver: &mut impl Receiver) {
        match self.listener {
            Listener::FirstDomain => receiver.domain(byte),
            Listener::Hypervisor => receiver.key(byte),
        }
    }
}

/// Characters that wait to be read, at most `N`.
pub struct InputRing<const N: usize> {
    bytes: [u8; N],
    /// Index of the oldest.
    first: usize,
    count: usize,
    /// Characters that found no room since this was asked last.
    lost: u64,
}

impl<const N: usize> Default for InputRing<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> InputRing<N> {
    /// Nothing waits.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            bytes: [0; N],
            first: 0,
            count: 0,
            lost: 0,
        }
    }

    /// Appends a character. Where there is no room for it, it is lost: nobody reads.
    pub fn push(&mut self, byte: u8) {
        let at = (self.first + self.count) % N;
        match self.bytes.get_mut(at) {
            Some(slot) if self.count < N => {
                *slot = byte;
                self.count += 1;
            }
            _ => self.lost = self.lost.saturating_add(1),
        }
    }

    /// Whether nothing waits.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether there is no room for another one.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.count == N
    }

    /// Copies the oldest characters into `buffer`, without taking them. Returns how many.
    #[must_use]
    pub fn peek(&self, buffer: &mut [u8]) -> usize {
        let count = self.count.min(buffer.len());
        for (index, slot) in buffer.iter_mut().take(count).enumerate() {
            if let Some(byte) = self.bytes.get((self.first + index) % N) {
                *slot = *byte;
            }
        }
        count
    }

    /// Takes the oldest `count` characters away, or as many as there are.
    pub fn take(&mut self, count: usize) {
        let count = count.min(self.count);
        self.first = (self.first + count) % N;
        self.count -= count;
    }

    /// How many were lost since the last call.
    pub fn take_lost(&mut self) -> u64 {
        core::mem::take(&mut self.lost)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Default, Debug, PartialEq)]
    struct Record {
        domain: Vec<u8>,
        keys: Vec<u8>,
        switches: Vec<Listener>,
    }

    impl Receiver for Record {
        fn domain(&mut self, byte: u8) {
            self.domain.push(byte);
        }
        fn key(&mut self, byte: u8) {
            self.keys.push(byte);
        }
        fn switched(&mut self, listener: Listener) {
            self.switches.push(listener);
        }
    }

    fn typed(text: &[u8]) -> Record {
        let (mut switch, mut record) = (InputSwitch::new(), Record::default());
        for &byte in text {
            switch.take(byte, &mut record);
        }
        record
    }

    #[test]
    fn the_first_domain_is_typed_to_at_first() {
        assert_eq!(InputSwitch::new().listener(), Listener::FirstDomain);
        let record = typed(b"ls\r\x02\xff\0");
        assert_eq!(record.domain, b"ls\r\x02\xff\0");
        assert_eq!((record.keys, record.switches), (vec![], vec![]));
    }

    #[test]
    fn three_in_a_row_switch_there_and_back() {
        let record = typed(b"a\x01\x01\x01hq\x01\x01\x01b");
        assert_eq!(record.domain, b"ab");
        assert_eq!(record.keys, b"hq");
        assert_eq!(
            record.switches,
            [Listener::Hypervisor, Listener::FirstDomain]
        );
    }

    #[test]
    fn fewer_are_characters_like_others() {
        let record = typed(b"\x01x\x01\x01y");
        assert_eq!(record.domain, b"\x01x\x01\x01y");
        assert!(record.switches.is_empty());
        // Six are two switches, not one and three characters.
        let record = typed(b"\x01\x01\x01\x01\x01\x01z");
        assert_eq!(record.domain, b"z");
        assert!(record.keys.is_empty());
    }

    proptest! {
        #![proptest_config(crate::machine::fixtures::cases(256))]
        #[test]
        fn nothing_is_invented_or_dropped(text in prop::collection::vec(prop_oneof![Just(1u8), 0..4u8], 0..200)) {
            let record = typed(&text);
            let given = record.domain.len() + record.keys.len() + 3 * record.switches.len();
            // At most two are still held back.
            prop_assert!(text.len() - given <= 2);
        }

        #[test]
        fn the_ring_is_a_queue(steps in prop::collection::vec((0..9usize, 0..9usize), 0..60)) {
            let mut ring = InputRing::<16>::new();
            let mut model = std::collections::VecDeque::new();
            let (mut next, mut lost) = (0u8, 0);
            for (pushes, takes) in steps {
                for _ in 0..pushes {
                    ring.push(next);
                    if model.len() < 16 { model.push_back(next) } else { lost += 1 }
                    next = next.wrapping_add(1);
                }
                let mut buffer = [0; 5];
                let seen = ring.peek(&mut buffer);
                let wanted: Vec<u8> = model.iter().copied().take(5).collect();
                prop_assert_eq!(&buffer[..seen], &wanted[..]);
                ring.take(takes);
                model.drain(..takes.min(model.len()));
                prop_assert_eq!(ring.is_empty(), model.is_empty());
                prop_assert_eq!(ring.is_full(), model.len() == 16);
            }
            prop_assert_eq!(ring.take_lost(), lost);
            prop_assert_eq!(ring.take_lost(), 0);
        }
    }
}
