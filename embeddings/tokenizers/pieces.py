"""Tokenizers of pieces of words: WordPiece, byte-level BPE, sentencepiece's unigram and BPE.

Two libraries do the work, `tokenizers` (tokenizer_json.py) and `sentencepiece` (sentencepiece_model.py). What is around
them is the same for all: flat arrays of ids, special tokens put there by numpy, no limit to a text's length.
"""
import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from embeddings.files import write_whole
from embeddings.problems import Problem
from embeddings.tokenizers.engine import Engine
from embeddings.tokenizers.frames import Encoded, Frame, Ragged, framed, joined, longest_first, shortened
from embeddings.tokenizers.reading import read
from embeddings.tokenizers.settings import Settings
from embeddings.tokenizers.texts import portions
from embeddings.tokenizers.training import Kind, Template, trained

_KEPT = ("model_max_length", "clean_up_tokenization_spaces", "padding_side", "truncation_side", "model_input_names")
"""What a saved tokenizer_config.json keeps of the one that was read."""


@dataclasses.dataclass(frozen=True, eq=False)
class Pieces:
    """A tokenizer of pieces of words; `load` and `train` make one."""

    engine: Engine
    names: Mapping[str, str]
    """Special tokens by their keys in tokenizer_config.json: pad_token, cls_token, ..."""
    beside: Settings
    """What the files beside the vocabulary say."""

    @classmethod
    def load(cls, path: str | Path) -> "Pieces":
        """The tokenizer of a folder, or of a file with what stands beside it.

        Of a folder's files, tokenizer.json comes first, then a sentencepiece .model, vocab.json with merges.txt (or
        encoder.json with vocab.bpe, as OpenAI named them), vocab.txt. Lengths that a tokenizer.json cuts texts or pads
        them to are not applied.

        Raises Problem, one line, where no such file is, or one is damaged, contradicts another, or is of another type.
        """
        return cls(*read(Path(path)))

    @classmethod
    def train(
        cls, kind: Kind, lines: Iterable, size: int, lower: bool = False, template: Template | None = None
    ) -> "Pieces":
        """A tokenizer of `size` tokens at most for these lines; the same lines give the same one. See training.py."""
        return cls(*trained(kind, lines, size, lower, template), Settings(Path()))

    @property
    def size(self) -> int:
        """Number of ids, V: rows that a table of embeddings needs."""
        return self.engine.size

    @property
    def tokens(self) -> tuple[str, ...]:
        """Token of each id, as the tokenizer writes it: ##ing, Ġthe, ▁the."""
        return self.engine.tokens

    @property
    def pad(self) -> int | None:
        """Id that fills rows up; None where the tokenizer has none, as in the next four."""
        return self._id("pad_token")

    @property
    def unknown(self) -> int | None:
        """Id of what the vocabulary has no token for."""
        return self._id("unk_token")

    @property
    def begin(self) -> int | None:
        """Id of [CLS] or <s>."""
        return self._id("cls_token", "bos_token")

    @property
    def end(self) -> int | None:
        """Id of [SEP] or </s>."""
        return self._id("sep_token", "eos_token")

    @property
    def mask(self) -> int | None:
        """Id of [MASK] or <mask>."""
        return self._id("mask_token")

    def _id(self, *keys: str) -> int | None:
        token = next((self.names[key] for key in keys if key in self.names), None)
        return None if token is None else self.engine.id(token)

    def frame(self, pair: bool = False) -> Frame:
        """The special tokens around a text, or around a pair of texts."""
        return self.engine.pair if pair else self.engine.single

    def added(self, pair: bool = False) -> int:
        """How many special tokens a text gets, or a pair."""
        return sum(part.id >= 0 for part in self.frame(pair))

    def encode(
        self, texts: str | Sequence, pairs: str | Sequence | None = None, special: bool = True, offsets: bool = False
    ) -> Encoded:
        """The tokens of each text, or of each text with its partner in `pairs`, uncut.

        Args:
            texts: strings, or one; each may be empty, and of any length. Half a surrogate pair, which no UTF-8 has,
                counts as U+FFFD, the replacement character. A special token that a text spells out ([MASK], </s>)
                becomes its id.
            pairs: second texts, as many.
            special: whether special tokens stand around each text.
            offsets: whether to tell which characters each token comes from.

        Raises Problem that names the position of what is not a string, and for pairs that are more or fewer.
        """
        sides = [self._ragged(texts, "text", offsets)]
        if pairs is not None:
            sides.append(self._ragged(pairs, "second text", offsets))
            first, second = (len(side.starts) - 1 for side in sides)
            if first != second:
                raise Problem(f"{first} texts and {second} second texts; each text needs one")
        frame = self.frame(pairs is not None)
        return framed(frame if special else tuple(part for part in frame if part.id < 0), *sides)

    def joined(
        self, pairs: Sequence[Sequence[str]], longest: int, offsets: bool = False
    ) -> tuple[Encoded, int]:
        """Both texts of each pair as one, cut to `longest` tokens by frames.longest_first; and how many were cut."""
        first, second = (self._ragged([pair[n] for pair in pairs], "text", offsets) for n in (0, 1))
        given = np.diff(first.starts), np.diff(second.starts)
        kept = longest_first(*given, longest - self.added(pair=True))
        whole = framed(self.frame(pair=True), shortened(first, kept[0]), shortened(second, kept[1]))
        return whole, int(np.sum(sum(kept) < sum(given)))

    def _ragged(self, texts: str | Sequence, what: str, offsets: bool) -> Ragged:
        return joined([self.engine.encode(portion, offsets) for portion in portions(texts, what)], offsets)

    def digest(self) -> str:
        """SHA-256, in hexadecimal, of what it is saved as."""
        whole = hashlib.sha256()
        for name, content in sorted(self.engine.files().items()):
            whole.update(name.encode() + (content.encode() if isinstance(content, str) else content))
        return whole.hexdigest()

    def decode(self, ids: Sequence[int] | Int[np.ndarray, "N"], special: bool = False) -> str:
        """The text of these ids, with its special tokens if asked. Raises Problem for a number that is no id."""
        ids, known = [int(id) for id in ids], range(self.size)
        if bad := [id for id in ids if id not in known]:
            raise Problem(f"{bad[0]} is no id of a tokenizer of {self.size:,} tokens")
        return self.engine.decode(ids, special)

    def save(self, folder: str | Path, longest: int | None = None) -> None:
        """Writes what `load` and transformers' AutoTokenizer open, with the same ids: tokenizer.json, or the .model.

        `longest` is how many tokens the model beside it reads: transformers' pipelines cut texts there.
        transformers reads some a .model in its own way, and its ids then differ where sentencepiece_model.py says.
        """
        types = self.beside.kind != "distilbert" and any(part.type for part in self.engine.pair if part.id >= 0)
        inputs = ["input_ids", *["token_type_ids"] * types, "attention_mask"]
        kept = {key: self.beside.values[key] for key in _KEPT if key in self.beside.values}
        kept |= {"model_max_length": longest} if longest else {}
        settings = {"model_input_names": inputs} | kept | dict(self.engine.settings) | dict(self.names)
        texts = {"tokenizer_config.json": _json(settings), "special_tokens_map.json": _json(self.names)}
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in (self.engine.files() | texts).items():
            write_whole(folder / name, content)


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
