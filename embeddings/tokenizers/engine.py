"""A tokenizer as a library runs it: what Pieces (pieces.py) asks of one."""
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from embeddings.tokenizers.frames import Frame, Ragged


@runtime_checkable
class Engine(Protocol):
    """Texts to ids and back, without special tokens; and how these stand around a text and around a pair."""

    size: int
    tokens: tuple[str, ...]
    """Token of each id."""
    single: Frame
    pair: Frame
    settings: Mapping[str, Any]
    """What tokenizer_config.json says of it."""

    def id(self, token: str) -> int | None:
        """Of a token; None where it is none."""

    def encode(self, texts: Sequence[str], offsets: bool) -> Ragged:
        """All texts on all cores; strings that UTF-8 can say."""

    def decode(self, ids: Sequence[int], special: bool) -> str:
        """The text of these ids, special tokens shown or not."""

    def files(self) -> dict[str, str | bytes]:
        """What it is saved as, by name."""
