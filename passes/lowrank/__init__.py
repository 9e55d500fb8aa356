"""Low-rank factorisation: layers that may be split, ways to split them, what pays, and how the graph is rewritten."""
