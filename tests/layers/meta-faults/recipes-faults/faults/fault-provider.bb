# Written wrong: fault-libary.
inherit fault
DEPENDS = "fault-libary"
