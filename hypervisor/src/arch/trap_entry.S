/*
 * One stub for each of the 256 vectors, 16 bytes apart, and what they have in common.
 *
 * On arrival the processor has pushed, from high to low: SS RSP RFLAGS CS RIP [error code]. A stub makes
 * the rest of a TrapFrame (traps.rs): the error code where there is none, the vector in its upper half,
 * then the general registers.
 */
    .section .text.entry, "ax", @progbits
    .code64

    .macro trap_stub vector
    .balign 16
    /* 8, 10 to 14, 17, 21, 29 and 30 push an error code themselves. */
    .if !((\vector == 8) || (\vector >= 10 && \vector <= 14) || (\vector == 17) || (\vector == 21) || (\vector == 29) || (\vector == 30))
    push 0
    .endif
    mov dword ptr [rsp + 4], \vector
    jmp trap_common
    .endm

    .balign 16
    .global trap_stubs
    .type trap_stubs, @function
trap_stubs:
    .altmacro
    .set next_vector, 0
    .rept 256
    trap_stub %next_vector
    .set next_vector, next_vector + 1
    .endr
    .noaltmacro
    .size trap_stubs, . - trap_stubs

/*
 * In: error code and vector on top of the hardware frame.
 * Calls trap_entry(&mut TrapFrame) with interrupts off; returns with what the frame then holds.
 */
    .balign 16
    .type trap_common, @function
trap_common:
    cld
    push rdi
    push rsi
    push rdx
    push rcx
    push rax
    push r8
    push r9
    push r10
    push r11
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
    mov rdi, rsp
    sub rsp, 8
    call {trap_entry}
    add rsp, 8
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    pop r11
    pop r10
    pop r9
    pop r8
    pop rax
    pop rcx
    pop rdx
    pop rsi
    pop rdi
    add rsp, 8
    iretq
    .size trap_common, . - trap_common
