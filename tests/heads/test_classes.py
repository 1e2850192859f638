"""Heads judged by the model's own classes: against zeros in the weights, `.classify` and finite differences."""
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from heads.conftest import headed, texts

from embeddings.evaluation.paired import Told
from embeddings.heads import ablation, classes, gates, importance, layers, pruning, tasks
from embeddings.heads.inside import Inside

CLASSES = ("no", "yes", "maybe")
EVERY = tuple((layer, head) for layer in range(3) for head in range(4))
FORMS = {  # pairs read as one, pairs of vectors, single texts, pairs read as one whichever is first
    "joined": (True, ("u",), 2), "siamese": (False, ("u", "v", "|u-v|"), 2), "single": (False, ("u",), 1),
    "folder": (None, ("u",), 2), "both orders": (True, ("u+v",), 2),
}


def told(number, columns):
    """Texts, or pairs of them, one in two of another's too, with a class each."""
    sides = [texts(number, seed=n) for n in range(columns)]
    sides[-1][1] = sides[-1][0]
    rows = [*zip(*sides, strict=True)]
    labels = tuple(CLASSES[n % 3] for n in range(number))
    return Told("toy", tuple(row if columns == 2 else row[0] for row in rows), labels)


def right(model, one):
    """Which the model tells rightly."""
    return np.array([a == b for a, b in zip(model.classify(one.texts).labels, one.labels, strict=True)], float)


def zeroed(model, layer, heads):
    """The model with zeros in the place of some heads' slice of the output projection."""
    params = jax.tree.map(np.array, model.params)
    params["transformer"]["layers"]["attention"]["output"]["kernel"][layer, list(heads)] = 0
    return dataclasses.replace(model, params=params)


@pytest.mark.parametrize("form", FORMS)
def test_a_head_is_worth_what_zeros_in_its_place_cost(form, tmp_path):
    """Every head of every layer, item by item; without it, and alone."""
    joined, parts, columns = FORMS[form]
    model, one = headed(CLASSES, joined, parts), told(30, columns)
    model, measure = classes.telling(model), classes.of_told(one, model)
    found = ablation.swept(model, measure, EVERY, tmp_path, lambda *_: None)
    np.testing.assert_array_equal(found.base["items"], right(model, one))
    plain = headed(CLASSES, joined, parts)
    for layer, head in EVERY:
        others = [other for other in range(4) if other != head]
        for name, gone in (("without", [head]), ("alone", others)):
            np.testing.assert_array_equal(found.found[layer][name][head], right(zeroed(plain, layer, gone), one))
    judged = ablation.run(model, measure, EVERY, tmp_path, lambda *_: None, 50)
    assert judged.score == right(plain, one).mean() and judged.metric == "accuracy"
    assert len({items.tobytes() for items in found.without().values()}) > 1, "heads matter"
    if form == "joined":
        inside = Inside(tasks.Task("toy", "classes", lambda *_: (model, measure)), 50).scores(plain)
        assert inside["best alone 1"] == max(head.alone for head in judged.heads if head.layer == 1) - judged.score
        assert inside["without 2.3"] == judged.heads[11].without - judged.score


@pytest.mark.parametrize("form", ["joined", "siamese", "both orders"])
def test_importance_is_that_of_finite_differences(form):
    joined, parts, columns = FORMS[form]
    model, one = headed(CLASSES, joined, parts), told(12, columns)
    model, measure = classes.telling(model), classes.of_told(one, model)
    vectors = model.encode(measure.texts)
    gradients = importance.gradients(model, measure.texts, vectors, measure.loss(vectors))
    number = [CLASSES.index(label) for label in one.labels]

    def losses(at, step):
        mask = np.ones((3, 4), np.float32)
        mask[at] += step
        u = model.encode(measure.texts, head_mask=mask)[measure.loss(vectors).members]
        u, v = u[:, 0], u[:, -1]
        made = {"u": u, "v": v, "|u-v|": np.abs(u - v), "u+v": u + v}
        head = model.head.params
        logits = np.concatenate([made[part] for part in parts], 1) @ head["kernel"] + head["bias"]
        return np.asarray(-jax.nn.log_softmax(jnp.asarray(logits), axis=1))[np.arange(len(u)), number]

    slopes = np.empty_like(gradients)
    for at in EVERY:
        slopes[:, *at] = (losses(at, 0.01) - losses(at, -0.01)) / 0.02
    np.testing.assert_allclose(gradients, slopes, atol=1e-2 * np.abs(slopes).max())
    mean = np.abs(slopes).mean(axis=0)
    expected = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    np.testing.assert_allclose(importance.importance(gradients), expected, atol=2e-2)


def test_blank_texts_are_read_as_classify_reads_them():
    model = headed(CLASSES, False, ("u",))
    one = Told("toy", ("the cat", "", " "), ("no", "yes", "no"))
    model, measure = classes.telling(model), classes.of_told(one, model)
    np.testing.assert_array_equal(measure.items(pruning.encoded(model, measure)), right(model, one))


def test_what_is_known_of_other_classes_is_not_taken(tmp_path):
    model, one = headed(CLASSES, True), told(6, 2)
    swept = [ablation.swept(classes.telling(model), classes.of_told(one, model), EVERY[:1], tmp_path / "a",
                            lambda *_: None)]
    other = dataclasses.replace(one, labels=one.labels[::-1])
    head = dataclasses.replace(model.head, params=jax.tree.map(lambda leaf: leaf + 1, model.head.params))
    for told_, given in ((other, model), (one, dataclasses.replace(model, head=head))):
        with pytest.raises(ablation.Problem, match="holds the ablation of another model, task or choice"):
            ablation.swept(classes.telling(given), classes.of_told(told_, given), EVERY[:1], tmp_path / "a",
                           lambda *_: None)
    assert len(swept[0].base["items"]) == 6


@pytest.mark.slow  # compiles a program for each layer
def test_layers_pruning_and_gates_know_it():
    model, one = headed(CLASSES, True), told(30, 2)
    model, measure = classes.telling(model), classes.of_told(one, model)
    found = layers.measured(model, measure, lambda *_: None)
    assert found.score == found.pooled[-1] == right(model, one).mean() and found.weights == ()
    for layer in range(3):
        less = layers.dropped(headed(CLASSES, True), range(layer, 3))
        assert found.pooled[layer] == right(less, one).mean(), "the head on an earlier layer, its dense layer between"
    curve = pruning.by_order(model, measure, EVERY, 3, lambda _: None)
    assert curve[-1].pruned == 12 and curve[0].score == found.score
    bare = headed(CLASSES, True)
    for layer in range(3):
        bare = zeroed(bare, layer, range(4))
    assert curve[-1].score == right(bare, one).mean()
    greedy = pruning.greedy(model, measure.part(np.arange(0, 30, 2)), 2, lambda _: None)
    assert greedy[-1].pruned == 12
    log_alpha = gates.learned(model, measure, model.encode(measure.texts), np.arange(0, 30, 2),
                              gates.Training(300.0, 30, 4, 0.3), lambda _: None)
    assert (gates.settled(log_alpha) == 0).all(), "what is open costs more than any class is worth"
