//! Memory: the frame table, frame types and their counts, page-table validation, and the frame allocator.

mod atomic;
pub mod block;
pub mod buddy;
pub mod frame;
pub mod frame_list;
#[cfg(test)]
mod test_support;
pub mod tlb;
pub mod typ;
