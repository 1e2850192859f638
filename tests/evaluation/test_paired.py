"""GLUE's files, and what a model's classes and numbers are held against."""
import gzip
from types import SimpleNamespace

import numpy as np
import pytest

from embeddings import session
from embeddings.corpus import example_sets, glue
from embeddings.corpus.example_files import Broken, Example
from embeddings.evaluation import paired, tasks
from embeddings.formats.sentence_transformers import Pipeline
from embeddings.heads import tasks as heads
from embeddings.heads.inside import Inside
from embeddings.problems import Problem, UsageProblem

FILES = {
    "glue-cola": ["gj04\t1\t\tThe sailors rode the \"breeze.", "gj04\t0\t*\tThe more would."],
    "glue-sst-2": ["sentence\tlabel", "hide new secretions \t0", "that loves its characters \t1"],
    "glue-mrpc": ["Quality\t#1 ID\t#2 ID\t#1 String\t#2 String", '1\t7\t8\tHe said "a.\tHe said b.', "0\t9\t3\tc\td"],
    "glue-sts-b": ["index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore",
                   "0\tm\tf\t2012\t1\tn\tn\tA plane.\tAn air plane.\t5.000", "1\tm\tf\t2012\t1\tn\tn\ta\tb\t0.250"],
    "glue-qqp": ["id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate", "1\t2\t3\tHow?\tWhy?\t0", "4\t5\t6\tA?\tB?\t1"],
    "glue-mnli": ["index\tpromptID\tsentence1\tsentence2\tlabel1\tgold_label", "0\t3\ta\tb\tneutral\tneutral",
                  "1\t4\tc\td\tentailment\tcontradiction"],
    "glue-qnli": ["index\tquestion\tsentence\tlabel", "0\tWhen?\tThen.\tentailment", "1\tWho?\tIt.\tnot_entailment"],
    "glue-rte": ["index\tsentence1\tsentence2\tlabel", "0\ta\tb\tentailment", "1\tc\td\tnot_entailment"],
}


@pytest.fixture
def place(tmp_path):
    """GLUE in small."""
    for name, lines in FILES.items():
        for part in ("train", *glue.TASKS[name].measured.values()):
            path = glue.path(tmp_path, name, part)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(lines) + "\n")
    return tmp_path


class Model:
    """Tells what it is given, in turn."""

    def __init__(self, *told, joined=True, parts=1):
        self.told, self.pipeline = told, Pipeline(joined=joined)
        known = tuple(sorted({*map(str, told)}))
        self.head = SimpleNamespace(classes=known, linear=SimpleNamespace(texts=parts))

    def classify(self, texts):
        return SimpleNamespace(labels=self.told[: len(texts)])

    def predict(self, texts):
        return np.array(self.told[: len(texts)], np.float32)


def test_training_parts_are_examples(place):
    assert list(example_sets.SETS["glue-cola"].read(place)) == [
        Example(('The sailors rode the "breeze.',), "1"), Example(("The more would.",), "0")]
    assert list(example_sets.SETS["glue-mrpc"].read(place)) == [
        Example(('He said "a.', "He said b."), "1"), Example(("c", "d"), "0")]
    assert [row.label for row in example_sets.SETS["glue-mnli"].read(place)] == ["neutral", "contradiction"]
    for name, one in glue.TASKS.items():
        known = example_sets.SETS[name]
        assert (known.columns, known.label) == (len(one.columns), one.kind)
        assert len(list(known.read(place))) == 2


def test_a_broken_line_is_told_with_its_number(place):
    path = glue.path(place, "glue-qqp")
    path.write_text(path.read_text() + "7\t8\thow\n")
    assert list(glue.read(place, "glue-qqp"))[-1] == Broken(f"{path}:3", "3 columns where the first line names 6")
    glue.path(place, "glue-rte", "dev").write_text("index\tsentence1\tsentence2\tlabel\n0\ta\n")
    with pytest.raises(Problem, match=r"dev\.tsv:1: 2 columns where the first line names 4: copy the file again"):
        tasks.tasks(["glue-rte"], place)
    glue.path(place, "glue-rte", "dev").write_text("index\tsentence1\tsentence2\tlabel\n")
    with pytest.raises(Problem, match=r"dev\.tsv: holds no example"):
        tasks.tasks(["glue-rte"], place)
    glue.path(place, "glue-rte").unlink()
    with pytest.raises(Problem, match=r"train\.tsv: cannot be read"):
        list(glue.read(place, "glue-rte"))


