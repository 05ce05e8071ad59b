"""Where a view's geometry comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from showroom_ros.errors import SettingsError
from showroom_ros.scene.view import View
from showroom_ros.scene.volume import Volume, Voxels
from showroom_ros.settings import Settings


@dataclass(frozen=True, eq=False)
class Estimate:
    """What an estimator says about the scene after a view.

    Attributes:
        view: the view with the depth, provenance and confidence known of it now; without depth where nothing can
            be said (yet): it is published, and fused if it has depth.
        voxels: predicted voxels that replace earlier predictions at their blocks and yield to what was measured;
            None where the estimator gives depth.
        note: why there is no depth or little confidence, for the log and diagnostics; "" where all is well.
    """

    view: View
    voxels: Voxels | None = None
    note: str = ""


class Estimator(Protocol):
    """Gives views geometry; may remember earlier views.

    Attributes:
        needs_pose: whether views must have one; False where it finds poses itself.
    """

    needs_pose: bool

    def estimate(self, view: View, volume: Volume) -> Estimate:
        """What is known after ``view``, a posed keyframe; views come in the order of their stamps.

        Args:
            view: with or without depth.
            volume: the map so far, to look at, not to change.

        Raises:
            InputError: nothing can be said about this view; the estimator goes on with the next.
        """
        ...

    def reset(self) -> None:
        """Forgets all views."""
        ...


@runtime_checkable
class Adjustable(Protocol):
    """An estimator with settings that may change while it lives."""

    def apply(self, settings: Settings) -> None:
        """Takes over settings, e.g. ``reconstruction.min_confidence``."""
        ...


@runtime_checkable
class WholeScene(Protocol):
    """An estimator that knows more at the end of a recording than view by view."""

    def finish(self, volume: Volume) -> Voxels | None:
        """Predicted voxels of the whole scene, from all views since the last ``reset``; None where there are none."""
        ...


@runtime_checkable
class Patient(Protocol):
    """An estimator that can leave all its work to ``WholeScene.finish``."""

    def leave_to_finish(self) -> None:
        """From now on views are remembered only: nobody looks before the recording ends."""
        ...


def make_estimator(settings: Settings) -> Estimator:
    """The estimator ``reconstruction.method`` names.

    Raises:
        SettingsError: there is none of that name, or the settings contradict each other.
        WeightsError: its weights cannot be loaded.
        MissingDependencyError: it needs a package that is not installed.
    """
    method = settings.reconstruction.method
    if method == "sensor_depth":
        from showroom_ros.reconstruction.sensor_depth import SensorDepth

        return SensorDepth()
    if method == "plane_sweep":
        from showroom_ros.reconstruction.plane_sweep import make_plane_sweep

        return make_plane_sweep(settings)
    if method == "ioar":
        from showroom_ros.reconstruction.volumetric import make_volumetric

        return make_volumetric(settings)
    if method == "multi_view":
        from showroom_ros.reconstruction.multi_view_live import make_multi_view

        return make_multi_view(settings)
    raise SettingsError(f"reconstruction.method is '{method}', expected sensor_depth, plane_sweep, ioar or multi_view")
