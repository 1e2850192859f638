import sys

import numpy as np
import pytest

from embeddings.evaluation import judged, retrieval
from embeddings.problems import Problem


def made(random, queries=12, documents=40, left_out=2):
    """A collection of numbers as texts with grades 1 to 3; the last query has no relevant document."""
    judgements = [(query, int(document), int(random.integers(1, 4))) for query in range(queries - 1)
                  for document in random.choice(documents, random.integers(1, 16), replace=False)]
    out = [(query, int(document)) for query in range(0, queries, 2) for document in random.choice(documents, left_out)]
    texts = [f"q{n}" for n in range(queries)], [f"d{n}" for n in range(documents)]
    return judged.collection("made", *texts, judgements, out)


def one_query(ranking, grades):
    """The four measures from their definitions; `grades` are those of all documents."""
    gains = [grades[document] if document >= 0 else 0 for document in ranking]
    ideal = sorted(grades, reverse=True)
    relevant = sum(grade > 0 for grade in grades)
    dcg = lambda gains: sum(gain / np.log2(place + 1) for place, gain in enumerate(gains[:10], 1))  # noqa: E731
    first = next((place for place, gain in enumerate(gains[:10], 1) if gain), np.inf)
    precisions = [sum(gain > 0 for gain in gains[:place]) / place for place, gain in enumerate(gains, 1) if gain > 0]
    return {"nDCG@10": dcg(gains) / dcg(ideal), "MRR@10": 1 / first,
            "Recall@10": sum(gain > 0 for gain in gains[:10]) / relevant, "MAP": sum(precisions) / relevant}


@pytest.mark.parametrize("depth", [4, 10, 40])
def test_measures_are_their_definition(depth):
    random = np.random.default_rng(depth)
    collection = made(random)
    ranking = np.array([random.permutation(40)[:depth] for _ in collection.queries], np.int32)
    ranking[3, -2:] = -1
    found = retrieval.measures(ranking, collection)
    grades = collection.grades.toarray()
    assert tuple(found) == retrieval.MEASURES
    for query in range(len(ranking) - 1):
        for name, value in one_query(ranking[query], grades[query]).items():
            assert found[name][query] == pytest.approx(value, abs=1e-12), (name, query)
    assert all(np.isnan(values[-1]) for values in found.values()), "nothing is relevant to the last"


def test_documents_are_ranked_by_cosine():
    random = np.random.default_rng(0)
    collection = made(random)
    rows = random.normal(size=(52, 5)).astype(np.float32)
    table = dict(zip([*collection.queries, *collection.documents], rows, strict=True))
    table["q2"] = np.zeros(5, np.float32)
    calls = []

    def encode(texts):
        calls.append(list(texts))
        return np.array([table[text] for text in texts])

    result = retrieval.evaluate(encode, [collection], "mean")
    expected = {name: [] for name in retrieval.MEASURES}
    for query, text in enumerate(collection.queries[:-1]):
        vectors = np.array([table[document] for document in collection.documents])
        cosines = vectors @ table[text] / np.linalg.norm(vectors, axis=1)
        out = set(collection.left_out[query])
        ranking = [row for row in np.argsort(-cosines, kind="stable") if row not in out]
        for name, value in one_query(ranking, collection.grades.toarray()[query]).items():
            expected[name].append(value)
    for name, values in expected.items():
        assert result.value("made", name) == pytest.approx(np.mean(values), abs=1e-6)
    assert len(calls) == 1 and (result.measured[0].covered, result.measured[0].total) == (11, 12)


DOCUMENTS = ("Wings lift the aircraft", "the heat of wings and of bodies", "the", "lifting bodies", "a boundary layer")


def lucene(query, documents, k1=1.5, b=0.75):
    """BM25 as Lucene has it, of words that are given."""
    lengths = np.array([len(words) for words in documents])
    scores = np.zeros(len(documents))
    for word in query:
        counts = np.array([words.count(word) for words in documents])
        with_it = np.sum(counts > 0)
        weight = np.log(1 + (len(documents) - with_it + 0.5) / (with_it + 0.5))
        scores += weight * counts / (counts + k1 * (1 - b + b * lengths / lengths.mean()))
    return scores


