from embeddings.evaluation.table import Percent, Table, shown

TABLE = Table("Things", ("name", "count", "score"), (("one|two", 12345, 0.5), ("x", None, float("nan"))), ("A note.",))


def test_text_is_aligned():
    assert TABLE.text().split("\n") == [
        "Things",
        "name      count  score",
        "-------  ------  -----",
        "one|two  12,345  0.500",
        "x             -      -",
        "A note.",
        "",
    ]


def test_markdown_escapes_bars_and_aligns_numbers_right():
    assert TABLE.markdown().split("\n") == [
        "**Things**",
        "",
        "| name | count | score |",
        "| --- | ---: | ---: |",
        "| one\\|two | 12,345 | 0.500 |",
        "| x | - | - |",
        "",
        "A note.",
        "",
    ]


def test_cells():
    cells = (Percent(0.12345), 0.12345, 1000, "word", None)
    assert [shown(cell) for cell in cells] == ["12.3", "0.123", "1,000", "word", "-"]


def test_an_empty_table_has_its_columns():
    assert Table("None", ("a", "b"), ()).text() == "None\na  b\n-  -\n"
