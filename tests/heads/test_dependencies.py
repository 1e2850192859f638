"""Dependencies found by heads, against loops over the definition on each sentence's own weights."""
import dataclasses
import gzip
import re
import types

import numpy as np
import pytest
import small
from heads.conftest import UNEQUAL, WORDS, headed, tiny

from embeddings.evaluation import treebank
from embeddings.heads import dependencies, inside
from embeddings.problems import Problem, UsageProblem

U = """# sent_id = 1
# text = The king's dog didn't see fish.
1\tThe\tthe\tDET\tDT\tDefinite=Def\t2\tdet\t2:det\t_
2\tking\tking\tNOUN\tNN\t_\t4\tnmod:poss\t4:nmod:poss\tSpaceAfter=No
3\t's\t's\tPART\tPOS\t_\t2\tcase\t2:case\t_
4\tdog\tdog\tNOUN\tNN\t_\t7\tnsubj\t7:nsubj\t_
5-6\tdidn't\t_\t_\t_\t_\t_\t_\t_\t_
5\tdid\tdo\tAUX\tVBD\t_\t7\taux\t7:aux\t_
6\tn't\tnot\tPART\tRB\t_\t7\tadvmod\t7:advmod\t_
7\tsee\tsee\tVERB\tVB\t_\t0\troot\t0:root\t_
7.1\tsee\tsee\tVERB\tVB\t_\t_\t_\t_\t_
8\tfish\tfish\tNOUN\tNN\t_\t7\tobj\t7:obj\tSpaceAfter=No

# text = Old rivers
1\tOld\told\tADJ\tJJ\t_\t2\tamod\t2:amod\t_
2\trivers\triver\tNOUN\tNNS\t_\t0\troot\t0:root\t_
"""
X = "1\tA\t_\tDT\tDT\t_\t2\tdet\t_\t_\n2\tcat\t_\tNN\tNN\t_\t3\tnsubj\t_\t_\n3\teats\t_\tVBZ\tVBZ\t_\t0\troot\t_\t_\n"


def drawn(number, most=8, seed=0):
    """Sentences with words of one token and of several, heads and relations at random; one root each."""
    draw = np.random.default_rng(seed)
    sentences, heads, relations = [], [], []
    for _ in range(number):
        n = int(draw.integers(1, most + 1))
        sentences.append(tuple("".join(draw.choice(WORDS, draw.integers(1, 3))) for _ in range(n)))
        root = int(draw.integers(n))
        heads.append(tuple(-1 if w == root else int(draw.choice([v for v in range(n) if v != w])) for w in range(n)))
        relations.append(tuple("root" if w == root else str(draw.choice(["nsubj", "obj", "nsubj:pass"]))
                               for w in range(n)))
    return treebank.Treebank("drawn", tuple(sentences), tuple(heads), tuple(relations))


def by_words(model, words):
    """A of each head, [G, n, n], by loops over a sentence's tokens and words."""
    one = model.tokens(" ".join(words))
    ends = np.cumsum([len(word) + 1 for word in words])
    # The last character of a token is one of the word, or the blank before it.
    mine = [[t for t, (_, b) in enumerate(one.offsets) if b > 0 and end - 1 - len(word) <= b < end]
            for word, end in zip(words, ends, strict=True)]
    found = []
    for layer in model.attention(" ".join(words)):
        for a in np.asarray(layer, np.float64):
            found.append([[np.mean([sum(a[t, s] for s in into) for t in out]) for into in mine] for out in mine])
    return np.array(found), max(map(len, mine))


def loops(model, bank):
    """Rightly told words by direction, head and relation, and of how many."""
    right, counts, most = {}, {}, 0
    for words, heads, relations in zip(bank.sentences, bank.heads, bank.relations, strict=True):
        weights, longest = by_words(model, words)
        most = max(most, longest)
        for v, (head, relation) in enumerate(zip(heads, relations, strict=True)):
            names = ["all", relation] if head >= 0 else ["all"]
            for name in names:
                counts[name] = counts.get(name, 0) + 1
            others = [w for w in range(len(words)) if w != v]
            for g, a in enumerate(weights):
                for d, row in enumerate((a[v], a[:, v])):
                    seen = [w for w in others if row[w] > 0]
                    if seen and max(seen, key=lambda w: row[w]) == head:
                        for name in names:
                            right[d, g, name] = right.get((d, g, name), 0) + 1
    return right, counts, most


@pytest.mark.parametrize(("kind", "kept"), [("bert", ()), ("bert", UNEQUAL), ("mpnet", ()), ("gpt", ())])
def test_accuracies_are_those_of_loops(kind, kept):
    found = agreed(tiny(kind, kept), drawn(40))
    assert found.relations[0] == "all" and "root" not in found.relations and found.counts[1] >= found.counts[-1]
    assert (found.sentences, found.left_out, found.causal) == (40, 0, kind == "gpt")


