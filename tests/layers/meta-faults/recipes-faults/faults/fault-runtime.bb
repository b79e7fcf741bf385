inherit fault
RDEPENDS:${PN} = "fault-libary"
ALLOW_EMPTY:${PN} = "1"
