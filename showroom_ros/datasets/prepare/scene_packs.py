"""Scene packs: sets of a few images of one room with wide baselines, small, for training multi-view networks.

A set is ``images_per_set`` images at an interval of N // 20 of a scene's N images (the ShowRoom distillation data:
5 images of 256x192), so that it spans a quarter of the recording. Images that several sets share are stored once.

``pack.npz`` of a scene holds: ``images`` uint8 [M, H, W, 3] RGB, ``sets`` int32 [S, K] (rows of ``images``),
``numbers`` int32 [M] (frames of the recording), ``intrinsics`` float64 [M, 3, 3] (NaN unknown), ``T_world_camera``
float64 [M, 4, 4] (NaN unknown), ``depth_mm`` uint16 [M, H, W] (0 unknown; [M, 0, 0] where no frame has depth).
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from showroom_ros.datasets.prepare.frame_alignment import cropped_view, resized_view
from showroom_ros.datasets.prepare.output import millimetres, write_npz
from showroom_ros.datasets.prepare.recipe import Item, Recipe
from showroom_ros.datasets.prepare.scenes import open_item, recordings_of_any_kind
from showroom_ros.errors import DatasetError, InputError, ShowroomError
from showroom_ros.geometry.camera import Camera, assumed_camera
from showroom_ros.scene.view import Sequence, View
from showroom_ros.settings import setting

PACK = "pack.npz"
INTERVAL_PARTS = 20

_ARRAYS = ("images", "sets", "numbers", "intrinsics", "T_world_camera", "depth_mm")


@dataclass(frozen=True)
class PackSettings:
    """Settings of scene packs."""

    width: int = setting(256, "width of the images in pixels", minimum=8, maximum=4096)
    height: int = setting(192, "height of the images in pixels", minimum=8, maximum=4096)
    images_per_set: int = setting(5, "images in a set", minimum=2, maximum=INTERVAL_PARTS)
    sets: int = setting(100, "sets of a scene at most, drawn at random; 0 = all there are", minimum=0)
    min_images: int = setting(20, "scenes with fewer images are refused", minimum=2)
    seed: int = setting(0, "of the draw", minimum=0)


def drawn_sets(count: int, images_per_set: int, at_most: int, rng: np.random.Generator) -> NDArray[np.int32]:
    """Sets of frame numbers, int32 [S, K], sorted: every ``count // 20``-th frame from starts drawn at random.

    Args:
        count: frames of the scene.
        images_per_set: K.
        at_most: S at most; 0 = from every possible start.
        rng: draws the starts, none twice.

    Raises:
        InputError: the scene has too few frames for one set.
    """
    interval = max(1, count // INTERVAL_PARTS)
    starts = count - (images_per_set - 1) * interval
    if starts < 1:
        raise InputError(f"{count} frames, expected at least {1 + (images_per_set - 1) * interval} for one set")
    chosen = np.arange(starts)
    if 0 < at_most < starts:
        chosen = np.sort(rng.choice(starts, at_most, replace=False))
    return (chosen[:, None] + interval * np.arange(images_per_set)).astype(np.int32)


def prepare_pack(item: Item, out: Path, settings: PackSettings) -> list[str]:
    """Writes the pack of one recording; returns the frames and sets that were left out.

    Raises:
        DatasetError: fewer than ``min_images`` frames, or no set is whole.
    """
    sequence = open_item(item)
    if len(sequence) < settings.min_images:
        raise DatasetError(f"{item.source}: has {len(sequence)} images, expected at least {settings.min_images}")
    # The draw depends on the scene's name, so that scenes of the same length differ.
    name = int.from_bytes(sha256(item.key.encode()).digest()[:8], "little")
    rng = np.random.default_rng([settings.seed, name])
    sets = drawn_sets(len(sequence), settings.images_per_set, settings.sets, rng)
    views, skipped = _views(sequence, np.unique(sets), settings)
    whole = np.array([all(int(number) in views for number in numbers) for numbers in sets])
    if not whole.any():
        raise DatasetError(f"{item.source}: none of {len(sets)} sets is whole: {'; '.join(skipped[:3])}")
    if not whole.all():
        skipped.append(f"{int((~whole).sum())} of {len(sets)} sets, for want of these frames")
    numbers = np.unique(sets[whole])
    used = [views[int(number)] for number in numbers]
    known = getattr(sequence, "intrinsics_known", True)
    write_npz(
        out / PACK,
        compressed=False,
        images=np.stack([view.image for view in used]),
        sets=np.searchsorted(numbers, sets[whole]).astype(np.int32),
        numbers=numbers.astype(np.int32),
        intrinsics=np.stack([view.camera.matrix if known else np.full((3, 3), np.nan) for view in used]),
        T_world_camera=np.stack([_pose_or_nan(view) for view in used]),
        depth_mm=_depths(used),
    )
    return skipped


class ScenePack:
    """Reads the pack of a scene.

    Attributes:
        name: of the scene.
        sets: int32 [S, K], rows of the images.
        numbers: int32 [M], frames of the recording they were.
    """

    def __init__(self, path: str | Path) -> None:
        """Reads the whole pack.

        Args:
            path: folder of the prepared scene, or its ``pack.npz``.

        Raises:
            DatasetError: missing, or not a whole pack.
        """
        path = Path(path)
        file = path / PACK if path.is_dir() else path
        self.name = file.absolute().parent.name
        try:
            with np.load(file) as archive:
                read = {name: archive[name] for name in _ARRAYS}
        except Exception as error:  # zipfile and numpy raise what they like on a broken archive
            raise DatasetError(f"{file}: cannot be read as a scene pack: {error}") from error
        self._images, self.sets, self.numbers = read["images"], read["sets"], read["numbers"]
        self._intrinsics, self._poses, self._depth_mm = read["intrinsics"], read["T_world_camera"], read["depth_mm"]

    def __len__(self) -> int:
        """Number of sets."""
        return len(self.sets)

    def __getitem__(self, index: int) -> list[View]:
        """The views of a set."""
        return [self.view(int(row)) for row in self.sets[index]]

    @property
    def intrinsics_known(self) -> bool:
        """Whether the cameras of the views are the recording's, not assumed ones."""
        return bool(np.isfinite(self._intrinsics).all())

    def view(self, row: int) -> View:
        """An image as a ``View``: with depth and pose where they are known."""
        height, width = self._images.shape[1:3]
        depth = None
        if self._depth_mm.shape[1]:
            depth = self._depth_mm[row].astype(np.float32) / np.float32(1000)
            depth[self._depth_mm[row] == 0] = np.nan
        matrix = self._intrinsics[row]
        if np.isfinite(matrix).all():
            camera = Camera(width, height, matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2])
        else:
            camera = assumed_camera(width, height)
        pose = self._poses[row] if np.isfinite(self._poses[row]).all() else None
        return View(self._images[row], camera, depth, T_world_camera=pose)


def _views(sequence: Sequence, numbers: NDArray, settings: PackSettings) -> tuple[dict[int, View], list[str]]:
    """The frames by number, cropped to the proportions of the pack and resized; and those that cannot be read."""
    views: dict[int, View] = {}
    skipped: list[str] = []
    for number in map(int, numbers):
        try:
            view = cropped_view(sequence[number], settings.width, settings.height)
        except ShowroomError as error:
            skipped.append(f"frame {number}: {error}")
            continue
        views[number] = resized_view(view, settings.width, settings.height)
    return views, skipped


def _pose_or_nan(view: View) -> NDArray[np.float64]:
    return np.full((4, 4), np.nan) if view.T_world_camera is None else view.T_world_camera


def _depths(views: list[View]) -> NDArray[np.uint16]:
    if all(view.depth is None for view in views):
        return np.zeros((len(views), 0, 0), np.uint16)
    empty = np.zeros(views[0].image.shape[:2], np.uint16)
    return np.stack([empty if view.depth is None else millimetres(view.depth) for view in views])


RECIPE = Recipe(
    name="scene_packs",
    title="sets of 5 images of a room at 256x192, from any kind of recording",
    find=recordings_of_any_kind,
    prepare=prepare_pack,
    settings=PackSettings,
)
