/* A firmware of 64 KiB for QEMU's -bios (machine pc): a guest that the smoke suites can tell of.
 *
 * On the first serial port it says the word that it was given and who runs it (CPUID leaf
 * 0x40000000: "TCGTCGTCGTCG", "KVMKVMKVM"), then counts, four times a second, as long as it is let
 * run. What comes in is answered: 'q' ends QEMU through isa-debug-exit, other characters are said
 * again. The power button (ACPI, of the PIIX4) turns the machine off, as an operating system does.
 *
 * It waits for the timer with HLT; under KVM it looks at the timer instead: on an emulated SVM
 * (QEMU 7.2, TCG) KVM at times never delivers an interrupt that came while interrupts were off.
 *
 * Assembled by (guestrom/__init__.py holds the bytes together; a test compares):
 *   as --64 -o guest.o guest.S
 *   ld -m elf_x86_64 -Ttext=0 --oformat=binary -e 0 -o guest.bin guest.o
 *
 * All of it is 16-bit code, at F000:0000. The jump there, where a CPU starts, is put in later.
 */
        .intel_syntax noprefix
        .set BASE, 0xF0000              /* where the ROM is seen below 1 MiB */
        .set COM1, 0x3F8                /* first serial port */
        .set TICKS, 0x500               /* in RAM: interrupts so far */
        .set COUNT, 0x502               /* in RAM: lines so far */
        .set LAST, 0x504                /* in RAM: the timer when it was last looked at */
        .set SIGNATURE, 0x510           /* in RAM: who runs us, 12 characters and a zero */
        .set PM, 0x0600                 /* I/O ports of the power management, where we put them */
        .set PIIX4_PM, 0x80000B00       /* its place on the PCI bus: 00:01.3 */
        .set APIC, 0xFEE00000           /* local APIC */
        .set EXIT, 0x501                /* isa-debug-exit: its default port */
        .set EVERY, 5                   /* interrupts, 50 ms apart, from line to line */

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
        mov word ptr [TICKS], ax
        mov word ptr [COUNT], ax
        mov word ptr [LAST], ax

        mov eax, 0x40000000
        cpuid
        mov dword ptr [SIGNATURE], ebx
        mov dword ptr [SIGNATURE + 4], ecx
        mov dword ptr [SIGNATURE + 8], edx
        mov byte ptr [SIGNATURE + 12], 0

        mov si, offset text_guest
        call say
        mov si, offset text_word
        call say
        mov si, offset text_on
        call say
        mov si, SIGNATURE
        call say_ram
        mov si, offset text_end
        call say

        /* Power management: its ports at PM, decoded; the power button is to be told. */
        mov eax, PIIX4_PM + 0x40
        mov ebx, PM + 1
        call pci_write
        mov eax, PIIX4_PM + 0x80
        mov ebx, 1
        call pci_write
        mov dx, PM + 2                  /* PM1_EN */
        mov ax, 0x0100                  /* PWRBTN_EN */
        out dx, ax

        /* The local APIC lets the first interrupt controller through (ExtINT at LINT0). It lies
         * above 1 MiB: FS keeps the limit of 4 GiB that it gets in a moment of protected mode. */
        lgdt cs:[gdt_pointer]
        mov eax, cr0
        or al, 1                        /* PE */
        mov cr0, eax
        mov bx, 0x08
        mov fs, bx
        and al, 0xFE
        mov cr0, eax
        mov ebx, APIC
        mov dword ptr fs:[ebx + 0xF0], 0x1FF
        mov dword ptr fs:[ebx + 0x350], 0x700

        /* Vector 8 for IRQ 0 of the first interrupt controller; all others stay masked. */
        mov word ptr [8 * 4], offset tick
        mov word ptr [8 * 4 + 2], BASE >> 4
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
        mov al, 0x0B                    /* 59659 cycles of 1.193 MHz: a tick each 50 ms */
        out 0x40, al
        mov al, 0xE9
        out 0x40, al

