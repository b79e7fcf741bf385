inherit fault
SRC_URI = "file://header.c"
do_compile() {
    ${BUILD_CC} -c ${FAULT_SOURCES}/header.c -o header.o
}
