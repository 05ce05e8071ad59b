"""NYU Depth v2 for depth completion: a teacher's depth and hole masks (Engstler et al., Invisible Stitch, section 4).

Per frame of a scene, both 640x480:

* ``NAME_depth.png``: 16-bit relative depth, 65535 = 1. The teacher sees the 624x464 pixels within the white frame of
  the images; the frame itself is 0.
* ``NAME_holes.png``: 255 where nothing comes near when the *measured* depth of those pixels is seen from a second
  camera, and on the frame.

``frames.json`` holds teacher, viewpoints and shares; ``train.txt`` and ``test.txt`` beside the scenes list all
frames of the official splits (``frames.txt`` those of neither).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from showroom_ros.datasets.nyu import DATASET, NyuFiles, read_nyu
from showroom_ros.datasets.prepare.hole_masks import Viewpoint, hole_mask, random_viewpoint
from showroom_ros.datasets.prepare.output import write_json, write_mask, write_plane
from showroom_ros.datasets.prepare.recipe import Item, Recipe
from showroom_ros.datasets.prepare.sampling import generator_of, list_file, seed_of
from showroom_ros.datasets.prepare.teachers import KINDS, TeacherSettings, teacher_of
from showroom_ros.errors import DatasetError, InputError
from showroom_ros.scene.view import SensorFrame, Sequence
from showroom_ros.settings import setting

LEFT, TOP, RIGHT, BOTTOM = 8, 8, 632, 472
"""The window without the white frame of the images: 624x464."""

FULL_SCALE = 65535
RECORD = "frames.json"


@dataclass(frozen=True)
class NyuSettings(TeacherSettings):
    """How frames are prepared."""

    teacher: str = setting("sensor", "who estimates depth; sensor = what was measured", choices=KINDS[1:])
    seed: int = setting(0, "of the viewpoints", minimum=0, maximum=2**31)
    every: int = setting(1, "take every so manieth frame", minimum=1, maximum=10_000)
    max_angle_deg: float = setting(
        15.0, "largest azimuth and elevation of the second camera", minimum=0.0, maximum=60.0
    )


def find_nyu(root: Path, split: str | None) -> list[Item]:
    """One item per scene, or the labelled set (or its split) as one."""
    items = []
    for scene in DATASET.scenes(root, split):
        relative = scene.relative_to(root) if scene != root else Path(scene.name)
        items.append(Item(relative.as_posix().replace(".mat", ""), scene))
    return items


def prepare_nyu(item: Item, out: Path, settings: NyuSettings) -> list[str]:
    """Depth and masks of one scene.

    Raises:
        SettingsError: the teacher's weights are not there.
        DatasetError: the scene cannot be read, or none of its frames can be used.
    """
    teacher = teacher_of(settings)
    sequence = read_nyu(item.source)
    skipped, record = [], {}
    for index in range(0, len(sequence), settings.every):
        name = _frame_name(sequence, index)
        try:
            frame = _cropped(sequence.frame(index))
            seed = seed_of(settings.seed, f"{item.key}/{name}")
            relative = teacher.predict(frame.image, frame.depth, seed)
            viewpoint = random_viewpoint(generator_of(settings.seed, f"{item.key}/{name}"), settings.max_angle_deg)
            holes = sensor_hole_mask(frame, viewpoint)
        except (DatasetError, InputError) as error:
            skipped.append(f"{name}: {error}")
            continue
        write_plane(out / f"{name}_depth.png", np.rint(_padded(relative, 0.0) * FULL_SCALE).astype(np.uint16))
        write_mask(out / f"{name}_holes.png", _padded(holes, True))
        record[name] = {**asdict(viewpoint), "hole_share": round(float(holes.mean()), 6)}
    if not record:
        raise DatasetError(f"{item.source}: none of its {len(sequence)} frames can be used; first: {skipped[0]}")
    write_json(out / RECORD, {"teacher": teacher.name, "teacher_sha256": teacher.sha256, "frames": record})
    return skipped


def sensor_hole_mask(frame: SensorFrame, viewpoint: Viewpoint) -> NDArray[np.bool_]:
    """Holes [H, W] when the measured depth is seen from a second camera; its largest value counts as 1.

    Raises:
        InputError: the frame has no depth, or none that is known.
    """
    depth = frame.depth
    if depth is None or not np.isfinite(depth).any():
        raise InputError("depth is unknown at every pixel")
    return hole_mask(depth / np.nanmax(depth), viewpoint, frame.color_camera)


def combine_nyu(items: list[Item], out: Path, settings: NyuSettings) -> dict[str, bytes]:
    """Lists of the frames of each split."""
    del settings
    lists: dict[str, list[str]] = {}
    for item in items:
        names = json.loads((out / item.key / RECORD).read_text(encoding="utf-8"))["frames"]
        lists.setdefault(_split_of(item.key), []).extend(f"{item.key}/{name}" for name in names)
    return {f"{split}.txt": list_file(names) for split, names in lists.items()}


def _split_of(key: str) -> str:
    parts = key.split("/")
    if "test" in parts:
        return "test"
    return "train" if "train" in parts or "sync" in parts else "frames"


def _frame_name(sequence: Sequence, index: int) -> str:
    return sequence.files[index][0].stem if isinstance(sequence, NyuFiles) else f"{index:06d}"


def _cropped(frame: SensorFrame) -> SensorFrame:
    window = slice(TOP, BOTTOM), slice(LEFT, RIGHT)
    return SensorFrame(
        image=np.ascontiguousarray(frame.image[window]),
        color_camera=frame.color_camera.cropped(LEFT, TOP, RIGHT - LEFT, BOTTOM - TOP),
        depth=None if frame.depth is None else np.ascontiguousarray(frame.depth[window]),
        stamp_ns=frame.stamp_ns,
    )


def _padded(plane: NDArray, value: float | bool) -> NDArray:
    full = np.full((480, 640), value, plane.dtype)
    full[TOP:BOTTOM, LEFT:RIGHT] = plane
    return full


RECIPE = Recipe(
    name="nyu",
    title="a teacher's depth and hole masks for NYU Depth v2",
    find=find_nyu,
    prepare=prepare_nyu,
    settings=NyuSettings,
    combine=combine_nyu,
    check=teacher_of,
)
