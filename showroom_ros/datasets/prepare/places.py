"""Hole masks from the photos of Places365, by a teacher's depth (Engstler et al., Invisible Stitch, section 4).

An item is up to 100 images of one folder (``train/a/airfield/00002`` are the images 200 to 299 in the order of
their names), so that millions of images need no manifest each. Per image: ``NAME.png``, 255 = hole; and ``masks.json``
with teacher, viewpoints and shares.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from showroom_ros.datasets.files import read_color
from showroom_ros.datasets.image_files import IMAGE_SUFFIXES
from showroom_ros.datasets.places import DATASET, Places
from showroom_ros.datasets.prepare.hole_masks import hole_mask, random_viewpoint
from showroom_ros.datasets.prepare.output import write_json, write_mask
from showroom_ros.datasets.prepare.recipe import Item, Recipe
from showroom_ros.datasets.prepare.sampling import generator_of, seed_of
from showroom_ros.datasets.prepare.teachers import TeacherSettings, teacher_of
from showroom_ros.errors import DatasetError, InputError
from showroom_ros.geometry.edges import EDGE_THRESHOLD, snap_edges
from showroom_ros.settings import setting

IMAGES_PER_ITEM = 100
RECORD = "masks.json"


@dataclass(frozen=True)
class PlacesSettings(TeacherSettings):
    """How masks are made of photos."""

    seed: int = setting(0, "of the viewpoints", minimum=0, maximum=2**31)
    max_angle_deg: float = setting(
        15.0, "largest azimuth and elevation of the second camera", minimum=0.0, maximum=60.0
    )
    edge_threshold: int = setting(
        EDGE_THRESHOLD, "steps of 1/255 of the depth range that make an edge", minimum=1, maximum=255
    )


def find_places(root: Path, split: str | None) -> list[Item]:
    """Items of up to 100 images, folder by folder."""
    items = []
    for scene in DATASET.scenes(root, split):
        photos = Places(scene)
        folders = dict.fromkeys(photos.file(index).parent for index in range(len(photos)))
        for folder in sorted(folders):
            below = folder.relative_to(photos.path).parts[1:]
            name = "/".join((scene.name, *below))
            for number in range(-(-len(_images(folder)) // IMAGES_PER_ITEM)):
                items.append(Item(f"{name}/{number:05d}", folder))
    return items


def prepare_places(item: Item, out: Path, settings: PlacesSettings) -> list[str]:
    """The masks of one item.

    Raises:
        SettingsError: no teacher is named, or its weights are not there.
        DatasetError: none of the images can be used.
    """
    teacher = teacher_of(settings)
    number = int(item.key.rpartition("/")[2])
    images = _images(item.source)[number * IMAGES_PER_ITEM : (number + 1) * IMAGES_PER_ITEM]
    skipped, record = [], {}
    for path in images:
        name = f"{item.key.rpartition('/')[0]}/{path.stem}"
        try:
            image = read_color(path)
            depth = teacher.predict(image, seed=seed_of(settings.seed, name))
            viewpoint = random_viewpoint(generator_of(settings.seed, name), settings.max_angle_deg)
            holes = hole_mask(snap_edges(depth, settings.edge_threshold), viewpoint)
        except (DatasetError, InputError) as error:
            skipped.append(str(error) if isinstance(error, DatasetError) else f"{path}: {error}")
            continue
        write_mask(out / f"{path.stem}.png", holes)
        record[path.stem] = {**asdict(viewpoint), "hole_share": round(float(holes.mean()), 6)}
    if not record:
        raise DatasetError(f"{item.source}: none of {len(images)} images can be used; first: {skipped[0]}")
    write_json(out / RECORD, {"teacher": teacher.name, "teacher_sha256": teacher.sha256, "masks": record})
    return skipped


def _images(folder: Path) -> list[Path]:
    """Image files of a folder by name."""
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder, expected images of Places365")
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)


RECIPE = Recipe(
    name="places",
    title="hole masks from the photos of Places365, by a teacher's depth",
    find=find_places,
    prepare=prepare_places,
    settings=PlacesSettings,
    check=teacher_of,
)
