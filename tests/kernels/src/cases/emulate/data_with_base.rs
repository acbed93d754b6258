//! INS and OUTS of 32-bit code reach memory through their segments: from the base on, up to the limit, as the type
//! allows, in the global and the local table.

use super::super::prelude::*;
use crate::cpu;
use guest_abi::mmu::MmuextOp;

user_code!(
    user_ins,
    ".code32",
    "mov es, eax",
    "mov edx, 0x5678",
    "insd",
    "ud2",
    ".code64"
);
user_code!(
    user_outs,
    ".code32",
    "mov ds, eax",
    "mov edx, 0x80",
    "outsd",
    "ud2",
    ".code64"
);
user_code!(
    user_outs_fs,
    ".code32",
    "mov fs, eax",
    "mov edx, 0x80",
    ".byte 0x64", // FS
    "outsd",
    "ud2",
    ".code64"
);

/// Bytes before the instruction that is emulated, and of it.
const BEFORE: u64 = 2 + 5;
const INSD: u64 = 1;

/// Present data of level 3 and a type, with a limit in bytes.
const fn data(kind: u64, base: u64, limit: u64) -> u64 {
    0x0040_f000_0000_0000
        | kind << 40
        | (base & 0xff_ffff) << 16
        | (base >> 24 & 0xff) << 56
        | limit & 0xffff
        | (limit >> 16 & 0xf) << 48
}

/// The limit is in pages.
const IN_PAGES: u64 = 1 << 55;
const WRITABLE: u64 = 3;
const READ_ONLY: u64 = 1;
/// Selectors of the descriptors that both tables have.
const DATA: u64 = 1;
const SMALL: u64 = 2;
const FIXED: u64 = 3;
const BEFORE_HOLE: u64 = 4;
const WRAPPING: u64 = 5;

pub(crate) fn run() {
    let space = user::load_new();
    assert_eq!(cpu::set_iopl(3), Ok(0));
    let base = user::DATA.0;
    let tables: [Frame; 2] = Frame::alloc_many();
    for table in tables {
        table.write(DATA as usize, data(WRITABLE, base + 0x100, 0xf_ffff));
        table.write(SMALL as usize, data(WRITABLE, base + 0x200, 0x13));
        table.write(FIXED as usize, data(READ_ONLY, base + 0x300, 0xf_ffff));
        table.write(BEFORE_HOLE as usize, data(WRITABLE, user::HOLE.0, 0xf_ffff));
        let wrapping = data(WRITABLE, 0xffff_f000, 0xf_ffff) | IN_PAGES;
        table.write(WRAPPING as usize, wrapping);
        memory::make_readonly(table);
    }
    assert_eq!(hypercall!(SetGdt, &[tables[0].mfn()][..], 512u64), Ok(0));
    let local = tables[1].va().0;
    assert_eq!(memory::mmuext_two(MmuextOp::SetLdt, local, 512), Ok(0));

    for table in [3, 7] {
        let enter = |code, index: u64, offset: u64| {
            user::enter(&trap::Frame {
                rax: index << 3 | table,
                rdi: offset,
                rsi: offset,
                ..user::registers32(code)
            })
        };
        let start = user::code(user_ins()).0;
        let fill = || (0..128).for_each(|word| space.data.write(word, 0));
        let count = || (0..128).filter(|&word| space.data.read(word) != 0).count();

        fill();
        let frame = enter(user_ins(), DATA, 0x20).frame;
        assert_eq!((frame.vector, frame.rip), (UD, start + BEFORE + INSD));
        assert_eq!(frame.rdi, 0x24);
        assert_eq!((space.data.read(0x120 / 8), count()), (0xffff_ffff, 1));

        // Up to the limit, and not behind it.
        fill();
        let frame = enter(user_ins(), SMALL, 0x10).frame;
        assert_eq!((frame.vector, frame.rdi), (UD, 0x14));
        assert_eq!((space.data.read(0x210 / 8), count()), (0xffff_ffff, 1));
        fill();
        for offset in [0x11, 0x13, 0x14, 0xffff_fffe] {
            let frame = enter(user_ins(), SMALL, offset).frame;
            assert_eq!((frame.vector, frame.error_code), (GP, 0), "{offset:#x}");
            assert_eq!((frame.rip, frame.rdi), (start + BEFORE, offset));
        }
        // What may not be written, and no segment at all.
        let frame = enter(user_ins(), FIXED, 0).frame;
        assert_eq!((frame.vector, frame.rip), (GP, start + BEFORE));
        let null = trap::Frame {
            rax: 0,
            rdi: base,
            ..user::registers32(user_ins())
        };
        let frame = user::enter(&null).frame;
        assert_eq!((frame.vector, frame.rip), (GP, start + BEFORE));
        assert_eq!(count(), 0);

        // A page that is not there.
        let trap = enter(user_ins(), BEFORE_HOLE, 8);
        assert_eq!((trap.frame.vector, trap.cr2), (PF, user::HOLE.0 + 8));

        // The same for what is read. Without the base, nothing is mapped at the offset.
        for code in [user_outs(), user_outs_fs()] {
            let frame = enter(code, DATA, 0x20).frame;
            assert_eq!((frame.vector, frame.rsi), (UD, 0x24));
            let frame = enter(code, FIXED, 0x20).frame;
            assert_eq!((frame.vector, frame.rsi), (UD, 0x24));
            let frame = enter(code, SMALL, 0x11).frame;
            assert_eq!((frame.vector, frame.error_code), (GP, 0));
            let trap = enter(code, BEFORE_HOLE, 8);
            assert_eq!((trap.frame.vector, trap.cr2), (PF, user::HOLE.0 + 8));
        }
        // Behind 4 GiB comes 0.
        fill();
        let frame = enter(user_ins(), WRAPPING, base + 0x1120).frame;
        assert_eq!((frame.vector, frame.rip), (UD, start + BEFORE + INSD));
        assert_eq!((space.data.read(0x120 / 8), count()), (0xffff_ffff, 1));
    }
}
