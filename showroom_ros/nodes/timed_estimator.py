"""An estimator that tells how long it took: there is no clock below the nodes."""

from __future__ import annotations

import time

from showroom_ros.reconstruction.estimator import Adjustable, Estimate, Estimator
from showroom_ros.scene.view import View
from showroom_ros.scene.volume import Volume
from showroom_ros.settings import Settings


class TimedEstimator:
    """Passes everything on to another estimator.

    Attributes:
        last_s: seconds the last estimate took.
        needs_pose: as the other one's.
    """

    def __init__(self, estimator: Estimator) -> None:
        """Nothing was estimated yet."""
        self._estimator = estimator
        self.last_s = 0.0
        self.needs_pose = estimator.needs_pose

    def estimate(self, view: View, volume: Volume) -> Estimate:
        """See ``Estimator``."""
        start = time.perf_counter()
        try:
            return self._estimator.estimate(view, volume)
        finally:
            self.last_s = time.perf_counter() - start

    def reset(self) -> None:
        """See ``Estimator``."""
        self._estimator.reset()

    def apply(self, settings: Settings) -> None:
        """See ``Adjustable``; nothing where the other one has no such settings."""
        if isinstance(self._estimator, Adjustable):
            self._estimator.apply(settings)