def test_development_parts_are_measured(place):
    found = {name: tasks.tasks([name], place)[0] for name in FILES}
    model = Model("neutral", "contradiction", "entailment")
    assert found["glue-mnli"].scores(model) == {"MNLI-m accuracy GLUE": 1, "MNLI-mm accuracy GLUE": 1}
    assert found["glue-mrpc"].scores(Model("1", "1", "0")) == {
        "MRPC accuracy GLUE": 0.5, "MRPC F1 GLUE": pytest.approx(2 / 3)}
    assert found["glue-cola"].scores(Model("1", "0", joined=False)) == {"CoLA Matthews GLUE": pytest.approx(1)}
    assert found["glue-sts-b"].scores(Model(1.0, 0.2)) == {
        "STS-B Pearson GLUE": pytest.approx(1), "STS-B Spearman GLUE": pytest.approx(1)}
    model = Model("1", "0")
    assert found["glue-cola"].lacking(model) == "is of single texts, which the model does not read"
    assert found["glue-rte"].lacking(model).startswith(
        "has classes entailment, not_entailment in RTE, and the model tells 0, 1: those of a folder are named by")
    assert found["glue-mrpc"].lacking(model) is None and found["glue-sts-b"].lacking(model) is None


def test_what_a_run_will_not_tell_is_refused_before_it(place):
    found = tasks.tasks(["glue-mrpc", "glue-sts-b"], place)
    session.check_fit(found[:1], (2, ("0", "1")))
    session.check_fit(found[1:], (2, ()))
    for told, says in (((1, ("0", "1")), "glue-mrpc is of pairs, which the model does not read; leave it out"),
                       ((2, ("0", "2")), "glue-mrpc has classes 0, 1 in MRPC, and the model tells 0, 2")):
        with pytest.raises(UsageProblem, match=f"--evaluate.tasks={says}"):
            session.check_fit(found[:1], told)
    ablating = Inside(heads.find("mnli", "", place), 20)
    session.check_fit((), (2, ("contradiction", "entailment", "neutral")), ablating)
    with pytest.raises(UsageProblem, match=r"--ablate\.task=mnli has classes contradiction, neutral in MNLI-m, and"):
        session.check_fit((), (2, ("0", "1")), ablating)


def test_measures_are_as_defined():
    draw = np.random.default_rng(0)
    for n in (6, 30, 200):
        a, b = draw.integers(0, 2, (2, n))
        hits, others = np.sum(a & b), np.sum((1 - a) & (1 - b))
        extra, missed = np.sum(a & (1 - b)), np.sum((1 - a) & b)
        root = np.sqrt(float((hits + extra) * (hits + missed) * (others + extra) * (others + missed)))
        expected = {"accuracy": (hits + others) / n, "F1": 2 * hits / (2 * hits + extra + missed),
                    "Matthews": (hits * others - extra * missed) / root}
        found, labels = list(map(str, a)), list(map(str, b))
        assert {name: paired.of_classes(name, found, labels) for name in expected} == pytest.approx(expected)
    assert paired.of_classes("Matthews", ["1", "1"], ["1", "0"]) == 0 and paired.of_classes("F1", ["0"], ["0"]) == 0


def test_pairs_with_a_class_are_found(tmp_path):
    for path, lines in zip(paired.SNLI["test"], ("a b .\nc\n", "d\ne\n", "neutral\nentailment\n"), strict=True):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(gzip.compress(lines.encode()))
    (one,) = paired.find(tmp_path)
    assert (one.name, one.texts, one.labels) == ("SNLI", (("a b .", "d"), ("c", "e")), ("neutral", "entailment"))
    (task,) = tasks.tasks(["classes"], tmp_path)
    assert task.scores(Model("neutral", "neutral", "entailment")) == {"SNLI accuracy classes": 0.5}
    assert task.scores(Model("neutral", "entailment", joined=False)) == {}, "of single texts"
    assert task.scores(Model("neutral", "entailment", joined=False, parts=2)) == {"SNLI accuracy classes": 1}
    (tmp_path / paired.SNLI["test"][2]).write_bytes(gzip.compress(b"neutral\n"))
    with pytest.raises(Problem, match="1 labels for 2 and 2 sentences"):
        paired.find(tmp_path)
