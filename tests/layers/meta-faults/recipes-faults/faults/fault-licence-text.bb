# The text of the licence has changed.
inherit fault
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/MIT;md5=00000000000000000000000000000000"
ERROR_QA = "license-checksum"
WARN_QA = ""
