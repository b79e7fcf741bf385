/* A firmware of 64 KiB for QEMU's -bios: does a guest make progress under this accelerator?
 *
 * It does, step by step, what the start of a Linux kernel needs of a virtual CPU, and tells each
 * step on the first serial port: 16-bit code ("real"), 32-bit code ("protected"), interrupts of a
 * timer that end a HLT ("timer"), page tables and 64-bit code ("long"). Then it ends QEMU through
 * isa-debug-exit. Where a step does not come, what was told before says how far it got.
 *
 * Assembled by (rom.py holds the bytes; a test compares):
 *   as --64 -o probe.o probe.S
 *   ld -m elf_x86_64 -Ttext=0 --oformat=binary -e 0 -o probe.bin probe.o
 *
 * A CPU starts at the end of the 4 GiB, where the ROM ends; the first jump leads to its copy
 * below 1 MiB, at BASE.
 */
        .intel_syntax noprefix
        .set BASE, 0xF0000              /* where the ROM is seen below 1 MiB */
        .set COM1, 0x3F8                /* first serial port */
        .set TICKS, 0x500               /* in RAM: interrupts so far */
        .set PML4, 0x1000               /* in RAM: three page tables, 4 KiB each */
        .set IDT, 0x4000                /* in RAM: nine gates */
        .set APIC, 0xFEE00000           /* local APIC */
        .set EXIT, 0x501                /* isa-debug-exit: its default port */

        .text
        .code16
start:
        cli
        cld
        xor ax, ax
        mov ds, ax
        mov es, ax
        mov ss, ax
        mov sp, 0x7000
        mov si, offset text_real
        call say16

        lgdt cs:[gdt_pointer]
        mov eax, cr0
        or al, 1                        /* PE */
        mov cr0, eax
        .byte 0x66, 0xEA                /* ljmp 0x08:protected, with 32 bits */
        .long BASE + protected
        .word 0x08

/* Write the text at CS:SI, up to its zero, each character when the port is empty. */
say16:
        mov dx, COM1 + 5                /* line status */
        in al, dx
        test al, 0x20                   /* transmitter is empty */
        jz say16
        .byte 0x2E                      /* of CS */
        lodsb
        test al, al
        jz said16
        mov dx, COM1
        out dx, al
        jmp say16
said16:
        ret

        .code32
protected:
        mov ax, 0x10
        mov ds, ax
        mov es, ax
        mov ss, ax
        mov esp, 0x7000
        mov esi, offset BASE + text_protected
        call say32

        /* The local APIC lets the first interrupt controller through (ExtINT at LINT0). */
        mov dword ptr [APIC + 0xF0], 0x1FF
        mov dword ptr [APIC + 0x350], 0x700

        /* Vector 8 for IRQ 0 of that controller; all others stay masked. */
        mov eax, offset BASE + tick
        mov word ptr [IDT + 8 * 8], ax
        mov word ptr [IDT + 8 * 8 + 2], 0x08            /* code */
        mov word ptr [IDT + 8 * 8 + 4], 0x8E00          /* present, 32-bit interrupt gate */
        shr eax, 16
        mov word ptr [IDT + 8 * 8 + 6], ax
        mov dword ptr [TICKS], 0
        lidt [BASE + idt_pointer]
        mov al, 0x11                    /* ICW1: edges, cascade, ICW4 follows */
        out 0x20, al
        mov al, 0x08                    /* ICW2: vectors from 8 on */
        out 0x21, al
        mov al, 0x04                    /* ICW3: second controller at line 2 */
        out 0x21, al
        mov al, 0x01                    /* ICW4: 8086 mode */
        out 0x21, al
        mov al, 0xFE
        out 0x21, al
        mov al, 0xFF
        out 0xA1, al
        mov al, 0x34                    /* timer 0, both bytes, mode 2 */
        out 0x43, al
        mov al, 0xA9                    /* 1193 cycles of 1.193 MHz: a tick each ms */
        out 0x40, al
        mov al, 0x04
        out 0x40, al
        sti
wait_ticks:
        hlt
        cmp dword ptr [TICKS], 3
        jb wait_ticks
        cli
        mov esi, offset BASE + text_timer
        call say32

        /* The first 2 MiB as one page, seen where they are. */
        mov edi, PML4
        mov ecx, 3 * 1024
        xor eax, eax
        rep stosd
        mov dword ptr [PML4], PML4 + 0x1003             /* present, writable */
        mov dword ptr [PML4 + 0x1000], PML4 + 0x2003
        mov dword ptr [PML4 + 0x2000], 0x83             /* and 2 MiB large */
        mov eax, cr4
        or eax, 0x20                    /* PAE */
        mov cr4, eax
        mov eax, PML4
        mov cr3, eax
        mov ecx, 0xC0000080             /* EFER */
        rdmsr
        or eax, 0x100                   /* LME */
        wrmsr
        mov eax, cr0
        or eax, 0x80000000              /* PG */
        mov cr0, eax
        .byte 0xEA                      /* ljmp 0x18:long */
        .long BASE + long_mode
        .word 0x18

tick:
        push eax
        inc dword ptr [TICKS]
        mov al, 0x20                    /* end of interrupt */
        out 0x20, al
        pop eax
        iretd

say32:
        mov dx, COM1 + 5
        in al, dx
        test al, 0x20
        jz say32
        lodsb
        test al, al
        jz said32
        mov dx, COM1
        out dx, al
        jmp say32
said32:
        ret

        .code64
long_mode:
        mov rsi, offset BASE + text_long
say_long:
        mov dx, COM1 + 5
        in al, dx
        test al, 0x20
        jz say_long
        lodsb
        test al, al
        jz drain
        mov dx, COM1
        out dx, al
        jmp say_long
drain:
        mov dx, COM1 + 5
        in al, dx
        test al, 0x40                   /* all of it is on the wire */
        jz drain
        mov dx, EXIT
        mov al, 0x10                    /* QEMU ends with status 0x10 * 2 + 1 */
        out dx, al
stop:
        hlt
        jmp stop

text_real:      .asciz "yoctovirt probe: real "
text_protected: .asciz "protected "
text_timer:     .asciz "timer "
text_long:      .asciz "long\r\n"

        .balign 8
gdt:
        .quad 0                         /* 0x00 */
        .quad 0x00CF9A000000FFFF        /* 0x08: 32-bit code, 4 GiB */
        .quad 0x00CF92000000FFFF        /* 0x10: data, 4 GiB */
        .quad 0x00AF9A000000FFFF        /* 0x18: 64-bit code */
idt_pointer:
        .word 9 * 8 - 1
        .long IDT
gdt_pointer:
        .word gdt_pointer - gdt - 1
        .long BASE + gdt

        /* Where a CPU starts: 16 bytes before the end of the ROM. */
        .org 0xFFF0
        .code16
reset:
        .byte 0xEA                      /* ljmp F000:start */
        .word start
        .word BASE >> 4
        .org 0x10000
