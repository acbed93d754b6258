/*
 * The ways in and out: one stub for each of the 256 vectors, the SYSCALL and SYSENTER stubs that each
 * processor has a copy of, and the return to the guest.
 *
 * Everything builds a `Registers` frame (registers.rs). For an entry from a guest the frame is the one in
 * the processor's CpuInfo, at the top of its stack: that is where the hardware starts to push.
 *
 *     high   gs fs ds es         (written at a context switch only)
 *            ss rsp rflags cs rip    pushed by the hardware, or by a stub in its place
 *            vector:error code
 *            rdi rsi rdx rcx rax r8 r9 r10 r11 rbx rbp r12 r13 r14 r15
 *     low    <- RSP while Rust runs, less the alignment of a call
 */
    .section .text.entry, "ax", @progbits
    .code64

    .macro push_general
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
    .endm

    .macro pop_general
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
    .endm

    /*
     * Ends a guest's right to have the hypervisor touch user pages (EFLAGS.AC). Three bytes of nothing;
     * boot puts CLAC in their place where there is SMAP.
     */
    .macro forbid_user_pages
1771: .byte 0x0f, 0x1f, 0x00
    .pushsection .smap_patch, "a", @progbits
    .balign 4
    .long 1771b - .
    .popsection
    .endm

    /*
     * Goes to \to unless the frame on top of the stack is a guest's. Ring 3 is, and so is virtual-8086 mode, whose
     * selectors have no privilege: no processor has it in long mode, but QEMU's emulation of IRET (7.2) lets
     * ring 3 enter it.
     */
    .macro unless_from_guest to
    test byte ptr [rsp + {FRAME_CS}], 3
    jnz 1772f
    test dword ptr [rsp + {FRAME_RFLAGS}], {VM}
    jz \to
1772:
    .endm

    /*
     * Gives SS, which the processor makes null where it comes from ring 3, the hypervisor's flat segment, as SYSCALL
     * does. The return by SYSRET sets the selector of SS, and on AMD's processors nothing else of it: with what a null
     * SS is there, the guest's next instruction in 32-bit code that uses the stack would fault, if it has gone there
     * from 64-bit code without loading SS. Such a return need not follow a SYSCALL: an interrupt may bring another
     * vCPU, whose SYSCALL is long past, or come where SYSRET has just gone to. With this in each of the other ways in
     * from ring 3 and at boot (tables.rs), SS is flat whenever a guest is returned to: what interrupts the hypervisor
     * itself changes no SS, or puts it back. Changes ECX.
     */
    .macro load_flat_ss
    mov ecx, {HYPERVISOR_SS}
    mov ss, ecx
    .endm

    /*
     * Moves a guest's frame from the stack of an exception's own, in this processor's block, to where the
     * hardware would have put it without that, and RSP along.
     */
    .macro frame_to_usual_stack
    mov rdi, rsp
    or rdi, {STACK_BLOCK_MASK}          /* last byte of the block */
    sub rdi, {GUEST_BEFORE_LAST}        /* CpuInfo.guest */
    mov rsi, rsp
    mov rsp, rdi
    mov ecx, {FRAME_WORDS}
    rep movsq
    .endm

    .macro trap_stub vector
    .balign 16
    /* 8, 10 to 14, 17, 21, 29 and 30 push an error code themselves. */
    .if !((\vector == 8) || (\vector >= 10 && \vector <= 14) || (\vector == 17) || (\vector == 21) || (\vector == 29) || (\vector == 30))
    push 0
    .endif
    mov dword ptr [rsp + 4], \vector
    .if (\vector == 1)
    jmp trap_debug
    .elseif (\vector == 2) || (\vector == 8) || (\vector == 18)
    jmp trap_on_own_stack
    .else
    jmp trap_common
    .endif
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
 * From a guest: calls guest_entry(&mut Registers), which prepares the return to whatever guest is to run.
 * From the hypervisor: calls trap_entry(&mut Registers) with interrupts off; returns with what the frame
 * then holds.
 */
    .balign 16
    .type trap_common, @function
trap_common:
    cld
    push_general
    /* Also of the hypervisor itself, which may have been copying from a guest; the return restores that. */
    forbid_user_pages
    unless_from_guest trap_from_hypervisor
    load_flat_ss
    mov rdi, rsp
    xor ebp, ebp
    sub rsp, 8
    call {guest_entry}
    jmp exit_to_guest_as_prepared
    .size trap_common, . - trap_common

/*
 * A debug exception. It has a stack of its own too, because a guest can have one raised in the hypervisor,
 * and at the one moment when the stack is still the guest's: MOV SS on which a data breakpoint lies holds
 * the exception back until after the next instruction, which may be SYSCALL. One that comes from a guest
 * goes on like any other from where the hardware would have put its frame without that.
 * In: error code and vector on top of the hardware frame, on the debug stack of this processor's block.
 */
    .balign 16
    .type trap_debug, @function
trap_debug:
    cld
    push_general
    forbid_user_pages
    unless_from_guest trap_from_hypervisor
    load_flat_ss
    frame_to_usual_stack
    mov rdi, rsp
    xor ebp, ebp
    sub rsp, 8
    call {guest_entry}
    jmp exit_to_guest_as_prepared
    .size trap_debug, . - trap_debug

/*
 * NMI, double fault and machine check have stacks of their own and may come from anywhere, the middle of
 * any other entry included. They touch nothing of the guest. Into the hypervisor they go back as they came. A
 * guest's frame goes the usual way out, from the usual stack: its IRET may fault, and on this stack the next NMI
 * would overwrite what is left of the frame.
 */
    .type trap_on_own_stack, @function
