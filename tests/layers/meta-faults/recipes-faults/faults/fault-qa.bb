# A licence that nobody knows.
inherit fault
LICENSE = "Unheard-of-1.0"
ERROR_QA = "license-exists"
WARN_QA = ""
