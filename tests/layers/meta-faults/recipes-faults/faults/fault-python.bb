inherit fault
python do_compile() {
    raise ValueError("the data of fault-python is wrong")
}
