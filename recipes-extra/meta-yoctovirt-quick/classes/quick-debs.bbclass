# SPDX-License-Identifier: MIT
#
# Wraps one group of the lock file (QUICK_GROUP): every Debian package becomes
# an OE package of the same name and version; the recipe's own package holds
# what the layer adds to the group and pulls the group in.
#
# Debian's maintainer scripts are not run: the layer sets up what it needs.
# The files under /usr/share/doc/*/copyright stay in the packages.

QUICK_GROUP ?= "${@d.getVar('BPN').replace('quick-', '', 1)}"

INHIBIT_DEFAULT_DEPS = "1"
INHIBIT_PACKAGE_STRIP = "1"
INHIBIT_SYSROOT_STRIP = "1"
INHIBIT_PACKAGE_DEBUG_SPLIT = "1"
EXCLUDE_FROM_SHLIBS = "1"
SKIP_FILEDEPS = "1"
COMPATIBLE_HOST = "x86_64-.*-linux"

# Not wanted in the image, relative to its root.
QUICK_PRUNE = " \
    etc/init.d etc/runit etc/sv etc/ufw etc/default etc/pam.d var/log/runit \
    usr/lib/systemd usr/lib/udev \
    usr/share/apport usr/share/bash-completion usr/share/bug usr/share/doc-base usr/share/fish \
    usr/share/gcc usr/share/gdb usr/share/initramfs-tools usr/share/lintian usr/share/locale usr/share/man \
    usr/share/perl5 usr/share/runit usr/share/zsh \
"

def quick_lock(d):
    import json
    with open(d.getVar("QUICK_LOCK")) as lock:
        return json.load(lock)["groups"]

python __anonymous() {
    import os

    bb.parse.mark_dependency(d, d.getVar("QUICK_LOCK"))
    packages = quick_lock(d)[d.getVar("QUICK_GROUP")]
    licences = []
    for name, one in packages.items():
        d.appendVar("SRC_URI", " %s;name=%s;unpack=0" % (one["url"], name))
        d.setVarFlag("SRC_URI", name + ".sha256sum", one["sha256"])
        d.setVar("PKGV:" + name, one["version"])
        d.setVar("LICENSE:" + name, one["licence"])
        d.setVar("RDEPENDS:" + name, " ".join(one["depends"]))
        d.setVar("SUMMARY:" + name, "Debian's %s %s" % (name, one["version"]))
        d.setVar("ALLOW_EMPTY:" + name, "1")
        d.setVar("FILES:" + name, "")
        licences.append("(%s)" % one["licence"])
    d.setVar("LICENSE", " & ".join(sorted(set(licences)) + ["MIT"]))
    d.setVar("PACKAGES", " ".join([*packages, d.getVar("PN")]))
    d.setVar("QUICK_DEBS", " ".join("%s:%s" % (n, os.path.basename(p["url"])) for n, p in packages.items()))
}

PV = "1.0"
# Completed from the lock file above.
LICENSE = "MIT"
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/MIT;md5=0835ade698e0bcf8506ecda2f7b4f302"
LICENSE:${PN} = "MIT"
FILES:${PN} = "/"
ALLOW_EMPTY:${PN} = "1"

# UNPACKDIR is younger than scarthgap.
QUICK_SOURCES = "${@d.getVar('UNPACKDIR') or d.getVar('WORKDIR')}"
S = "${QUICK_SOURCES}"
QUICK_TREES = "${WORKDIR}/debian-packages"

python quick_find_mirrors() {
    # Only where nobody has set them: the host's apt sources know.
    import os
    import sys

    if not d.getVar("YV_DEBIAN_SECURITY_MIRROR").endswith(".invalid"):
        return
    sys.path.insert(0, os.path.join(d.getVar("QUICK_LAYERDIR"), "lib"))
    from quick_mirrors import host_mirrors
    for name, value in host_mirrors().items():
        d.setVar(name, value)
}
quick_find_mirrors[vardepsexclude] += "QUICK_LAYERDIR"
do_fetch[prefuncs] += "quick_find_mirrors"

do_patch[noexec] = "1"
do_configure[noexec] = "1"
do_compile[noexec] = "1"
do_package_qa[noexec] = "1"
# Nothing is built against these packages.
SYSROOT_DIRS = ""

do_install[cleandirs] += "${QUICK_TREES}"
do_install[vardeps] += "QUICK_DEBS"
do_install() {
    for one in ${QUICK_DEBS}; do
        name=${one%%:*}
        tree=${QUICK_TREES}/$name
        mkdir -p $tree
        dpkg-deb -x "${QUICK_SOURCES}/${one#*:}" $tree
        for dir in bin sbin lib lib64; do
            if [ -d $tree/$dir ]; then
                mkdir -p $tree/usr/$dir
                cp -a $tree/$dir/. $tree/usr/$dir/
                rm -r $tree/$dir
            fi
        done
        for path in ${QUICK_PRUNE}; do
            rm -rf $tree/$path
        done
        find $tree/usr/share/doc ! -type d ! -name copyright -delete 2>/dev/null || true
        find $tree -depth -mindepth 1 -type d -empty -delete
        (cd $tree && find . -mindepth 1 ! -type d | cut -c2-) > ${QUICK_TREES}/$name.files
        cp -a $tree/. ${D}/
    done
}

# Each file goes to the OE package named after the Debian package that it came in.
PACKAGESPLITFUNCS:prepend = "quick_split_packages "
python quick_split_packages() {
    import glob
    import os

    for one in d.getVar("QUICK_DEBS").split():
        name = one.partition(":")[0]
        with open(os.path.join(d.getVar("QUICK_TREES"), name + ".files")) as listing:
            files = [glob.escape(line.rstrip("\n")) for line in listing]
        d.appendVar("FILES:" + name, " " + " ".join(files))
}
