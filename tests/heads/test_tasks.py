"""Tasks by name and files of one's own; what is not there or cannot be read is refused in one line."""
import dataclasses
import gzip

import numpy as np
import pytest
import scipy.stats
from heads.conftest import headed, texts, tiny

from embeddings.corpus import glue
from embeddings.evaluation import paired
from embeddings.heads import classes, tasks
from embeddings.problems import Problem, UsageProblem


def test_a_file_of_judged_pairs(tmp_path):
    a, b, model = texts(9), texts(9, seed=1), tiny()
    (tmp_path / "mine.tsv").write_text("".join(f"{x}\t{y}\t{n % 3}\tmore\n" for n, (x, y) in enumerate(
        zip(a, b, strict=True))))
    same, measure = tasks.find(str(tmp_path / "mine.tsv"), "", None).ready(model, "it")
    assert same is model
    cosines = np.sum(model.encode(a) * model.encode(b), axis=1)
    found = measure.score(measure.items(model.encode(measure.texts)))
    assert found == pytest.approx(scipy.stats.spearmanr(cosines, np.arange(9) % 3).statistic, abs=1e-6)


@pytest.mark.parametrize(("columns", "parts", "joined"), [(2, ("u",), True), (2, ("u", "|u-v|"), False),
                                                          (1, ("u",), None), (1, ("u",), False)])
def test_a_file_of_classes(tmp_path, columns, parts, joined):
    """Judgements that are no numbers; of one text also those that are, which no cosine can be held against."""
    names = ("0", "1") if columns == 1 else ("no", "1")
    model, sides = headed(names, joined, parts), [texts(9, seed=n) for n in range(columns)]
    lines = [*zip(*sides, (names[n % 2] for n in range(9)), strict=True)]
    (tmp_path / "mine.tsv").write_text("".join("\t".join(line) + "\n" for line in lines))
    telling, measure = tasks.find(str(tmp_path / "mine.tsv"), "", None).ready(model, "it")
    asked = [line[:2] if columns == 2 else line[0] for line in lines]
    expected = [a == line[-1] for a, line in zip(model.classify(asked).labels, lines, strict=True)]
    assert measure.items(telling.encode(measure.texts)).tolist() == expected and measure.metric == "accuracy"


@pytest.mark.parametrize(("text", "says"), [
    ("a\tb\t1\nc\td\n", "mine.tsv:2: no label"),
    ("a\tb\t1\nalone\n", "mine.tsv:2: no label"),
    ("a\tno\nb\tc\tno\n", "mine.tsv:2: no label: a line is two texts and a judgement, or one or two texts and a class"),
    ("alone\n", "mine.tsv:1: no label"),
    ("a\tb\tno\nc\td\t \n", "mine.tsv:2: no label"),
    ("a\tb\t1\nc\td\tnan\n", "mine.tsv:2: the judgement is no number"),
    ("a\tb\t1\nc\td\t1\n", "all judgements are alike"),
])
def test_a_file_that_cannot_be_read_is_refused(tmp_path, text, says):
    (tmp_path / "mine.tsv").write_text(text)
    with pytest.raises(Problem, match=says):
        tasks.find(str(tmp_path / "mine.tsv"), "", None)


def test_tasks_that_are_not_there_are_refused(tmp_path):
    with pytest.raises(UsageProblem, match=r"--task=stsb: choose sts-b, .*mnli.*trec.*masked-lm"):
        tasks.find("stsb", "", tmp_path)
    with pytest.raises(Problem, match="name it with --data or EMBEDDINGS_DATA"):
        tasks.find("sts-b", "", None)
    for name in ("sts-b", "banking77", "npl"):
        with pytest.raises(Problem, match=f"--task={name}: .* has no "):
            tasks.find(name, "", tmp_path)
    assert len({*tasks.NAMES}) == len(tasks.NAMES)
    for name in classes.NAMES:
        with pytest.raises(Problem, match=f"--task={name}: {tmp_path}.* is missing: copy it there"):
            tasks.find(name, "", tmp_path)


def test_sets_of_classes_are_found_by_name(tmp_path):
    path = glue.path(tmp_path, "glue-mnli", "dev_matched")
    path.parent.mkdir(parents=True)
    path.write_text("index\tsentence1\tsentence2\tgold_label\n0\ta\tb\tneutral\n1\tc\td\tcontradiction\n")
    for file, lines in zip(paired.SNLI["dev"], ("a b .\nc\n", "d\ne\n", "neutral\nentailment\n"), strict=True):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_bytes(gzip.compress(lines.encode()))
    for name, pairs, labels in (("mnli", (("a", "b"), ("c", "d")), ("neutral", "contradiction")),
                                ("snli", (("a b .", "d"), ("c", "e")), ("neutral", "entailment"))):
        told = classes.read(name, tmp_path)
        assert (told.texts, told.labels) == (pairs, labels)
    for part in ("train", "dev", "test"):
        file = tmp_path / f"classification/sst2/sentiment-{part}.tsv.gz"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(gzip.compress(f"good {part}\t1\nbad {part}\t0\n".encode()))
    assert classes.read("sst2", tmp_path).texts == ("good test", "bad test")


def test_models_that_cannot_do_a_task_are_told_why(tmp_path):
    (tmp_path / "mine.tsv").write_text("a\tb\tno\nc\td\tmaybe\n")
    (tmp_path / "sts.tsv").write_text("a\tb\t1\nc\td\t2\n")
    (tmp_path / "typo.tsv").write_text("a\tb\t1\nc\td\t2,5\n")
    mine, sts, typo = (tasks.find(str(tmp_path / name), "", None) for name in ("mine.tsv", "sts.tsv", "typo.tsv"))
    model = headed(("no", "yes"), True)
    number = dataclasses.replace(model, head=dataclasses.replace(model.head, classes=()))
    for task, given, says in (
        (mine, model, "mine.tsv has classes maybe, no in mine, and the model tells no, yes: those of a folder"),
        (mine, tiny(), "mine.tsv needs classes of its own, .*, which the model has not: take another than --model=it"),
        (mine, number, "mine.tsv needs classes of its own"),
        (mine, headed(("no", "maybe"), False), "mine.tsv is of pairs, which the model does not read"),
        (sts, model, "sts.tsv needs an encoder of texts, and the model reads pairs of texts as one"),
        (typo, tiny(), "which the model has not: .*typo.tsv:2: '2,5' is no number, so that all judgements are names"),
    ):
        with pytest.raises(UsageProblem, match=says):
            task.ready(given, "--model=it")
