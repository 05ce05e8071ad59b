"""Items made by processes of our own: each gets the next item when it is done with one."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import FrameType

from showroom_ros.datasets.prepare.item import FAILED, Job, Outcome, make_item
from showroom_ros.datasets.prepare.recipe import Item

_PATIENCE_S = 10.0
"""How long a process that was told to end may clean up."""


@dataclass(eq=False)
class _Worker:
    process: BaseProcess
    connection: Connection
    item: Item | None = None


def make_in_processes(job: Job, items: list[Item], workers: int, report: Callable[[Outcome], None]) -> None:
    """Makes items by ``workers`` processes; one that dies costs the item it was at, and is replaced."""
    waiting: deque[tuple[Item, bool]] = deque((item, False) for item in items)
    crew: list[_Worker] = []
    try:
        while waiting or any(worker.item for worker in crew):
            while waiting and sum(worker.item is not None for worker in crew) < workers:
                worker = next((one for one in crew if one.item is None), None) or _hire(job, workers, crew)
                worker.item, patient = waiting.popleft()
                worker.connection.send((worker.item, patient))
            for ready in wait([worker.connection for worker in crew if worker.item is not None]):
                worker = next(one for one in crew if one.connection is ready)
                item, worker.item = worker.item, None
                assert item is not None
                outcome = _answer(worker, item, crew)
                if outcome is None:  # another run is at it: after all others
                    waiting.append((item, True))
                else:
                    report(outcome)
    finally:
        _dismiss(crew)


def _hire(job: Job, workers: int, crew: list[_Worker]) -> _Worker:
    # Spawned, not forked: a fork would inherit locks and the threads' state of numba and OpenCV.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(job, theirs, max(1, (os.cpu_count() or 1) // workers)), daemon=True)
    resource_tracker.ensure_running()  # which would unblock SIGINT, were it begun below
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # Ctrl-C while it imports would print a traceback
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    theirs.close()
    worker = _Worker(process, ours)
    crew.append(worker)
    return worker


def _answer(worker: _Worker, item: Item, crew: list[_Worker]) -> Outcome | None:
    try:
        return worker.connection.recv()
    except (EOFError, OSError):
        worker.process.join()
        crew.remove(worker)
        reason = f"{item.source}: the process that made it died with exit code {worker.process.exitcode}"
        return Outcome(item.key, FAILED, f"{reason} (-9: killed, perhaps for want of memory)")


def _dismiss(crew: list[_Worker]) -> None:
    """Ends all processes; one that is at an item removes what it has made of it."""
    for worker in crew:
        worker.connection.close()
        if worker.item is not None:
            worker.process.terminate()
    for worker in crew:
        worker.process.join(_PATIENCE_S)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()


def _serve(job: Job, connection: Connection, threads: int) -> None:
    """Makes the items it is sent until the other end closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; our parent ends us
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    signal.signal(signal.SIGTERM, _end)
    _limit_threads(threads)
    while True:
        try:
            item, patient = connection.recv()
        except EOFError:
            return
        outcome = make_item(job, item, wait=patient)
        try:
            connection.send(outcome)
        except BrokenPipeError:
            return


def _end(number: int, frame: FrameType | None) -> None:
    del frame
    raise SystemExit(128 + number)


def _limit_threads(threads: int) -> None:
    """Makes processes side by side share the cores."""
    import cv2
    import numba

    cv2.setNumThreads(threads)
    numba.set_num_threads(min(threads, numba.get_num_threads()))
