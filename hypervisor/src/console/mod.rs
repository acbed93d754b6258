//! Where words for people go: serial line, screen, and the log ring that the first domain can read later.
