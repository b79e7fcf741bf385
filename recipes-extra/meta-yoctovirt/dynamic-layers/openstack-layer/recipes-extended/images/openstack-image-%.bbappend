# SPDX-License-Identifier: MIT
inherit yoctovirt-node-address
