# SPDX-License-Identifier: MIT
# neutron 21 uses it in place of ryu (its Open vSwitch agent imports it), and no layer has a
# recipe. ncclient, which only os_ken.lib.of_config imports, is left out: no layer has it, and
# neutron does not use that module.
SUMMARY = "OpenFlow controller library of neutron"
HOMEPAGE = "https://opendev.org/openstack/os-ken"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://LICENSE;md5=1dece7821bf3fd70fe1309eaa37d52a2"

PYPI_PACKAGE = "os-ken"
SRC_URI[sha256sum] = "1901decc5521f1a0b73d42f25759ba0bba2af39fd4e26eaccae836912ea2dac6"

inherit pypi setuptools3

DEPENDS += "python3-pbr-native"

RDEPENDS:${PN} += " \
    python3-eventlet \
    python3-msgpack \
    python3-netaddr \
    python3-oslo.config \
    python3-ovs \
    python3-packaging \
    python3-pbr \
    python3-routes \
    python3-webob \
"
