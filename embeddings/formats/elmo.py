"""ELMo's own format, in and out: options.json and the weights in HDF5, as AllenNLP and bilm-tf read and write it.

One table says what of theirs is which part of our parameters. Theirs come from TensorFlow: matrices are [in, out] as
ours, the two matrices of an LSTM are one, the gates are in the order i, j, f, o, and the 1 that is added to f is not in
the bias. So every number is copied as it stands.
"""
import json
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from embeddings.files import write_whole
from embeddings.formats.streams import written
from embeddings.models import character_cnn, elmo
from embeddings.problems import Problem
from embeddings.tokenizers.characters import SIZE

OPTIONS, WEIGHTS = "options.json", "weights.hdf5"
"""How the names of the two files end."""


class Entry(NamedTuple):
    """A line of the table."""

    theirs: str
    """Dataset; {n} is a convolution, {h} a highway layer, {s} a direction, {l} a layer."""
    ours: tuple[str, ...]
    """Leaves of our parameters that its rows are of, one after another, equally many; {h}, {l}, {s} are axes there."""
    leading: tuple[int, ...] = ()
    """Axes in front that ours has not."""


_CELL = "RNN_{s}/RNN/MultiRNNCell/Cell{l}/LSTMCell/"
TABLE = (
    Entry("char_embed", ("characters/embedding",)),
    Entry("CNN/W_cnn_{n}", ("characters/filters/{n}/kernel",), (1,)),
    Entry("CNN/b_cnn_{n}", ("characters/filters/{n}/bias",)),
    Entry("CNN_high_{h}/W_carry", ("characters/carry/kernel",)),
    Entry("CNN_high_{h}/b_carry", ("characters/carry/bias",)),
    Entry("CNN_high_{h}/W_transform", ("characters/transform/kernel",)),
    Entry("CNN_high_{h}/b_transform", ("characters/transform/bias",)),
    Entry("CNN_proj/W_proj", ("characters/projection/kernel",)),
    Entry("CNN_proj/b_proj", ("characters/projection/bias",)),
    Entry(_CELL + "W_0", ("lstm/kernel", "lstm/recurrent")),
    Entry(_CELL + "B", ("lstm/bias",)),
    Entry(_CELL + "W_P_0", ("lstm/projection",)),
)


class Loaded(NamedTuple):
    """A model of a folder."""

    config: elmo.Config
    params: elmo.Params
    """As the model's init makes them, in numpy."""


class _Dataset(NamedTuple):
    """One of theirs, and where it belongs."""

    name: str
    shape: tuple[int, ...]
    ours: tuple[str, ...]
    at: tuple[int, ...]
    """Its place in the first axes of ours."""


def files(folder: Path) -> tuple[Path, Path] | None:
    """Options and weights of a model, if that is what a folder holds. Raises Problem where it holds several."""
    found = [sorted(folder.glob(f"*{ending}")) for ending in (OPTIONS, WEIGHTS)]
    for several in found:
        if len(several) > 1:
            names = ", ".join(path.name for path in several)
            raise Problem(f"{folder}: holds {names}: keep each ELMo model in a folder of its own")
    return (found[0][0], found[1][0]) if all(found) else None


def read(folder: Path) -> Loaded:
    """A model.

    Raises Problem where files are missing or broken, for options that are not known here, and, naming all at once, for
    tensors that are missing, left over, of another shape than the options say, or have numbers that are not finite.
    """
    found = files(folder)
    if found is None:
        raise Problem(f"{folder}: holds no ELMo model: its files are named *{OPTIONS} and *{WEIGHTS}")
    config = read_config(found[0])
    tree, shapes = _leaves(config)
    leaves = {path: np.empty(shape, np.float32) for path, shape in shapes.items()}
    for dataset, array in _arrays(found[1], list(_datasets(config, shapes)), found[0]):
        parts = np.split(array, len(dataset.ours)) if len(dataset.ours) > 1 else [array]
        for path, part in zip(dataset.ours, parts, strict=True):
            leaves[path][dataset.at] = part.reshape(leaves[path][dataset.at].shape)
    return Loaded(config, jax.tree.unflatten(tree, list(leaves.values())))


def write(folder: Path, config: elmo.Config, params: elmo.Params) -> None:
    """Writes a model into a folder, which is made if need be, for AllenNLP and bilm-tf to read."""
    import h5py

    folder.mkdir(parents=True, exist_ok=True)
    _, shapes = _leaves(config)
    leaves = dict(zip(shapes, jax.tree.leaves(params), strict=True))
    with written(folder / WEIGHTS) as handle, h5py.File(handle.name, "w") as file:
        for dataset in _datasets(config, shapes):
            rows = np.concatenate([np.atleast_1d(leaves[path][dataset.at]) for path in dataset.ours])
            file[dataset.name] = rows.reshape(dataset.shape)
    write_whole(folder / OPTIONS, json.dumps(_options(config), indent=2) + "\n")


def _leaves(config: elmo.Config) -> tuple[Any, dict[str, tuple[int, ...]]]:
    """The tree of our parameters, and the shape of each leaf by its path, in order."""
    imagined = jax.eval_shape(lambda: elmo.init(jax.random.key(0), config))
    flat, tree = jax.tree_util.tree_flatten_with_path(imagined)
    return tree, {jax.tree_util.keystr(path, simple=True, separator="/"): leaf.shape for path, leaf in flat}


