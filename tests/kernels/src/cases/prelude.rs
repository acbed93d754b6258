//! What nearly every case uses.

pub(crate) use crate::hypercall::hypercall;
