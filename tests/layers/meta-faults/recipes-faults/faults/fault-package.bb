# A file that no package takes.
inherit fault
do_install() {
    install -d ${D}/unheard/of
    touch ${D}/unheard/of/file
}
ERROR_QA = "installed-vs-shipped"
WARN_QA = ""
