//! The screen in VGA text mode: 80 columns, 25 rows, scrolling.

use crate::console::Sink;
use crate::lock::IrqLock;

const COLUMNS: usize = 80;
const ROWS: usize = 25;
/// Light grey on black.
const ATTRIBUTE: u16 = 0x07 << 8;
const BLANK: u16 = ATTRIBUTE | b' ' as u16;
/// Machine address of the text buffer.
pub(super) const ADDRESS: u64 = 0xb8000;

struct State {
    /// First cell, or null while there is no screen.
    cells: *mut u16,
    /// What the screen shows.
    copy: [u16; COLUMNS * ROWS],
    row: usize,
    column: usize,
}

// SAFETY: the pointer is to device memory that is mapped on every processor.
unsafe impl Send for State {}

/// The text screen.
pub(super) struct TextScreen(IrqLock<State>);

/// The one that every PC starts with.
pub(super) static SCREEN: TextScreen = TextScreen(IrqLock::new(State {
    cells: core::ptr::null_mut(),
    copy: [BLANK; COLUMNS * ROWS],
    row: 0,
    column: 0,
}));

impl TextScreen {
    /// Starts using the text buffer at virtual address `cells`, cleared; or goes on there if it moved.
    ///
    /// # Safety
    /// 4,000 bytes at `cells` are the VGA text buffer, mapped writable, until the next call.
    pub(super) unsafe fn set_buffer(&self, cells: *mut u16) {
        let mut state = self.0.lock();
        let first = state.cells.is_null();
        state.cells = cells;
        if first {
            state.show_all();
        }
    }
}

impl State {
    /// Shows the whole copy: 64-bit writes, no reads, because each access to the screen is slow.
    fn show_all(&self) {
        for (index, four) in self.copy.chunks_exact(4).enumerate() {
            let value = four
                .iter()
                .rev()
                .fold(0u64, |value, &cell| value << 16 | u64::from(cell));
            // SAFETY: within the 25 rows of 80 cells that `set_buffer`'s caller vouched for.
            unsafe { self.cells.cast::<u64>().add(index).write_volatile(value) };
        }
    }

    fn set(&mut self, row: usize, column: usize, value: u16) {
        let index = row * COLUMNS + column;
        if let Some(cell) = self.copy.get_mut(index) {
            *cell = value;
            // SAFETY: `index` is within the copy, which has as many cells as the screen.
            unsafe { self.cells.add(index).write_volatile(value) };
        }
    }

    fn new_line(&mut self) {
        self.column = 0;
        if self.row + 1 < ROWS {
            self.row += 1;
            return;
        }
        self.copy.copy_within(COLUMNS.., 0);
        self.copy[(ROWS - 1) * COLUMNS..].fill(BLANK);
        self.show_all();
    }
}

impl TextScreen {
    /// Frees the device from whoever uses it.
    ///
    /// # Safety
    /// All other processors have stopped for good.
    pub(super) unsafe fn break_open(&self) {
        // SAFETY: the holder will never run again (caller).
        unsafe { self.0.break_open() };
    }
}

impl Sink for TextScreen {
    fn write(&self, bytes: &[u8]) {
        let mut state = self.0.lock();
        if state.cells.is_null() {
            return;
        }
        for &byte in bytes {
            match byte {
                b'\n' => state.new_line(),
                b'\r' => state.column = 0,
                byte => {
                    if state.column == COLUMNS {
                        state.new_line();
                    }
                    let (row, column) = (state.row, state.column);
                    state.set(row, column, ATTRIBUTE | u16::from(byte));
                    state.column += 1;
                }
            }
        }
    }
}
