# SPDX-License-Identifier: MIT
# Without it nova schedules no server.
RDEPENDS:${PN} += "openstack-placement"
