inherit fault
LICENSE_FLAGS = "commercial_fault"
