"""Mesh, step, loop and checkpoint: what every model is trained by."""
