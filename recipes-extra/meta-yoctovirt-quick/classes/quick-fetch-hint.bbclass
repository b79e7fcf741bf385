# SPDX-License-Identifier: MIT
#
# Says what to do when a pinned Debian package is gone. A class of its own, for
# handlers of recipes only see the parsing: this one is inherited globally.

addhandler quick_fetch_hint
quick_fetch_hint[eventmask] = "bb.build.TaskFailed"
python quick_fetch_hint() {
    if e.task == "do_fetch" and e.pn.startswith("quick-"):
        bb.error("%s: a Debian package of quick-packages.lock.json could not be fetched. Debian removes "
                 "packages that it has superseded: refresh the lock (yoctovirt quick-lock) and build again. (Mirrors: "
                 "YV_DEBIAN_MIRROR, YV_DEBIAN_SECURITY_MIRROR, else the host's apt sources.)" % e.pn)
}
