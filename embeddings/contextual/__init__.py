"""Texts in, vectors of their words in context out."""
