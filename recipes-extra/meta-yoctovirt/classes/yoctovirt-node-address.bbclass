# SPDX-License-Identifier: MIT
#
# For images of OpenStack nodes: write the node's own address, MY_IP of the deploy layer's
# hosts.bbclass, where packages have a mark for it. The recipes themselves are the same for
# all nodes then, and compute takes from sstate what was built for the controller.

inherit hosts

yoctovirt_node_address() {
    files=$(grep -rlF "${YOCTOVIRT_ADDRESS_MARK}" ${IMAGE_ROOTFS}${sysconfdir} || true)
    if [ -n "$files" ] && [ -z "${@d.getVar('MY_IP') or ''}" ]; then
        bbfatal "MY_IP is not set, and the configuration of this node needs it: $files"
    fi
    for file in $files; do
        sed -i -e "s/${YOCTOVIRT_ADDRESS_MARK}/${@d.getVar('MY_IP') or ''}/g" $file
    done
}
ROOTFS_POSTPROCESS_COMMAND:append = " yoctovirt_node_address;"

# The node itself gets the address, too.
IMAGE_INSTALL:append = " yoctovirt-node-address"
