"""Tokenizers of files that hold a vocabulary only: BERT's vocab.txt; vocab.json and merges.txt of GPT, GPT-2, RoBERTa.

What the files leave open, special tokens and their places, is the family's; tokenizer_config.json may say otherwise.

    bert      [CLS] a [SEP]    [CLS] a [SEP] b [SEP]         b and what follows it are of type 1
    mpnet     <s> a </s>       <s> a </s> </s> b </s>        BERT's words, RoBERTa's frame
    roberta   <s> a </s>       <s> a </s> </s> b </s>
    gpt2      a                a b
    openaigpt a                a b                           OpenAI's GPT: BERT's words in lower case, cut by BPE
"""
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embeddings.problems import Problem
from embeddings.tokenizers.settings import Entry, Settings, read_object, read_text
from embeddings.tokenizers.tokenizer_json import BYTE_PAIRS, WORD_PIECES, Library

if TYPE_CHECKING:
    import tokenizers

BERT = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
ROBERTA = {"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<s>", "cls_token": "<s>", "eos_token": "</s>",
           "sep_token": "</s>", "mask_token": "<mask>"}
MPNET = ROBERTA | {"unk_token": "[UNK]"}
GPT2 = {"unk_token": "<|endoftext|>", "bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}
GPT = {"unk_token": "<unk>"}
SPECIAL = {"bert": BERT, "mpnet": MPNET, "roberta": ROBERTA, "gpt2": GPT2, "openaigpt": GPT}
"""Special tokens by family, and by key."""
NEEDED = {"gpt2": (), "openaigpt": ("unk_token",)}
"""Those that must be there; of other families the frame's and the unknown."""
WORD_END = "</w>"
"""What ends the last piece of a word of OpenAI's GPT."""


def read_word_pieces(file: Path, settings: Settings) -> tuple[Library, dict[str, str]]:
    """The tokenizer of a vocab.txt, one token a line, and its special tokens by key.

    Text is lower-cased where settings say so; where they say nothing, if no token of the vocabulary has capitals.

    Raises Problem for a file that can't be read, a token that stands there twice, a special token that doesn't.
    """
    from tokenizers import Tokenizer, models

    lines = read_text(file).split("\n")
    tokens = lines[:-1] if lines[-1] == "" else lines
    line: dict[str, int] = {}
    for number, token in enumerate(tokens):
        if token in line:
            raise Problem(f"{file}: {token!r} stands in lines {line[token] + 1} and {number + 1}; each token needs one "
                          "line of its own")
        line[token] = number
    kind = _kind(file, settings, WORD_PIECES, "mpnet" if "[CLS]" not in line and "<s>" in line else "bert")
    family = "mpnet" if kind == "mpnet" else "bert"
    special = _special(file, settings, family, line)
    lower = settings.values.get("do_lower_case")
    values = settings.values | {"do_lower_case": not any(map(_has_capitals, line)) if lower is None else lower}
    tokenizer = Tokenizer(models.WordPiece(line, unk_token=special["unk_token"]["content"]))
    prepare_word_pieces(tokenizer, values)
    return _built(tokenizer, family, special, settings, file)


def prepare_word_pieces(tokenizer: "tokenizers.Tokenizer", values: Mapping[str, Any]) -> None:
    """Cuts text as BERT does, by what tokenizer_config.json says."""
    from tokenizers import decoders, normalizers, pre_tokenizers

    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=values.get("tokenize_chinese_chars") is not False,
        strip_accents=values.get("strip_accents"),
        lowercase=values["do_lower_case"],
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()


def read_byte_pairs(file: Path, merges: Path, settings: Settings) -> tuple[Library, dict[str, str]]:
    """The tokenizer of a vocab.json (id of each token) with its merges.txt, and its special tokens by key.

    Raises Problem for files that can't be read or don't belong together, and for a special token without an id.
    """
    from tokenizers import Tokenizer, models

    vocabulary = read_object(file)
    if bad := next((token for token, id in vocabulary.items() if type(id) is not int or id < 0), None):
        raise Problem(f"{file}: the id of {bad!r} is {vocabulary[bad]!r:.80}; a whole number is expected")
    read_text(merges)
    words = any(token.endswith(WORD_END) for token in vocabulary)
    kind = _kind(file, settings, BYTE_PAIRS | {"openaigpt"},
                 "openaigpt" if words else "roberta" if "<s>" in vocabulary else "gpt2")
    family = kind if kind in NEEDED else "roberta"
    special = _special(file, settings, family, vocabulary)
    own: dict[str, str] = {}
    if family == "openaigpt":
        own = {"unk_token": special["unk_token"]["content"], "end_of_word_suffix": WORD_END}
    try:
        model = models.BPE.from_file(str(file), str(merges), **own)
    except Exception as error:  # the library raises no narrower one
        raise Problem(f"{merges}: doesn't go with {file} ({error}); take both from the same model") from None
    tokenizer = Tokenizer(model)
    if family == "openaigpt":
        prepare_lower_words(tokenizer)
    else:
        prepare_byte_pairs(tokenizer, bool(settings.values.get("add_prefix_space")))
    return _built(tokenizer, family, special, settings, file)


def prepare_byte_pairs(tokenizer: "tokenizers.Tokenizer", prefix: bool) -> None:
    """Cuts text as GPT-2 does, as if a blank stood before it where `prefix` says so."""
    from tokenizers import decoders, pre_tokenizers

    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    tokenizer.decoder = decoders.ByteLevel()


def prepare_lower_words(tokenizer: "tokenizers.Tokenizer") -> None:
    """Cuts text as OpenAI's GPT does where transformers reads it: as BERT, in lower case."""
    from tokenizers import decoders, normalizers, pre_tokenizers

    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.BPEDecoder(suffix=WORD_END)


def put_frame(tokenizer: "tokenizers.Tokenizer", family: str, names: Mapping[str, str]) -> None:
    """Lets special tokens stand around a text as in this family."""
    from tokenizers import processors

    if family == "openaigpt":
        return
    if family == "gpt2":
        tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
        return
    begin, end = names["cls_token"], names["sep_token"]
    around = [(token, tokenizer.token_to_id(token)) for token in (begin, end)]
    if family == "bert":
        single, pair = f"{begin}:0 $A:0 {end}:0", f"{begin}:0 $A:0 {end}:0 $B:1 {end}:1"
        tokenizer.post_processor = processors.TemplateProcessing(single, pair, around)
    else:
        prefix = getattr(tokenizer.pre_tokenizer, "add_prefix_space", False)
        tokenizer.post_processor = processors.RobertaProcessing(around[1], around[0], True, prefix)


def _kind(file: Path, settings: Settings, known: frozenset[str], otherwise: str) -> str:
    """The kind that settings name, or the one that the vocabulary looks like."""
    if settings.kind in known:
        return settings.kind
    if settings.kind:
        raise Problem(f"{file}: the folder's tokenizer is of type {settings.kind}; supported with this file are "
                      f"{', '.join(sorted(known))}: save it with transformers, which writes a tokenizer.json")
    return otherwise


def _special(file: Path, settings: Settings, family: str, vocabulary: Mapping[str, int]) -> dict[str, Entry]:
    """Special tokens by key: the family's where settings name no other; those that the frame needs must be there."""
    special = {}
    added = {entry["content"] for entry in settings.added.values()}
    needed = NEEDED.get(family, ("cls_token", "sep_token", "unk_token"))
    for key, token in (SPECIAL[family] | settings.special).items():
        entry = {"content": token, "special": True} if isinstance(token, str) else token
        if key == "mask_token" and family != "bert":
            entry = {"lstrip": True, **entry}
        if entry["content"] in vocabulary or entry["content"] in added:
            special[key] = entry
        elif key in settings.special or key in needed:
            raise Problem(f"{file}: the {key} {entry['content']!r} is not in it; name another in "
                          "tokenizer_config.json, or take the vocabulary that belongs to it")
    return special


def _built(
    tokenizer: "tokenizers.Tokenizer", family: str, special: dict[str, Entry], settings: Settings, file: Path
) -> tuple[Library, dict[str, str]]:
    """With its special and added tokens, and its frame."""
    from tokenizers import AddedToken, processors

    ruled = {entry["content"] for entry in settings.added.values()}
    for entry in (*settings.added.values(), *(own for own in special.values() if own["content"] not in ruled)):
        tokenizer.add_tokens([AddedToken(**{"normalized": not entry.get("special", False), **entry})])
    names = {key: entry["content"] for key, entry in special.items()}
    put_frame(tokenizer, family, names)
    if family == "gpt2" and settings.values.get("add_bos_token"):
        begin, id = names["bos_token"], tokenizer.token_to_id(names["bos_token"])
        tokenizer.post_processor = processors.TemplateProcessing(f"{begin} $A", f"{begin} $A {begin} $B", [(begin, id)])
    return Library(tokenizer, file), names


def _has_capitals(token: str) -> bool:
    return token != token.lower() and not (token[0] in "[<" and token[-1] in "]>")
