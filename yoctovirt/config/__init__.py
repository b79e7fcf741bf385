"""The room that knows roles, workspaces and the files that travel with the package."""
