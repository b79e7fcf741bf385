# In the place of cirros, which the lab cannot download: a disk whose boot sector asks for a login
# on the serial line. Runs on the controller.
. /usr/local/lib/lab.sh
mkdir -p /root/images
python3 - <<'PY'
from pathlib import Path

SAID = b"\r\nstand-in of cirros\r\ncirros login: \0"
CODE = bytes.fromhex(
    "fa"        # cli
    "31c0"      # xor ax, ax
    "8ed8"      # mov ds, ax
    "be217c"    # mov si, said
    "ac"        # next: lodsb
    "84c0"      # test al, al
    "7411"      # jz end
    "88c3"      # mov bl, al
    "bafd03"    # mov dx, 0x3fd  (COM1: line status)
    "ec"        # wait: in al, dx
    "a820"      # test al, 0x20  (it takes a character)
    "74fb"      # jz wait
    "88d8"      # mov al, bl
    "b2f8"      # mov dl, 0xf8   (COM1: data)
    "ee"        # out dx, al
    "ebea"      # jmp next
    "f4"        # end: hlt
    "ebfd"      # jmp end
)
sector = (CODE + SAID).ljust(510, b"\0") + b"\x55\xaa"
Path("/root/images/cirros-0.0-x86_64-disk.img").write_bytes(sector.ljust(1 << 20, b"\0"))
PY
