# The server gives something else than was expected.
inherit fault
SRC_URI = "${FAULTS_URL}/other-1.0.txt"
SRC_URI[sha256sum] = "0000000000000000000000000000000000000000000000000000000000000000"
