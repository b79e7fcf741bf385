"""The room that turns a role into a deploy directory."""
