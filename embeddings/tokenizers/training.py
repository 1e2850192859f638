"""Tokenizers made from lines of text.

    wordpiece           BERT's: words and punctuation; pieces inside a word begin with ##
    bpe                 GPT-2's: bytes; a blank belongs to the word after it
    sentencepiece_bpe   characters; a blank becomes ▁ before the word after it
    unigram             the same, cut into those pieces that are most probable together (Kudo 2018)

The first two are estimated by the library `tokenizers`, the others by sentencepiece, on text that `tokenizers` has
normalised; what comes out is a tokenizer.json in any case. The same lines in the same order give the same one, on any
number of cores: sentencepiece has a fixed number of threads, and to WordPiece all characters are given before, or ties
would go by the order in which its hash tables show them.
"""
import io
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from embeddings.problems import Problem
from embeddings.tokenizers.texts import portions
from embeddings.tokenizers.tokenizer_json import Library
from embeddings.tokenizers.vocabulary_files import SPECIAL, prepare_byte_pairs, prepare_word_pieces, put_frame

if TYPE_CHECKING:
    import tokenizers

Kind = Literal["wordpiece", "bpe", "unigram", "sentencepiece_bpe"]
Template = Literal["bert", "mpnet", "roberta", "gpt2"]
"""Which special tokens there are, and how they stand around a text; see vocabulary_files.py."""

TEMPLATE: Mapping[Kind, Template] = {
    "wordpiece": "bert", "bpe": "gpt2", "unigram": "roberta", "sentencepiece_bpe": "roberta"
}
"""The one that a kind has where none is asked for."""
_ALPHABET = 1000
"""Most characters that have a token of their own, the most frequent ones; others are unknown. BERT's number, nearly."""
_THREADS = 16


def trained(
    kind: Kind, lines: Iterable, size: int, lower: bool, template: Template | None
) -> tuple[Library, dict[str, str]]:
    """A tokenizer of `size` tokens at most, fewer where the lines hold no more, and its special tokens by key.

    Args:
        kind: see above.
        lines: text, gone through twice; sentencepiece holds it in memory.
        size: V, special tokens included.
        lower: whether upper case is folded; wordpiece takes accents off too, as BERT does.
        template: None takes TEMPLATE's.

    Raises Problem where lines can be gone through once only, are not strings, or hold no text, and where the size has
    no room for the characters.
    """
    from tokenizers import AddedToken

    if iter(lines) is lines:
        raise Problem("the lines to make a tokenizer of are gone through twice: give a list, not a generator")
    template = template or TEMPLATE[kind]
    names = dict(SPECIAL[template])
    if template == "gpt2" and kind != "bpe":
        names["unk_token"] = "<unk>"
    special = list(dict.fromkeys(names.values()))
    make = {"wordpiece": _word_pieces, "bpe": _byte_pairs, "sentencepiece_bpe": _character_pairs, "unigram": _unigram}
    tokenizer = make[kind](lines, size, lower, special, names["unk_token"])
    tokenizer.add_special_tokens([AddedToken(token, lstrip=token == "<mask>", normalized=False) for token in special])
    _check_room(kind, size, tokenizer.get_vocab_size())
    put_frame(tokenizer, template, names)
    return Library(tokenizer, f"the {kind} tokenizer of these lines"), names


def _word_pieces(
    lines: Iterable, size: int, lower: bool, special: list[str], unknown: str
) -> "tokenizers.Tokenizer":
    from tokenizers import Tokenizer, models, trainers

    tokenizer = Tokenizer(models.WordPiece(unk_token=unknown))
    prepare_word_pieces(tokenizer, {"do_lower_case": lower})
    normal = tokenizer.normalizer.normalize_str
    alphabet, _ = _alphabet(lines, normal)
    inside = [c for c in alphabet if len(tokenizer.pre_tokenizer.pre_tokenize_str(normal(f"a{c}a"))) == 1]
    first = [*special, *alphabet, *(f"##{c}" for c in inside)]
    trainer = trainers.WordPieceTrainer(vocab_size=size, special_tokens=first, limit_alphabet=0, show_progress=False)
    tokenizer.train_from_iterator(portions(lines, "line"), trainer)
    whole = Tokenizer(models.WordPiece(tokenizer.get_vocab(), unk_token=unknown))  # where characters are not special
    prepare_word_pieces(whole, {"do_lower_case": lower})
    return whole


