"""Where a view's geometry comes from."""

from __future__ import annotations

from typing import Protocol

from showroom_ros.errors import SettingsError
from showroom_ros.scene.view import View
from showroom_ros.settings import ReconstructionSettings


class Estimator(Protocol):
    """Gives a view the depth that is fused."""

    def estimate(self, view: View) -> View:
        """The view with depth.

        Raises:
            InputError: nothing can be said about this view.
        """
        ...


def make_estimator(settings: ReconstructionSettings) -> Estimator:
    """The estimator ``settings.method`` names.

    Raises:
        SettingsError: there is none of that name.
    """
    if settings.method == "sensor_depth":
        from showroom_ros.reconstruction.sensor_depth import SensorDepth

        return SensorDepth()
    raise SettingsError(f"reconstruction.method is '{settings.method}', expected sensor_depth")
