# The kernel kills the compiler: where FAULTS_CGROUP is a memory cgroup, for its memory. Else the
# compiler gets the kernel's signal from us.
inherit fault
FAULTS_CGROUP ??= ""
SRC_URI = "file://eats-memory.c"
do_compile() {
    if [ -n "${FAULTS_CGROUP}" ]; then
        sh -c 'echo $$ > ${FAULTS_CGROUP}/cgroup.procs && exec ${BUILD_CC} -O2 -c ${FAULT_SOURCES}/eats-memory.c -o x.o'
    else
        printf '#!/bin/sh\nkill -9 $$\n' > ${FAULT_SOURCES}/cc1
        chmod +x ${FAULT_SOURCES}/cc1
        ${BUILD_CC} -B${FAULT_SOURCES}/ -c ${FAULT_SOURCES}/eats-memory.c -o x.o
    fi
}
