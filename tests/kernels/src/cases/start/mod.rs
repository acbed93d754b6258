//! What a kernel finds when it starts.

pub(crate) mod boot_mapping;
pub(crate) mod floating_point;
pub(crate) mod frame_list;
pub(crate) mod hypercall_page;
pub(crate) mod init_p2m;
pub(crate) mod initial_state;
pub(crate) mod ram_disk;
pub(crate) mod ram_disk_end;
pub(crate) mod start_of_day;
