"""Where frames are at a given time: a transform tree with history, in plain numpy.

Nothing waits here. A lookup that cannot be answered says whether it may be answered later
(``NotYetError``, ``MissingFrameError``, ``DisconnectedError``) or never (``TooOldError``, ``GapError``),
so that the caller can keep its frame or drop it.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from dataclasses import dataclass
from operator import itemgetter
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from showroom_ros.errors import TransformError
from showroom_ros.geometry.se3 import interpolate, inverse

JUMP_BACK_NS = 1_000_000_000
"""A stamp this far before the newest one means that time was set back."""

Matrix = NDArray[np.float64]
_BY_STAMP = itemgetter(0)


class MissingFrameError(TransformError):
    """A frame nobody has published yet."""


class DisconnectedError(TransformError):
    """Both frames exist, in different trees."""


class TooOldError(TransformError):
    """The stamp lies before the history."""


class NotYetError(TransformError):
    """The stamp lies after the newest transform: it may still come."""


class GapError(TransformError):
    """The transforms around the stamp are too far apart to interpolate."""


def may_come(error: TransformError) -> bool:
    """Whether the lookup that failed with ``error`` may succeed once more transforms have arrived."""
    return isinstance(error, NotYetError | MissingFrameError | DisconnectedError)


class TransformSource(Protocol):
    """What answers lookups: ``TransformBuffer``, or ``tf2_ros`` behind the same face."""

    def lookup(self, target: str, source: str, stamp_ns: int) -> Matrix:
        """``T_target_source`` [4, 4] at a time; raises ``TransformError``."""
        ...

    def time_jumped_back(self, stamp_ns: int) -> None:
        """Forgets what was heard of before time was set back to ``stamp_ns``."""
        ...


class PoseHistory:
    """Poses over time, interpolated: linear translation, slerp rotation."""

    def __init__(self, history_ns: int, max_gap_ns: int, what: str) -> None:
        """Keeps ``history_ns`` before the newest pose; ``what`` names it in errors."""
        self._poses: list[tuple[int, Matrix]] = []
        self._history_ns, self._what = history_ns, what
        self.max_gap_ns = max_gap_ns

    @property
    def newest_ns(self) -> int | None:
        """Stamp of the newest pose, None when empty."""
        return self._poses[-1][0] if self._poses else None

    def insert(self, stamp_ns: int, pose: Matrix) -> None:
        """Adds a pose; one of the same stamp is replaced; those beyond the history are forgotten."""
        index = bisect_left(self._poses, stamp_ns, key=_BY_STAMP)
        if index < len(self._poses) and self._poses[index][0] == stamp_ns:
            self._poses[index] = (stamp_ns, pose)
            return
        self._poses.insert(index, (stamp_ns, pose))
        # in one go now and then: removing from the front of a list moves the rest
        expired = bisect_left(self._poses, self._poses[-1][0] - self._history_ns, key=_BY_STAMP)
        if expired > len(self._poses) // 4:
            del self._poses[:expired]

    def at(self, stamp_ns: int) -> Matrix:
        """The pose [4, 4] at ``stamp_ns``.

        Raises:
            NotYetError, TooOldError, GapError: see there; each names stamps in seconds.
        """
        index = bisect_left(self._poses, stamp_ns, key=_BY_STAMP)
        if index == len(self._poses):
            newest = f"newest is {self._poses[-1][0] / 1e9:.3f}" if self._poses else "there is none"
            raise NotYetError(f"{self._what}: no pose yet at {stamp_ns / 1e9:.3f} s, {newest}")
        after_ns, after = self._poses[index]
        if after_ns == stamp_ns:
            return after
        if index == 0:
            raise TooOldError(f"{self._what}: {stamp_ns / 1e9:.3f} s is before the oldest pose, {after_ns / 1e9:.3f} s")
        before_ns, before = self._poses[index - 1]
        if after_ns - before_ns > self.max_gap_ns:
            raise GapError(
                f"{self._what}: poses around {stamp_ns / 1e9:.3f} s are {(after_ns - before_ns) / 1e9:.3f} s apart, "
                f"at most {self.max_gap_ns / 1e9:g} s are interpolated (pose.max_gap_s)"
            )
        return interpolate(before, after, (stamp_ns - before_ns) / (after_ns - before_ns))

    def clear(self) -> None:
        """Forgets all poses."""
        self._poses.clear()


@dataclass
class _Edge:
    """The transform of a frame in its parent."""

    parent: str
    history: PoseHistory
    static: Matrix | None = None


class TransformBuffer:
    """The transform tree of ``/tf`` and ``/tf_static``. May be used from several threads.

    Attributes:
        jumps: how often a transform's stamps went backwards, which clears all but static ones.
    """

    def __init__(self, history_s: float = 30.0, max_gap_s: float = 0.5) -> None:
        """Keeps ``history_s`` per edge; poses farther apart than ``max_gap_s`` are not interpolated."""
        self._edges: dict[str, _Edge] = {}
        self._lock = threading.Lock()
        self._history_ns, self._max_gap_ns = int(history_s * 1e9), int(max_gap_s * 1e9)
        self.jumps = self._jumps_told = 0

    def set_max_gap(self, max_gap_s: float) -> None:
        """Changes the gap for all edges."""
        with self._lock:
            self._max_gap_ns = int(max_gap_s * 1e9)
            for edge in self._edges.values():
                edge.history.max_gap_ns = self._max_gap_ns

    def insert(
        self, parent: str, child: str, stamp_ns: int, T_parent_child: Matrix, *, is_static: bool = False
    ) -> None:
        """Adds a transform; a new parent replaces the old one.

        Raises:
            TransformError: a frame name is empty, or child and parent are the same.
        """
        parent, child = parent.lstrip("/"), child.lstrip("/")
        if not parent or not child or parent == child:
            raise TransformError(f"/tf: transform from '{child}' to '{parent}', expected two different frames")
        with self._lock:
            edge = self._edges.get(child)
            if edge is None or edge.parent != parent:
                history = PoseHistory(self._history_ns, self._max_gap_ns, f"transform {parent} <- {child}")
                edge = self._edges[child] = _Edge(parent, history)
            if is_static:
                edge.static = T_parent_child
                return
            newest_ns = edge.history.newest_ns
            if newest_ns is not None and newest_ns - stamp_ns >= JUMP_BACK_NS:
                self.jumps += 1
                self._clear()
            edge.static = None
            edge.history.insert(stamp_ns, T_parent_child)

    def lookup(self, target: str, source: str, stamp_ns: int) -> Matrix:
        """``T_target_source`` [4, 4] at ``stamp_ns``.

        Raises:
            MissingFrameError: nobody published one of the frames; lists those that are known.
            DisconnectedError: both exist, but in two trees.
            NotYetError, TooOldError, GapError: from the first edge that has no pose at that time.
        """
        target, source = target.lstrip("/"), source.lstrip("/")
        if target == source:
            return np.eye(4)
        with self._lock:
            up_target, up_source = self._chain(target), self._chain(source)
            common = next((frame for frame in up_source if frame in up_target), None)
            if common is None:
                raise DisconnectedError(
                    f"frames '{target}' and '{source}' are in different trees, with roots '{up_target[-1]}' and "
                    f"'{up_source[-1]}'; a transform between them is missing"
                )
            T_common_source = self._compose(up_source[: up_source.index(common)], stamp_ns)
            T_common_target = self._compose(up_target[: up_target.index(common)], stamp_ns)
        return inverse(T_common_target) @ T_common_source

    def frames(self) -> list[str]:
        """All known frames, sorted."""
        with self._lock:
            return self._frames()

    def time_jumped_back(self, stamp_ns: int) -> None:
        """Forgets all but static transforms, unless they have jumped themselves and are of the new time already."""
        with self._lock:
            if self.jumps > self._jumps_told:
                self._jumps_told = self.jumps
                return
            newest = [edge.history.newest_ns for edge in self._edges.values() if edge.history.newest_ns is not None]
            if newest and max(newest) - stamp_ns >= JUMP_BACK_NS:
                self._clear()

    def _clear(self) -> None:
        for edge in self._edges.values():
            edge.history.clear()

    def _frames(self) -> list[str]:
        return sorted({*self._edges, *(edge.parent for edge in self._edges.values())})

    def _chain(self, frame: str) -> list[str]:
        """``frame``, its parent, ... up to the root."""
        frames = self._frames()
        if frame not in frames:
            known = ", ".join(frames) or "none; is /tf published?"
            raise MissingFrameError(f"frame '{frame}' is not in /tf or /tf_static; known frames: {known}")
        chain = [frame]
        while chain[-1] in self._edges:
            chain.append(self._edges[chain[-1]].parent)
            if len(chain) > len(frames):
                raise DisconnectedError(f"/tf has a loop: {' -> '.join(chain)}")
        return chain

    def _compose(self, frames: list[str], stamp_ns: int) -> Matrix:
        """Transform from the first of ``frames`` to the parent of the last."""
        pose = np.eye(4)
        for frame in frames:
            edge = self._edges[frame]
            pose = (edge.history.at(stamp_ns) if edge.static is None else edge.static) @ pose
        return pose
