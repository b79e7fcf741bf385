# A python program that the compile step runs.
inherit fault
SRC_URI = "file://script"
do_compile() {
    python3 ${FAULT_SOURCES}/script
}
