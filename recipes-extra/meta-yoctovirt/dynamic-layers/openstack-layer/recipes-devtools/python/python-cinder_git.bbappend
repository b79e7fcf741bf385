# SPDX-License-Identifier: MIT
# do_install writes MY_IP into the configuration. The mark is replaced when the image is made.
MY_IP = "${YOCTOVIRT_ADDRESS_MARK}"
