"""The ``kas`` builder: kas and bitbake make the image of every Yocto role."""
