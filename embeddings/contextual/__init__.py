"""Contextual models in use: texts in, vectors of texts and tokens out."""
