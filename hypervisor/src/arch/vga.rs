//! The screen in VGA text mode, scrolling, of whatever size the boot loader set.

use crate::console::Sink;
use crate::lock::IrqLock;
use crate::machine::multiboot::{BootInfo, FramebufferKind};
use crate::sync::rank;
use core::fmt;

/// The most characters that a text mode of the usual sizes has: 60 rows of 132.
const MAX_CELLS: usize = 132 * 60;
/// Light grey on black.
const ATTRIBUTE: u16 = 0x07 << 8;
const BLANK: u16 = ATTRIBUTE | b' ' as u16;
/// Machine address of the text buffer.
pub(super) const ADDRESS: u64 = 0xb8000;
/// Bytes of the text buffer.
pub(super) const BYTES: u64 = 0x8000;

const _: () = assert!(MAX_CELLS * 2 <= BYTES as usize);

/// Columns and rows of a text mode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Size {
    columns: usize,
    rows: usize,
}

impl Size {
    /// What every PC starts with.
    pub(super) const USUAL: Self = Self {
        columns: 80,
        rows: 25,
    };
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "text-{}x{}", self.columns, self.rows)
    }
}

/// Why a screen shows no text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NoText {
    /// The loader left it in a graphics mode.
    Graphics { width: u32, height: u32 },
    /// UEFI has no text mode.
    Uefi,
}

impl fmt::Display for NoText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Graphics { width, height } => write!(
                f,
                "the boot loader left the screen in mode gfx-{width}x{height}, which is not text"
            ),
            Self::Uefi => f.write_str("UEFI has no text screen"),
        }
    }
}

/// The text mode that the loader says it left. A loader that says nothing has left what a PC with a BIOS
/// starts with.
pub(super) fn text_size(info: &BootInfo<'_>) -> Result<Size, NoText> {
    if info.efi64_system_table.is_some() || info.efi32_system_table.is_some() {
        return Err(NoText::Uefi);
    }
    let Some(screen) = &info.framebuffer else {
        return Ok(Size::USUAL);
    };
    let (columns, rows) = (screen.width as usize, screen.height as usize);
    let is_text = matches!(screen.kind, FramebufferKind::Text)
        && screen.address == ADDRESS
        && (1..=MAX_CELLS).contains(&columns)
        && (1..=MAX_CELLS / columns).contains(&rows);
    if is_text {
        Ok(Size { columns, rows })
    } else {
        Err(NoText::Graphics {
            width: screen.width,
            height: screen.height,
        })
    }
}

struct State {
    /// First cell, or null while there is no screen.
    cells: *mut u16,
    /// The first domain has it.
    is_released: bool,
    size: Size,
    /// What the screen shows.
    copy: [u16; MAX_CELLS],
    row: usize,
    column: usize,
}

// SAFETY: the pointer is to device memory that is mapped on every processor.
unsafe impl Send for State {}

/// The text screen.
pub(super) struct TextScreen(IrqLock<State, { rank::CONSOLE_DEVICE }>);

/// The one that every PC starts with.
pub(super) static SCREEN: TextScreen = TextScreen(IrqLock::new(State {
    cells: core::ptr::null_mut(),
    is_released: false,
    size: Size::USUAL,
    copy: [BLANK; MAX_CELLS],
    row: 0,
    column: 0,
}));

impl TextScreen {
    /// Starts using the text buffer at virtual address `cells`, cleared.
    ///
    /// # Safety
    /// [`BYTES`] bytes at `cells` are the VGA text buffer, mapped writable, until the next call or that of
    /// [`TextScreen::move_buffer`].
    pub(super) unsafe fn start(&self, cells: *mut u16, size: Size) {
        let mut state = self.0.lock();
        state.cells = cells;
        state.size = size;
        state.show_all();
    }

    /// Goes on at virtual address `cells`, where the text buffer is from now on.
    ///
    /// # Safety
    /// As [`TextScreen::start`].
    pub(super) unsafe fn move_buffer(&self, cells: *mut u16) {
        self.0.lock().cells = cells;
    }

    /// Whether it is in use.
    pub(super) fn is_started(&self) -> bool {
        !self.0.lock().cells.is_null()
    }

    /// Leaves the screen to the first domain.
    pub(super) fn release(&self) {
        self.0.lock().is_released = true;
    }

    /// Frees the device from whoever uses it: what follows is shown again.
    ///
    /// # Safety
    /// All other processors have stopped for good.
    pub(super) unsafe fn break_open(&self) {
        // SAFETY: the holder will never run again (caller).
        unsafe { self.0.break_open() };
        let mut state = self.0.lock();
        if core::mem::take(&mut state.is_released) {
            state.show_all();
        }
    }
}

impl State {
    /// Shows the whole copy: 64-bit writes, no reads, because each access to the screen is slow.
    fn show_all(&self) {
        if self.cells.is_null() {
            return;
        }
        let shown = self.size.columns * self.size.rows;
        let shown = self.copy.get(..shown).unwrap_or(&self.copy);
        let (fours, rest) = shown.as_chunks::<4>();
        for (index, four) in fours.iter().enumerate() {
            let value = four
                .iter()
                .rev()
                .fold(0u64, |value, &cell| value << 16 | u64::from(cell));
            // SAFETY: within the buffer that the caller of `start` vouched for, which the copy fits in.
            unsafe { self.cells.cast::<u64>().add(index).write_volatile(value) };
        }
        for (index, &cell) in rest.iter().enumerate() {
            // SAFETY: as above.
            unsafe { self.cells.add(fours.len() * 4 + index).write_volatile(cell) };
        }
    }

    fn set(&mut self, row: usize, column: usize, value: u16) {
        let index = row * self.size.columns + column;
        if let Some(cell) = self.copy.get_mut(index) {
            *cell = value;
            // SAFETY: `index` is within the copy, which fits in the buffer.
            unsafe { self.cells.add(index).write_volatile(value) };
        }
    }

    fn new_line(&mut self) {
        self.column = 0;
        let Size { columns, rows } = self.size;
        if self.row + 1 < rows {
            self.row += 1;
            return;
        }
        if let Some(shown) = self.copy.get_mut(..columns * rows) {
            shown.copy_within(columns.., 0);
            let last = shown.len() - columns;
            shown[last..].fill(BLANK);
        }
        self.show_all();
    }
}

impl Sink for TextScreen {
    fn write(&self, bytes: &[u8]) {
        let mut state = self.0.lock();
        if state.cells.is_null() || state.is_released {
            return;
        }
        for &byte in bytes {
            match byte {
                b'\n' => state.new_line(),
                b'\r' => state.column = 0,
                byte => {
                    if state.column == state.size.columns {
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
