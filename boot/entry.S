/*
 * From GRUB to Rust: the multiboot2 header, the 32-bit entry, the early page tables, and the
 * trampoline by which the other processors arrive.
 *
 * Everything in section `.boot` is linked at its unmoved physical address and addressed relative to
 * where it really is, so GRUB may place the image at any multiple of 2 MiB below 4 GiB.
 *
 * Operands in braces are constants that hypervisor/src/arch/boot/mod.rs hands in.
 */

    .section .boot, "awx", @progbits
    .balign 8
boot_base:
boot_header:
    .long 0xe85250d6                                /* multiboot2 */
    .long 0                                         /* i386 protected mode */
    .long boot_header_end - boot_header
    .long 0x100000000 - (0xe85250d6 + (boot_header_end - boot_header))

    .balign 8                                       /* what we read of the boot information */
1:  .short 1, 0
    .long 2f - 1b
    .long 1, 3, 6                                   /* command line, modules, memory map: required */
2:
    .balign 8
1:  .short 1, 1
    .long 2f - 1b
    .long 14, 15, 12, 8                             /* RSDP old and new, EFI table, framebuffer: if there */
2:
    .balign 8                                       /* console: text where there is one, graphics accepted */
1:  .short 4, 1
    .long 2f - 1b
    .long 2
2:
    .balign 8                                       /* modules start on a page */
1:  .short 6, 0
    .long 2f - 1b
2:
    .balign 8                                       /* the image can be moved */
1:  .short 10, 1
    .long 2f - 1b
    .long 0x200000, 0xfe000000, 0x200000, 1         /* lowest, highest, alignment, prefer the lowest */
2:
    .balign 8
    .short 0, 0
    .long 8
boot_header_end:

    .code32
    .global boot_start
    .type boot_start, @function
/*
 * In: EAX = multiboot2 magic, EBX = physical address of the boot information, paging off, no stack.
 * Kept from here on: EBX = boot information, EBP = physical address of `.boot`.
 */
boot_start:
    cli
    cld
    cmp $0x36d76289, %eax
    jne boot_no_multiboot2
    /* Where are we? The second word of the boot information is reserved: a stack of one word. */
    lea 8(%ebx), %esp
    call boot_here
boot_here:
    pop %ebp
    sub $boot_here - boot_base, %ebp
    movl $0, 4(%ebx)
    lea boot_stack_top - boot_base(%ebp), %esp
    rdtsc
    mov %eax, boot_tsc - boot_base(%ebp)
    mov %edx, boot_tsc - boot_base + 4(%ebp)

    /* Long mode and no-execute, or nothing: the design rests on both. */
    mov $0x80000000, %eax
    push %ebx
    cpuid
    pop %ebx
    cmp $0x80000001, %eax
    jb boot_no_long_mode
    mov $0x80000001, %eax
    push %ebx
    cpuid
    pop %ebx
    test $1 << 29, %edx
    jz boot_no_long_mode
    test $1 << 20, %edx
    jz boot_no_nx

    /* Low 4 GiB in 2 MiB pages, both at 0 and at the direct map. */
    lea boot_l2_low - boot_base(%ebp), %edi
    mov $0x83, %eax
    mov $2048, %ecx
1:  mov %eax, (%edi)
    movl $0, 4(%edi)
    add $8, %edi
    add $0x200000, %eax
    loop 1b
    lea boot_l3_low - boot_base(%ebp), %edi
    lea boot_l2_low - boot_base + 3(%ebp), %eax
    mov $4, %ecx
1:  mov %eax, (%edi)
    add $8, %edi
    add $4096, %eax
    loop 1b
    /* The image: page k of its 1 GiB window is k * 2 MiB behind where GRUB moved address 0 to. */
    lea boot_l2_image - boot_base + 8(%ebp), %edi
    lea 0x83(%ebp), %eax
    mov ${IMAGE_MAX_PAGES}, %ecx
1:  mov %eax, (%edi)
    add $8, %edi
    add $0x200000, %eax
    loop 1b
    lea boot_l2_image - boot_base + 3(%ebp), %eax
    mov %eax, boot_l3_image - boot_base + 8 * {IMAGE_L3_INDEX}(%ebp)
    lea boot_l3_image - boot_base + 3(%ebp), %eax
    mov %eax, boot_l4 - boot_base + 8 * {IMAGE_L4_INDEX}(%ebp)
    lea boot_l3_low - boot_base + 3(%ebp), %eax
    mov %eax, boot_l4 - boot_base(%ebp)
    mov %eax, boot_l4 - boot_base + 8 * {DIRECT_L4_INDEX}(%ebp)

    /* Long mode: PAE, the tables, EFER.LME, SCE and NXE, then paging with write protection. */
    mov %cr4, %eax
    or $1 << 5, %eax
    mov %eax, %cr4
    lea boot_l4 - boot_base(%ebp), %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx
    rdmsr
    or $(1 << 0) | (1 << 8) | (1 << 11), %eax
    wrmsr
    mov %cr0, %eax
    or $(1 << 31) | (1 << 16) | (1 << 5) | (1 << 1) | 1, %eax
    and $0x9ffffff3, %eax                             /* not EM, TS, NW, CD */
    mov %eax, %cr0
    lea boot_gdt - boot_base(%ebp), %eax
    mov %eax, boot_gdt_pointer - boot_base + 2(%ebp)
    lgdt boot_gdt_pointer - boot_base(%ebp)
    push $8
    lea boot_long_mode - boot_base(%ebp), %eax
    push %eax
    lret

    .code64
