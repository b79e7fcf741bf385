# SPDX-License-Identifier: MIT
#
# For all images that become nodes (IMAGE_CLASSES of kas/inc/common.yml): what the smoke suites
# call, and root's SSH keys.
#
# YOCTOVIRT_ROOT_KEY: public keys that may log in as root, or the absolute path of a file of
# them; in local.conf, or in the environment. Empty: none.

YOCTOVIRT_ROOT_KEY ?= ""
# Not for what starts inside of another image: an initramfs, a Xen guest.
YOCTOVIRT_IS_NODE ?= "${@'0' if any(part in d.getVar('PN') for part in ('initramfs', '-guest-')) else '1'}"

IMAGE_INSTALL:append = "${@' packagegroup-yoctovirt-smoke' if d.getVar('YOCTOVIRT_IS_NODE') == '1' else ''}"

def yoctovirt_root_keys(d):
    """Return the public keys of YOCTOVIRT_ROOT_KEY, one a line; what is none is fatal."""
    import os
    value = (d.getVar("YOCTOVIRT_ROOT_KEY") or "").strip()
    where = "YOCTOVIRT_ROOT_KEY"
    if value.startswith("/"):
        where = value
        bb.parse.mark_dependency(d, value)
        if not os.path.isfile(value):
            bb.fatal("YOCTOVIRT_ROOT_KEY: there is no file %s; it takes a public key, or a file of them" % value)
        with open(value, encoding="utf-8", errors="replace") as keys:
            value = keys.read()
        if not value.strip():
            bb.fatal("%s (YOCTOVIRT_ROOT_KEY) is empty" % where)
    lines = [line.strip() for line in value.replace("\\n", "\n").splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    for line in lines:
        if "PRIVATE KEY" in line:
            bb.fatal("%s holds a private key; give the public one (.pub)" % where)
        if not line.startswith(("ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-")) or len(line.split()) < 2:
            bb.fatal("%s: this is no public SSH key: %.40s" % (where, line))
    return "\n".join(lines)

python __anonymous() {
    if d.getVar("YOCTOVIRT_IS_NODE") == "1":
        keys = yoctovirt_root_keys(d)
        if keys:
            d.setVar("YOCTOVIRT_ROOT_KEYS", keys)
            d.appendVar("ROOTFS_POSTPROCESS_COMMAND", " yoctovirt_root_key;")
}

python yoctovirt_root_key() {
    import os
    home = oe.path.join(d.getVar("IMAGE_ROOTFS"), d.getVar("ROOT_HOME"))
    folder = os.path.join(home, ".ssh")
    os.makedirs(folder, exist_ok=True)
    # sshd refuses keys that others could change.
    os.chmod(home, 0o700)
    os.chmod(folder, 0o700)
    file = os.path.join(folder, "authorized_keys")
    with open(file, "w", encoding="utf-8") as keys:
        keys.write(d.getVar("YOCTOVIRT_ROOT_KEYS") + "\n")
    os.chmod(file, 0o600)
}
