inherit fault
python do_compile() {
    import os
    os.makedirs(os.path.join(d.getVar("B"), "x" * 300))
}
