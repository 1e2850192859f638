"""Text in, memory-mapped arrays of word numbers on disk out."""
