"""Many items through one function, by several processes, in their order, and with a bar."""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

log = logging.getLogger(__name__)
Item = TypeVar("Item")
Result = TypeVar("Result")
AHEAD = 8  # items for each process that may be done and not yet taken
PROGRESS_FROM = 2.0  # seconds; what ends sooner needs no bar

_work: Callable[[Any], Any]
_items: Sequence[Any]


def available_cores() -> int:
    """Return how many processes can work at once: 1 in a process that is a worker itself."""
    if multiprocessing.parent_process() is not None:
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_processes(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    workers: int | None = None,
    died: Callable[[Item], Result] | None = None,
    progress: bool | None = None,
    name: str = "",
    size: Callable[[Item], int] = lambda item: 1,
) -> Iterator[Result]:
    """Yield the result of each item, in order.

    Args:
        work: a function of a module. Its exceptions are raised here.
        items: the workers see them as they are; only results are sent.
        workers: processes; as many as there are cores by default, none besides this one for 1 or 0.
        died: what to yield of an item whose process was killed, alone as well as among others; without it
            that is an error.
        progress: whether to show a bar; by default on a terminal, from the third second on.
        name: what is counted, for the bar and for messages.
        size: how many of it an item is.

    Raises:
        RuntimeError: a process was killed, and ``died`` is not given.
    """
    workers = min(available_cores() if workers is None else workers, len(items))
    with _bar(name, sum(map(size, items)), progress) as advance:
        for item, result in zip(items, _results(work, items, workers, died, name)):
            advance(size(item))
            yield result


# -------------------------------------------------------------------- details


def _results(work: Any, items: Sequence[Any], workers: int, died: Any, name: str) -> Iterator[Any]:
    if workers <= 1:
        yield from map(work, items)
        return
    done = 0
    try:
        for result in _pooled(work, items, workers):
            done += 1
            yield result
    except BrokenProcessPool:
        left = items[done:]
        log.warning("%s: a process died; what is left (%d) is tried one by one", name, len(left))
        for i, item in enumerate(left, done):
            try:
                yield from _pooled(work, [item], 1)
            except BrokenProcessPool:
                if died is None:
                    raise RuntimeError(
                        f"{name}: the process that worked on part {i + 1} of {len(items)} died twice: out "
                        "of memory, or by a fault in a library. workers=1 shows it in this process."
                    ) from None
                yield died(item)


def _pooled(work: Any, items: Sequence[Any], workers: int) -> Iterator[Any]:
    # Workers run NumPy and RDKit, not torch, whose threads a fork does not have. Forks start at once, need no
    # guard in the user's script, and have the items without sending them.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    waiting: deque[Future] = deque()
    with ProcessPoolExecutor(workers, context, initializer=_hold, initargs=(work, items)) as pool:
        try:
            for i in range(len(items)):
                waiting.append(pool.submit(_one, i))
                if len(waiting) >= AHEAD * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _hold(work: Any, items: Sequence[Any]) -> None:
    global _work, _items
    _work, _items = work, items


def _one(i: int) -> Any:
    return _work(_items[i])


@contextmanager
def _bar(name: str, total: int, progress: bool | None) -> Iterator[Callable[[int], None]]:
    """Give the function to call with what was done."""
    if not (sys.stderr.isatty() if progress is None else progress):
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn(name), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=console, transient=True)
    task = bar.add_task("", total=total)
    start = time.monotonic() + (0.0 if progress else PROGRESS_FROM)

    def advance(done: int) -> None:
        bar.advance(task, done)
        if not bar.live.is_started and not bar.finished and time.monotonic() >= start:
            bar.start()

    try:
        yield advance
    finally:
        if bar.live.is_started:
            bar.stop()