@pytest.mark.parametrize("family", small.PIECES)
def test_words_are_those_of_any_tokenizer(family):
    agreed(small.with_its_tokenizer(family), drawn(12, 3))


def agreed(model, bank):
    """What is measured, and is what loops count."""
    right, counts, most = loops(model, bank)
    found = dependencies.measured(model, bank)
    assert most > 2, "some words have several tokens"
    assert dict(zip(found.relations, found.counts.tolist(), strict=True)) == counts
    for d, g, r in np.ndindex(found.accuracy.shape):
        name = found.relations[r]
        assert found.accuracy[d, g, r] == pytest.approx(right.get((d, g, name), 0) / counts[name])
    return found


def looking(model, shift):
    """The model, but each of its heads gives all weight to the token `shift` places behind; else to itself."""
    def apply(params, config, tokens, outputs):
        segments = tokens.segments
        T = segments.shape[1]
        place = np.arange(T)
        other = np.clip(place + shift, 0, T - 1)
        a = np.eye(T, dtype=np.float32)[other]
        own = (segments[:, other] == segments)[..., None]
        a = own * a + (1 - own) * np.eye(T, dtype=np.float32)
        return types.SimpleNamespace(attention=(a[:, None],) * config.stack.layers)

    module = types.ModuleType("looking")
    module.apply = apply
    stack = dataclasses.replace(model.config.stack, kept=((0,),) * model.config.stack.layers)
    return dataclasses.replace(model, module=module, config=dataclasses.replace(model.config, stack=stack))


def test_a_head_that_looks_at_the_word_before_is_right_as_often_as_one_counts():
    """Words of several tokens look within themselves too, which does not count."""
    bank = treebank.Treebank("by hand", (("the", "redgreen", "fish", "sees", "houses"), ("dogking", "eats")),
                             ((2, 2, 3, -1, 3), (1, -1)), (("det", "amod", "nsubj", "root", "obj"), ("nsubj", "root")))
    model = tiny()
    before = dependencies.measured(looking(model, -1), bank)
    after = dependencies.measured(looking(model, 1), bank)
    table = {one: dict(zip(found.relations, found.accuracy[d, 0].tolist(), strict=True))
             for one, found, d in (("before", before, 0), ("looked at", before, 1), ("after", after, 0))}
    assert table["before"] == {"all": pytest.approx(1 / 7), "nsubj": 0, "det": 0, "amod": 0, "obj": 1}
    assert table["looked at"] == table["after"] == {
        "all": pytest.approx(3 / 7), "nsubj": 1, "det": 0, "amod": 1, "obj": 0}
    assert before.baseline[treebank.OFFSETS.index(-1)].tolist() == before.accuracy[0, 0].tolist()
    assert before.baseline[treebank.OFFSETS.index(2)].tolist() == pytest.approx([1 / 7, 0, 0, 1, 0])
    assert before.relations == ("all", "nsubj", "amod", "det", "obj")


def test_both_formats_are_read(tmp_path):
    path = tmp_path / "some.conllu"
    path.write_text(U)
    bank = treebank.read(path)
    assert bank.sentences == (("The", "king", "'s", "dog", "did", "n't", "see", "fish"), ("Old", "rivers"))
    assert bank.heads == ((1, 3, 1, 6, 6, 6, -1, 6), (1, -1)) and bank.name == "some.conllu"
    assert bank.relations[0][:3] == ("det", "nmod:poss", "case")
    (tmp_path / "some.conllx.gz").write_bytes(gzip.compress(X.replace("\n", "\r\n").encode()))
    bank = treebank.read(tmp_path / "some.conllx.gz")
    assert (bank.sentences, bank.heads) == ((("A", "cat", "eats"),), ((1, 2, -1),))


def test_offsets_by_hand(tmp_path):
    """The possessor stands two before its head, and is judged by its 's, from which the head is the next word."""
    (tmp_path / "u").write_text(U)
    words = treebank.words_of(treebank.read(tmp_path / "u"))
    assert words.relations[0] == "all" and set(words.relations[1:]) == {
        "det", "nmod:poss", "case", "nsubj", "aux", "advmod", "obj", "amod"}
    every, column = np.arange(10), words.relations.index("nmod:poss")

    def right(k):
        return (treebank.right(words, every, treebank.offset(words, k)) @ words.member).tolist()

    assert treebank.offset(words, 1).tolist() == [1, 2, 3, 4, 5, 6, 7, -1, 9, -1]
    assert right(1)[0] == 4 and right(1)[column] == 1, "The, king's, n't, Old"
    assert right(2)[0] == 1 and right(2)[column] == 0 and right(-1)[0] == 2 and right(3)[0] == 1
    found = dependencies.measured(tiny(), treebank.read(tmp_path / "u"))
    assert found.scores()["baseline all"] == 0.4 and found.scores()["baseline nmod:poss"] == 1
    assert found.scores()["all"] == found.accuracy[..., 0].max()


