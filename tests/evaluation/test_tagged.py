"""Words with their tags, from files of entities and of parts of speech."""
import re
import types

import numpy as np
import pytest

from embeddings.evaluation import entities, tagged, tasks
from embeddings.evaluation.tagged import Tagged
from embeddings.problems import Problem


def test_tagged_words_are_read(tmp_path):
    path = tmp_path / "x.conll"
    path.write_text("\na\tO\nb c\tB-x\n\t\n\nd\tI-creative-work\n")
    found = tagged.conll(path, "mine")
    assert found.sentences == (("a", "b c"), ("d",)) and found.tags == (("O", "B-x"), ("I-creative-work",))
    assert found.of_entities and found.different == {"O", "B-x", "I-creative-work"}


def test_columns_of_conll_are_read(tmp_path):
    (tmp_path / "ner/conll2003").mkdir(parents=True)
    for part in ("train", "valid", "test"):
        (tmp_path / f"ner/conll2003/{part}.txt").write_text(
            "-DOCSTART- -X- -X- O\n\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\nBonn NNP I-NP I-LOC\n")
    assert tagged.find(tmp_path) == ("CoNLL-2003",)
    train, _, _ = tagged.read(tmp_path, "CoNLL-2003")
    assert train.sentences == (("EU", "rejects"), ("Bonn",)) and train.tags == (("B-ORG", "O"), ("I-LOC",))
    assert entities.types(train) == {"ORG", "LOC"}
    assert measured(tmp_path, ("O", "B-LOC", "B-ORG"))["CoNLL-2003 F1 tagger"] == 0
    assert measured(tmp_path, ("O", "B-LOC")) == {}


def measured(data, classes, always="O"):
    """The scores of a model of these classes that tags all words alike."""
    (task,) = tasks.tasks(["tags"], data)
    return task.scores(types.SimpleNamespace(tag=lambda sentences: [[always] * len(words) for words in sentences],
                                             head=types.SimpleNamespace(classes=classes)))


@pytest.fixture
def treebank(tmp_path):
    """A treebank's parts: trees as it has them, and of the test part lines."""
    folder = tmp_path / "pos/ptb"
    folder.mkdir(parents=True)
    (tmp_path / "ner/conll2003").mkdir(parents=True)
    for part in ("train", "valid", "test"):
        (tmp_path / f"ner/conll2003/{part}.txt").write_text("Bonn B-LOC\n")
    for part in ("train", "valid"):
        (folder / f"{part}.mrg").write_text(
            "( (S (NP-SBJ (NNP Ada) )\n    (VP (VBD lived)\n (SBAR (-NONE- 0) (S (-NONE- *T*-1) )))\n"
            "  (-LRB- -LRB-) ($ US$) (, ,) (. .) ))\n\n( (NP (NN rain)))\n(S (VB Run) (-NONE- *))\n")
    (folder / "test.txt").write_text("Ada\tNNP\nruns\tVBZ\n.\t.\n\nrain\tNN\n")
    return tmp_path


def test_parts_of_speech_are_read_and_measured(treebank):
    assert tagged.find(treebank) == ("CoNLL-2003", "PTB")
    train, valid, test = tagged.read(treebank, "PTB")
    assert train.sentences == (("Ada", "lived", "-LRB-", "US$", ",", "."), ("rain",), ("Run",))
    assert train.tags == (("NNP", "VBD", "-LRB-", "$", ",", "."), ("NN",), ("VB",)) and train.tags == valid.tags
    assert test.tags == (("NNP", "VBZ", "."), ("NN",)) and not test.of_entities
    found = measured(treebank, ("O", *train.different), "NNP")
    assert found == {"PTB dev accuracy tagger": 1 / 8, "PTB accuracy tagger": 1 / 4}, "entities are another model's"
    assert measured(treebank, ("O", "NNP")) == {} and {*measured(treebank, ("O", "B-LOC"))} == {
        f"CoNLL-2003{dev} {name} tagger" for dev in ("", " dev") for name in ("F1", "precision", "recall", "F1 LOC")}


def test_accuracy_is_of_words():
    gold = [["NN", "VB", "."], ["O"], []]
    assert tagged.accuracy(gold, [["NN", "NN", "."], ["B-x"], []]) == 2 / 4
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        tagged.accuracy(gold, [["NN", "VB"], ["O"], []])
    one = Tagged("mine", (("a", "b"),), (("NN", "VB"),))
    result = entities.evaluate(lambda sentences: [["NN"] * len(words) for words in sentences], [one])
    assert result.scores() == {"mine accuracy tagger": 0.5}
    assert (result.measured[0].covered, result.measured[0].total) == (2, 2)


def test_accuracy_is_scikit_learns():
    from sklearn.metrics import accuracy_score

    draw = np.random.default_rng(0)
    gold, guessed = ([draw.choice(["NN", "VB", "."], n).tolist() for n in range(9)] for _ in range(2))
    assert tagged.accuracy(gold, guessed) == pytest.approx(accuracy_score(*map(np.concatenate, (gold, guessed))))


@pytest.mark.parametrize(("name", "content", "complaint"), [
    ("x.conll", "a\tO\nb\n", "x.conll:2: expected a word, a tab and its tag"),
    ("x.conll", "a\tO\nb\tX-y\n\nc\tB-y\n", "x.conll:2: expected O, B-TYPE or I-TYPE, as other lines have"),
    ("x.conll", "c\tI-y\nb\tNN\n", "x.conll:2: expected O, B-TYPE or I-TYPE, as other lines have"),
    ("x.conll", "a\tB-\n", "x.conll:1: expected a word"),
    ("x.conll", "a\tN N\n", "x.conll:1: expected a word"),
    ("x.conll", "\tO\n", "x.conll:1: expected a word"),
    ("x.conll", "\n\n", "x.conll: holds no sentences"),
    ("x.mrg", "( (NP (NN rain)))\n( (S (NN snow))\n", "x.mrg: tree 2 does not close its brackets"),
    ("x.mrg", "( (S (NN rain))))\n", "x.mrg: tree 2 does not close its brackets"),
    ("x.mrg", "rain NN\n", "x.mrg: holds no trees"),
])
def test_a_broken_file_is_named(tmp_path, name, content, complaint):
    (tmp_path / name).write_text(content)
    with pytest.raises(Problem, match=re.escape(complaint)):
        tagged.read_file(tmp_path / name, "mine")


def test_wnut17_has_its_published_size(data):
    parts = tagged.read(data)
    assert [len(part.sentences) for part in parts] == [3394, 1009, 1287]
    assert [sum(len(entities.entities(tags)) for tags in part.tags) for part in parts] == [1975, 836, 1079]
