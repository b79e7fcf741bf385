# A program that is neither in HOSTTOOLS nor in DEPENDS.
inherit fault
do_compile() {
    no-such-tool --version
}
