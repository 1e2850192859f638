"""Patterns of attention against loops over each text's own weights."""
import numpy as np
import scipy.spatial.distance
from heads.conftest import UNEQUAL, texts, tiny

from embeddings.heads import attention_page, patterns


def of_text(model, text):
    """Sums of each head over the tokens of a text, and of how many, by loops; the weights in float64."""
    special, dots = patterns.kinds(model)
    ids = model.read([text]).ids
    rows, N = [], len(ids)
    for layer in model.attention(text):
        for a in np.asarray(layer, np.float64):
            rows.append([
                sum(-a[t, s] * np.log(a[t, s]) for t in range(N) for s in range(N) if a[t, s] > 0),
                sum(a[t, s] * abs(s - t) for t in range(N) for s in range(N)),
                sum(a[t, s] for t in range(N) for s in range(N) if special[ids[s]]),
                sum(a[t, s] for t in range(N) for s in range(N) if dots[ids[s]]),
                sum(a[t, t - 1] for t in range(1, N)),
                sum(a[t, t + 1] for t in range(N - 1)),
                sum(a[t, t] for t in range(N)),
            ])
    return np.array(rows), np.array([N, N, N, N, N - 1, N - 1, N])


def test_means_and_divergences_are_those_of_loops():
    model, some = tiny("bert", UNEQUAL), texts(7)
    found = patterns.measured(model, some)
    sums, counts = (np.sum(part, axis=0) for part in zip(*(of_text(model, text) for text in some), strict=True))
    np.testing.assert_allclose(found.values, sums / counts, rtol=1e-4, atol=1e-6)
    assert found.places == ((0, 0), (0, 2), (1, 1), (1, 2), (1, 3), (2, 3)) and found.tokens == counts[0]
    heads = [[a for layer in model.attention(text) for a in np.asarray(layer, np.float64)] for text in some]
    expected = sum(scipy.spatial.distance.jensenshannon(one[1][t], one[4][t]) ** 2 for one in heads
                   for t in range(len(one[1]))) / counts[0]
    np.testing.assert_allclose(found.divergence[1, 4], expected, rtol=1e-3)
    np.testing.assert_allclose(found.divergence, found.divergence.T, atol=1e-6)


def test_special_tokens_are_no_punctuation(model):
    special, dots = patterns.kinds(model)
    named = [token for token, is_special in zip(model.tokenizer.tokens, special, strict=True) if is_special]
    assert {"[CLS]", "[SEP]", "[MASK]"} <= set(named) and not (special & dots).any()


def test_clusters_hold_heads_that_are_alike():
    place = np.array([0.0, 5, 0.1, 5.1, 9])
    divergence = (place[:, None] - place[None, :]) ** 2
    assert patterns.clusters(divergence, 3).tolist() == [1, 2, 1, 2, 3]
    plane = patterns.flat(divergence)
    np.testing.assert_allclose(np.abs(plane[:, None] - plane[None, :])[..., 0], np.sqrt(divergence), atol=1e-6)


def test_drawings_of_a_sentence():
    tokens, a = ("[CLS]", "<b>", "dog"), np.array([[1, 0, 0], [0.5, 0.5, 0], [0, 0.1, 0.9]], np.float32)
    shown = attention_page.lines(tokens, a, "layer 0, head 0").splitlines()
    assert shown[1] == "  0 [CLS] |@@    | [CLS] 1.00" and shown[3].endswith("|  ..@@| dog 0.90")
    page = attention_page.page(tokens, [a[None], a[None]], ((3,), (0,)), "a <title>")
    assert page.count("<svg") == 2 and page.count("<rect") == 2 * 5 and "layer 0, head 3" in page
    assert "&lt;b&gt;" in page and "<b>" not in page and "<script" not in page
