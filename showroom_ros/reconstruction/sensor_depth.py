"""Depth a sensor measured: nothing to estimate."""

from __future__ import annotations

from showroom_ros.scene.view import View


class SensorDepth:
    """Passes views with depth on as they are."""

    def estimate(self, view: View) -> View:
        """``view`` itself.

        Raises:
            InputError: it has no depth.
        """
        view.require_depth()
        return view
