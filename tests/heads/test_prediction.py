"""Tasks of models that predict words: against one line at a time, with the words put together by hand."""
import functools

import jax
import numpy as np
import pytest
import scipy.special
from heads.conftest import texts, tiny

from embeddings.heads import ablation, importance, prediction
from embeddings.inputs.sequences import Tokens
from embeddings.problems import Problem, UsageProblem

TASKS = {"gpt": "perplexity", "bert": "masked-lm"}
LINES = [*(f"{a} {b}" for a, b in zip(texts(9), texts(9, seed=1), strict=True)), "a"]


@functools.cache
def alone(model):
    """Scores of all words after one line, in a row of 64 tokens."""
    def scores(tokens, mask):
        params, config = model.placed[0], model.config
        hidden = model.module.apply(params, config, tokens, head_mask=mask).hidden[0]
        return model.module.logits(params, config, hidden)

    return jax.jit(scores)


def by_hand(model, line, head_mask=None):
    """(J, n) of one line that stands alone."""
    read = model.read([line])
    ids, shown, N = read.ids, read.ids.copy(), len(read.ids)
    if model.config.stack.causal:
        places, targets = np.arange(N - 1), ids[1:]
    else:
        places = np.arange(3, N - 1, 7)
        targets, shown[places] = ids[places], model.tokenizer.mask
    rows = (np.pad(a, (0, 64 - N))[None].astype(np.int32) for a in (shown, np.ones(N), np.arange(N), read.types))
    mask = np.ones((3, 4), np.float32) if head_mask is None else head_mask
    logits = np.asarray(alone(model)(Tokens(*rows), mask), np.float64)[places]
    return scipy.special.log_softmax(logits, axis=1)[np.arange(len(places)), targets].sum(), len(places)


@pytest.mark.parametrize("kind", TASKS)
def test_a_packed_line_is_worth_what_it_is_alone(kind):
    model = tiny(kind)
    task = prediction.of_lines("toy", LINES, TASKS[kind])
    predictor = prediction.predictor(model, TASKS[kind], "toy")
    expected = np.array([by_hand(model, line) for line in LINES])
    found = predictor.encode(task.texts)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert task.score(task.items(found)) == pytest.approx(expected[:, 0].sum() / expected[:, 1].sum(), abs=1e-5)
    assert (kind == "bert") == (expected[-1, 1] == 0), "a line of one word has none in the place of a mask"


@pytest.mark.parametrize("kind", [pytest.param("gpt", marks=pytest.mark.slow), "bert"])
def test_heads_are_ablated_by_it(kind, tmp_path):
    model = tiny(kind)
    task = prediction.of_lines("toy", LINES, TASKS[kind])
    predictor = prediction.predictor(model, TASKS[kind], "toy")
    done = ablation.run(predictor, task, ((1, 2), (2, 0)), tmp_path, lambda *_: None, resamples=20)
    for head in done.heads:
        mask = np.ones((3, 4), np.float32)
        mask[head.layer, head.head] = 0
        total, number = np.sum([by_hand(model, line, mask) for line in LINES], axis=0)
        assert head.without == pytest.approx(total / number, abs=1e-5)


@pytest.mark.slow  # much like those of tasks of vectors
@pytest.mark.parametrize("kind", TASKS)
def test_its_gradient_is_that_of_finite_differences(kind):
    model = tiny(kind)
    task = prediction.of_lines("toy", LINES, TASKS[kind])
    predictor = prediction.predictor(model, TASKS[kind], "toy")
    vectors = predictor.encode(task.texts)
    found = importance.gradients(predictor, task.texts, vectors, task.loss(vectors))
    step, at = 1e-2, (1, 3)
    mask = np.ones((2, 3, 4), np.float32)
    mask[:, *at] += -step, step
    low, high = (predictor.encode(task.texts, head_mask=one) for one in mask)
    rows = task.loss(vectors).items
    expected = (low[rows, 0] - high[rows, 0]) / (2 * step) / vectors[rows, 1]
    np.testing.assert_allclose(found[:, *at], expected, atol=2e-3)


def test_what_a_model_does_not_predict_is_said():
    with pytest.raises(UsageProblem, match="predicts the next word: take --task=perplexity"):
        prediction.predictor(tiny("gpt"), "masked-lm", "--model=toy")
    with pytest.raises(UsageProblem, match="predicts masked words: take --task=masked-lm"):
        prediction.predictor(tiny("bert"), "perplexity", "--model=toy")
    with pytest.raises(Problem, match="no line has a token to predict"):
        prediction.of_lines("toy", ["a", "b"], "masked-lm").items(np.zeros((2, 2)))
