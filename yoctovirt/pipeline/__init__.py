"""Pipeline files for CI services, written from roles and releases."""