trap_on_own_stack:
    cld
    push_general
    forbid_user_pages
    mov rdi, rsp
    sub rsp, 8
    call {trap_entry}
    add rsp, 8
    unless_from_guest return_to_hypervisor
    frame_to_usual_stack
    /*
     * Until an IRET no further NMI would come, and a guest may be reached without one: an IRET to the next line. It
     * loads SS, as load_flat_ss does.
     */
    mov rax, rsp
    push {HYPERVISOR_SS}
    push rax
    pushfq
    mov ecx, cs
    push rcx
    lea rcx, [rip + 1773f]
    push rcx
    iretq
1773:
    mov rdi, rsp
    xor ebp, ebp
    sub rsp, 8
    call {prepare_exit}
    jmp exit_to_guest_as_prepared

trap_from_hypervisor:
    mov rdi, rsp
    sub rsp, 8
    call {trap_entry}
    add rsp, 8
return_to_hypervisor:
    pop_general
    add rsp, 8
    iretq
    .size trap_on_own_stack, . - trap_on_own_stack

/*
 * Goes to the guest that the processor is to run, for the first time on this stack.
 * In: RDI = address of CpuInfo.guest. Never returns.
 */
    .balign 16
    .global enter_guests
    .type enter_guests, @function
enter_guests:
    lea rsp, [rdi - 8]
    xor ebp, ebp
    call {prepare_exit}
    /* In: AL = whether SYSRET can express the frame; interrupts are off. */
exit_to_guest_as_prepared:
    add rsp, 8
    test al, al
    pop_general
    jnz exit_by_sysret
    add rsp, 8
    /* The frame is the guest's wish; what is wrong with it faults here and is the guest's problem. */
    .global exit_iret
exit_iret:
    iretq
    .pushsection .extable, "a", @progbits
    .balign 4
    .long exit_iret - .
    .long exit_fault - .
    .popsection
    .size enter_guests, . - enter_guests

/*
 * Where a faulting return goes on: RSP is at the frame's RIP again, all general registers are the guest's.
 * An entry like any other, of a kind of its own.
 */
    .type exit_fault, @function
exit_fault:
    push 0
    mov dword ptr [rsp + 4], {RETURN_FAULT}
    push_general
    xor ebp, ebp
    mov rdi, rsp
    sub rsp, 8
    call {guest_entry}
    jmp exit_to_guest_as_prepared
    .size exit_fault, . - exit_fault

/*
 * The quick way out, for a frame that SYSRET can express: RCX and R11 are the frame's RIP and RFLAGS (the
 * caller checked), CS and SS are the flat 64-bit ones, RIP is canonical.
 * In: RSP at the frame's vector.
 */
    .type exit_by_sysret, @function
exit_by_sysret:
    mov rcx, [rsp + 8]
    mov r11, [rsp + 24]
    mov rsp, [rsp + 32]
    sysretq
    .size exit_by_sysret, . - exit_by_sysret

/*
 * A page of its own, mapped once more for each processor; the page behind each mapping is that
 * processor's and holds the words that the stubs use. They touch nothing else before they are on the
 * hypervisor's stack.
 * Contract: R11 = RFLAGS, RCX = RIP of the guest (SYSCALL); interrupts off.
 */
    .section .text.entry_stubs, "ax", @progbits
    .balign 4096
    .global entry_stubs_start, entry_stubs_syscall, entry_stubs_syscall32, entry_stubs_sysenter, entry_stubs_end
entry_stubs_start:
    .set entry_data, entry_stubs_start + 4096       /* the next page, wherever this one is mapped */
entry_stubs_syscall:
    mov [rip + entry_data + {ENTRY_GUEST_RSP}], rsp
    mov rsp, [rip + entry_data + {ENTRY_STACK}]
    push {FLAT_SS}
    push qword ptr [rip + entry_data + {ENTRY_GUEST_RSP}]
    push r11
    push {FLAT_CS64}
    push rcx
    push 0
    mov dword ptr [rsp + 4], {SYSCALL}
    jmp qword ptr [rip + entry_data + {ENTRY_TARGET}]
    .balign 16
entry_stubs_syscall32:
    mov [rip + entry_data + {ENTRY_GUEST_RSP}], rsp
    mov rsp, [rip + entry_data + {ENTRY_STACK}]
    push {FLAT_SS}
    push qword ptr [rip + entry_data + {ENTRY_GUEST_RSP}]
    push r11
    push {FLAT_CS32}
    push rcx
    push 0
    mov dword ptr [rsp + 4], {SYSCALL32}
    jmp qword ptr [rip + entry_data + {ENTRY_TARGET}]
    .balign 16
    /* SYSENTER tells neither where it came from nor with which stack; RFLAGS are the guest's, but for IF and VM. */
entry_stubs_sysenter:
    cld
    forbid_user_pages
    mov rsp, [rip + entry_data + {ENTRY_STACK}]
    push {FLAT_SS}
    push 0
    pushfq
    or dword ptr [rsp], 0x200
    /* With NT among them the return to a guest would fault, again and again. */
    push {FLAGS_FIXED}
    popfq
    push 3
    push 0
    push 0
    mov dword ptr [rsp + 4], {SYSENTER}
    jmp qword ptr [rip + entry_data + {ENTRY_TARGET}]
entry_stubs_end:
    .balign 4096
    .section .text.entry, "ax", @progbits

/*
 * In: a frame up to error code and vector, made by one of the stubs above; EFLAGS.DF and AC are clear: SYSCALL
 * clears what its mask names, and the other stub does so itself.
 */
    .balign 16
    .global system_call_common
    .type system_call_common, @function
system_call_common:
    push_general
    mov rdi, rsp
    xor ebp, ebp
    sub rsp, 8
    call {guest_entry}
    jmp exit_to_guest_as_prepared
    .size system_call_common, . - system_call_common
