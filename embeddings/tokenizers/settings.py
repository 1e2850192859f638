"""What stands beside a tokenizer's vocabulary: its class, which tokens are special, how a text is prepared.

    tokenizer_config.json     class, special tokens, lower case and the like; `added_tokens_decoder`: tokens by id
    special_tokens_map.json   special tokens, where the former doesn't name them
    added_tokens.json         ids of added tokens, in older folders
    config.json               the model's type, where no class is named
"""
import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from embeddings.problems import Problem

SPECIAL = ("pad_token", "unk_token", "bos_token", "cls_token", "eos_token", "sep_token", "mask_token")
"""Keys that name a special token."""
_ATTRIBUTES = ("content", "lstrip", "rstrip", "single_word", "normalized", "special")
_GENERIC = ("PreTrainedTokenizerFast", "PreTrainedTokenizer", "TokenizersBackend")
"""Classes that say nothing about how to read a vocabulary."""
_CALLED = {bool: "true or false", int: "a whole number"}
_TYPES = {"do_lower_case": bool, "strip_accents": bool, "tokenize_chinese_chars": bool, "add_prefix_space": bool,
          "add_bos_token": bool, "extra_ids": int}
"""What is used of tokenizer_config.json beside tokens; null says nothing."""

Entry = Mapping[str, Any]
"""A token with what `tokenizers.AddedToken` may be told of it: `content`, and `lstrip`, `rstrip` and the others."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the files of one folder say; where there are none, nothing."""

    folder: Path
    kind: str = ""
    """The tokenizer's class without `Tokenizer` and `Fast`, or the model's type where none is named, in small letters:
    bert, xlmroberta. Empty where neither is named, and for a class that fits any tokenizer."""
    special: Mapping[str, Entry] = dataclasses.field(default_factory=dict)
    """By their keys in SPECIAL; those that are named, no others."""
    added: Mapping[int, Entry] = dataclasses.field(default_factory=dict)
    """Tokens beyond the vocabulary, or with a rule of their own, by id."""
    values: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """All of tokenizer_config.json."""


def read_settings(folder: Path) -> Settings:
    """Settings of a folder. Raises Problem for a file that can't be read, and for tokens and values that are none."""
    values = read_object(folder / "tokenizer_config.json", missing={})
    for key, kind in _TYPES.items():
        if values.get(key) is not None and type(values[key]) is not kind:
            raise Problem(f"{folder / 'tokenizer_config.json'}: {key} is {values[key]!r:.80}; {_CALLED[kind]} is "
                          "expected")
    named = read_object(folder / "special_tokens_map.json", missing={})
    special = {}
    for key in SPECIAL:
        for file, tokens in (("special_tokens_map.json", named), ("tokenizer_config.json", values)):
            if tokens.get(key) is not None:
                special[key] = {"special": True, **_entry(tokens[key], folder / file, key)}
    return Settings(folder, _kind(folder, values), special, _added(folder, values), values)


def _kind(folder: Path, values: Mapping[str, Any]) -> str:
    if named := values.get("tokenizer_class"):
        return "" if named in _GENERIC else str(named).removesuffix("Fast").removesuffix("Tokenizer").lower()
    model = read_object(folder / "config.json", missing={}).get("model_type")
    return str(model or "").replace("-", "").replace("_", "").lower()


def _added(folder: Path, values: Mapping[str, Any]) -> dict[int, Entry]:
    """By id, ascending."""
    listed = values.get("added_tokens_decoder") or {}
    file = folder / "tokenizer_config.json"
    if not listed:
        file = folder / "added_tokens.json"
        listed = {id: token for token, id in read_object(file, missing={}).items()}
    try:
        numbered = {int(id): token for id, token in listed.items()}
    except (AttributeError, TypeError, ValueError):
        raise Problem(f"{file}: added tokens are expected with a whole number each as their id") from None
    return {id: _entry(numbered[id], file, f"added token {id}") for id in sorted(numbered)}


def _entry(token: Any, file: Path, key: str) -> Entry:
    """Of a string, or of an object whose `content` is one."""
    entry = {"content": token} if isinstance(token, str) else token
    if not isinstance(entry, dict) or not isinstance(entry.get("content"), str) or not entry["content"]:
        raise Problem(f"{file}: {key} is {token!r:.80}; a string is expected, or an object with one as its `content`")
    return {name: entry[name] for name in _ATTRIBUTES if name in entry}


def read_object(file: Path, missing: dict[str, Any] | None = None) -> dict[str, Any]:
    """The JSON object in a file, or `missing`, if one is given, where there is no file.

    Raises Problem that names the file, and the line where it is broken.
    """
    if missing is not None and not file.exists():
        return missing
    text = read_text(file)
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise Problem(f"{file}, line {error.lineno}, column {error.colno}: no valid JSON ({error.msg}); the file may "
                      "be cut off or damaged: fetch or save it again") from None
    if not isinstance(value, dict):
        raise Problem(f"{file}: holds a {type(value).__name__} where a JSON object is expected")
    return value


def read_text(file: Path) -> str:
    """A file as UTF-8, ends of lines as newlines. Raises Problem where it can't be read, or is something else."""
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise Problem(f"{file}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise Problem(f"{file}: byte {error.start} is not UTF-8, which this file is expected to be; the file may be "
                      "damaged, or compressed, or of another kind: fetch or save it again") from None
