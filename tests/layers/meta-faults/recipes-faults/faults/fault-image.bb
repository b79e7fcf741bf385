# An image whose root file system cannot be put together.
require ${QUICK_LAYERDIR}/recipes-quick/images/yoctovirt-quick-image.bb
IMAGE_INSTALL += "fault-postinst"
