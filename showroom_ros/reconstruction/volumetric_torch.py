"""Running a volumetric network: features of keyframes, and signed distances of tiles or of a whole scene."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from showroom_ros.errors import InputError
from showroom_ros.networks.ioar import LEVELS, SURFACE, TRUNCATION_VOXELS, LevelState, dense_coordinates
from showroom_ros.networks.view_fusion import FusedViews, ViewFeatures
from showroom_ros.reconstruction.predicted_field import FieldVoxels
from showroom_ros.reconstruction.tiles import parallax_deg
from showroom_ros.scene.view import View

COARSE_VOXELS = 2 ** (LEVELS - 1)
"""Fine voxels along the edge of a coarse one."""
_PARALLAX_CHUNK = 16384


class VolumetricNetwork(Protocol):
    """What is asked of the network; ``networks.ioar.IoarNet`` offers it."""

    def view_features(self, images: Tensor, K: Tensor, T_world_camera: Tensor) -> ViewFeatures:
        """See ``IoarNet``."""
        ...

    def fuse_views(self, level: int, points_m: Tensor, features: ViewFeatures) -> FusedViews:
        """See ``IoarNet``."""
        ...

    def run_level(self, level: int, coordinates: Tensor, fused: Tensor, parent: LevelState | None) -> LevelState:
        """See ``IoarNet``."""
        ...

    def subdivide(self, state: LevelState) -> tuple[Tensor, LevelState]:
        """See ``IoarNet``."""
        ...

    def tsdf(self, state: LevelState) -> Tensor:
        """See ``IoarNet``."""
        ...


class Region(NamedTuple):
    """A box of the grid and the views to look at it with.

    Attributes:
        low: int64 [3], its first fine voxel; a multiple of 4.
        shape: fine voxels along x, y, z; multiples of 4.
        features: of each of the n views; stacked only when needed: tiles share views.
        eyes_m: float64 [n, 3], where their cameras are in the grid's frame.
    """

    low: NDArray[np.int64]
    shape: tuple[int, int, int]
    features: list[ViewFeatures]
    eyes_m: NDArray[np.float64]


def view_features(
    network: VolumetricNetwork, view: View, T_grid_camera: NDArray[np.float64], device: str
) -> ViewFeatures:
    """Feature maps of a view, kept as float16.

    Raises:
        InputError: the network cannot take the image, or the device's memory is full.
    """
    with _running(f"the features of a {view.camera.width}x{view.camera.height} image"):
        image = torch.as_tensor(view.image, device=device).permute(2, 0, 1)[None].float()
        K = torch.as_tensor(view.camera.matrix, dtype=torch.float32, device=device)[None]
        pose = torch.as_tensor(T_grid_camera, dtype=torch.float32, device=device)[None]
        return network.view_features(image, K, pose).kept_as(torch.float16)


def predict_distances(
    network: VolumetricNetwork,
    regions: Sequence[Region],
    voxel_size_m: float,
    min_confidence: float,
    min_parallax_deg: float,
    device: str,
) -> FieldVoxels:
    """Signed distances of all regions, which must not overlap: coarse, medium, fine.

    Per level the views are fused region by region, each with its own; then the 3D networks run once over the voxels
    of all regions, so that there are no seams between them (VoRTX, IOAR). One region alone is the live case.

    Args:
        network: in evaluation mode, on ``device``.
        regions: at least one.
        voxel_size_m: of the fine level.
        min_confidence: voxels whose surrounding 8 cm are surface with less probability are left out.
        min_parallax_deg: so are voxels that are not seen by two views as different as this.
        device: where the network is.

    Returns:
        The known voxels; the weight is the confidence times how many views expect the surface there, at least 1.

    Raises:
        InputError: the device's memory is full.
    """
    views = max(len(region.features) for region in regions)
    with _running(f"{len(regions)} tiles with up to {views} views each"):
        offset = np.min([region.low for region in regions], axis=0)
        coordinates, parent = _coarse(regions, offset, device), None
        for level in range(LEVELS):
            edge = COARSE_VOXELS >> level
            rows = _rows_of_regions(coordinates, regions, offset, edge)
            parts = _fuse(network, level, coordinates, rows, regions, offset, voxel_size_m * edge)
            fused = torch.cat([part.features for part in parts])[torch.cat(rows).argsort()]
            state = network.run_level(level, coordinates, fused, parent)
            if level < LEVELS - 1:
                coordinates, parent = network.subdivide(state)
                if not len(coordinates):
                    return _nothing()
        return _known(network, state, parent, rows, parts, regions, offset, voxel_size_m,
                      min_confidence, min_parallax_deg)  # fmt: skip


def _coarse(regions: Sequence[Region], offset: NDArray[np.int64], device: str) -> Tensor:
    """All coarse voxels of all regions, int64 [V, 4]."""
    parts = []
    for region in regions:
        inside = dense_coordinates((1, *(size // COARSE_VOXELS for size in region.shape)), torch.device(device))
        inside[:, 1:] += torch.as_tensor((region.low - offset) // COARSE_VOXELS, device=device)
        parts.append(inside)
    return torch.cat(parts)


def _rows_of_regions(
    coordinates: Tensor, regions: Sequence[Region], offset: NDArray[np.int64], edge: int
) -> list[Tensor]:
    """Which of the voxels [V, 4], ``edge`` fine voxels wide, lie in each region."""
    if len(regions) == 1:
        return [torch.arange(len(coordinates), device=coordinates.device)]
    rows = []
    for region in regions:
        low = torch.as_tensor(region.low - offset, device=coordinates.device)
        at = coordinates[:, 1:] * edge - low
        shape = torch.as_tensor(region.shape, device=coordinates.device)
        rows.append(((at >= 0) & (at < shape)).all(1).nonzero()[:, 0])
    return rows


def _fuse(
    network: VolumetricNetwork,
    level: int,
    coordinates: Tensor,
    rows: list[Tensor],
    regions: Sequence[Region],
    offset: NDArray[np.int64],
    size_m: float,
) -> list[FusedViews]:
    """What the views of each region say of its voxels."""
    finest = torch.as_tensor(offset, device=coordinates.device) * (size_m * (1 << level) / COARSE_VOXELS)
    parts = []
    for region, which in zip(regions, rows, strict=True):
        points_m = (coordinates[which, 1:] * size_m + finest).float()
        features = ViewFeatures.stacked(region.features).kept_as(torch.float32)
        parts.append(network.fuse_views(level, points_m, features))
    return parts


def _known(
    network: VolumetricNetwork,
    state: LevelState,
    parent: LevelState | None,
    rows: list[Tensor],
    parts: list[FusedViews],
    regions: Sequence[Region],
    offset: NDArray[np.int64],
    voxel_size_m: float,
    min_confidence: float,
    min_parallax_deg: float,
) -> FieldVoxels:
    """The fine voxels that are sure enough, with their distances and weights."""
    assert parent is not None
    assert parent.class_logits is not None
    confidence = parent.class_logits.float().softmax(1)[:, SURFACE]
    tsdf = network.tsdf(state).float().clamp(-1, 1)
    found = []
    for region, which, part in zip(regions, rows, parts, strict=True):
        voxels = state.coordinates[which, 1:].cpu().numpy() + offset
        votes = (part.projective_occupancy.float().sigmoid() * part.valid).sum(1)
        weight = (confidence[which] * votes).clamp(min=1.0).cpu().numpy()
        sure = (confidence[which] >= min_confidence).cpu().numpy() & np.isfinite(weight)
        sure &= _parallax(voxels.astype(np.float64) * voxel_size_m, region.eyes_m, part.valid) >= min_parallax_deg
        distance_m = (-TRUNCATION_VOXELS * voxel_size_m * tsdf[which]).cpu().numpy()
        sure &= np.isfinite(distance_m)
        found.append(FieldVoxels(voxels, distance_m, weight).rows(sure))
    return FieldVoxels(*(np.concatenate(arrays) for arrays in zip(*found, strict=True)))


def _parallax(points_m: NDArray[np.float64], eyes_m: NDArray[np.float64], valid: Tensor) -> NDArray[np.float64]:
    visible = valid.cpu().numpy()
    chunks = [
        parallax_deg(points_m[start : start + _PARALLAX_CHUNK], eyes_m, visible[start : start + _PARALLAX_CHUNK])
        for start in range(0, len(points_m), _PARALLAX_CHUNK)
    ]
    return np.concatenate(chunks) if chunks else np.zeros(0)


def _nothing() -> FieldVoxels:
    return FieldVoxels(np.zeros((0, 3), np.int64), np.zeros(0, np.float32), np.zeros(0, np.float32))


@contextmanager
def _running(what: str) -> Iterator[None]:
    """Inference without gradients; full memory becomes an error that says what to change."""
    try:
        with torch.inference_mode():
            yield
    except torch.OutOfMemoryError as error:
        raise InputError(
            f"the device's memory is full with {what}: lower reconstruction.image_width, use the small network "
            f"(reconstruction.model_file) or reconstruction.device 'cpu' ({str(error).splitlines()[0]})"
        ) from error
