//! A kernel that names a page for them finds hypercall stubs there, of the bytes that the ABI gives.

use guest_abi::hypercall::{Hypercall, NR_STUBS, STUB_SIZE};

unsafe extern "C" {
    static hypercall_page: [u8; 4096];
}

pub(crate) fn run() {
    // SAFETY: the page is part of the image and nobody writes it any more.
    let page = unsafe { &hypercall_page };
    for number in 0..NR_STUBS as u8 {
        let stub = &page[usize::from(number) * STUB_SIZE..][..STUB_SIZE];
        if u64::from(number) == Hypercall::Iret.number() {
            let expected = [0x51, 0x41, 0x53, 0x50, 0xb8, number, 0, 0, 0, 0x0f, 0x05];
            assert_eq!(stub[..expected.len()], expected, "stub of iret");
        } else {
            let expected = [
                0x51, 0x41, 0x53, 0xb8, number, 0, 0, 0, 0x0f, 0x05, 0x41, 0x5b, 0x59, 0xc3,
            ];
            assert_eq!(stub[..expected.len()], expected, "stub {number}");
        }
    }
    // A stub works as a function: xen_version, sub-operation 0.
    let version: u64;
    // SAFETY: the stub keeps all registers but RAX.
    unsafe {
        core::arch::asm!(
            "call {stub}",
            stub = in(reg) page.as_ptr().wrapping_add(17 * STUB_SIZE),
            in("rdi") 0,
            in("rsi") 0,
            lateout("rax") version,
        );
    }
    assert_eq!(version, 4 << 16 | 17);
}
