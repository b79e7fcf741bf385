inherit fault
python () {
    if True
        pass
}
