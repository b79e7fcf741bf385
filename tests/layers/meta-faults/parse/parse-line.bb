inherit fault
THIS IS NO ASSIGNMENT
