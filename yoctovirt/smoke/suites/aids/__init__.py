"""What several suites bring to a node, or read from it."""
