"""A .model against the sentencepiece library, called text by text, and other tokens against loops over their layout."""
import json
import re

import numpy as np
import pytest
from nasty import nasty
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

from embeddings.tokenizers.pieces import Pieces

STRINGS = [re.sub("[\ud800-\udfff]", "\ufffd", text) for text in nasty(3000)]


def rows(encoded) -> list[list[int]]:
    return [part.tolist() for part in np.split(encoded.ids, encoded.starts[1:-1])]


@pytest.fixture(scope="module")
def file(data):
    return data / "fixtures/sentencepiece/test_model.model"


@pytest.fixture(scope="module")
def library(file):
    return SentencePieceProcessor(model_file=str(file))


def laid_out(folder, model: bytes, kind: str, **settings) -> Pieces:
    (folder / "spiece.model").write_bytes(model)
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": kind, **settings}))
    return Pieces.load(folder)


def by_parts(library, text: str, special: dict[str, int], number=int) -> list[int]:
    """Special tokens are cut out, each part between them is a text of its own."""
    ids = []
    for part in re.split(f"({'|'.join(map(re.escape, special))})", text):
        ids += [special[part]] if part in special else map(number, library.encode(part))
    return ids


def test_ids_are_the_librarys(file, library):
    special = {"<unk>": 0, "<s>": 1, "</s>": 2}
    assert rows(Pieces.load(file).encode(STRINGS)) == [by_parts(library, text, special) for text in STRINGS]


def test_offsets(file):
    """Where nothing is normalised, a token is what its characters say, and the tokens of a text make up all of it."""
    pieces = Pieces.load(file)
    words = "the quick brown fox jumps over the lazy dog </s> Botchan was ten years old , wasn't he ?".split()
    texts = [" ".join(words[at : at + 6]) for at in range(len(words))] + ["a</s></s>b"]
    got = pieces.encode(texts, offsets=True)
    for i, text in enumerate(texts):
        own = slice(got.starts[i], got.starts[i + 1])
        told = [text[begin:end] for begin, end in got.offsets[own]]
        tokens = [pieces.tokens[id] for id in got.ids[own]]
        assert [part.strip() for part in told] == [token.strip("▁") for token in tokens]
        assert "".join(told).replace(" ", "") == text.replace(" ", "")


def test_xlmroberta(file, library, tmp_path):
    """fairseq's numbers: its own four tokens, then the pieces from the fourth on, one more each; <mask> is last."""
    pieces = laid_out(tmp_path, file.read_bytes(), "XLMRobertaTokenizer")
    special = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "<mask>": 1001}
    assert pieces.size == 1002 and {token: pieces.tokens.index(token) for token in special} == special
    texts = [text for text in STRINGS if not re.search(r"\s<mask>", text)]
    inner = (by_parts(library, text, special, lambda id: id + 1 if id else 3) for text in texts)
    assert rows(pieces.encode(texts)) == [[0, *ids, 2] for ids in inner]
    assert rows(pieces.encode(["a <mask>"], ["b"])) == [[0, 12, 1001, 2, 2, 81, 2]]
    assert pieces.encode(["a <mask>"], offsets=True).offsets[2].tolist() == [1, 8]
    assert [pieces.pad, pieces.unknown, pieces.begin, pieces.end, pieces.mask] == [1, 3, 0, 2, 1001]


def test_t5(data, tmp_path):
    book = data / "fixtures/sentencepiece/botchan.txt"
    SentencePieceTrainer.train(input=str(book), model_prefix=str(tmp_path / "spiece"), model_type="bpe", vocab_size=400,
                               pad_id=0, eos_id=1, unk_id=2, bos_id=-1, byte_fallback=True, minloglevel=2)
    model = (tmp_path / "spiece.model").read_bytes()
    library = SentencePieceProcessor(model_proto=model)
    size = library.get_piece_size()
    pieces = laid_out(tmp_path, model, "T5TokenizerFast", extra_ids=3)
    assert pieces.size == size + 3 and pieces.tokens[size:] == ("<extra_id_2>", "<extra_id_1>", "<extra_id_0>")
    special = {"<pad>": 0, "</s>": 1, "<unk>": 2} | {f"<extra_id_{2 - n}>": size + n for n in range(3)}
    texts = [*STRINGS, "x <extra_id_0> y<extra_id_2>"]
    assert rows(pieces.encode(texts)) == [[*by_parts(library, text, special), 1] for text in texts]
    got = rows(pieces.encode(["the"], ["cat"]))[0]
    assert got == [*library.encode("the"), 1, *library.encode("cat"), 1]
    assert [pieces.pad, pieces.unknown, pieces.begin, pieces.end, pieces.mask] == [0, 2, None, 1, None]


def test_decode(file, library):
    pieces = Pieces.load(file)
    ids = [*library.encode("Hello world, it is漢"), 2, *library.encode("the end")]
    assert pieces.decode(ids) == "Hello world, it is the end" == library.decode([id for id in ids if id > 2])
    assert pieces.decode([1, *ids], special=True) == "<s> Hello world, it is <unk> </s> the end"
    assert pieces.decode([]) == ""
