//! What a kernel finds when it starts.

pub(crate) mod hypercall_page;
pub(crate) mod init_p2m;
pub(crate) mod initial_state;
