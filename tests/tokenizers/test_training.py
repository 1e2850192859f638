"""Tokenizers made from text: the same ones in any process, of the size asked for, that cut text as their kind does."""
import hashlib
import itertools
import json
import subprocess
import sys

import numpy as np
import pytest
from nasty import nasty

from embeddings.problems import Problem
from embeddings.tokenizers.pieces import Pieces

KINDS = ["wordpiece", "bpe", "unigram", "sentencepiece_bpe"]


def text(lines: int = 2000) -> list[str]:
    """Words by Zipf's law of syllables, with capitals, digits, marks and a few other scripts."""
    draw = np.random.default_rng(0)
    syllables = ["ka", "to", "Ri", "men", "s", "ing", "Übe", "né", "3", "the", "-", "漢", "कि", "Ж"]
    words = ["".join(draw.choice(syllables, size)) for size in draw.integers(1, 5, 500)]
    return [" ".join(words[n] for n in np.minimum(draw.zipf(1.3, 8), 500) - 1) for _ in range(lines)]


def fingerprint(pieces: Pieces) -> str:
    return hashlib.sha256(pieces.engine.files()["tokenizer.json"].encode()).hexdigest()


def in_a_process(kind: str, threads: str) -> str:
    program = f"import test_training as t; print(t.fingerprint(t.Pieces.train({kind!r}, t.text(), 400)))"
    paths = ":".join([*sys.path, str(__file__).rsplit("/", 1)[0]])
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True,
                          env={"PYTHONPATH": paths, "RAYON_NUM_THREADS": threads})
    return done.stdout.strip()


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_text_gives_the_same_tokenizer(kind):
    here = fingerprint(Pieces.train(kind, text(), 400))
    assert here == in_a_process(kind, "1") == in_a_process(kind, "3")


@pytest.mark.parametrize("kind", KINDS)
def test_sizes_and_special_tokens(kind, tmp_path):
    pieces = Pieces.train(kind, text(), 400)
    assert 100 < pieces.size <= 400
    special = {"wordpiece": ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], "bpe": ["<|endoftext|>"]}
    special = special.get(kind, ["<pad>", "<unk>", "<s>", "</s>", "<mask>"])
    assert list(pieces.tokens[: len(special)]) == special
    assert (pieces.added(), pieces.added(pair=True)) == {"wordpiece": (2, 3), "bpe": (0, 0)}.get(kind, (2, 4))
    pieces.save(tmp_path)
    strings = nasty(500)
    np.testing.assert_array_equal(Pieces.load(tmp_path).encode(strings).ids, pieces.encode(strings).ids)


@pytest.mark.parametrize("kind", KINDS)
def test_its_text_comes_back(kind):
    pieces = Pieces.train(kind, text(), 500)
    lines = text(50)
    got = pieces.encode(lines)
    back = [pieces.decode(got.ids[got.starts[i] : got.starts[i + 1]]) for i in range(50)]
    if kind == "wordpiece":  # which forgets where blanks were
        lines, back = ([line.replace(" ", "") for line in side] for side in (lines, back))
    assert back == lines
    assert len(got.ids) < sum(map(len, lines)) / 1.5 and pieces.unknown not in got.ids[~got.special].tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_lower_case(kind):
    pieces = Pieces.train(kind, text(), 400, lower=True)
    np.testing.assert_array_equal(pieces.encode(["Ri ÜBE"]).ids, pieces.encode(["ri übe"]).ids)
    own = pieces.tokens[len({*pieces.names.values()}) :]
    assert all(token == token.lower() for token in own if kind != "bpe")
    kept = Pieces.train(kind, text(), 400)
    assert kept.encode(["Ri"]).ids.tolist() != kept.encode(["ri"]).ids.tolist()


