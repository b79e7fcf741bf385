inherit fault
SRC_URI = "file://broken.c file://Makefile"
do_compile() {
    oe_runmake -C ${FAULT_SOURCES} CC="${BUILD_CC}" broken.o
}
