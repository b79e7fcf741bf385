# A program in Python that ends with an exception.
inherit fault
SRC_URI = "file://raise"
do_compile() {
    python3 ${FAULT_SOURCES}/raise
}