wait_tick:
        cmp byte ptr [SIGNATURE], 'K'
        je look
        sti
        hlt
        cli
        jmp ticked
look:
        xor al, al                      /* hold the count of timer 0 */
        out 0x43, al
        in al, 0x40
        mov ah, al
        in al, 0x40
        xchg al, ah
        cmp ax, word ptr [LAST]         /* it counts down; after 0 it begins anew */
        mov word ptr [LAST], ax
        jbe ticked
        inc word ptr [TICKS]
ticked:
        mov dx, PM                      /* PM1_STS */
        in ax, dx
        test ax, 0x0100                 /* PWRBTN_STS */
        jnz power_off
        mov dx, COM1 + 5                /* line status */
        in al, dx
        test al, 0x01                   /* a character is there */
        jnz answer
        cmp word ptr [TICKS], EVERY
        jb wait_tick
        mov word ptr [TICKS], 0
        inc word ptr [COUNT]
        mov si, offset text_count
        call say
        mov ax, word ptr [COUNT]
        call say_number
        mov si, offset text_end
        call say
        jmp wait_tick

answer:
        mov dx, COM1
        in al, dx
        cmp al, 'q'
        je quit
        push ax
        mov si, offset text_heard
        call say
        pop ax
        call put
        mov si, offset text_end
        call say
        jmp wait_tick

quit:
        mov si, offset text_quit
        call say
        call drain
        mov dx, EXIT
        mov al, 0x2A                    /* QEMU ends with status 0x2A * 2 + 1 */
        out dx, al
        jmp wait_tick                   /* there is no such device */

power_off:
        mov si, offset text_button
        call say
        call drain
        mov dx, PM + 4                  /* PM1_CNT */
        mov ax, 0x2000                  /* SLP_EN, with the sleep type of "off" */
        out dx, ax
stop:
        hlt
        jmp stop

tick:
        push ax
        inc word ptr [TICKS]
        mov al, 0x20                    /* end of interrupt */
        out 0x20, al
        pop ax
        iret

/* Write EBX to the PCI configuration register EAX. */
pci_write:
        mov dx, 0xCF8
        out dx, eax
        mov dx, 0xCFC
        mov eax, ebx
        out dx, eax
        ret

/* Say the text at CS:SI, up to its zero. */
say:
        .byte 0x2E                      /* of CS */
        lodsb
        test al, al
        jz said
        call put
        jmp say
said:
        ret

/* Say the text at DS:SI, up to its zero. */
say_ram:
        lodsb
        test al, al
        jz said
        call put
        jmp say_ram

/* Say AX as a decimal number. */
say_number:
        xor cx, cx
        mov bx, 10
digit:
        xor dx, dx
        div bx
        push dx
        inc cx
        test ax, ax
        jnz digit
say_digit:
        pop ax
        add al, '0'
        call put
        loop say_digit
        ret

/* Write the character AL when the port is empty. */
put:
        push ax
        mov dx, COM1 + 5
busy:
        in al, dx
        test al, 0x20                   /* transmitter is empty */
        jz busy
        pop ax
        mov dx, COM1
        out dx, al
        ret

/* Wait until all of it is on the wire. */
drain:
        mov dx, COM1 + 5
draining:
        in al, dx
        test al, 0x40
        jz draining
        ret

text_guest:     .asciz "yoctovirt guest "
text_word:      .asciz "################"
text_on:        .asciz " on "
text_count:     .asciz "count "
text_heard:     .asciz "heard "
text_quit:      .asciz "quit\r\n"
text_button:    .asciz "power button\r\n"
text_end:       .asciz "\r\n"

        /* Marked as accessed: a CPU that marks it itself would write into the ROM, and under KVM
         * hang there. */
        .balign 8
gdt:
        .quad 0
        .quad 0x00CF93000000FFFF        /* 0x08: data, 4 GiB */
gdt_pointer:
        .word gdt_pointer - gdt - 1
        .long BASE + gdt
