"""ELMo's files against the fixtures of its authors, and what is said of broken ones."""
import dataclasses
import json
import re
import shutil

import h5py
import jax
import numpy as np
import pytest

from embeddings.formats import elmo as files
from embeddings.models import character_cnn, elmo
from embeddings.problems import Problem

CONFIG = elmo.Config(
    character_cnn.Config(3, ((1, 4), (2, 5)), "tanh", 2, 8), width=6, cells=5, layers=3, cell_clip=None, proj_clip=0.5,
    use_skip_connections=False, dropout=0.25,
)


@pytest.fixture
def folder(tmp_path):
    shapes = jax.eval_shape(lambda: elmo.init(jax.random.key(0), CONFIG))
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda a: rng.normal(size=a.shape).astype(np.float32), shapes)
    files.write(tmp_path / "model", CONFIG, params)
    return tmp_path / "model", params


def datasets(path):
    """All of a file by name."""
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[()]} if isinstance(item, h5py.Dataset) else {}))
    return found


@pytest.mark.parametrize("name", ["elmo", "elmo_bilm_tf"])
def test_a_model_of_the_authors_comes_in_and_goes_out_bit_by_bit(data, tmp_path, name):
    theirs = data / "fixtures" / name
    config, params = files.read(theirs)
    assert config == elmo.Config(
        character_cnn.Config(4, ((1, 4), (2, 8), (3, 16), (4, 32), (5, 64)), "relu", 2, 50), width=16, cells=64,
        layers=2, cell_clip=3.0, proj_clip=3.0, use_skip_connections=name == "elmo",
    )
    files.write(tmp_path, config, params)
    want, found = datasets(theirs / "lm_weights.hdf5"), datasets(tmp_path / "weights.hdf5")
    assert want.keys() == found.keys()
    assert all(found[key].tobytes() == want[key].tobytes() and found[key].shape == want[key].shape for key in want)
    options = json.loads((tmp_path / "options.json").read_text())
    assert options == {**json.loads((theirs / "options.json").read_text()), "dropout": 0.1}


def test_each_part_is_where_the_format_has_it(folder):
    path, params = folder
    found = datasets(path / "weights.hdf5")
    W = found["RNN_1/RNN/MultiRNNCell/Cell2/LSTMCell/W_0"]
    assert (W[:6] == params["lstm"]["kernel"][2, 1]).all() and (W[6:] == params["lstm"]["recurrent"][2, 1]).all()
    assert (found["RNN_0/RNN/MultiRNNCell/Cell1/LSTMCell/B"] == params["lstm"]["bias"][1, 0]).all()
    assert (found["RNN_0/RNN/MultiRNNCell/Cell0/LSTMCell/W_P_0"] == params["lstm"]["projection"][0, 0]).all()
    assert (found["CNN/W_cnn_1"][0] == params["characters"]["filters"]["1"]["kernel"]).all()
    assert (found["CNN_high_1/b_carry"] == params["characters"]["carry"]["bias"][1]).all()
    config, again = files.read(path)
    assert config == CONFIG
    assert all(jax.tree.leaves(jax.tree.map(np.array_equal, params, again)))
    assert jax.tree.structure(again) == jax.tree.structure(params)
    assert sorted(file.name for file in path.iterdir()) == ["options.json", "weights.hdf5"]


def test_all_tensors_that_do_not_fit_are_named_at_once(folder):
    path = folder[0]
    with h5py.File(path / "weights.hdf5", "a") as file:
        del file["CNN/b_cnn_0"], file["char_embed"], file["CNN_proj/b_proj"]
        file["char_embed"], file["CNN_proj/b_proj"] = np.zeros((262, 3), np.float32), np.zeros(6, np.int32)
        file["softmax/W"] = np.zeros(3, np.float32)
    with pytest.raises(Problem) as problem:
        files.read(path)
    assert str(problem.value) == (
        f"{path}/weights.hdf5: not the weights that options.json speaks of: CNN/b_cnn_0 is missing; char_embed is "
        "262 x 3 where 261 x 3 belongs; CNN_proj/b_proj is no array of floating-point numbers where 6 belongs; "
        "softmax/W belongs nowhere: copy both again"
    )


