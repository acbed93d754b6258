/* memcpy, memmove and memset, which compilers call for every copy whose size they do not know.
 *
 * The compiler's own library uses string instructions for all sizes. Their start costs tens of cycles (and under
 * emulation they run an element at a time), while most copies here are of a few bytes: arguments of hypercalls,
 * matches of a decoder. So up to 32 bytes are moved by overlapping loads and stores, more by a loop, and only what is
 * large by a string instruction. No vector registers: they belong to guests.
 */
    .text

/* pv_memmove(rdi destination, rsi source, rdx bytes) returns the destination in rax. The areas may overlap: all small
 * cases load everything before they store anything. Changes rcx, rdx, rsi, rdi, r8 to r11.
 */
    .balign 16
    .globl pv_memmove
    .hidden pv_memmove
    .type pv_memmove, @function
pv_memmove:
    mov %rdi, %rax
    cmp $32, %rdx
    ja .Lpv_move_more
.Lpv_move_small:
    cmp $16, %edx
    ja .Lpv_move_17_32
    cmp $8, %edx
    jae .Lpv_move_8_16
    cmp $4, %edx
    jae .Lpv_move_4_7
    test %edx, %edx
    jz .Lpv_move_done
    /* 1 to 3: the first, the middle and the last byte, which may be the same. */
    movzbl (%rsi), %ecx
    movzbl -1(%rsi,%rdx), %r8d
    mov %rdx, %r10
    shr $1, %r10
    movzbl (%rsi,%r10), %r9d
    mov %cl, (%rdi)
    mov %r9b, (%rdi,%r10)
    mov %r8b, -1(%rdi,%rdx)
.Lpv_move_done:
    ret
.Lpv_move_4_7:
    mov (%rsi), %ecx
    mov -4(%rsi,%rdx), %r8d
    mov %ecx, (%rdi)
    mov %r8d, -4(%rdi,%rdx)
    ret
.Lpv_move_8_16:
    mov (%rsi), %rcx
    mov -8(%rsi,%rdx), %r8
    mov %rcx, (%rdi)
    mov %r8, -8(%rdi,%rdx)
    ret
.Lpv_move_17_32:
    mov (%rsi), %rcx
    mov 8(%rsi), %r8
    mov -16(%rsi,%rdx), %r9
    mov -8(%rsi,%rdx), %r10
    mov %rcx, (%rdi)
    mov %r8, 8(%rdi)
    mov %r9, -16(%rdi,%rdx)
    mov %r10, -8(%rdi,%rdx)
    ret

.Lpv_move_more:
    /* Forward is right unless the destination begins inside the source. */
    mov %rdi, %rcx
    sub %rsi, %rcx
    cmp %rdx, %rcx
    jb .Lpv_move_backward
    cmp $512, %rdx
    jae .Lpv_move_large
.Lpv_move_forward:
    mov (%rsi), %rcx
    mov 8(%rsi), %r8
    mov 16(%rsi), %r9
    mov 24(%rsi), %r10
    mov %rcx, (%rdi)
    mov %r8, 8(%rdi)
    mov %r9, 16(%rdi)
    mov %r10, 24(%rdi)
    add $32, %rsi
    add $32, %rdi
    sub $32, %rdx
    cmp $32, %rdx
    ja .Lpv_move_forward
    jmp .Lpv_move_small

.Lpv_move_large:
    /* Close areas, whose words overlap, are no case for a string instruction: rcx is the distance. */
    cmp $64, %rcx
    jb .Lpv_move_forward
    mov %rdx, %rcx
    shr $3, %rcx
    and $7, %edx
    rep movsq
    jmp .Lpv_move_small

.Lpv_move_backward:
    /* From the end, 32 bytes at a time; what is left is at the beginning. */
    mov -8(%rsi,%rdx), %rcx
    mov -16(%rsi,%rdx), %r8
    mov -24(%rsi,%rdx), %r9
    mov -32(%rsi,%rdx), %r10
    mov %rcx, -8(%rdi,%rdx)
    mov %r8, -16(%rdi,%rdx)
    mov %r9, -24(%rdi,%rdx)
    mov %r10, -32(%rdi,%rdx)
    sub $32, %rdx
    cmp $32, %rdx
    ja .Lpv_move_backward
    jmp .Lpv_move_small
    .size pv_memmove, . - pv_memmove

/* pv_memset(rdi destination, esi byte, rdx bytes) returns the destination in rax. Changes rcx, rdx, rsi, rdi, r8.
 */
    .balign 16
    .globl pv_memset
    .hidden pv_memset
    .type pv_memset, @function
pv_memset:
    mov %rdi, %r8
    movzbl %sil, %eax
    movabs $0x0101010101010101, %rcx
    imul %rcx, %rax
    cmp $8, %rdx
    jae .Lpv_set_words
    cmp $4, %edx
    jae .Lpv_set_4_7
    test %edx, %edx
    jz .Lpv_set_done
    /* 1 to 3. */
    mov %al, (%rdi)
    mov %al, -1(%rdi,%rdx)
    shr $1, %edx
    mov %al, (%rdi,%rdx)
.Lpv_set_done:
    mov %r8, %rax
    ret
.Lpv_set_4_7:
    mov %eax, (%rdi)
    mov %eax, -4(%rdi,%rdx)
    mov %r8, %rax
    ret
.Lpv_set_words:
    /* The last word first: it covers what is left of the others. */
    mov %rax, -8(%rdi,%rdx)
    mov %rdx, %rcx
    shr $3, %rcx
    cmp $512, %rdx
    jae .Lpv_set_large
.Lpv_set_loop:
    mov %rax, (%rdi)
    add $8, %rdi
    dec %rcx
    jnz .Lpv_set_loop
    mov %r8, %rax
    ret
.Lpv_set_large:
    rep stosq
    mov %r8, %rax
    ret
    .size pv_memset, . - pv_memset
