# OE-core has it, and the distro of the role quick masks it.
inherit fault
DEPENDS = "zlib"
