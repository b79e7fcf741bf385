# Nothing in the log says what it was.
inherit fault
do_compile() {
    echo "grinding the beans"
    echo "the mill stands still"
    exit 3
}