def test_numbers_that_are_not_finite_are_refused(folder):
    path = folder[0]
    with h5py.File(path / "weights.hdf5", "a") as file:
        file["CNN/b_cnn_0"][1] = np.nan
        file["char_embed"][0, 0] = np.inf
    with pytest.raises(Problem, match=re.escape("numbers that are not finite in char_embed, CNN/b_cnn_0: copy")):
        files.read(path)


@pytest.mark.parametrize(("part", "change", "complaint"), [
    ("lstm", {"dim": None}, "'dim' is missing"),
    ("lstm", {"dim": "many"}, "dim is 'many', not a whole number from 1"),
    ("lstm", {"n_layers": 2}, "Cell2/LSTMCell/B belongs nowhere"),
    ("lstm", {"n_layers": 0}, "n_layers is 0, not a whole number from 1"),
    ("lstm", {"cell_clip": "a"}, "could not convert string to float: 'a'"),
    ("char_cnn", {"activation": "gelu"}, "activation 'gelu' is neither relu nor tanh"),
    ("char_cnn", {"n_characters": 60}, "n_characters is 60, not 262"),
    ("char_cnn", {"filters": [[9, 4]]}, "filters are [[9, 4]], not widths up to 8 and numbers"),
    ("char_cnn", {"filters": 3}, "'int' object is not iterable"),
    ("char_cnn", None, "'char_cnn' is missing"),
])
def test_options_that_are_not_known_are_refused_in_one_line(folder, part, change, complaint):
    path = folder[0] / "options.json"
    options = json.loads(path.read_text())
    options[part] = None if change is None else {k: v for k, v in {**options[part], **change}.items() if v is not None}
    path.write_text(json.dumps({k: v for k, v in options.items() if v is not None}))
    with pytest.raises(Problem, match=re.escape(complaint)) as problem:
        files.read(folder[0])
    assert "\n" not in str(problem.value) and str(problem.value).startswith(str(folder[0]))


def test_what_options_may_leave_out():
    """bilm-tf counts one character less while it trains; without a number of layers there is one."""
    options = files._options(CONFIG)
    del options["lstm"]["n_layers"], options["lstm"]["proj_clip"], options["char_cnn"]["n_highway"], options["dropout"]
    options["char_cnn"]["n_characters"] = 261
    want = dataclasses.replace(CONFIG, layers=1, proj_clip=None, dropout=0.1,
                               characters=dataclasses.replace(CONFIG.characters, highways=0))
    assert files._config(options) == want


def test_files_that_are_missing_or_broken_are_named(folder, tmp_path):
    path = folder[0]
    with pytest.raises(Problem, match=re.escape(f"{tmp_path}: holds no ELMo model: its files are named")):
        files.read(tmp_path)
    content = (path / "weights.hdf5").read_bytes()
    for broken in (b"", b"no HDF5", content[: len(content) // 2]):
        (path / "weights.hdf5").write_bytes(broken)
        with pytest.raises(Problem, match=re.escape(f"{path}/weights.hdf5: no HDF5 file, damaged or cut off")):
            files.read(path)
    (path / "options.json").write_text("{")
    with pytest.raises(Problem, match=re.escape(f"{path}/options.json: no options of an ELMo model that is known")):
        files.read(path)
    shutil.copy(path / "options.json", path / "other_options.json")
    with pytest.raises(Problem, match=r"holds options\.json, other_options\.json: keep each ELMo model in a folder"):
        files.files(path)


def test_nothing_half_written_is_left(tmp_path, folder):
    params = dict(folder[1], characters=dict(folder[1]["characters"], embedding=np.zeros((3, 3, 3))))
    with pytest.raises(ValueError, match="reshape"):
        files.write(tmp_path / "new", CONFIG, params)
    assert list((tmp_path / "new").iterdir()) == []
