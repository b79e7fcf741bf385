# SPDX-License-Identifier: MIT
# meta-python has no python3-pyinotify since Python 3.12, which took the module asyncore from
# it. oslo.log imports it only where watch_log_file is set, which no configuration does.
RDEPENDS:${PN}:remove = "python3-pyinotify"
