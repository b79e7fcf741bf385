"""The smoke suites: one pytest module a subsystem."""
