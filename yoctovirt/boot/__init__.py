"""The room that turns a deploy directory into a running node."""
