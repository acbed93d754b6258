//! Memory: the frame table, frame types and their counts, page-table validation, and the frame allocator.
