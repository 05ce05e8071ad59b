"""Items made by jobs of submitit: on a SLURM cluster, or by processes of its local executor."""

from __future__ import annotations

import json
import math
import os
import shlex
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from showroom_ros.datasets.prepare.claim import claimed
from showroom_ros.datasets.prepare.item import FAILED, Job, Outcome, make_items
from showroom_ros.datasets.prepare.recipe import Item
from showroom_ros.errors import MissingDependencyError, SettingsError

_POLL_S = 0.2
_LAST_LINES = 3


@dataclass(frozen=True)
class Cluster:
    """What every job asks of the cluster.

    Attributes:
        partition: of SLURM; "" = its default.
        time_min: limit of a job in minutes.
        cpus: cores of a job.
        memory_gb: memory of a job; 0 = the cluster's default.
        items_per_job: 0 = as many as give each worker one job.
    """

    partition: str = ""
    time_min: int = 1440
    cpus: int = 4
    memory_gb: int = 0
    items_per_job: int = 0

    def __post_init__(self) -> None:
        """Checks the ranges."""
        for name, minimum in (("time_min", 1), ("cpus", 1), ("memory_gb", 0), ("items_per_job", 0)):
            if getattr(self, name) < minimum:
                raise SettingsError(f"{name} is {getattr(self, name)}, expected at least {minimum}")


def make_in_jobs(
    job: Job, items: list[Item], executor: str, workers: int, cluster: Cluster, report: Callable[[Outcome], None]
) -> None:
    """Makes items by jobs of submitit, ``workers`` at the same time, and waits for them.

    Jobs outlive this process if it is killed, and finish their items; they are cancelled on Ctrl-C.

    Args:
        job: what is the same for all items.
        items: what is to be made.
        executor: "local" or "slurm".
        workers: jobs at the same time.
        cluster: what each asks for.
        report: called with each outcome, here.

    Raises:
        MissingDependencyError: submitit is not installed.
        SettingsError: there is no SLURM here.
    """
    with claimed(job.out, f"jobs of {socket.gethostname()} process {os.getpid()}") as folder:
        assert folder is not None
        submitted = _submitted(job, items, executor, workers, cluster, folder)
        try:
            _follow(submitted, report)
        except BaseException:
            _cancel(submitted)
            raise


def make_chunk(job: Job, items: list[Item], record: Path) -> list[Outcome]:
    """What a job does: makes its items; writes each outcome as a line of ``record`` and returns them all."""
    outcomes: list[Outcome] = []
    with record.open("a", encoding="utf-8") as file:

        def write(outcome: Outcome) -> None:
            outcomes.append(outcome)
            file.write(json.dumps(asdict(outcome)) + "\n")
            file.flush()

        make_items(job, items, write)
    return outcomes


@dataclass
class _Submitted:
    """A job, its items, and how far its record has been read."""

    handle: Any
    items: list[Item]
    record: Path
    on_cluster: bool
    read_bytes: int = 0

    def new_outcomes(self) -> Iterator[Outcome]:
        """What the job has written since the last call; a line it is still writing waits."""
        if not self.record.exists():
            return
        with self.record.open("rb") as file:
            file.seek(self.read_bytes)
            content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        self.read_bytes += len(whole)
        for line in whole.splitlines():
            values = json.loads(line)
            yield Outcome(**{**values, "skipped": tuple(values["skipped"])})


def _submitted(
    job: Job, items: list[Item], executor: str, workers: int, cluster: Cluster, folder: Path
) -> list[_Submitted]:
    try:
        import submitit
    except ImportError:
        raise MissingDependencyError(
            "jobs need the package submitit: pip install 'showroom_ros[data]', or use the executor 'processes'"
        ) from None
    size = cluster.items_per_job if cluster.items_per_job and executor == "slurm" else math.ceil(len(items) / workers)
    chunks = [items[start : start + size] for start in range(0, len(items), size)]
    records = [folder / f"outcomes-{number}.jsonl" for number in range(len(chunks))]
    try:
        runner = submitit.AutoExecutor(folder=folder / "submitit", cluster=executor)
    except RuntimeError as error:  # its way to say that there is no sbatch
        raise SettingsError(f"executor '{executor}' cannot be used on this machine: {error}") from error
    runner.update_parameters(**_parameters(job, executor, workers, cluster))
    with _importable_by_jobs(), runner.batch():
        handles = [runner.submit(make_chunk, job, chunk, record) for chunk, record in zip(chunks, records, strict=True)]
    parts = zip(handles, chunks, records, strict=True)
    return [_Submitted(handle, chunk, record, executor == "slurm") for handle, chunk, record in parts]


def _parameters(job: Job, executor: str, workers: int, cluster: Cluster) -> dict[str, Any]:
    parameters: dict[str, Any] = {"timeout_min": cluster.time_min, "name": f"showroom-{job.recipe.name}"}
    if executor == "slurm":
        parameters |= {
            "cpus_per_task": cluster.cpus,
            "slurm_array_parallelism": workers,
            "slurm_setup": [f"export PYTHONPATH={shlex.quote(_python_path())}"],
        }
        parameters |= {"slurm_partition": cluster.partition} if cluster.partition else {}
        parameters |= {"mem_gb": cluster.memory_gb} if cluster.memory_gb else {}
    return parameters


def _python_path() -> str:
    """Where this process finds its modules, so that jobs find them too."""
    return os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path if Path(entry).is_dir())


@contextmanager
def _importable_by_jobs() -> Iterator[None]:
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = _python_path()
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def _follow(submitted: list[_Submitted], report: Callable[[Outcome], None]) -> None:
    """Reports outcomes as they come until all jobs have ended."""
    running = list(submitted)
    reported: set[str] = set()
    while running:
        ended = [one for one in running if one.handle.done()]
        outcomes = [outcome for one in running for outcome in one.new_outcomes()]
        for one in ended:
            outcomes += _final_outcomes(one, reported | {outcome.key for outcome in outcomes})
        for outcome in outcomes:
            if outcome.key not in reported:
                reported.add(outcome.key)
                report(outcome)
        running = [one for one in running if one not in ended]
        if running:
            time.sleep(_POLL_S)


def _final_outcomes(one: _Submitted, known: set[str]) -> list[Outcome]:
    """What an ended job returned (its record may reach us later on a network file system), or how it died."""
    if all(item.key in known for item in one.items):
        return []
    try:
        # submitit waits for a result that is late; on this machine one that is not there will not come.
        if one.on_cluster or one.handle.paths.result_pickle.exists():
            return list(one.handle.result())
        words = one.handle.stderr() or ""
    except Exception as error:  # whatever ended the job, as submitit tells it
        words = str(error)
    last = words.strip().splitlines()[-_LAST_LINES:]
    reason = " | ".join([f"its job {one.handle.job_id} ended before it", *last])
    return [Outcome(item.key, FAILED, f"{item.source}: {reason}") for item in one.items if item.key not in known]


def _cancel(submitted: list[_Submitted]) -> None:
    """Cancels all jobs and waits until they have cleaned up."""
    for one in submitted:
        one.handle.cancel(check=False)
    for _ in range(int(10 / _POLL_S)):
        if all(one.handle.done() for one in submitted):
            return
        time.sleep(_POLL_S)
