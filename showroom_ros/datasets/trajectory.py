"""The pose of a camera at any time of a recorded trajectory."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from showroom_ros.geometry.se3 import interpolate


@dataclass(frozen=True)
class Trajectory:
    """Poses in order of time.

    Attributes:
        stamps_ns: their stamps, ascending.
        poses: float64 [N, 4, 4], ``T_world_camera``.
    """

    stamps_ns: list[int]
    poses: NDArray[np.float64]

    def at(self, stamp_ns: int, max_gap_ns: int, tolerance_ns: int = 0) -> NDArray[np.float64] | None:
        """The pose [4, 4] at a time: that of the nearest stamp, or between two (linear, and slerp).

        Args:
            stamp_ns: when.
            max_gap_ns: between poses further apart nothing is interpolated.
            tolerance_ns: a pose this near in time is taken as it is.

        Returns:
            None outside the trajectory and in gaps of it.
        """
        after = bisect_left(self.stamps_ns, stamp_ns)
        near = [i for i in (after - 1, after) if 0 <= i < len(self.stamps_ns)]
        nearest = min(near, key=lambda i: abs(self.stamps_ns[i] - stamp_ns), default=None)
        if nearest is not None and abs(self.stamps_ns[nearest] - stamp_ns) <= tolerance_ns:
            return self.poses[nearest]
        if after in (0, len(self.stamps_ns)):
            return None
        start_ns, end_ns = self.stamps_ns[after - 1], self.stamps_ns[after]
        if end_ns - start_ns > max_gap_ns:
            return None
        return interpolate(self.poses[after - 1], self.poses[after], (stamp_ns - start_ns) / (end_ns - start_ns))
