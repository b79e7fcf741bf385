inherit fault
do_compile() {
    wget -t 1 http://example.com/model.bin
}
