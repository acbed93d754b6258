//! The names by which compiled code finds the memory functions; the compiler's own library steps back.

use core::arch::global_asm;

global_asm!(
    include_str!("memory_functions.S"),
    ".globl memcpy, memmove, memset",
    ".hidden memcpy, memmove, memset",
    ".type memcpy, @function",
    ".type memmove, @function",
    ".type memset, @function",
    ".set memcpy, pv_memmove",
    ".set memmove, pv_memmove",
    ".set memset, pv_memset",
    options(att_syntax),
);
