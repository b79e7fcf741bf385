# The second hunk does not apply.
inherit fault
SRC_URI = "file://poem.txt file://poem.patch;striplevel=1"
