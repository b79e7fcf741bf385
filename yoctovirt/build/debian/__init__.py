"""The ``debian`` builder: a deploy directory like Yocto's, made of Debian packages."""