def _byte_pairs(
    lines: Iterable, size: int, lower: bool, special: list[str], unknown: str
) -> "tokenizers.Tokenizer":
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    if lower:
        tokenizer.normalizer = normalizers.Lowercase()
    prepare_byte_pairs(tokenizer, prefix=False)
    _alphabet(lines, str)
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=special, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(portions(lines, "line"), trainer)
    return tokenizer


def _unigram(lines: Iterable, size: int, lower: bool, special: list[str], unknown: str) -> "tokenizers.Tokenizer":
    from tokenizers import Tokenizer, models

    tokenizer = Tokenizer(models.Unigram())
    _prepare_sentences(tokenizer, lower)
    pieces = _estimated("unigram", lines, size, special, tokenizer.normalizer.normalize_str)
    tokenizer.model = models.Unigram([*((token, 0.0) for token in special), *pieces], special.index(unknown))
    return tokenizer


def _character_pairs(
    lines: Iterable, size: int, lower: bool, special: list[str], unknown: str
) -> "tokenizers.Tokenizer":
    from tokenizers import Tokenizer, models

    tokenizer = Tokenizer(models.BPE())
    _prepare_sentences(tokenizer, lower)
    pieces = dict(_estimated("bpe", lines, size, special, tokenizer.normalizer.normalize_str))
    cuts = ((piece[:at], piece[at:]) for piece in pieces for at in range(1, len(piece)))  # pieces stand as merged
    merges = [(left, right) for left, right in cuts if left in pieces and right in pieces]
    number = {token: id for id, token in enumerate([*special, *pieces])}
    tokenizer.model = models.BPE(number, merges, unk_token=unknown, fuse_unk=True)
    return tokenizer


def _estimated(
    model: str, lines: Iterable, size: int, special: list[str], normal: Callable[[str], str]
) -> list[tuple[str, float]]:
    """The pieces that sentencepiece finds in normalised lines, with their scores."""
    from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

    alphabet, share = _alphabet(lines, normal)
    _check_room(f"sentencepiece {model}", size, len(special) + 1 + len(alphabet))
    held = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=(normal(line) for portion in portions(lines, "line") for line in portion),
        model_writer=held,
        model_type=model,
        vocab_size=size - len(special) + 1,
        hard_vocab_limit=False,
        character_coverage=share,
        normalization_rule_name="identity",
        max_sentence_length=2**30,
        num_threads=_THREADS,
        bos_id=-1,
        eos_id=-1,
        minloglevel=2,
    )
    found = SentencePieceProcessor(model_proto=held.getvalue())
    return [(found.id_to_piece(id), found.get_score(id)) for id in range(1, found.get_piece_size())]  # 0 is unknown


def _prepare_sentences(tokenizer: Any, lower: bool) -> None:
    """Cuts text as sentencepiece does: compatible characters and kinds of blanks are one, a blank begins a word."""
    from tokenizers import Regex, decoders, normalizers, pre_tokenizers

    steps = [normalizers.Nmt(), normalizers.NFKC(), *[normalizers.Lowercase()] * lower]
    tokenizer.normalizer = normalizers.Sequence([*steps, normalizers.Replace(Regex(" {2,}"), " "), normalizers.Strip()])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()


def _check_room(kind: str, size: int, needed: int) -> None:
    if needed > size:
        raise Problem(f"a {kind} tokenizer of {size:,} tokens has no room for the characters and special tokens; it "
                      f"needs {needed:,} at least")


def _alphabet(lines: Iterable, normal: Callable[[str], str]) -> tuple[list[str], float]:
    """The most frequent characters of normalised text but for blanks, in the order of Unicode; their share of all.

    Raises Problem where there are none.
    """
    seen: Counter[str] = Counter()
    for portion in portions(lines, "line"):
        counts = np.bincount(np.frombuffer("".join(portion).encode("utf-32-le"), np.int32))
        for code in np.flatnonzero(counts):
            for character in normal(chr(code)):
                seen[character] += int(counts[code])
    ranked = sorted((character for character in seen if not character.isspace()), key=lambda c: (-seen[c], c))
    if not ranked:
        raise Problem("no text to make a tokenizer of: the lines are empty; name another corpus")
    most = ranked[:_ALPHABET]
    return sorted(most), sum(seen[c] for c in most) / sum(seen[c] for c in ranked)
