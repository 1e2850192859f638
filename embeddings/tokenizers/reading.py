"""A tokenizer's folder: which of its files is read, and whether they belong together."""
from pathlib import Path

from embeddings.problems import Problem
from embeddings.tokenizers import known_words
from embeddings.tokenizers.engine import Engine
from embeddings.tokenizers.sentencepiece_model import read_sentencepiece
from embeddings.tokenizers.settings import Settings, read_settings
from embeddings.tokenizers.tokenizer_json import read_tokenizer_json
from embeddings.tokenizers.vocabulary_files import read_byte_pairs, read_word_pieces

_BYTE_PAIRS = {"vocab.json": "merges.txt", "encoder.json": "vocab.bpe"}
"""Names of a byte-level BPE's two files, in transformers' folders and OpenAI's."""


def read(path: Path) -> tuple[Engine, dict[str, str], Settings]:
    """The tokenizer of a folder or file, its special tokens by key, and what stands beside it.

    Raises Problem, see Pieces.load.
    """
    file = _found(path) if path.is_dir() else path
    if not file.exists():
        raise Problem(f"{file}: no such file or folder; name a tokenizer's folder, or one of its files")
    settings = read_settings(file.parent)
    engine, names = _by_name(file, settings)
    for key, token in names.items():
        if engine.id(token) is None:
            raise Problem(f"{file}: has no token {token!r}, which a file beside it names as {key}; take all files from "
                          "the same model")
    for id, entry in settings.added.items():
        if (other := engine.id(entry["content"])) != id:
            raise Problem(f"{file}: has {entry['content']!r} as id {other}, a file beside it as {id}; take all files "
                          "from the same model")
    return engine, names, settings


def _found(folder: Path) -> Path:
    """The file that says most."""
    models = sorted(folder.glob("*.model"))
    files = [folder / "tokenizer.json", *models, *(folder / name for name in _BYTE_PAIRS), folder / "vocab.txt"]
    files.append(folder / known_words.FILE)
    file = next((file for file in files if file.exists()), None)
    if file is None:
        raise Problem(f"{folder}: no tokenizer in it; a tokenizer.json is expected, a sentencepiece .model, a "
                      "vocab.json with merges.txt, or a vocab.txt")
    if file in models and len(models) > 1:
        raise Problem(f"{folder}: holds {', '.join(model.name for model in models)}; name the one to read")
    return file


def _by_name(file: Path, settings: Settings) -> tuple[Engine, dict[str, str]]:
    for vocabulary, merges in _BYTE_PAIRS.items():
        if file.name in (vocabulary, merges):
            return read_byte_pairs(file.with_name(vocabulary), file.with_name(merges), settings)
    if file.name == known_words.FILE:
        return known_words.read_known_words(file), {key: entry["content"] for key, entry in settings.special.items()}
    if file.suffix == ".model":
        return read_sentencepiece(file, settings)
    if file.suffix == ".txt":
        return read_word_pieces(file, settings)
    return read_tokenizer_json(file, settings)
