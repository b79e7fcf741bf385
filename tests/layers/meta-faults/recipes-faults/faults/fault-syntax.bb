# A program in Python with a mistake in its grammar.
inherit fault
SRC_URI = "file://syntax"
do_compile() {
    python3 ${FAULT_SOURCES}/syntax
}
