import numpy as np
import pytest

from embeddings.encoder import WordVectors
from embeddings.evaluation import entities
from embeddings.evaluation.tagged import Tagged

KINDS = ("person", "creative-work")


@pytest.mark.parametrize(("tags", "expected"), [
    ("O B-x I-x O", [("x", 1, 3)]),
    ("B-x B-x I-x", [("x", 0, 1), ("x", 1, 3)]),
    ("I-x I-x O I-y", [("x", 0, 2), ("y", 3, 4)]),
    ("B-x I-y I-y", [("x", 0, 1), ("y", 1, 3)]),
    ("B-creative-work I-creative-work", [("creative-work", 0, 2)]),
    ("B-x O I-x", [("x", 0, 1), ("x", 2, 3)]),
    ("", []),
])
def test_entities_of_tags(tags, expected):
    assert entities.entities(tags.split()) == expected


def test_measures_count_whole_entities_of_the_right_type():
    gold = [["B-x", "I-x", "O", "B-y"], ["O", "B-x"], ["O"]]
    guessed = [["B-x", "I-x", "O", "B-x"], ["B-x", "I-x"], ["B-z"]]
    found = entities.measures(gold, guessed)
    assert found == pytest.approx({"precision": 1 / 4, "recall": 1 / 3, "F1": 2 / 7, "F1 x": 2 / 5, "F1 y": 0})
    assert entities.measures([["O"]], [["O"]]) == {"F1": 0, "precision": 0, "recall": 0}
    with pytest.raises(ValueError, match="1 tags for 2 words"):
        entities.measures([["O", "O"]], [["O"]])


def drawn(random, sentences=200):
    tags = ["O", *(f"{mark}-{kind}" for mark in "BI" for kind in KINDS)]
    return [random.choice(tags, random.integers(1, 12), p=[0.4, 0.15, 0.15, 0.15, 0.15]).tolist()
            for _ in range(sentences)]


@pytest.mark.reference
@pytest.mark.filterwarnings("ignore")
def test_measures_are_seqevals():
    from seqeval.metrics import classification_report

    random = np.random.default_rng(0)
    gold = drawn(random)
    other = drawn(random)
    guessed = [[a if random.random() < 0.8 else b for a, b in zip(right, (wrong * 12)[: len(right)], strict=True)]
               for right, wrong in zip(gold, other, strict=True)]
    report = classification_report(gold, guessed, output_dict=True)
    ours = entities.measures(gold, guessed)
    assert 0.3 < ours["F1"] < 0.9
    assert ours["F1"] == pytest.approx(report["micro avg"]["f1-score"], abs=1e-12)
    assert ours["precision"] == pytest.approx(report["micro avg"]["precision"], abs=1e-12)
    assert ours["recall"] == pytest.approx(report["micro avg"]["recall"], abs=1e-12)
    for kind in KINDS:
        assert ours[f"F1 {kind}"] == pytest.approx(report[kind]["f1-score"], abs=1e-12)


def test_frozen_word_vectors_are_probed():
    words = ("london", "paris", "rome", "oslo", "the", "of", "in", "to")
    random = np.random.default_rng(0)
    rows = np.eye(2)[[0] * 4 + [1] * 4] + 0.1 * random.normal(size=(8, 2))
    model = WordVectors(words, 5 * rows.astype(np.float32))
    tags = {word: "B-city" if word in words[:4] else "O" for word in words}

    def part(name, sentences):
        return Tagged(name, tuple(tuple(s.split()) for s in sentences),
                      tuple(tuple(tags.get(word.lower(), "O") for word in s.split()) for s in sentences))

    train = part("train", ["the paris of london", "to oslo in the", "the of to in"])
    test = part("test", ["in Rome", "to unheard rome"])
    assert [v.shape for v in entities.looked_up(model)(test.sentences)] == [(2, 2), (3, 2)]
    result = entities.evaluate_vectors(entities.looked_up(model), train, test, "mine")
    assert result.value("test", "F1 city") == pytest.approx(1) and result.value("test", "recall") == 1
    assert (result.measured[0].covered, result.measured[0].total) == (4, 5), "one word has no vector"
    assert entities.table([result]).rows[0][:3] == ("test", "F1", pytest.approx(100))


@pytest.mark.parametrize("blank", [0, 1])
def test_a_word_in_context_is_the_mean_of_its_tokens(blank):
    """Tokens may begin with the blank before a word, as GPT-2's do; (0, 0) are special."""
    sentence = ("ab", "c", "\u200b", "def")
    offsets = np.array([[0, 0], [0, 1], [1, 2], [3 - blank, 4], [7 - blank, 9], [9, 10], [0, 0]])
    rows = np.arange(14, dtype=np.float32).reshape(7, 2)
    tokens = type("Tokens", (), {"offsets": offsets, "vectors": rows})
    model = type("Model", (), {"tokens": lambda self, texts: [tokens] * (texts == ["ab c \u200b def"])})()
    (found,) = entities.in_context(model)([sentence])
    assert found.tolist() == [[3, 4], [6, 7], [0, 0], [9, 10]]


def test_any_tagger_is_measured():
    one = Tagged("mine", (("a", "b"), ("c",)), (("B-x", "O"), ("O",)))
    result = entities.evaluate(lambda sentences: [["B-x"] * len(words) for words in sentences], [one])
    assert result.value("mine", "precision") == pytest.approx(1 / 3) and result.value("mine", "recall") == 1
    assert (result.measured[0].covered, result.measured[0].total) == (3, 3)
