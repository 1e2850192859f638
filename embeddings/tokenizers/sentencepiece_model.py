"""Tokenizers of sentencepiece's .model files, unigram and BPE, run by the sentencepiece library itself.

    Kudo, Richardson (2018), "SentencePiece: A simple and language independent subword tokenizer and detokenizer for
    Neural Text Processing"; Kudo (2018), "Subword Regularization" (the unigram model).

The library that tokenizer.json is for has both models too, but normalises another way: ids differ where a mark combines
with a letter, and at some control characters. So a .model stays what it is, here and where it is saved.

A .model knows its pieces. Which other tokens there are, and in which order, is the type of tokenizer that
tokenizer_config.json names:

    (none)              the model's own ids, no frame; transformers' BertGenerationTokenizer
    t5                  100 tokens <extra_id_99> .. <extra_id_0> come after the pieces;     a </s>, a </s> b </s>
    xlmroberta          <s> <pad> </s> <unk>, then the pieces less the first three, <mask>; <s> a </s> </s> b </s>

Special tokens are cut out of a text first; each part between them is a text of its own to the model, as it is in
transformers.
"""
import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from embeddings.problems import Problem
from embeddings.tokenizers.frames import FIRST, SECOND, Frame, Part, Ragged
from embeddings.tokenizers.settings import Settings

KINDS = {"": "BertGenerationTokenizer", "bertgeneration": "BertGenerationTokenizer", "t5": "T5Tokenizer",
         "xlmroberta": "XLMRobertaTokenizer"}
"""Kinds of tokenizer that a .model is read for, with their classes in transformers."""
_SENTINELS = 100


class SentencePiece:
    """A .model, with the tokens that are not its own.

    `tokens` are those of all ids, `pieces` the ids of the model's own pieces, `special` what is cut out of texts.
    """

    def __init__(
        self,
        model: bytes,
        processor: Any,
        kind: str,
        tokens: Sequence[str],
        pieces: Sequence[int],
        special: Sequence[str],
    ) -> None:
        self._model, self._processor, self._kind = model, processor, kind
        self.settings = {"tokenizer_class": KINDS[kind]}
        self.tokens, self.size = tuple(tokens), len(tokens)
        self._number = {token: id for id, token in enumerate(self.tokens)}
        self._pieces = np.array(pieces, np.int32)
        self._piece = {id: piece for piece, id in enumerate(pieces) if self.tokens[id] not in special}
        blanks = r"\s*" if kind == "xlmroberta" else ""
        cut = [blanks * (token == "<mask>") + re.escape(token) for token in sorted(special, key=len, reverse=True)]
        self._special = re.compile(f"({'|'.join(cut)})") if cut else re.compile("(?!)()")
        self.single, self.pair = self._frames()

    def id(self, token: str) -> int | None:
        """Of a token; None where it is none."""
        return self._number.get(token)

    def encode(self, texts: Sequence[str], offsets: bool) -> Ragged:
        """All texts on all cores; strings that UTF-8 can say."""
        parts = [self._special.split(text) for text in texts]  # odd ones are special tokens, and the blanks before
        between = [part for own in parts for part in own[::2]]
        encoded = iter(self._processor.encode(between, return_type="offset_mapping" if offsets else "numpy"))
        placed = ((part, place % 2) for own in parts for place, part in enumerate(own))
        found = [self._cut(part, offsets) if odd else next(encoded) for part, odd in placed]
        ids = [part["ids"] if offsets else part for part in found]
        tokens = np.array(list(map(len, ids)), np.int64)
        flat = np.fromiter(itertools.chain.from_iterable(ids), np.int32, tokens.sum())
        first = np.cumsum([0, *map(len, parts)])  # part of each text
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(tokens)])[first]
        numbered = np.where(flat < 0, -1 - flat, self._pieces[np.maximum(flat, 0)])
        if not offsets:
            return Ragged(numbered, starts, None)
        characters = np.cumsum([0, *(len(part) for own in parts for part in own)])
        before = characters[:-1] - np.repeat(characters[first[:-1]], np.diff(first))
        spans = itertools.chain.from_iterable(itertools.chain.from_iterable(part["offsets"] for part in found))
        within = np.fromiter(spans, np.int32, 2 * len(flat)).reshape(-1, 2)
        return Ragged(numbered, starts, within + np.repeat(before, tokens).astype(np.int32)[:, None])

    def _cut(self, part: str, offsets: bool) -> Any:
        """A special token as the library gives its pieces, less than 0 to be told from them."""
        ids = [-1 - self._number[part.lstrip()]]
        return {"ids": ids, "offsets": [(0, len(part))]} if offsets else ids

    def decode(self, ids: Sequence[int], special: bool) -> str:
        """The text of these ids, special tokens shown or not."""
        texts = []
        for own, run in itertools.groupby((id for id in ids if special or id in self._piece), self._piece.__contains__):
            shown = list(run)
            if own:
                texts.append(self._processor.decode([self._piece[id] for id in shown]))
            else:
                texts += [self.tokens[id] for id in shown]
        return " ".join(texts)

    def files(self) -> dict[str, str | bytes]:
        """What it is saved as, by name."""
        return {"sentencepiece.bpe.model" if self._kind == "xlmroberta" else "spiece.model": self._model}

    def _frames(self) -> tuple[Frame, Frame]:
        a, b = Part(FIRST), Part(SECOND)
        if self._kind == "t5":
            end = Part(self._number["</s>"])
            return (a, end), (a, end, b, end)
        if self._kind == "xlmroberta":
            begin, end = Part(self._number["<s>"]), Part(self._number["</s>"])
            return (begin, a, end), (begin, a, end, end, b, end)
        return (a,), (a, b)


