"""Tokenizers of the `tokenizers` library: WordPiece, byte-level BPE, and what else a tokenizer.json holds.

A tokenizer.json is the whole of a tokenizer: how text is normalised and cut, the vocabulary, the special tokens, and
how they stand around a text. Where tokenizer_config.json beside it names a class that is built from settings (BERT's
and RoBERTa's families), what it says of lower case, accents, Chinese characters and the first blank comes first, as in
transformers.
"""
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embeddings.problems import Problem
from embeddings.tokenizers.frames import FIRST, SECOND, Frame, Part, Ragged
from embeddings.tokenizers.settings import Settings, read_object

if TYPE_CHECKING:
    import tokenizers

MODELS = ("WordPiece", "BPE", "Unigram", "WordLevel")
WORD_PIECES = frozenset({"bert", "distilbert", "electra", "mpnet"})
"""Kinds whose tokenizer is BERT's WordPiece."""
BYTE_PAIRS = frozenset({"roberta", "gpt2", "bart", "longformer"})
"""Kinds whose tokenizer is GPT-2's byte-level BPE."""
_TEXT = "\0text"
"""A token that no tokenizer has: the text that a template is tried on."""
_NORMALIZER = {"do_lower_case": "lowercase", "strip_accents": "strip_accents",
               "tokenize_chinese_chars": "handle_chinese_chars"}
"""Attribute of the library's normalizer, by key of tokenizer_config.json."""


class Library:
    """A tokenizer of the `tokenizers` library, checked; `origin` is the file that messages name."""

    def __init__(self, tokenizer: "tokenizers.Tokenizer", origin: str | Path) -> None:
        """Switches off what the tokenizer cuts and pads. Raises Problem for ids and templates that contradict."""
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer, self._origin = tokenizer, origin
        self.size = tokenizer.get_vocab_size()
        self.tokens: tuple[str, ...] = tuple(map(tokenizer.id_to_token, range(self.size)))
        if None in self.tokens:
            raise Problem(f"{origin}: {_misnumbered(tokenizer)}")
        self.single, self.pair = self._frame(pair=False), self._frame(pair=True)

    def id(self, token: str) -> int | None:
        """Of a token; None where it is none."""
        return self._tokenizer.token_to_id(token)

    def encode(self, texts: Sequence[str], offsets: bool) -> Ragged:
        """All texts on all cores; strings without half surrogate pairs."""
        run = self._tokenizer.encode_batch if offsets else self._tokenizer.encode_batch_fast
        encodings = run(texts, add_special_tokens=False)
        starts = np.zeros(len(encodings) + 1, np.int64)
        np.cumsum([len(encoding) for encoding in encodings], out=starts[1:])
        flat = itertools.chain.from_iterable
        ids = np.fromiter(flat(encoding.ids for encoding in encodings), np.int32, starts[-1])
        if not offsets:
            return Ragged(ids, starts, None)
        spans = flat(flat(encoding.offsets for encoding in encodings))
        return Ragged(ids, starts, np.fromiter(spans, np.int32, 2 * starts[-1]).reshape(-1, 2))

    def decode(self, ids: Sequence[int], special: bool) -> str:
        """The text of these ids, special tokens shown or not."""
        return self._tokenizer.decode(ids, skip_special_tokens=not special)

    def files(self) -> dict[str, str | bytes]:
        """What it is saved as, by name."""
        return {"tokenizer.json": self._tokenizer.to_str(pretty=True)}

    settings = {"tokenizer_class": "PreTrainedTokenizerFast"}
    """What tokenizer_config.json says of it: the class that takes a tokenizer.json as it stands."""

    def _frame(self, pair: bool) -> Frame:
        """What the tokenizer makes of texts of one token each."""
        from tokenizers import Tokenizer, models

        text = Tokenizer(models.WordLevel({_TEXT: 0})).encode(_TEXT)
        whole = self._tokenizer.post_process(text, text if pair else None, True)
        if whole.tokens.count(_TEXT) != 1 + pair or len({*whole.sequence_ids} - {None}) != 1 + pair:
            raise Problem(f"{self._origin}: its template leaves out or repeats a text; one place for each is expected")
        parts = []
        for id, token, sequence, kind in zip(whole.ids, whole.tokens, whole.sequence_ids, whole.type_ids, strict=True):
            if sequence is None and token != (known := self._tokenizer.id_to_token(id)):
                raise Problem(f"{self._origin}: its template says that {token} is id {id}, its vocabulary that this is "
                              f"{known}: they belong to different tokenizers")
            parts.append(Part(id if sequence is None else (FIRST, SECOND)[sequence], kind))
        return tuple(parts)


