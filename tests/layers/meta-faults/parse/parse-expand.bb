inherit fault
SUMMARY = "${@no_such_function(d)}"
