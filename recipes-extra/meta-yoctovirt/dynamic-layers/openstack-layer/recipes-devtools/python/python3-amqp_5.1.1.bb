# SPDX-License-Identifier: MIT
# meta-openstack has 2.6.1 beside vine 5 and kombu 5.0.2, which need 5: no service could import
# kombu, so none reached RabbitMQ.
SUMMARY = "AMQP client"
HOMEPAGE = "https://github.com/celery/py-amqp"
LICENSE = "BSD-3-Clause"
LIC_FILES_CHKSUM = "file://LICENSE;md5=9d6ba772ac59c08a25a12ce15bd5f27b"

PYPI_PACKAGE = "amqp"
SRC_URI[sha256sum] = "2c1b13fecc0893e946c65cbd5f36427861cffa4ea2201d8f6fca22e2a373b5e2"

inherit pypi setuptools3

RDEPENDS:${PN} += "python3-vine"