def read_sentencepiece(file: Path, settings: Settings) -> tuple[SentencePiece, dict[str, str]]:
    """The tokenizer of a .model, and its special tokens by key.

    Raises Problem for a file that can't be read, that is none, or that belongs to another type of tokenizer.
    """
    from sentencepiece import SentencePieceProcessor

    if settings.kind not in KINDS:
        raise Problem(f"{file}: the folder's tokenizer is of type {settings.kind}; supported with this file are "
                      f"{', '.join(filter(None, KINDS))}: save it with transformers, which writes a tokenizer.json")
    try:
        model = file.read_bytes()
        processor = SentencePieceProcessor.from_proto(model)
    except OSError as error:
        raise Problem(f"{file}: {error.strerror or error}") from None
    except (RuntimeError, ValueError):
        raise Problem(f"{file}: no sentencepiece model; the file may be cut off or damaged, or hold another kind of "
                      "tokenizer: fetch it again") from None
    return _laid_out(model, processor, file, settings)


def _laid_out(model: bytes, processor: Any, file: Path, settings: Settings) -> tuple[SentencePiece, dict[str, str]]:
    """With the other tokens of its kind."""
    own = [processor.id_to_piece(id) for id in range(processor.get_piece_size())]
    control = [piece for id, piece in enumerate(own) if processor.is_control(id) or processor.is_unknown(id)]
    names = {"unk_token": own[processor.unk_id()], "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    tokens, pieces = own, range(len(own))
    if settings.kind == "t5":
        count = settings.values.get("extra_ids")
        sentinels = [f"<extra_id_{n}>" for n in reversed(range(_SENTINELS if count is None else count))]
        tokens, control = own + sentinels, control + sentinels
    elif settings.kind == "xlmroberta":
        if own[:3] != ["<unk>", "<s>", "</s>"]:
            raise Problem(f"{file}: begins with {', '.join(own[:3])}; the model of an xlmroberta with <unk>, <s>, </s>")
        tokens = ["<s>", "<pad>", "</s>", "<unk>", *own[3:], "<mask>"]
        pieces = [3, 0, 2, *range(4, len(own) + 1)]
        control += ["<pad>", "<mask>"]
        names |= {"cls_token": "<s>", "sep_token": "</s>", "mask_token": "<mask>"}
    names = {key: token for key, token in names.items() if token in tokens}
    names |= {key: entry["content"] for key, entry in settings.special.items()}
    special = sorted({*control, *names.values()} & {*tokens})
    if settings.kind == "t5" and "</s>" not in tokens:
        raise Problem(f"{file}: has no piece </s>, which ends a text of a t5")
    return SentencePiece(model, processor, settings.kind, tokens, pieces, special), names


