"""The protocols are MTEB's: the same vectors get the same scores from mteb itself, which brings torch. And any model
here is one of its encoders."""
import numpy as np
import pytest
import small

from embeddings.evaluation import classification, clustering, pair_classification, sts
from embeddings.evaluation import mteb as adapter
from embeddings.evaluation.labelled import Labelled, LabelledSet
from embeddings.evaluation.pair_classification import LabelledPairs
from embeddings.problems import Problem

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
def local():
    """Called with a kind of task of mteb's, its main score and parts as columns: the task."""
    pytest.importorskip("mteb")
    import datasets
    from mteb.abstasks.task_metadata import TaskMetadata

    def task(kind, name, main, **parts):
        unknown = dict.fromkeys(("reference", "date", "domains", "task_subtypes", "license", "annotations_creators",
                                 "dialect", "sample_creation", "bibtex_citation"))
        metadata = TaskMetadata(name="Local", description="-", dataset={"path": "x/x", "revision": "1"}, type=name,
                                category="t2c", modalities=["text"], eval_splits=["test"], eval_langs=["eng-Latn"],
                                main_score=main, **unknown)
        task = type("Local", (kind,), {"metadata": metadata})()
        task.dataset = datasets.DatasetDict({part: datasets.Dataset.from_dict(part_of)
                                             for part, part_of in parts.items()})
        task.data_loaded = True
        return task

    return task


@pytest.fixture
def theirs(local):
    """The same: the scores of the test part."""
    return lambda *what, **parts: local(*what, **parts).evaluate(Encoder(), "test", encode_kwargs={})["default"]


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


class Task:
    """As much of a task's metadata as prompts are chosen by."""

    name, type = "NFCorpus", "Retrieval"


@pytest.mark.parametrize(("names", "kind", "expected"), [
    (("query", "Retrieval", "NFCorpus", "NFCorpus-query"), "query", "NFCorpus-query"),
    (("query", "Retrieval", "Retrieval-query", "NFCorpus"), "query", "NFCorpus"),
    (("query", "Retrieval", "Retrieval-query"), "query", "Retrieval-query"),
    (("query", "Retrieval"), "document", "Retrieval"),
    (("query", "document"), "document", "document"), (("query",), "document", None), (("query",), None, None),
])
def test_the_most_special_prompt_is_chosen(names, kind, expected):
    assert adapter.prompt_name(dict.fromkeys(names, "x"), Task(), kind) == expected


def test_a_model_is_one_of_their_encoders(local, tmp_path):
    """Their whole evaluation of a local task gives what ours does."""
    mteb = pytest.importorskip("mteb")
    from mteb.abstasks.sts import AbsTaskSTS
    from mteb.models import EncoderProtocol

    model = small.contextual(tmp_path)
    first = ["the bank of the river", "one two", "money", "walked by", "four five", "three of a river"]
    second = ["the bank and money", "two one", "the money", "sat on", "", "a river"]
    judged = [4.0, 5.0, 4.5, 2.0, 0.0, 3.0]
    task = local(AbsTaskSTS, "STS", "cosine_spearman",
                 test={"sentence1": first, "sentence2": second, "score": judged})
    task.min_score, task.max_score = 0, 5
    encoder = adapter.Encoder(model, "me/small", truncate_dim=12)
    assert isinstance(encoder, EncoderProtocol)
    result = mteb.evaluate(encoder, task, cache=None, show_progress_bar=False, co2_tracker=False)
    pairs = sts.Pairs("mine", tuple(first), tuple(second), np.array(judged))
    ours = sts.evaluate(lambda texts: model.encode(texts, truncate_dim=12), [pairs]).sets[0].spearman
    assert result.task_results[0].scores["test"][0]["cosine_spearman"] == pytest.approx(ours, abs=1e-6)
    assert (result.model_name, encoder.mteb_model_meta.embed_dim) == ("me/small", 12)
    a, b = model.encode(first), model.encode(first[::-1])
    np.testing.assert_allclose(np.diag(encoder.similarity(a, b)), encoder.similarity_pairwise(a, b), atol=1e-6)
    with pytest.raises(Problem, match="'small': MTEB wants a name of the form OWNER/NAME"):
        adapter.Encoder(model, "small")
