import gzip
import sys
import typing

import numpy as np
import pytest

from embeddings import evaluate
from embeddings.encoder import WordVectors
from embeddings.evaluation import pair_classification, tasks
from embeddings.evaluation.tasks.task import NEEDS, Options, Task
from embeddings.experiment import Evaluate
from embeddings.problems import Problem, UsageProblem


class Lengths:
    """An encoder of texts and nothing else: a text's length and its first letter."""

    def encode(self, texts):
        return np.array([[len(text), ord(text[0])] for text in texts], np.float32)


@pytest.fixture
def place(tmp_path):
    """A folder of small data sets."""
    header = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"
    rows = "1\t1\t2\ta king\ta king\n0\t3\t4\ta king\tz\n1\t5\t6\tqueen\tqueens\n"
    for path in pair_classification.MRPC:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(gzip.compress((header + rows).encode()))
    (tmp_path / "mine.csv").write_text("query,document\na king,a queen\nb,b\n")
    return tmp_path


def test_both_commands_know_every_task():
    """The choices of flags are written out; they are the list's."""
    for where, field, left_out in ((Evaluate, "tasks", {"perplexity"}), (evaluate.Flags, "task", set())):
        choices = typing.get_args(typing.get_args(typing.get_type_hints(where)[field])[0])
        assert len(set(choices)) == len(choices) and set(choices) | left_out == set(tasks.TASKS)


def test_tasks_are_checked_before_they_run(tmp_path):
    with pytest.raises(UsageProblem, match="no evaluation task 'analogy'"):
        tasks.tasks(["analogy"], tmp_path)
    assert tasks.tasks((), None) == ()
    for name in tasks.TASKS:
        if name not in tasks.WITHOUT_DATA:
            with pytest.raises(Problem, match=f"evaluation task {name}: no folder of data sets is known"):
                tasks.tasks([name], None)
            with pytest.raises(Problem, match=rf"evaluation task {name}: {tmp_path}.* (missing|holds no)"):
                tasks.tasks([name], tmp_path)


def test_what_a_task_needs_says_which_model_it_can_run_on(place):
    vectors = WordVectors(("a", "king"), np.eye(2, dtype=np.float32))
    pairs, docs = tasks.tasks(["pairs", "python_docs"], place)
    assert (pairs.lacking(vectors), docs.lacking(vectors), pairs.lacking(Lengths())) == (None, None, None)
    assert docs.lacking(Lengths()) == "needs a table of word vectors, which the model has not"
    tokens = Task("any", "tokens", tuple, tuple)
    assert tokens.lacking(vectors) is None and tokens.lacking(type("Model", (), {"tokens": 1})()) is None
    assert tokens.lacking(Lengths()) == "needs a vector of every word of a sentence, which the model has not"
    assert set(NEEDS) == {
        "words", "texts", "tokens", "classes", "numbers", "tags", "answers", "predictions",
    }


def test_word_vectors_are_measured_by_each_pooling_and_any_encoder_as_it_is(place):
    (pairs,) = tasks.tasks(["pairs"], place)
    vectors = WordVectors(("a", "king", "queen", "queens"), np.eye(4, dtype=np.float32))
    assert [result.method for result in pairs.run(vectors)] == ["mean", "sif"]
    (result,) = pairs.run(Lengths())
    assert result.method == "encoder" and result.value("MRPC", "AP") == 1
    assert set(pairs.scores(Lengths())) == {f"MRPC {name} encoder" for name in ("AP", "accuracy", "F1", "AP, cosine")}
    assert pairs.table([result]).columns[2] == "encoder"


def test_retrieval_stands_beside_bm25_where_it_is_installed(place, monkeypatch):
    (retrieval,) = tasks.tasks(["retrieval"], None, Options(collections=(place / "mine.csv",)))
    results, reason = retrieval.beside_baselines(Lengths())
    assert [result.method for result in results] == ["encoder", "BM25"] and reason is None
    assert retrieval.table(results).rows[0][:2] == ("mine.csv", "nDCG@10")
    assert all(name.endswith(" encoder") for name in retrieval.scores(Lengths())), "training follows the model alone"
    monkeypatch.setitem(sys.modules, "Stemmer", None)
    results, reason = retrieval.beside_baselines(Lengths())
    assert [result.method for result in results] == ["encoder"] and "pip install 'embeddings[retrieval]'" in reason
