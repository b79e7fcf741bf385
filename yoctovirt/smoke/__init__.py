"""The room that judges a node: pytest modules, and the plugin that brings the node to them."""
