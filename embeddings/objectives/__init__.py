"""The losses of the papers, each with its equation."""
