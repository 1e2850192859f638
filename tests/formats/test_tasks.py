"""Heads in folders of transformers: read, written, refused. test_families.py has them beside transformers' own."""
import json
import re

import jax
import numpy as np
import pytest
import small

from embeddings.formats import huggingface
from embeddings.formats.families import FAMILIES
from embeddings.formats.tasks import ANSWERS, TAGS, TASKS, TaskHead
from embeddings.problems import Problem

LABELS = ("O", "B-a", "I-a")
MODULES = {"TokenClassification": "classifier", "QuestionAnswering": "qa_outputs"}


def head(task, family="bert"):
    """A head of the small models."""
    draw, rows = np.random.default_rng(1), 2 if task == "QuestionAnswering" else 3
    params = {"kernel": draw.normal(size=(16, rows)).astype(np.float32),
              "bias": draw.normal(size=rows).astype(np.float32)}
    labels, settings = (LABELS, {}) if rows == 3 else ((), {"doc_stride": 3})
    return TaskHead(task, family, labels, settings, params)


def written(folder, task, family="bert"):
    folder.mkdir(exist_ok=True)
    huggingface.write(folder, family, small.CONFIGS[family], small.params(family), head=head(task, family))
    return folder


@pytest.mark.parametrize("task", [TAGS, ANSWERS])
@pytest.mark.parametrize("family", [family for family in FAMILIES if TASKS[TAGS].table(family)])
def test_a_head_comes_back(family, task, tmp_path):
    loaded = huggingface.read(written(tmp_path, task, family))
    expected = head(task, family)
    assert (loaded.head.task, loaded.head.labels, loaded.head.settings) == (task, expected.labels, expected.settings)
    jax.tree.map(np.testing.assert_array_equal, loaded.head.params, expected.params)
    assert not loaded.unused and not {"pooler", "predictions", "task"} & set(loaded.params)
    same = {name: part for name, part in small.params(family).items() if name in loaded.params}
    jax.tree.map(np.testing.assert_array_equal, loaded.params, same)


def test_labels_and_class_stand_in_the_configuration(tmp_path):
    said = json.loads((written(tmp_path, "TokenClassification") / "config.json").read_text())
    assert said["architectures"] == ["BertForTokenClassification"]
    assert said["id2label"] == {"0": "O", "1": "B-a", "2": "I-a"} and said["label2id"]["I-a"] == 2


def test_labels_without_names_are_those_of_transformers(tmp_path):
    folder = small.changed(written(tmp_path, "TokenClassification"), id2label=None, label2id=None, num_labels=3)
    assert huggingface.read(folder).head.labels == ("LABEL_0", "LABEL_1", "LABEL_2")


@pytest.mark.parametrize("architectures", [None, [], "BertForTokenClassification", [None], ["BertModel"],
                                           ["BertForMultipleChoice"]])
def test_without_the_class_of_a_known_task_the_encoder_alone_is_read(tmp_path, architectures):
    folder = small.changed(written(tmp_path, "TokenClassification"), architectures=architectures)
    loaded = huggingface.read(folder)
    assert loaded.head is None and loaded.unused == ("classifier.bias", "classifier.weight")


@pytest.mark.parametrize(("task", "values", "says"), [
    ("TokenClassification", {"architectures": ["BertCrfForTokenClassification"]},
     "config.json: class BertCrfForTokenClassification is not known here, only BertForTokenClassification, "
     "BertForQuestionAnswering, BertForSequenceClassification: write one of these into `architectures`, or BertModel "
     "to read the encoder alone"),
    ("QuestionAnswering", {"architectures": ["RobertaForQuestionAnswering"]}, "class RobertaForQuestionAnswering is"),
    ("TokenClassification", {"id2label": {"0": "O", "1": "B-a"}},
     "says, copy both again: classifier.weight is [3, 16] instead of [2, 16]; classifier.bias is [3] instead of [2]"),
    ("TokenClassification", {"id2label": None}, "classifier.weight is [3, 16] instead of [2, 16]"),
    ("TokenClassification", {"id2label": {"0": "O", "2": "B-a", "3": "I-a"}},
     "config.json: id2label has no label for each number from 0 on: copy the file again"),
    ("TokenClassification", {"id2label": 3}, "id2label has no label for each number"),
    ("TokenClassification", {"id2label": None, "num_labels": "three"}, "id2label has no label for each number"),
])
def test_a_configuration_that_does_not_fit_its_head_is_refused(tmp_path, task, values, says):
    folder = small.changed(written(tmp_path, task), **values)
    with pytest.raises(Problem, match=re.escape(says)) as problem:
        huggingface.read(folder)
    assert "\n" not in str(problem.value) and str(folder) in str(problem.value)


@pytest.mark.parametrize("task", [TAGS, ANSWERS])
@pytest.mark.parametrize("kind", ["missing", "turned", "too many", "not finite"])
def test_a_damaged_head_is_refused(tmp_path, task, kind):
    name = MODULES[task]

    def spoil(found):
        weight = found.pop(f"{name}.weight")
        if kind != "missing":
            found[f"{name}.weight"] = {"turned": weight.T, "too many": np.concatenate([weight, weight]),
                                       "not finite": weight * np.nan}[kind]

    folder = small.rewritten(written(tmp_path, task), spoil)
    says = {"missing": "is missing", "not finite": "has numbers that are not finite: copy the file again"}
    with pytest.raises(Problem, match=re.escape(f"{name}.weight {says.get(kind, 'is [')}")) as problem:
        huggingface.read(folder)
    assert "\n" not in str(problem.value) and str(folder) in str(problem.value)
