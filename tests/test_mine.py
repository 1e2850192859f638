import json

import numpy as np
import pytest

from embeddings import encoder, mine
from embeddings.mine import Flags
from embeddings.problems import Problem, UsageProblem


class Letters:
    """A text's vector: how often each letter stands in it."""

    def encode(self, texts):
        return np.array([[text.count(letter) for letter in "abcdef"] for text in texts], np.float32)


@pytest.fixture
def pairs(tmp_path, monkeypatch):
    monkeypatch.setattr(encoder, "load", lambda _: Letters())
    rows = [("aab", "aa"), ("aab", "ab"), ("ccd", "cc"), ("cd", "cde"), ("f", "ff"), ("aac", "aa")]
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join(json.dumps({"text1": a, "text2": b}) for a, b in rows))
    return path, rows


def mined(path, **settings):
    flags = Flags("any", str(path), str(path.with_name("out.jsonl")), overwrite=True, **settings)
    flags.validate()
    mine.main(flags, [])
    return [tuple(json.loads(line).values()) for line in path.with_name("out.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(("first", "last", "margin", "negatives"), [
    (0, 50, 0.0, 1), (1, 50, 0.0, 1), (0, 2, 0.0, 2), (0, 50, 0.3, 1), (0, 50, -1.0, 2),
])
def test_negatives_are_those_of_the_definition(pairs, first, last, margin, negatives):
    path, rows = pairs

    def cosine(a, b):
        u, v = Letters().encode([a, b])
        return u @ v / np.linalg.norm(u) / np.linalg.norm(v)

    answers = list(dict.fromkeys(b for _, b in rows))
    want = []
    for a, b in rows:
        right = {answer for question, answer in rows if question == a}
        ranked = sorted((x for x in answers if x not in right), key=lambda x: -round(float(cosine(a, x)), 5))
        fine = [x for n, x in enumerate(ranked) if first <= n < last and cosine(a, x) <= cosine(a, b) - margin + 1e-6]
        if len(fine) >= negatives:
            want.append((a, b, *fine[:negatives]))
    assert mined(path, first=first, last=last, margin=margin, negatives=negatives) == want


def test_what_cannot_be_mined_is_said(pairs, tmp_path):
    path, _ = pairs
    with pytest.raises(Problem, match="no pair has enough negatives"):
        mined(path, margin=2.0)
    with pytest.raises(UsageProblem, match="--last=3: ranks 3 to 3 hold fewer than --negatives=2"):
        mined(path, first=2, last=3, negatives=2)
    (tmp_path / "bad.csv").write_text("text1,text2\na,b\na,\n")
    with pytest.raises(Problem, match=r"bad.csv:2: text2 is empty"):
        mined(tmp_path / "bad.csv")
    with pytest.raises(Problem, match="no column 'text2', only text1, reply"):
        (tmp_path / "bad.csv").write_text("text1,reply\na,b\n")
        mined(tmp_path / "bad.csv")
