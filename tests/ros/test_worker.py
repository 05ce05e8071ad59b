"""The worker: order, dropped items, calls, errors."""

import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from showroom_ros.errors import InputError, ShowroomError
from showroom_ros.ros.worker import Worker


def start(handle, queue_size=100, on_wake=None):
    errors, fatal = [], []
    worker = Worker(handle, queue_size=queue_size, on_error=errors.append, on_fatal=fatal.append, on_wake=on_wake)
    worker.start()
    return worker, errors, fatal


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 8), st.integers(0, 30))
def test_a_blocked_worker_keeps_the_newest_items_in_order(queue_size, count):
    gate, entered, seen = threading.Event(), threading.Event(), []

    def handle(item):
        entered.set()
        gate.wait(5)
        seen.append(item)

    worker, _, _ = start(handle, queue_size)
    worker.submit("first")
    assert entered.wait(5)
    for index in range(count):
        worker.submit(index)
    assert worker.waiting == min(count, queue_size)
    gate.set()
    assert worker.wait_idle()
    assert seen == ["first", *range(count)[-queue_size:]]
    assert worker.dropped == max(0, count - queue_size)
    assert worker.received == count + 1
    assert worker.stop()


def test_calls_run_in_order_with_items_on_the_workers_thread():
    seen = []
    worker, _, _ = start(seen.append)
    for index in range(5):
        worker.submit(index)
    seen_by_call, thread = worker.call(lambda: (list(seen), threading.current_thread().name))
    assert seen_by_call == [0, 1, 2, 3, 4]
    assert thread == "worker"
    worker.stop()


def test_calls_may_go_ahead_of_items_that_wait():
    gate, entered, seen = threading.Event(), threading.Event(), []

    def handle(item):
        entered.set()
        gate.wait(5)
        seen.append(item)

    worker, _, _ = start(handle)
    for index in range(5):
        worker.submit(index)
    assert entered.wait(5)
    calls = [
        threading.Thread(target=worker.call, args=(lambda: seen.append("in line"),)),
        threading.Thread(target=worker.call, args=(lambda: seen.append("ahead"),), kwargs={"ahead": True}),
    ]
    for call in calls:
        call.start()
    deadline = time.monotonic() + 5
    while not (worker._ahead and len(worker._tasks) == 5) and time.monotonic() < deadline:
        time.sleep(0.01)
    gate.set()
    assert worker.wait_idle()
    assert seen == [0, "ahead", 1, 2, 3, 4, "in line"]
    for call in calls:
        call.join(5)
    worker.stop()


def test_errors_of_users_are_handed_over_and_the_worker_goes_on():
    seen = []

    def handle(item):
        if item == "bad":
            raise InputError("bad item")
        seen.append(item)

    worker, errors, fatal = start(handle)
    for item in ("a", "bad", "b"):
        worker.submit(item)
    assert worker.wait_idle()
    assert (seen, [str(error) for error in errors], fatal, worker.failed) == (["a", "b"], ["bad item"], [], 1)
    with pytest.raises(InputError, match="not so"):
        worker.call(lambda: (_ for _ in ()).throw(InputError("not so")))
    assert worker.call(lambda: 7) == 7
    worker.stop()


@pytest.mark.parametrize("by_call", [False, True])
def test_a_defect_stops_the_worker_and_is_handed_over(by_call):
    def handle(item):
        raise ZeroDivisionError(item)

    worker, _, fatal = start(handle)
    if by_call:
        with pytest.raises(ShowroomError, match="internal error"):
            worker.call(lambda: 1 / 0)
    else:
        worker.submit("x")
    deadline = time.monotonic() + 5
    while not fatal and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [type(error) for error in fatal] == [ZeroDivisionError]
    with pytest.raises(ShowroomError, match="is stopped"):
        worker.call(lambda: 1)


def test_wake_runs_once_after_the_queue_is_empty():
    order, gate = [], threading.Event()

    def handle(item):
        gate.wait(5)
        order.append(item)

    worker, _, _ = start(handle, on_wake=lambda: order.append("wake"))
    worker.submit(1)
    worker.submit(2)
    for _ in range(10):
        worker.wake()
    gate.set()
    deadline = time.monotonic() + 5
    while "wake" not in order and time.monotonic() < deadline:
        time.sleep(0.01)
    assert worker.wait_idle()
    assert order == [1, 2, "wake"]
    worker.stop()


def test_stop_fails_waiting_calls_and_a_busy_worker_times_calls_out():
    gate, entered = threading.Event(), threading.Event()

    def handle(item):
        entered.set()
        gate.wait(5)

    worker, _, _ = start(handle)
    worker.submit(1)
    assert entered.wait(5)
    with pytest.raises(ShowroomError, match="was busy for longer"):
        worker.call(lambda: 1, timeout_s=0.05)
    results = []

    def call():
        try:
            worker.call(lambda: 1)
        except ShowroomError as error:
            results.append(str(error))

    thread = threading.Thread(target=call)
    thread.start()
    time.sleep(0.1)
    threading.Timer(0.2, gate.set).start()
    assert worker.stop()
    thread.join(5)
    assert results == ["worker is stopped"]


def test_clear_forgets_items_but_not_calls():
    gate, entered, seen = threading.Event(), threading.Event(), []

    def handle(item):
        entered.set()
        gate.wait(5)
        seen.append(item)

    worker, _, _ = start(handle)
    worker.submit("running")
    assert entered.wait(5)
    worker.submit("waiting")
    answers = []
    thread = threading.Thread(target=lambda: answers.append(worker.call(lambda: "answer")))
    thread.start()
    time.sleep(0.1)
    worker.clear()
    gate.set()
    thread.join(5)
    assert (seen, answers, worker.dropped) == (["running"], ["answer"], 1)
    worker.stop()
