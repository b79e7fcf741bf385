"""What all rooms stand on: files, locks, deadlines, external commands, the run record."""
