"""Sentences that a recurrent model reads: calls of few shapes.

Shapes: B sentences of a call, T words of a sentence in it.
"""
from collections.abc import Iterator, Sequence

ABREAST, PLACES = 64, 4096
"""Sentences of a call for each device, and their words, padding included, at most: weights are read once a word."""
LONGEST = 1022
"""Words of a sentence; of a text with more, each LONGEST words are a sentence."""

Sentence = Sequence[str]
"""Its words."""


def pieces(sentences: Sequence[Sentence]) -> tuple[list[Sentence], list[int]]:
    """What is read as a sentence, and which piece is the first of each."""
    parts, starts = [], []
    for words in sentences:
        starts.append(len(parts))
        parts += [words[at : at + LONGEST] for at in range(0, max(len(words), 1), LONGEST)]
    return parts, starts


def power(number: int) -> int:
    """The next power of two."""
    return 1 << (number - 1).bit_length()


def calls(lengths: Sequence[int], devices: int) -> Iterator[tuple[list[int], tuple[int, int]]]:
    """Numbers of the sentences of each call, and its shape `(B, T)`; few are different, as each is compiled.

    T is 16, 24, 32, 48, 64, 96, ..., B a power of two for each device.
    """
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    while order:
        T = max(16, power(lengths[order[0]]))
        T = 3 * T // 4 if T > 16 and lengths[order[0]] <= 3 * T // 4 else T
        most = min(ABREAST, power(PLACES // T + 1) // 2)
        members = [number for number in order[: devices * most] if lengths[number] <= T]
        yield members, (devices * power(-(-len(members) // devices)), T)
        order = order[len(members) :]
