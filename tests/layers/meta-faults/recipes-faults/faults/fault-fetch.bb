# Neither its own server nor the mirror has it.
inherit fault
SRC_URI = "${FAULTS_URL}/gone/gone-1.0.tar.gz"
SRC_URI[sha256sum] = "0000000000000000000000000000000000000000000000000000000000000000"
MIRRORS = "${FAULTS_URL}/gone/ ${FAULTS_URL}/mirror/"
