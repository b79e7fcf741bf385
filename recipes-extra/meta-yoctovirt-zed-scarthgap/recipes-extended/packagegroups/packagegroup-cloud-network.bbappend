# SPDX-License-Identifier: MIT
# scarthgap's ntp makes no package ntpdate any more; sntp takes its place.
RDEPENDS:${PN}:remove = "ntpdate"
RDEPENDS:${PN} += "sntp"