boot_long_mode:
    xor %eax, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov %eax, %fs
    mov %eax, %gs
    mov %ebx, %edi
    mov %ebp, %esi
    mov boot_tsc(%rip), %rdx
    movabs $high_entry, %rax
    jmp *%rax

    .code32
boot_no_multiboot2:
    mov $boot_text_no_multiboot2, %esi         /* not moved: only a multiboot2 loader moves us */
    jmp boot_die
boot_no_long_mode:
    lea boot_text_no_long_mode - boot_base(%ebp), %esi
    jmp boot_die
boot_no_nx:
    lea boot_text_no_nx - boot_base(%ebp), %esi
/* In: ESI = text. Says it on the first serial line and on the screen, then stops for good. */
boot_die:
    mov $0xb8000, %edi
1:  lodsb (%esi), %al
    test %al, %al
    jz 3f
    mov $0x4f, %ah
    stosw %ax, (%edi)
    mov %al, %ah
    mov $0x3fd, %dx
    mov $100000, %ecx
2:  in %dx, %al
    test $0x20, %al
    loopz 2b
    mov %ah, %al
    mov $0x3f8, %dx
    out %al, %dx
    jmp 1b
3:  hlt
    jmp 3b

boot_text_no_multiboot2: .asciz "Paravane: not started by a multiboot2 loader: use GRUB's multiboot2 command\r\n"
boot_text_no_long_mode:  .asciz "Paravane: this processor has no 64-bit mode\r\n"
boot_text_no_nx:         .asciz "Paravane: this processor has no NX, or its firmware hides it: switch on 'execute disable' there\r\n"

    .balign 8
boot_gdt:
    .quad 0
    .quad 0x00af9b000000ffff                        /* 64-bit code */
boot_gdt_pointer:
    .short 15
    .long 0
    .balign 8
boot_tsc: .quad 0
    .skip 64
boot_stack_top:

    .balign 4096
    .global boot_l4
boot_l4:       .skip 4096
boot_l3_low:   .skip 4096
boot_l3_image: .skip 4096
    .global boot_l2_image
boot_l2_image: .skip 4096
boot_l2_low:   .skip 4 * 4096

/*
 * First code at the final virtual address.
 * In: RDI = physical address of the boot information, RSI = that of the image, RDX = TSC at entry.
 */
    .section .text.entry, "ax", @progbits
    .code64
    .type high_entry, @function
high_entry:
    lea {boot_stack_block} + {STACK_BLOCK}(%rip), %rsp
    xor %ebp, %ebp
    push %rbp
    push %rbp
    call {boot_main}
    ud2
    .size high_entry, . - high_entry

/*
 * First code of another processor at the final virtual address, still on the early page tables.
 * In: RDI = its number, RSI = root of the final page tables, RDX = top of its stack there.
 */
    .balign 16
    .global secondary_high_entry
    .type secondary_high_entry, @function
secondary_high_entry:
    mov %rsi, %cr3
    mov %rdx, %rsp
    xor %ebp, %ebp
    push %rbp
    push %rbp
    call {secondary_main}
    ud2
    .size secondary_high_entry, . - secondary_high_entry

/*
 * Where another processor starts: copied to a page below 1 MiB, its mailbox filled in by
 * hypervisor/src/arch/smp.rs. Real mode, then straight to long mode on the early page tables.
 */
    .section .rodata.trampoline, "a", @progbits
    .balign 16
    .global trampoline_start, trampoline_end, trampoline_mailbox
    .code16
trampoline_start:
    cli
    cld
    xor %ebp, %ebp
    mov %cs, %bp
    mov %bp, %ds
    shl $4, %ebp
    /* Tables and jumps need linear addresses: this page's address plus the offset. */
    lea trampoline_gdt - trampoline_start(%ebp), %eax
    mov %eax, trampoline_gdt_pointer - trampoline_start + 2
    lea trampoline_64 - trampoline_start(%ebp), %eax
    mov %eax, trampoline_jump - trampoline_start
    mov $1 << 5, %eax
    mov %eax, %cr4
    mov trampoline_root - trampoline_start, %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx
    rdmsr
    or $(1 << 0) | (1 << 8) | (1 << 11), %eax
    wrmsr
    lgdtl trampoline_gdt_pointer - trampoline_start
    mov $(1 << 31) | (1 << 16) | (1 << 5) | (1 << 4) | (1 << 1) | 1, %eax
    mov %eax, %cr0
    .byte 0x66, 0xff, 0x2e                          /* ljmpl *trampoline_jump, through DS */
    .short trampoline_jump - trampoline_start
    .code64
trampoline_64:
    xor %eax, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov %eax, %fs
    mov %eax, %gs
    mov trampoline_argument(%rip), %rdi
    mov trampoline_final_root(%rip), %rsi
    mov trampoline_stack(%rip), %rdx
    jmp *trampoline_entry(%rip)

    .balign 8
trampoline_gdt:
    .quad 0
    .quad 0x00af9b000000ffff
trampoline_gdt_pointer:
    .short 15
    .long 0
trampoline_jump:
    .long 0
    .short 8
    .balign 8
trampoline_mailbox:                                 /* struct Mailbox in smp.rs */
trampoline_root:       .quad 0
trampoline_final_root: .quad 0
trampoline_stack:      .quad 0
trampoline_argument:   .quad 0
trampoline_entry:      .quad 0
trampoline_end:
    .code64
