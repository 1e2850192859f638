"""What is needed next, made by a thread while the devices are busy with what was made before."""
import collections
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

AHEAD = 2
"""How many are made, and sent to the devices, before the oldest must be done."""
Made = TypeVar("Made")


def prefetch(make: Callable[[int], Made], first: int, last: int) -> Iterator[tuple[int, Made]]:
    """(n, make(n)) for n in first..last-1, made in order by a thread of its own, AHEAD of who reads them.

    A single one is made where it is asked for.
    """
    if last - first == 1:
        yield first, make(first)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as pool:
        waiting = collections.deque((n, pool.submit(make, n)) for n in range(first, min(first + AHEAD, last)))
        try:
            while waiting:
                n, made = waiting.popleft()
                batch = made.result()
                if n + AHEAD < last:
                    waiting.append((n + AHEAD, pool.submit(make, n + AHEAD)))
                yield n, batch
        finally:
            for _, made in waiting:
                made.cancel()