def test_bm25_ranks_as_its_equation():
    words = [["wing", "lift", "aircraft"], ["heat", "wing", "bodi"], [], ["lift", "bodi"], ["boundari", "layer"]]
    queries = (("The LIFT of a body, lifts!", ["lift", "bodi", "lift"]), ("wing heating", ["wing", "heat"]))
    judgements, out = [(0, 3, 1), (1, 1, 1)], [(1, 0)]
    collection = judged.collection("made", [text for text, _ in queries], DOCUMENTS, judgements, out)
    ranking = retrieval.bm25(collection)
    assert ranking.shape == (2, 5) and ranking[0, 3:].tolist() == [-1] * 2, "what has no word in common is not ranked"
    assert ranking[1].tolist() == [1, -1, -1, -1, -1], "document 0 is left out"
    for row, (_, query) in zip(ranking, queries, strict=True):
        scores = lucene(query, words)[row[row >= 0]]
        assert (np.diff(scores) <= 1e-6).all()
    assert ranking[0, 0] == 3
    assert retrieval.bm25(collection, depth=2).tolist() == ranking[:, :2].tolist()
    result = retrieval.evaluate_bm25([collection])
    assert (result.method, result.value("made", "MRR@10"), result.measured[0].covered) == ("BM25", 1, 2)


def test_a_model_stands_beside_both_baselines():
    collection = judged.collection("made", ["wing", "heat"], DOCUMENTS, [(0, 0, 1), (1, 1, 2)])
    random = np.random.default_rng(0)
    model, words = (lambda texts: random.normal(size=(len(texts), 3)), lambda texts: np.ones((len(texts), 2)))
    results = retrieval.beside_baselines(model, words, [collection], "ours")
    assert [result.method for result in results] == ["ours", "mean word vectors", "BM25"]
    assert results[1].value("made", "MRR@10") == (1 + 1 / 2) / 2, "equal cosines go by the order of documents"
    table = retrieval.table(results)
    assert table.columns[2:5] == ("ours", "mean word vectors", "BM25") and len(table.rows) == 4


def test_without_its_package_bm25_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "bm25s", None)
    collection = judged.collection("made", ["a"], DOCUMENTS, [(0, 0, 1)])
    with pytest.raises(Problem, match=r"BM25 needs bm25s: pip install 'embeddings\[retrieval\]'"):
        retrieval.evaluate_bm25([collection])


@pytest.mark.reference
def test_measures_are_trec_evals():
    import pytrec_eval

    random = np.random.default_rng(0)
    collection = made(random, queries=60, documents=300, left_out=0)
    vectors = random.normal(size=(360, 8)).astype(np.float32)
    ranking = retrieval.nearest(vectors[:60], vectors[60:], collection, depth=200)
    judgements = {}
    for query, document, grade in collection.judgements.tolist():
        judgements.setdefault(str(query), {})[str(document)] = grade
    run = {str(query): {str(document): float(-place) for place, document in enumerate(row)}
           for query, row in enumerate(ranking)}
    names = {"nDCG@10": "ndcg_cut_10", "Recall@10": "recall_10", "MAP": "map"}
    theirs = pytrec_eval.RelevanceEvaluator(judgements, {"ndcg_cut.10", "recall.10", "map", "recip_rank"}).evaluate(run)
    ours = retrieval.measures(ranking, collection)
    for query in range(59):
        scores = theirs[str(query)]
        for name, their_name in names.items():
            assert ours[name][query] == pytest.approx(scores[their_name], abs=1e-6)
        reciprocal = scores["recip_rank"] if scores["recip_rank"] >= 0.1 else 0
        assert ours["MRR@10"][query] == pytest.approx(reciprocal, abs=1e-6)