def test_what_can_stand_inside_a_word():
    """Characters do, but not punctuation and Chinese ones, which are words of their own."""
    tokens = Pieces.train("wordpiece", text(), 400).tokens
    assert {"t", "##t", "Ж", "##Ж", "3", "##3", "漢", "-"} <= {*tokens} and not {"##漢", "##-"} & {*tokens}


def test_templates():
    pieces = Pieces.train("bpe", text(), 400, template="roberta")
    ids = pieces.encode("s", "s").ids.tolist()
    inner = pieces.encode("s", special=False).ids.tolist()
    assert ids == [pieces.begin, *inner, pieces.end, pieces.end, *inner, pieces.end]
    assert pieces.encode("s <mask>").ids.tolist() == [pieces.begin, *inner, pieces.mask, pieces.end]
    plain = Pieces.train("unigram", text(), 400, template="gpt2")
    assert plain.added() == 0 and plain.tokens[plain.unknown] == "<unk>" and plain.tokens[plain.end] == "<|endoftext|>"


def test_unigram_is_cut_as_sentencepiece_cuts(tmp_path):
    """The most probable of all cuts, by a loop over every one; ties aside."""
    pieces = Pieces.train("unigram", text(), 400)
    scores = dict(json.loads(pieces.engine.files()["tokenizer.json"])["model"]["vocab"])

    def best(word: str) -> float:
        value = [0.0] + [-np.inf] * len(word)
        for end in range(1, len(word) + 1):
            value[end] = max(value[begin] + scores.get(word[begin:end], -np.inf) for begin in range(end))
        return value[-1]

    for line in text(100):
        for word in line.split():
            cut = [pieces.tokens[id] for id in pieces.encode(word, special=False).ids]
            assert "".join(cut) == "▁" + word
            assert sum(scores[piece] for piece in cut) == pytest.approx(best("▁" + word), abs=1e-4)


def test_pairs_are_merged_as_sentencepiece_merges():
    """Over and over the two neighbours that make the earliest piece of the vocabulary, the leftmost first."""
    pieces = Pieces.train("sentencepiece_bpe", text(), 400)
    rank = {token: id for id, token in enumerate(pieces.tokens)}
    for word in {word for line in text(100) for word in line.split()}:
        parts = list("▁" + word)
        while True:
            joined = [(rank.get(a + b, len(rank)), at) for at, (a, b) in enumerate(itertools.pairwise(parts))]
            best, at = min(joined, default=(len(rank), 0))
            if best == len(rank):
                break
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        assert [pieces.tokens[id] for id in pieces.encode(word, special=False).ids] == parts


def test_rare_characters_are_unknown():
    common, rare = "".join(map(chr, range(0x4E00, 0x4E00 + 1000))), chr(0x6000)
    for kind in ("wordpiece", "sentencepiece_bpe"):
        pieces = Pieces.train(kind, [common] * 3 + [rare], 3000)
        assert rare not in pieces.tokens and chr(0x4E00) in pieces.tokens
        assert pieces.unknown in pieces.encode(rare).ids


@pytest.mark.parametrize("kind", KINDS)
def test_bad_input(kind):
    with pytest.raises(Problem, match="no text to make a tokenizer of"):
        Pieces.train(kind, ["", " \n"], 400)
    with pytest.raises(Problem, match="no text to make a tokenizer of"):
        Pieces.train(kind, [], 400)
    with pytest.raises(Problem, match=r"a .* tokenizer of 20 tokens has no room .* it needs \d+ at least"):
        Pieces.train(kind, text(50), 20)
    with pytest.raises(Problem, match="give a list, not a generator"):
        Pieces.train(kind, iter(text(5)), 400)
    with pytest.raises(Problem, match=r"line 1 \(counted from 0\) is not a string but NoneType"):
        Pieces.train(kind, ["a", None], 400)


@pytest.mark.parametrize("kind", KINDS)
def test_nasty_lines(kind):
    strings = nasty(300)
    pieces = Pieces.train(kind, strings, 3000)
    assert pieces.encode(strings).ids.max() < pieces.size <= 3000
