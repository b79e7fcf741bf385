"""A firmware of our own that shows whether a guest makes progress under KVM."""
