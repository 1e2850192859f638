"""Folders with a head in use: tags and answers as another program finds them, and settings that cannot be."""
import dataclasses
import itertools
import re

import numpy as np
import pytest
import small

import embeddings
from embeddings.contextual import folder as folders
from embeddings.contextual.tokens import OUTSIDE, Reader, Tagger
from embeddings.formats.families import FAMILIES
from embeddings.formats.tasks import ANSWERS, TAGS, TASKS
from embeddings.problems import Problem

SENTENCES = [text.split() for text in ("the bank of the river", "one", "money, money and the banks of money",
                                       "walked by a river and sat", "five four three")]
ASKED = [("the bank", "one two of the river"), ("one", "money"), ("of", "two sat on the bank")]


def with_head(model, kind, **more):
    """A head whose scores differ from token to token; `model` gives the states that it is made for."""
    states = np.concatenate([some.vectors for some in model.tokens([" ".join(words) for words in SENTENCES])])
    rows = 3 if kind is Tagger else 2
    kernel = np.random.default_rng(1).normal(0, 9, (16, rows)).astype(np.float32)
    params = {"kernel": kernel, "bias": -states.mean(axis=0) @ kernel}
    head = Tagger(("O", "B-a", "I-a"), params) if kind is Tagger else Reader(params, **more)
    return dataclasses.replace(model, head=head)


@pytest.fixture
def reader(tmp_path):
    """The folder of one."""
    model = small.contextual(tmp_path / "tokenizer")
    folders.write(tmp_path / "reader", with_head(model, Reader, overlap=3, longest_answer=4, may_be_empty=False))
    return tmp_path / "reader"


def test_a_tagger_comes_back(tmp_path):
    model = with_head(small.contextual(tmp_path / "tokenizer"), Tagger)
    folders.write(tmp_path / "tagger", model)
    loaded = embeddings.load(tmp_path / "tagger")
    tags = loaded.tag(SENTENCES)
    assert tags == model.tag(SENTENCES) and len(set(itertools.chain(*tags))) > 1
    assert loaded.head.classes == model.head.classes and not hasattr(loaded, "answer")


def test_a_reader_comes_back_with_what_it_may_do(tmp_path, reader):
    loaded = embeddings.load(reader)
    assert (loaded.head.overlap, loaded.head.longest_answer, loaded.head.may_be_empty) == (3, 4, False)
    assert {"kernel", "bias"} == set(loaded.head.params) and not hasattr(loaded, "tag")
    without = dataclasses.replace(loaded.head, params={"kernel": loaded.head.params["kernel"]})
    without = dataclasses.replace(loaded, head=without)
    for one, other in zip(without.answer(ASKED), loaded.answer(ASKED), strict=True):
        assert one[:3] == other[:3] and one.score == pytest.approx(other.score, abs=1e-4)
    folders.write(tmp_path / "without", without)
    np.testing.assert_array_equal(embeddings.load(tmp_path / "without").head.params["bias"], [0, 0])


def test_a_folder_that_does_not_say_how_it_reads_may_answer_nothing(reader):
    said = embeddings.load(small.changed(reader, task_specific_params=None)).head
    assert (said.overlap, said.longest_answer, said.may_be_empty) == (small.LONGEST // 4, 30, True)


@pytest.mark.parametrize(("settings", "says"), [
    ({"doc_stride": -1}, "doc_stride is -1, not a number of tokens from 0 on: correct it, or leave it out"),
    ({"doc_stride": "7"}, "doc_stride is '7', not a number of tokens"),
    ({"max_answer_len": 0}, "max_answer_len is 0, not a number of tokens from 1 on"),
    ({"handle_impossible_answer": 1}, "handle_impossible_answer is 1, not true or false"),
])
def test_settings_that_a_reader_cannot_have_are_refused(reader, settings, says):
    small.changed(reader, task_specific_params={"question-answering": settings})
    with pytest.raises(Problem, match=re.escape(f"{reader / 'config.json'}: {says}")):
        embeddings.load(reader)


# Beside transformers


@pytest.mark.reference
@pytest.mark.filterwarnings("ignore")  # transformers' own
@pytest.mark.parametrize("family", [family for family in FAMILIES if TASKS[TAGS].table(family)])
def test_tags_are_those_of_transformers_pipeline(family, tmp_path):
    """A word's is that of its first token, which may be the blank before it; a text that is too long is cut."""
    from transformers import pipeline

    folders.write(tmp_path, with_head(small.with_its_tokenizer(family), Tagger))
    tags = embeddings.load(tmp_path).tag(SENTENCES)
    tell = pipeline("token-classification", str(tmp_path), ignore_labels=[])
    theirs = []
    for words in SENTENCES:
        found, ends = tell(" ".join(words)), np.cumsum([len(word) + 1 for word in words])
        theirs.append(tuple(next((one["entity"] for one in found if end - len(word) - 1 <= one["end"] < end), OUTSIDE)
                            for word, end in zip(words, ends, strict=True)))
    assert tags == theirs and len(set(itertools.chain(*tags))) > 1
    assert tell("the bank of the river " * 20)


@pytest.mark.reference
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", [family for family in FAMILIES if TASKS[ANSWERS].table(family)])
def test_answers_are_those_of_transformers_logits(family, tmp_path):
    """By a loop over all spans of padded rows; that of no answer is the first token's."""
    import torch
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer

    model = small.with_its_tokenizer(family)
    folders.write(tmp_path, with_head(model, Reader, overlap=2, longest_answer=4, may_be_empty=False))
    always = embeddings.load(tmp_path)
    maybe = dataclasses.replace(always, head=dataclasses.replace(always.head, may_be_empty=True))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    rows = tokenizer(*map(list, zip(*ASKED, strict=True)), padding=True, return_offsets_mapping=True,
                     return_tensors="pt")
    offsets = rows.pop("offset_mapping").numpy()
    with torch.no_grad():
        said = AutoModelForQuestionAnswering.from_pretrained(tmp_path).eval()(**rows)
    for n, (_, text) in enumerate(ASKED):
        starts, ends = said.start_logits[n].numpy(), said.end_logits[n].numpy()
        inside = [i for i, part in enumerate(rows.sequence_ids(n)) if part == 1]
        spans = {(i, j): starts[i] + ends[j] for i in inside for j in inside if i <= j < i + 4}
        i, j = max(spans, key=spans.get)
        score = spans[i, j] - starts[0] - ends[0]
        a, b = offsets[n, i, 0], offsets[n, j, 1]
        found, silent = always.answer(ASKED)[n], maybe.answer(ASKED)[n]
        assert found[:3] == (text[a:b], a, b) and found.score == pytest.approx(score, abs=1e-3)
        assert silent.text == ("" if score <= 0 else text[a:b])
