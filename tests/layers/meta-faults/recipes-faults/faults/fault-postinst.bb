inherit fault
ALLOW_EMPTY:${PN} = "1"
pkg_postinst:${PN}() {
    echo "fault-postinst cannot be set up" >&2
    exit 7
}
