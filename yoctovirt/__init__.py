"""Take a role from pinned layers to a built image, a booted node and an on-target verdict."""

__version__ = "0.1.0"
