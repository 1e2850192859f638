"""Tasks as dissection reads them score as evaluation does; bad files are refused in one line."""
import jax.numpy as jnp
import numpy as np
import pytest

from embeddings.evaluation import classification, judged, retrieval, sts
from embeddings.evaluation.labelled import Labelled, LabelledSet
from embeddings.heads import measures

WORDS = "red green blue cat dog fish house river king queen tree stone".split()


def sentences(number, seed):
    draw = np.random.default_rng(seed)
    return [" ".join(draw.choice(WORDS, 4)) for _ in range(number)]


def encode(texts):
    """A fixed random vector of each word, summed."""
    table = dict(zip(WORDS, np.random.default_rng(9).normal(size=(len(WORDS), 6)), strict=True))
    return np.array([sum((table[word] for word in text.split()), np.zeros(6)) for text in texts], np.float32)


def score(measure):
    return measure.score(measure.items(encode(measure.texts)))


def value(loss, u, item):
    return float(loss.of_item(jnp.asarray(u[loss.members[item]]), jnp.asarray(loss.targets[item])))


def test_pairs_score_as_sts():
    pairs = sts.Pairs("toy", tuple(sentences(30, 0)), tuple(sentences(30, 1)), np.arange(30.0) % 7)
    measure = measures.of_pairs(pairs)
    assert score(measure) == pytest.approx(sts.evaluate(encode, [pairs]).sets[0].spearman, abs=1e-12)
    assert len(set(measure.texts)) == len(measure.texts)
    u, loss = encode(measure.texts), measure.loss(encode(measure.texts))
    a, b = u[loss.members[3]]
    assert measure.texts[loss.members[3][0]] == pairs.first[3]
    cos = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    assert value(loss, u, 3) == pytest.approx((cos - 3 / 6) ** 2, rel=1e-5)


@pytest.mark.parametrize("parts", [1, 2])
def test_labels_score_as_classification(parts):
    texts = sentences(90, 2)
    labels = ["low" if text.split()[0] < "fish" else "high" for text in texts]
    test = Labelled(tuple(texts[:40]), tuple(labels[:40]))
    one = LabelledSet("toy", Labelled(tuple(texts[40:]), tuple(labels[40:])) if parts == 2 else None, test)
    measure = measures.of_labels(one, samples=4, times=3)
    expected = classification.evaluate(encode, [one], samples=4, times=3).value("toy", "accuracy")
    assert score(measure) == pytest.approx(expected, abs=1e-12)
    u = encode(measure.texts)
    loss = measure.loss(u)
    model = classification.fitted(u[loss.members[:, 0]], np.array(labels[:40]))
    expected = -model.predict_log_proba(u[loss.members[5]])[0][list(model.classes_).index(labels[5])]
    assert value(loss, u, 5) == pytest.approx(expected, rel=1e-4)


def test_collections_score_as_retrieval():
    rows = np.array([[0, 3, 2], [0, 5, 1], [1, 1, 1], [2, 0, 3]])
    one = judged.Collection("toy", tuple(sentences(4, 3)), tuple(sentences(20, 4)), rows, np.full((4, 1), -1))
    measure = measures.of_collection(one)
    expected = retrieval.evaluate(encode, [one]).value("toy", "nDCG@10")
    assert score(measure) == pytest.approx(expected, abs=1e-9)
    u = encode(measure.texts)
    loss = measure.loss(u)
    assert len(loss.members) == 3 and measure.texts[loss.members[0][1]] == one.documents[3], "the highest grade"
    some = u[loss.members[0]]
    cosines = some[1:] @ some[0] / np.linalg.norm(some[1:], axis=1) / np.linalg.norm(some[0])
    expected = -20 * cosines[0] + np.log(np.exp(20 * cosines).sum())
    assert value(loss, u, 0) == pytest.approx(expected, rel=1e-4)
