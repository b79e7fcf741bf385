inherit fault
SRC_URI = "file://cut-off.tar.gz"
