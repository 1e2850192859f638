"""What a number in a paper is computed with."""
