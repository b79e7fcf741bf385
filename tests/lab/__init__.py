"""A real OpenStack for the tests: Debian packages in namespaces (docs/development.md)."""
