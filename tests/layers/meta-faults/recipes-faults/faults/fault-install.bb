inherit fault
do_install() {
    install -d ${D}${bindir}
    install -m 0755 ${B}/never-built ${D}${bindir}
}
