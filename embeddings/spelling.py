"""The word that was probably meant, for the messages that refuse a misspelt one."""
import difflib
from collections.abc import Iterable


def nearest(word: str, words: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The one of `words` most like `word`, or None where none shares a fraction `cutoff` of its letters.

    Dotted words also match by their last part, so that `width` finds `word2vec.width`. Ties go to the first.
    """
    best, best_score = None, cutoff
    for candidate in words:
        whole = _likeness(word, candidate)
        last = 0.95 * _likeness(word.rpartition(".")[2], candidate.rpartition(".")[2])
        if max(whole, last) > best_score:
            best, best_score = candidate, max(whole, last)
    return best


def suggestion(word: str, words: Iterable[str], written: str = "{}") -> str:
    """`; did you mean X?` for the end of a message, or the empty string; `written` says how X is spelt there."""
    found = nearest(word, words)
    return f"; did you mean {written.format(found)}?" if found else ""


def _likeness(a: str, b: str) -> float:
    """Ratcliff and Obershelp's share of letters in common, 0 to 1, without regard to case."""
    return difflib.SequenceMatcher(None, a.lower(), b.lower(), autojunk=False).ratio()
