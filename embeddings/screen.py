"""What a person sees while a command works: notes, and one line that says how far it is."""
import io
import os

MINUTE = 60


class Screen:
    """Writes to a terminal or a log; a progress line is drawn over the last one only on a terminal."""

    def __init__(self, stream: io.TextIOBase) -> None:
        """`stream` is where the lines go, standard error in the commands."""
        self._stream, self._terminal, self._drawn = stream, stream.isatty(), 0
        self._part: tuple[str, int] | None = None

    def note(self, text: str) -> None:
        """A line that stays."""
        self.end()
        print(text, file=self._stream, flush=True)

    def draw(self, text: str) -> None:
        """A line that the next one replaces, where the screen can; an ordinary line elsewhere."""
        if not self._terminal:
            self.note(text)
            return
        text = text[: os.get_terminal_size(self._stream.fileno()).columns - 1]
        print("\r" + text.ljust(self._drawn), end="", file=self._stream, flush=True)
        self._drawn = len(text)

    def amount(self, what: str, done: int, total: int) -> None:
        """How much of something is done; `total` is 0 where nobody knows. A log gets a line every tenth part."""
        percent = 100 * done // total if total else 0
        part = (what, percent if self._terminal else percent // 10)
        if part != self._part:
            self._part = part
            self.draw(f"{what}: {percent} %")

    def end(self) -> None:
        """Leaves the line that was drawn last."""
        if self._drawn:
            print(file=self._stream, flush=True)
            self._drawn = 0


def duration(seconds: float) -> str:
    """`1:05:09`, or `5:09` below an hour."""
    minutes, seconds = divmod(max(0, round(seconds)), MINUTE)
    hours, minutes = divmod(minutes, MINUTE)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
