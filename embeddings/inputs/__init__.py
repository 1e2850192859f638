"""Batch n as a function of the seed and n."""
