"""Losses of pairs and triplets against their definition, one example after another, and sentence-transformers'."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from embeddings.inputs.sentences import Labels
from embeddings.objectives import sentences
from embeddings.objectives.sentences import Contrastive, Cosine, InBatch, Matryoshka, Regression, Softmax, Triplet

N, E = 6, 5


def vectors(columns=2, seed=0):
    return np.random.default_rng(seed).normal(size=(N, columns, E)).astype(np.float32)


def labels(label=None, texts=None, columns=2):
    weight = np.array([1, 1, 0, 1, 1, 1], np.float32)
    texts = np.arange(N * columns).reshape(N, columns) if texts is None else texts
    label = np.zeros(N) if label is None else label
    return Labels(jnp.asarray(texts, jnp.int32), jnp.asarray(label, jnp.float32), jnp.asarray(weight))


def mean(sums, name="loss"):
    return float(sums[name][0] / sums[name][1])


def cos(a, b):
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def over(each):
    """The mean over examples with weight."""
    return np.mean([value for value, w in zip(each, labels().weight, strict=True) if w])


def test_cosine_regression():
    x, y = vectors(), np.linspace(-1, 1, N)
    want = over([(cos(u, v) - label) ** 2 for (u, v), label in zip(x, y, strict=True)])
    assert mean(Cosine().loss({}, jnp.asarray(x), labels(y))) == pytest.approx(want, abs=1e-6)


def test_triplets():
    x = vectors(3)
    each = [max(0, np.linalg.norm(u - v) - np.linalg.norm(u - w) + 1.5) for u, v, w in x]
    sums = Triplet(1.5).loss({}, jnp.asarray(x), labels(columns=3))
    assert mean(sums) == pytest.approx(over(each), abs=1e-5)
    nearer = over([np.linalg.norm(u - v) < np.linalg.norm(u - w) for u, v, w in x])
    assert mean(sums, "accuracy") == pytest.approx(nearer)
    same = jnp.ones((N, 3, E))
    assert np.isfinite(jax.grad(lambda x: Triplet().loss({}, x, labels(columns=3))["loss"][0])(same)).all()


def test_contrastive():
    x, y = vectors(), np.array([0, 1, 0, 1, 0, 1])
    d = [1 - cos(u, v) for u, v in x]
    want = over([0.5 * (a**2 if t else max(0, 0.8 - a) ** 2) for a, t in zip(d, y, strict=True)])
    assert mean(Contrastive(0.8).loss({}, jnp.asarray(x), labels(y))) == pytest.approx(want, abs=1e-6)


@pytest.mark.parametrize("parts", [
    ("u", "v"), ("|u-v|",), ("u*v",), ("|u-v|", "u*v"), ("u", "v", "u*v"),
    ("u", "v", "|u-v|"), ("u", "v", "|u-v|", "u*v"), ("u+v",),
], ids=str)
def test_softmax_over_every_concatenation_of_table_6(parts):
    loss, x, y = Softmax(3, parts), vectors(), np.array([0, 2, 1, 1, 0, 2])
    params = loss.init(jax.random.key(0), E)
    each, right = [], []
    for (u, v), label in zip(x, y, strict=True):
        made = {"u": u, "v": v, "|u-v|": np.abs(u - v), "u*v": u * v, "u+v": u + v}
        s = np.concatenate([made[part] for part in parts]) @ np.asarray(params["kernel"]) + params["bias"]
        each.append(np.log(np.exp(s).sum()) - s[label])
        right.append(np.argmax(s) == label)
    sums = loss.loss(params, jnp.asarray(x), labels(y))
    assert mean(sums) == pytest.approx(over(each), abs=1e-5) and mean(sums, "accuracy") == pytest.approx(over(right))


@pytest.mark.parametrize(("parts", "columns"), [(("u",), 1), (("u", "v", "|u-v|"), 2)])
def test_regression_by_a_linear_map(parts, columns):
    loss, x, y = Regression(parts=parts), vectors(columns), np.linspace(-3, 7, N)
    params = loss.init(jax.random.key(0), E)
    params["bias"] = jnp.ones(1)
    each = []
    for row, number in zip(x, y, strict=True):
        u, v = row[0], row[-1]
        made = {"u": u, "v": v, "|u-v|": np.abs(u - v)}
        s = np.concatenate([made[part] for part in parts]) @ np.asarray(params["kernel"])[:, 0] + 1
        each.append((s - number) ** 2)
    sums = loss.loss(params, jnp.asarray(x), labels(y, columns=columns))
    assert loss.texts == columns and mean(sums) == pytest.approx(over(each), rel=1e-5)


def in_batch(x, weight, texts, temperature, symmetric):
    """The definition, example by example; a text never competes with its equal."""
    there, each = [n for n in range(N) if weight[n]], []

    def log_share(right, others):
        return np.log(np.exp(np.array([right, *others]) / temperature).sum()) - right / temperature

    for i in there:
        mine = {texts[i][0], texts[i][1]}
        strangers = [j for j in there if j != i and texts[j][1] not in mine and texts[j][0] != texts[i][0]]
        hard = [(j, c) for j in there for c in range(2, x.shape[1]) if texts[j][c] not in mine]
        wrong = [cos(x[i][0], x[j][1]) for j in strangers] + [cos(x[i][0], x[j][c]) for j, c in hard]
        one = log_share(cos(x[i][0], x[i][1]), wrong)
        if symmetric:
            back = [j for j in there if j != i and texts[j][0] not in mine and texts[j][1] != texts[i][1]]
            one = (one + log_share(cos(x[i][1], x[i][0]), [cos(x[i][1], x[j][0]) for j in back])) / 2
        each.append(one)
    return np.mean(each)


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("columns", [2, 4])
def test_in_batch(columns, symmetric):
    x = vectors(columns)
    texts = np.arange(N * columns).reshape(N, columns)
    texts[4, 0], texts[5, 1] = texts[1, 0], texts[0, 1]
    given = labels(texts=texts, columns=columns)
    want = in_batch(x, given.weight, texts.tolist(), 0.1, symmetric)
    for loss in (InBatch(0.1, symmetric=symmetric), InBatch(0.1, learned=True, symmetric=symmetric)):
        params = loss.init(jax.random.key(0), E)
        sums = loss.loss(params, jnp.asarray(x), given)
        assert mean(sums) == pytest.approx(want, abs=2e-5) and 0 < mean(sums, "probability") < 1


def test_the_temperature_is_trained_where_asked():
    loss = InBatch(0.1, learned=True)
    params = loss.init(jax.random.key(0), E)
    x = jnp.asarray(vectors())

    def total(log_t):
        return loss.loss({"log_temperature": log_t}, x, labels())["loss"][0]

    by, h = jax.grad(total)(params["log_temperature"]), 1e-2
    step = (total(params["log_temperature"] + h) - total(params["log_temperature"] - h)) / (2 * h)
    assert by == pytest.approx(float(step), rel=1e-2) and InBatch().init(jax.random.key(0), E) == {}


def test_matryoshka_sums_a_loss_over_beginnings():
    x, y = vectors(), np.linspace(0, 1, N)
    loss = Matryoshka(Cosine(), (2, 5))
    params = loss.init(jax.random.key(0), E)
    want = sum(mean(Cosine().loss({}, jnp.asarray(x[..., :w]), labels(y))) for w in (2, 5))
    assert mean(loss.loss(params, jnp.asarray(x), labels(y))) == pytest.approx(want, abs=1e-6)
    inner = Matryoshka(Softmax(3), (2, 4))
    assert inner.init(jax.random.key(0), E)["2"]["kernel"].shape == (6, 3)
    assert np.isfinite(mean(inner.loss(inner.init(jax.random.key(0), E), jnp.asarray(x), labels(y))))


def test_zero_vectors_have_finite_gradients():
    for loss in (Cosine(), Contrastive(), InBatch()):
        by = jax.grad(lambda x, loss=loss: loss.loss({}, x, labels())["loss"][0])(jnp.zeros((N, 2, E)))
        assert np.isfinite(by).all()


@pytest.mark.reference
@pytest.mark.filterwarnings("ignore")
def test_losses_are_those_of_sentence_transformers():
    torch = pytest.importorskip("torch")
    losses = pytest.importorskip("sentence_transformers.losses")

    class Vectors(torch.nn.Module):
        def forward(self, features):
            return {"sentence_embedding": features["x"]}

    def theirs(kind, x, y, **more):
        made = kind(Vectors(), **more)
        features = [{"x": torch.tensor(x[:, c])} for c in range(x.shape[1])]
        return float(made(features, torch.tensor(y)))

    every = labels()._replace(weight=jnp.ones(N))
    x, scores, two = vectors(), np.linspace(-1, 1, N).astype(np.float32), np.array([0, 1, 0, 1, 0, 1])

    def ours(loss, x, y=None):
        given = every._replace(label=jnp.zeros(N) if y is None else jnp.asarray(y, jnp.float32))
        given = given._replace(texts=jnp.arange(N * x.shape[1]).reshape(N, -1))
        return mean(loss.loss(loss.init(jax.random.key(0), E), jnp.asarray(x), given))

    assert ours(Cosine(), x, scores) == pytest.approx(theirs(losses.CosineSimilarityLoss, x, scores), abs=1e-6)
    assert ours(Contrastive(0.5), x, two) == pytest.approx(theirs(losses.ContrastiveLoss, x, two), abs=1e-6)
    assert ours(Triplet(5.0), vectors(3)) == pytest.approx(theirs(losses.TripletLoss, vectors(3), two), abs=1e-6)
    for columns in (2, 3):
        want = theirs(losses.MultipleNegativesRankingLoss, vectors(columns), two)
        assert ours(InBatch(0.05), vectors(columns)) == pytest.approx(want, abs=1e-5)
    want = theirs(losses.MultipleNegativesSymmetricRankingLoss, x, two)
    assert ours(InBatch(0.05, symmetric=True), x) == pytest.approx(want, abs=1e-5)


def test_what_is_added_up_is_named():
    sums = Softmax(3).loss(Softmax(3).init(jax.random.key(0), E), jnp.asarray(vectors()), labels())
    assert {*sums} == {"loss", "accuracy"} and float(sums["loss"][1]) == 5
    assert isinstance(InBatch(), sentences.Loss) and isinstance(Matryoshka(InBatch(), (2,)), sentences.Loss)
