"""What a person sees: a line drawn over on a terminal, few lines in a log."""
import io

from embeddings.screen import Screen, duration


def test_a_log_gets_a_line_every_tenth_part():
    log = io.StringIO()
    screen = Screen(log)
    for done in range(1001):
        screen.amount("reading", done, 1000)
    assert log.getvalue().splitlines() == [f"reading: {percent} %" for percent in range(0, 101, 10)]


def test_notes_stay():
    log = io.StringIO()
    screen = Screen(log)
    screen.note("one")
    screen.draw("two")
    screen.end()
    assert log.getvalue() == "one\ntwo\n"


def test_durations():
    assert [duration(s) for s in (0.0, 59.6, 61.0, 3600.0, 36061.0)] == ["0:00", "1:00", "1:01", "1:00:00", "10:01:01"]
