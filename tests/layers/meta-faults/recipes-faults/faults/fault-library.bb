inherit fault
