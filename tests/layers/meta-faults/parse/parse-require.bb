inherit fault
require no-such.inc
