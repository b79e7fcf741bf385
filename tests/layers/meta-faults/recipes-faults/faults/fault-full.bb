# Writes more than any small file system holds.
inherit fault
do_compile() {
    dd if=/dev/zero of=${B}/big bs=1M count=${FAULTS_MIB}
}
FAULTS_MIB ??= "500"