def _datasets(config: elmo.Config, shapes: Mapping[str, tuple[int, ...]]) -> Iterator[_Dataset]:
    """All that a model's file has to hold."""
    spelling = config.characters
    sizes = {"n": len(spelling.filters), "h": spelling.highways, "l": config.layers, "s": 2}
    for entry in TABLE:
        letters = [letter for letter in sizes if f"{{{letter}}}" in entry.theirs]
        for numbers in product(*(range(sizes[letter]) for letter in letters)):
            named = dict(zip(letters, numbers, strict=True))
            at = tuple(number for letter, number in named.items() if letter != "n")
            ours = tuple(path.format(**named) for path in entry.ours)
            first, *rest = shapes[ours[0]][len(at) :]
            shape = (*entry.leading, first * len(ours), *rest)
            yield _Dataset(entry.theirs.format(**named), shape, ours, at)


def _arrays(path: Path, datasets: list[_Dataset], options: Path) -> Iterator[tuple[_Dataset, np.ndarray]]:
    """What a file holds of each; see `read` for what is refused."""
    import h5py  # late: commands that read no ELMo do not wait for it

    shapes: dict[str, tuple[int, ...]] = {}

    def seen(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            shapes[name] = item.shape if item.dtype.kind == "f" else ()

    try:
        with h5py.File(path, "r") as file:
            file.visititems(seen)
            _check(path, shapes, datasets, options)
            arrays = [file[dataset.name][()] for dataset in datasets]
    except (OSError, RuntimeError, KeyError) as error:
        raise Problem(f"{path}: no HDF5 file, damaged or cut off ({str(error).strip()}): copy it again") from None
    broken = [dataset.name for dataset, array in zip(datasets, arrays, strict=True) if not np.isfinite(array).all()]
    if broken:
        raise Problem(f"{path}: numbers that are not finite in {', '.join(broken)}: copy the file again")
    yield from zip(datasets, arrays, strict=True)


def _check(path: Path, found: Mapping[str, tuple[int, ...]], datasets: list[_Dataset], options: Path) -> None:
    """Raises Problem that names all tensors that are missing, left over or of another shape."""
    expected = {dataset.name: dataset.shape for dataset in datasets}
    wrong = [f"{name} is missing" for name in expected if name not in found]
    wrong += [f"{name} is {_times(found[name])} where {_times(shape)} belongs"
              for name, shape in expected.items() if name in found and found[name] != shape]
    wrong += [f"{name} belongs nowhere" for name in found if name not in expected]
    if wrong:
        raise Problem(f"{path}: not the weights that {options.name} speaks of: {'; '.join(wrong)}: copy both again")


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "no array of floating-point numbers"


def read_config(path: Path) -> elmo.Config:
    """What options.json says. Raises Problem, naming what is missing or not known here."""
    try:
        options = json.loads(path.read_bytes())
        return _config(options)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise Problem(f"{path}: no options of an ELMo model that is known here ({what}): copy it again") from None


def _config(options: Mapping[str, Any]) -> elmo.Config:
    lstm, cnn = options["lstm"], options["char_cnn"]
    if cnn["activation"] not in ("relu", "tanh"):
        raise ValueError(f"activation {cnn['activation']!r} is neither relu nor tanh")
    spelling = character_cnn.Config(
        _whole(cnn["embedding"], "dim"), tuple((int(w), int(number)) for w, number in cnn["filters"]),
        cnn["activation"], _whole(cnn, "n_highway", 0, least=0), _whole(cnn, "max_characters_per_token"),
    )
    if cnn["n_characters"] not in (SIZE, SIZE - 1):  # bilm-tf leaves out the one for no word while it trains
        raise ValueError(f"n_characters is {cnn['n_characters']}, not {SIZE}")
    if not all(0 < w <= spelling.longest and number > 0 for w, number in spelling.filters):
        raise ValueError(f"filters are {cnn['filters']}, not widths up to {spelling.longest} and numbers")
    return elmo.Config(
        spelling, _whole(lstm, "projection_dim"), _whole(lstm, "dim"), _whole(lstm, "n_layers", 1),
        float(lstm.get("cell_clip") or 0) or None, float(lstm.get("proj_clip") or 0) or None,
        bool(lstm.get("use_skip_connections")), float(options.get("dropout", elmo.Config.dropout)),
    )


def _whole(options: Mapping[str, Any], name: str, default: int | None = None, least: int = 1) -> int:
    value = options[name] if default is None else options.get(name, default)
    if not isinstance(value, int) or value < least:
        raise ValueError(f"{name} is {value!r}, not a whole number from {least}")
    return value


def _options(config: elmo.Config) -> dict[str, Any]:
    """The other way round."""
    spelling = config.characters
    return {
        "lstm": {
            "use_skip_connections": config.use_skip_connections, "projection_dim": config.width, "dim": config.cells,
            "cell_clip": config.cell_clip, "proj_clip": config.proj_clip, "n_layers": config.layers,
        },
        "char_cnn": {
            "embedding": {"dim": spelling.width}, "filters": [list(pair) for pair in spelling.filters],
            "activation": spelling.activation, "n_highway": spelling.highways,
            "n_characters": SIZE, "max_characters_per_token": spelling.longest,
        },
        "dropout": config.dropout,
    }
