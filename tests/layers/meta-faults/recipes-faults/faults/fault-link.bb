inherit fault
SRC_URI = "file://link.c"
do_compile() {
    ${BUILD_CC} ${FAULT_SOURCES}/link.c -o link
}
