//! Fifty domains at once, each of which runs.

use super::super::prelude::*;
use crate::control::{self, DATA, Guest};
use guest_abi::domctl_domain::DomainInfo;
use guest_abi::payload::Payload;
use guest_abi::sysctl::{DomainInfoList, SysctlOp};

user_code!(
    counts_to_thousand,
    "2: inc qword ptr [rsi]",
    "cmp qword ptr [rsi], 1000",
    "jb 2b",
    "3: mov eax, 29",
    "mov edi, 1",
    "syscall",
    "jmp 3b",
);

const DOMAINS: usize = 50;

pub(crate) fn run() {
    let guests: [Guest; DOMAINS] = core::array::from_fn(|_| Guest::with_code(counts_to_thousand()));
    for guest in &guests {
        guest.start();
    }
    for guest in &guests {
        guest.wait_for(0, 1000);
    }
    let mut room: [DomainInfo; DOMAINS + 2] = FromZeros::new_zeroed();
    let mut wish = DomainInfoList::new_zeroed();
    wish.max_domains = room.len() as u32;
    wish.buffer = Vaddr(room.as_mut_ptr() as u64);
    let mut content = Payload::of(&wish);
    assert_eq!(
        control::sysctl(SysctlOp::GetDomainInfoList, &mut content),
        Ok(0)
    );
    let count = content.read::<DomainInfoList>().num_domains;
    assert_eq!(count as usize, DOMAINS + 1);
    assert!(
        room[1..=DOMAINS]
            .iter()
            .zip(&guests)
            .all(|(info, guest)| info.domain == guest.id)
    );
    for guest in &guests {
        assert_eq!(guest.window.read(DATA, 0), 1000);
        guest.end();
    }
}
