"""Strings on their way into a library that takes UTF-8 only, a bounded number of characters at a time."""
import re
from collections.abc import Iterable, Iterator

from embeddings.problems import Problem

TEXTS, CHARACTERS = 16384, 2**20
"""Most texts, and most characters but for one longer text, that are under way at a time: bounds the memory."""
_HALF = re.compile("[\ud800-\udfff]")


def portions(texts: str | Iterable, what: str) -> Iterator[list[str]]:
    """Texts in order (strings, or one), in lists of TEXTS and of CHARACTERS at most.

    Half a surrogate pair, which UTF-8 cannot say, becomes U+FFFD, the replacement character.

    Raises Problem that names `what` and the position of what is not a string.
    """
    portion: list[str] = []
    characters = 0
    for at, text in enumerate([texts] if isinstance(texts, str) else texts):
        if not isinstance(text, str):
            raise Problem(f"{what} {at} (counted from 0) is not a string but {type(text).__name__}: {text!r:.80}")
        if portion and (len(portion) == TEXTS or characters + len(text) > CHARACTERS):
            yield _sayable(portion)
            portion, characters = [], 0
        portion.append(text)
        characters += len(text)
    if portion:
        yield _sayable(portion)


def _sayable(texts: list[str]) -> list[str]:
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        return [_HALF.sub("\ufffd", text) for text in texts]
    return texts
