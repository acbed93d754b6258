//! A disk controller that interrupts when a command is done: two queues, each with a message of its own.

use crate::memory::{Frame, Tables};
use crate::pci::{Device, Registers};
use crate::smp;
use core::cell::Cell;

/// Entries of each queue.
const ENTRIES: u32 = 16;
/// Registers (NVM Express 1.4, 3.1), and where the doorbells begin.
const CONFIGURATION: u64 = 0x14;
const STATUS: u64 = 0x1c;
const ADMIN_SIZES: u64 = 0x24;
const ADMIN_SUBMISSION: u64 = 0x28;
const ADMIN_COMPLETION: u64 = 0x30;
const DOORBELLS: u64 = 0x1000;
/// A command that no controller has: it is done at once, with an error.
const NO_COMMAND: u64 = 0xff;
const CREATE_SUBMISSION: u64 = 0x01;
const CREATE_COMPLETION: u64 = 0x05;

/// Two rings: commands, and their ends.
pub(crate) struct Queue {
    number: u32,
    commands: Frame,
    ends: Frame,
    submitted: Cell<u32>,
    completed: Cell<u32>,
}

impl Queue {
    fn new(number: u32) -> Self {
        Self {
            number,
            commands: Frame::alloc(),
            ends: Frame::alloc(),
            submitted: Cell::new(0),
            completed: Cell::new(0),
        }
    }
}

/// The controller.
pub(crate) struct Controller {
    pub(crate) device: Device,
    pub(crate) registers: Registers,
    pub(crate) admin: Queue,
    pub(crate) other: Queue,
}

impl Controller {
    /// Finds it, skipping the case where it is not.
    pub(crate) fn find(tables: &Tables) -> Self {
        let device = Device::find(0x1b36, 0x0010);
        device.enable();
        let registers = Registers::map(tables, device.region(0), 2);
        Self {
            device,
            registers,
            admin: Queue::new(0),
            other: Queue::new(1),
        }
    }

    /// Starts it. If messages are enabled before, it sends them. It has no second queue yet.
    pub(crate) fn start(&self) {
        let registers = self.registers;
        // The firmware may have used it.
        registers.write(CONFIGURATION, 0);
        smp::wait_until("the controller is off", || registers.read(STATUS) & 1 == 0);
        registers.write(ADMIN_SIZES, (ENTRIES - 1) << 16 | (ENTRIES - 1));
        let put = |offset, frame: Frame| {
            let address = frame.mfn().address();
            registers.write(offset, address as u32);
            registers.write(offset + 4, (address >> 32) as u32);
        };
        put(ADMIN_SUBMISSION, self.admin.commands);
        put(ADMIN_COMPLETION, self.admin.ends);
        // Entries of 64 and of 16 bytes; on.
        registers.write(CONFIGURATION, 4 << 20 | 6 << 16 | 1);
        smp::wait_until("the controller is ready", || {
            registers.read(STATUS) & 1 != 0
        });
    }

    fn ring(&self, queue: &Queue, is_completion: u64, value: u32) {
        let doorbell = DOORBELLS + 4 * (2 * u64::from(queue.number) + is_completion);
        self.registers.write(doorbell, value % ENTRIES);
    }

    fn submit(&self, queue: &Queue, words: [u64; 8]) {
        let place = (queue.submitted.get() % ENTRIES) as usize;
        for (index, word) in words.into_iter().enumerate() {
            queue.commands.write(place * 8 + index, word);
        }
        queue.submitted.set(queue.submitted.get() + 1);
        self.ring(queue, 0, queue.submitted.get());
    }

    /// Gives a queue a command that does nothing.
    pub(crate) fn poke(&self, queue: &Queue) {
        self.submit(queue, [NO_COMMAND, 0, 0, 0, 0, 0, 0, 0]);
    }

    /// Takes the end of a command if there is one: its status.
    pub(crate) fn take_end(&self, queue: &Queue) -> Option<u64> {
        let completed = queue.completed.get();
        let word = queue.ends.read((completed % ENTRIES) as usize * 2 + 1);
        // The phase changes each time around.
        let phase = u64::from((completed / ENTRIES).is_multiple_of(2));
        if word >> 48 & 1 != phase {
            return None;
        }
        queue.completed.set(completed + 1);
        self.ring(queue, 1, completed + 1);
        Some(word >> 49)
    }

    /// Makes the second queue, whose ends are told by message 1. The first one's messages come, too.
    pub(crate) fn add_queue(&self) {
        const CONTIGUOUS: u64 = 1;
        const INTERRUPTS: u64 = 1 << 1;
        let sizes = u64::from(self.other.number) | u64::from(ENTRIES - 1) << 16;
        let wishes = [
            (
                CREATE_COMPLETION,
                self.other.ends,
                CONTIGUOUS | INTERRUPTS | 1 << 16,
            ),
            (CREATE_SUBMISSION, self.other.commands, CONTIGUOUS | 1 << 16),
        ];
        for (opcode, frame, flags) in wishes {
            let place = frame.mfn().address();
            self.submit(
                &self.admin,
                [opcode, 0, 0, place, 0, sizes | flags << 32, 0, 0],
            );
            let mut status = None;
            smp::wait_until("a queue is made", || {
                status = self.take_end(&self.admin);
                status.is_some()
            });
            assert_eq!(status, Some(0));
        }
    }
}
