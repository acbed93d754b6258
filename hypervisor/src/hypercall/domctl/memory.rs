//! A domain's memory.

#![forbid(unsafe_code)]

use super::{Answer, Done};
use crate::arch::guest::running::Guest;
use crate::arch::memory::{self, mm};
use crate::domain::Domain;
use crate::hypercall::{read, write};
use guest_abi::domctl::Domctl;
use guest_abi::domctl_memory::{
    AddressSize, HypercallInit, MAX_PAGE_FRAMES, MaxMem, PageFrameInfo,
};
use guest_abi::errno::Errno;
use guest_abi::ids::Mfn;

pub(super) fn set_max(wish: &Domctl, domain: &Domain) -> Answer {
    let MaxMem { max_memkb } = wish.u.read();
    // Fewer than it has is no mistake: it gets no more then.
    domain.set_max_pages((max_memkb >> 2).min(u64::from(u32::MAX)));
    Ok(Done::Quietly)
}

pub(super) fn fill_hypercall_page(guest: &Guest<'_>, wish: &Domctl, domain: &Domain) -> Answer {
    let HypercallInit { gmfn } = wish.u.read();
    let page = mm()
        .get_writable_frame(Mfn(gmfn), domain.id(), guest.domain.id())
        .map_err(|_| Errno::EINVAL)?;
    memory::write_hypercall_page(&page);
    mm().put_writable_frame(page);
    Ok(Done::Quietly)
}

/// Guests are of 64 bits.
const BITS: u32 = 64;

pub(super) fn set_address_size(wish: &Domctl) -> Answer {
    match wish.u.read() {
        AddressSize { size: BITS } => Ok(Done::Quietly),
        AddressSize { size: 32 } => Err(Errno::EOPNOTSUPP),
        AddressSize { .. } => Err(Errno::EINVAL),
    }
}

pub(super) fn address_size(wish: &mut Domctl) -> Answer {
    wish.u.write(&AddressSize { size: BITS });
    Ok(Done::WithAnswer)
}

/// Says of each frame of a list what it is used as.
pub(super) fn frame_types(wish: &mut Domctl, domain: &Domain) -> Answer {
    let list: PageFrameInfo = wish.u.read();
    if list.num > MAX_PAGE_FRAMES {
        return Err(Errno::E2BIG);
    }
    for index in 0..list.num {
        let at = list.array.0.checked_add(8 * index).ok_or(Errno::EFAULT)?;
        let mfn: u64 = read(at)?;
        let kind = mm().frame_type(Mfn(mfn), domain.id());
        write(at, &u64::from(kind as u32))?;
    }
    Ok(Done::Quietly)
}
