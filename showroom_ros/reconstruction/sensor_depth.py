"""Depth a sensor measured: nothing to estimate."""

from __future__ import annotations

from showroom_ros.reconstruction.estimator import Estimate
from showroom_ros.scene.view import View
from showroom_ros.scene.volume import Volume


class SensorDepth:
    """Passes views with depth on as they are."""

    needs_pose = True

    def estimate(self, view: View, volume: Volume) -> Estimate:
        """``view`` itself.

        Raises:
            InputError: it has no depth.
        """
        view.require_depth()
        return Estimate(view)

    def reset(self) -> None:
        """Nothing is remembered."""
