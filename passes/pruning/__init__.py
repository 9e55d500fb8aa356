"""Structured pruning: which channels of a model belong together, which matter least, and how they are cut out."""
