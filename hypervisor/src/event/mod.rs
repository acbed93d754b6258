//! Event channels: ports, their bindings, and the two-level pending bitmaps.