def read_tokenizer_json(file: Path, settings: Settings) -> tuple[Library, dict[str, str]]:
    """The tokenizer of a tokenizer.json, and its special tokens by key.

    Raises Problem for a file that can't be read, that is none, or that holds another type of tokenizer.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises no narrower one
        raise _unreadable(file, error) from None
    inferred = _inferred(tokenizer)
    _override(tokenizer, settings)
    library = Library(tokenizer, file)
    names = {key: entry["content"] for key, entry in settings.special.items()} or inferred | _around(library)
    return library, names


def _inferred(tokenizer: Any) -> dict[str, str]:
    """Special tokens of a file that stands alone, by the names that everybody gives them."""
    names = {"unk_token": getattr(tokenizer.model, "unk_token", None)}
    if tokenizer.padding:
        names["pad_token"] = tokenizer.padding["pad_token"]
    for token in tokenizer.get_added_tokens_decoder().values():
        name = token.content.strip("[]<>").lower()
        if token.special and name in ("pad", "unk", "mask"):
            names.setdefault(f"{name}_token", token.content)
    return {key: token for key, token in names.items() if token}


def _around(library: Library) -> dict[str, str]:
    """What stands first and last around a text: its begin and its end."""
    first, last = library.single[0], library.single[-1]
    return {key: library.tokens[part.id] for key, part in (("cls_token", first), ("sep_token", last)) if part.id >= 0}


def _override(tokenizer: Any, settings: Settings) -> None:
    """Puts what tokenizer_config.json says in the place of what tokenizer.json does."""
    from tokenizers import normalizers, pre_tokenizers

    if settings.kind in WORD_PIECES and isinstance(tokenizer.normalizer, normalizers.BertNormalizer):
        for key, attribute in _NORMALIZER.items():
            if (value := settings.values.get(key)) is not None:
                setattr(tokenizer.normalizer, attribute, value)
    prefix = settings.values.get("add_prefix_space")
    byte_level = isinstance(tokenizer.pre_tokenizer, pre_tokenizers.ByteLevel)
    if settings.kind in BYTE_PAIRS and prefix is not None and byte_level:
        tokenizer.pre_tokenizer.add_prefix_space = prefix


def _unreadable(file: Path, error: Exception) -> Problem:
    """Why the library did not take a file."""
    import tokenizers

    model = read_object(file).get("model")
    kind = model.get("type") if isinstance(model, dict) else None
    if model is None:
        return Problem(f"{file}: no `model` in it, so it is no tokenizer.json; name the tokenizer's own file or folder")
    if kind is not None and kind not in MODELS:
        return Problem(f"{file}: holds a tokenizer of type {kind!r}; supported are {', '.join(MODELS)}")
    return Problem(f"{file}: version {tokenizers.__version__} of the library tokenizers can't read it: {error}; "
                   "install a newer one, or fetch or save the file again")


def _misnumbered(tokenizer: Any) -> str:
    """What is wrong with ids that are not 0, 1, 2, ... each once."""
    token: dict[int, str] = {}
    for other, id in sorted(tokenizer.get_vocab().items()):
        if id in token:
            return f"{token[id]!r} and {other!r} both have id {id}; each token needs one of its own"
        token[id] = other
    missing = next(id for id in itertools.count() if id not in token)
    return f"no token has id {missing}, though there are ids up to {max(token)}; ids must be 0, 1, 2, .. without a gap"
