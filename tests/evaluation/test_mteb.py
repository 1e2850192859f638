"""The protocols are MTEB's: the same vectors get the same scores from mteb itself, which brings torch."""
import numpy as np
import pytest

from embeddings.evaluation import classification, clustering, pair_classification
from embeddings.evaluation.labelled import Labelled, LabelledSet
from embeddings.evaluation.pair_classification import LabelledPairs

pytestmark = [pytest.mark.reference, pytest.mark.filterwarnings("ignore")]
LABELS = np.random.default_rng(0).integers(0, 5, 600)
VECTORS = np.eye(5, 8)[LABELS] + np.random.default_rng(1).normal(size=(600, 8)) / 2
TEXTS = tuple(f"text {n}" for n in range(600))
NAMES = tuple(f"label {label}" for label in LABELS)


def encode(texts):
    return VECTORS[[int(text.split()[1]) for text in texts]]


class Encoder:
    """The vectors as mteb asks for them."""

    mteb_model_meta = None

    def encode(self, inputs, **_):
        return encode([text for batch in inputs for text in batch["text"]])

    def similarity(self, a, b):
        return a @ b.T

    def similarity_pairwise(self, a, b):
        return (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


@pytest.fixture
def theirs():
    """Called with a kind of task of mteb's, its main score and parts as columns: the scores of the test part."""
    pytest.importorskip("mteb")
    import datasets
    from mteb.abstasks.task_metadata import TaskMetadata

    def scores(kind, name, main, **parts):
        unknown = dict.fromkeys(("reference", "date", "domains", "task_subtypes", "license", "annotations_creators",
                                 "dialect", "sample_creation", "bibtex_citation"))
        metadata = TaskMetadata(name="Local", description="-", dataset={"path": "x/x", "revision": "1"}, type=name,
                                category="t2c", modalities=["text"], eval_splits=["test"], eval_langs=["eng-Latn"],
                                main_score=main, **unknown)
        task = type("Local", (kind,), {"metadata": metadata})()
        task.dataset = datasets.DatasetDict({part: datasets.Dataset.from_dict(part_of)
                                             for part, part_of in parts.items()})
        task.data_loaded = True
        return task.evaluate(Encoder(), "test", encode_kwargs={})["default"]

    return scores


def test_classification(theirs):
    from mteb.abstasks.classification import AbsTaskClassification

    train, test = ({"text": TEXTS[part], "label": LABELS[part].tolist()} for part in (slice(400), slice(400, 600)))
    expected = theirs(AbsTaskClassification, "Classification", "accuracy", train=train, test=test)
    one = LabelledSet("mine", Labelled(TEXTS[:400], NAMES[:400]), Labelled(TEXTS[400:], NAMES[400:]))
    ours = classification.evaluate(encode, [one])
    assert ours.value("mine", "accuracy") == pytest.approx(expected["accuracy"], abs=1e-12)
    assert ours.value("mine", "macro F1") == pytest.approx(expected["f1"], abs=1e-12)
    each = [score["accuracy"] for score in expected["scores_per_experiment"]]
    assert ours.value("mine", "accuracy, deviation") == pytest.approx(np.std(each), abs=1e-12) != 0


def test_clustering(theirs):
    from mteb.abstasks.clustering_legacy import AbsTaskClusteringLegacy

    part = {"sentences": [list(TEXTS)], "labels": [LABELS.tolist()]}
    expected = theirs(AbsTaskClusteringLegacy, "Clustering", "v_measure", test=part)
    ours = clustering.evaluate(encode, [LabelledSet("mine", None, Labelled(TEXTS, NAMES))], seeds=(42,))
    assert ours.value("mine", "v-measure") == pytest.approx(expected["v_measure"], abs=1e-12)


def test_pair_classification(theirs):
    from mteb.abstasks.pair_classification import AbsTaskPairClassification

    same = (LABELS[:300] == LABELS[300:]).astype(int)
    part = {"sentence1": TEXTS[:300], "sentence2": TEXTS[300:], "labels": same.tolist()}
    expected = theirs(AbsTaskPairClassification, "PairClassification", "max_ap", test=part)
    ours = pair_classification.evaluate(encode, [LabelledPairs("mine", TEXTS[:300], TEXTS[300:], same)])
    for measure, name in (("AP", "max_ap"), ("accuracy", "max_accuracy"), ("F1", "max_f1"),
                          ("AP, cosine", "cosine_ap")):
        assert ours.value("mine", measure) == pytest.approx(expected[name], abs=1e-12)