@pytest.mark.parametrize(("text", "says"), [
    ("", ": holds no sentences: name a treebank in CoNLL-U or CoNLL-X"),
    ("# text = none\n\n", ": holds no sentences"),
    ("1\tA\t_\t_\t_\t_\t0\troot\t_\n", ":1: 9 columns where CoNLL-U and CoNLL-X have 10, by tabs: correct the line"),
    (X.replace("\t", " "), ":1: 1 columns where CoNLL-U"),
    (X.replace("\t3\tnsubj", "\t4\tnsubj"), ":2: head 4 of word 2 of 3: give the number of another word"),
    (X.replace("\t3\tnsubj", "\t2\tnsubj"), ":2: head 2 of word 2 of 3: give the number of another word"),
    (X.replace("\t3\tnsubj", "\t-1\tnsubj"), ":2: head '-1' is no number: give that of a word of the sentence, or 0"),
    (X.replace("\t3\tnsubj", "\t_\tnsubj"), ":2: head '_' is no number"),
    (X + X, ":4: word 1 where 4 comes next: correct the line, or part sentences by a blank one"),
    (X.replace("cat", " "), ":2: no word in the second column: correct the line"),
    (X.replace("nsubj", "_"), ":2: no relation in the eighth column: correct the line"),
])
def test_what_is_wrong_with_a_file_is_one_line(tmp_path, text, says):
    path = tmp_path / "bad.conllu"
    path.write_text(text)
    with pytest.raises(Problem, match="^" + re.escape(f"{path}{says}")) as raised:
        treebank.read(path)
    assert "\n" not in str(raised.value)


def test_files_that_are_none_are_named(tmp_path):
    (tmp_path / "latin.conllx").write_bytes(X.replace("cat", "caf\xe9").encode("latin-1"))
    for name in ("none.conllu", "latin.conllx"):
        with pytest.raises(Problem, match=rf"{name}: no file of dependencies \(\w+\): copy it again"):
            treebank.read(tmp_path / name)


def test_long_sentences_are_left_out_and_counted():
    bank = drawn(5)
    long = ("house",) * 70
    both = treebank.Treebank("x", (*bank.sentences[:2], long, *bank.sentences[2:]),
                             (*bank.heads[:2], (-1, *range(69)), *bank.heads[2:]),
                             (*bank.relations[:2], ("obj",) * 70, *bank.relations[2:]))
    found, without = (dependencies.measured(tiny(), one) for one in (both, bank))
    assert (found.sentences, found.left_out) == (5, 1)
    np.testing.assert_array_equal(found.accuracy, without.accuracy)
    assert "5 sentences; 1 longer than the model reads" in dependencies.table(found).text()
    with pytest.raises(Problem, match="x: every sentence is longer than the 64 tokens that the model reads: name"):
        dependencies.measured(tiny(), both.part(np.arange(6) == 2))


def test_words_without_a_token_find_nothing():
    """Nor are they found; the other words are told as if they were not there."""
    bank = treebank.Treebank("x", (("the", "\N{ZERO WIDTH SPACE}", "dog"),), ((2, 0, -1),), (("a", "b", "root"),))
    found = dependencies.measured(tiny(), bank)
    assert found.relations == ("all", "a", "b")
    assert (found.accuracy[..., 1] == 1).all() and not found.accuracy[..., 2].any()


def test_table_and_rows_have_heads_that_were_asked_for():
    bank = drawn(30)
    whole = dependencies.measured(tiny("gpt"), bank)
    some = dependencies.measured(tiny("gpt"), bank, ((2, 1), (0, 3)))
    np.testing.assert_array_equal(some.accuracy, whole.accuracy[:, [9, 3]])
    rows = dependencies.rows(some)
    assert len(rows) == 2 * 2 * 4 and rows[0][:4] == (2, 1, "all", "dependent to head")
    assert rows[1][4] == some.accuracy[1, 0, 0] and rows[0][5] == sum(map(len, bank.sentences))
    text = dependencies.table(some, int(some.counts[1])).text()
    assert "2 relations of fewer than" in text and "Words look only back" in text and text.count("\nall ") == 1


def test_models_that_read_pairs_are_refused():
    with pytest.raises(UsageProblem, match="dependencies: needs an encoder of texts, and the model reads pairs"):
        dependencies.measured(headed(("no", "yes"), True), drawn(2))


def test_inside_training_it_is_a_task_of_its_own(tmp_path):
    (tmp_path / "here.conllu").write_text(U)
    found = inside.ablation_of("dependencies", "here.conllu", tmp_path, 10)
    assert found.name == "dependencies" and found.task.needs == "texts"
    assert found.scores(tiny()) == dependencies.measured(tiny(), treebank.read(tmp_path / "here.conllu")).scores()
    with pytest.raises(Problem, match="object has no attention heads"):
        found.scores(object())
