"""The room that draws reports from a run record, and from nothing else."""
