"""Can this host build and boot? Small checks of it, each with what to do where it cannot."""
