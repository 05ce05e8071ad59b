"""ShapeNet rendered for supersizing: per model ``renders.h5`` with a few views, masks and cameras.

200 models of each of the four synsets (airplane, ashcan, car, laptop), 5 views each, azimuth U(0, 360), elevation
U(-75, 75) degrees, distance U(1.3, 1.7), focal length 300 at 128 pixels. At that focal length a camera at 1.3 sees a
ball of radius 0.271 about the origin whole; models are scaled into one of 0.27 (so they lie within [-0.5, 0.5]^3) and
no view cuts them off. See ``model_views`` for the conventions.

The official split (``all.csv``) is used where ``--split`` asks for it; ``train.txt`` and ``val.txt`` beside the
synsets share out what was prepared, 95 to 5, synset by synset.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from showroom_ros.datasets.prepare.model_views import ModelViews, model_views, normalised, square_camera
from showroom_ros.datasets.prepare.recipe import Item, Recipe
from showroom_ros.datasets.prepare.sampling import generator_of, in_random_order, list_file, split_names
from showroom_ros.datasets.prepare.textured_model import load_textured_model
from showroom_ros.datasets.shapenet import DATASET, MESHES, RENDERS, SYNSETS, mesh_file
from showroom_ros.errors import DatasetError, InputError, MissingDependencyError, SettingsError
from showroom_ros.settings import setting

MODELS_PER_SYNSET = 200
EVERYTHING = "everything"
"""The split of all models of all synsets that are there."""

CONVENTION = (
    "world_T_cam maps camera points in OpenCV axes (x right, y down, z forward) to the model's frame (y up); "
    "eye = distance (cos e sin a, sin e, cos e cos a), looking at the origin; degrees; pixel centres are whole numbers"
)


@dataclass(frozen=True)
class ShapeNetSettings:
    """How models are rendered."""

    seed: int = setting(0, "of the viewpoints and of the lists", minimum=0, maximum=2**31)
    views: int = setting(5, "pictures of each model", minimum=1, maximum=1000)
    image_size: int = setting(224, "edge of the square pictures in pixels", minimum=16, maximum=2048)
    focal_px_at_128: float = setting(300.0, "focal length if pictures had 128 pixels", minimum=16.0, maximum=10_000.0)
    max_elevation_deg: float = setting(75.0, "elevation is between minus and plus this", minimum=0.0, maximum=89.0)
    min_distance: float = setting(1.3, "of the camera from the model's middle", minimum=0.1, maximum=100.0)
    max_distance: float = setting(1.7, "of the camera from the model's middle", minimum=0.1, maximum=100.0)
    radius: float = setting(0.27, "of the ball a model is scaled into", minimum=0.01, maximum=0.5)
    val_fraction: float = setting(0.05, "share of the models of each synset in val.txt", minimum=0.0, maximum=0.9)


def find_shapenet(root: Path, split: str | None) -> list[Item]:
    """200 models of each of the four synsets, chosen at random but always the same; or ``everything``."""
    folders = [path for path in DATASET.scenes(root, None if split == EVERYTHING else split) if mesh_file(path)]
    by_synset: dict[str, list[str]] = {}
    for folder in folders:
        if split == EVERYTHING or folder.parent.name in SYNSETS:
            by_synset.setdefault(folder.parent.name, []).append(folder.name)
    if not by_synset:
        raise DatasetError(f"{root}: has no models of {', '.join(SYNSETS)}; looked for <model>/{' or '.join(MESHES)}")
    count = None if split == EVERYTHING else MODELS_PER_SYNSET
    return [
        Item(f"{synset}/{model}", root / synset / model)
        for synset, models in sorted(by_synset.items())
        for model in sorted(in_random_order(models)[:count])
    ]


def prepare_shapenet(item: Item, out: Path, settings: ShapeNetSettings) -> list[str]:
    """The renders of one model.

    Raises:
        SettingsError: a model would not fit into the pictures.
        DatasetError: the mesh is missing, broken, empty or flat to a point.
        MissingDependencyError: h5py is not installed.
    """
    _check_fits(settings)
    path = mesh_file(item.source)
    if path is None:
        raise DatasetError(f"{item.source}: has no {' or '.join(MESHES)}")
    try:
        model = normalised(load_textured_model(path), settings.radius)
    except InputError as error:
        raise DatasetError(str(error) if str(path) in str(error) else f"{path}: {error}") from error
    generator = generator_of(settings.seed, item.key)
    views = model_views(
        model,
        square_camera(settings.image_size, settings.focal_px_at_128),
        generator.uniform(0, 360, settings.views),
        generator.uniform(-settings.max_elevation_deg, settings.max_elevation_deg, settings.views),
        generator.uniform(settings.min_distance, settings.max_distance, settings.views),
    )
    write_renders(out / RENDERS, views, settings.seed)
    empty = np.flatnonzero(~views.mask.any(axis=(1, 2)))
    return [f"view {index}: the model covers no pixel" for index in empty]


def write_renders(path: Path, views: ModelViews, seed: int) -> None:
    """Writes views as HDF5 that ``ShapeNetRenders`` reads; the same views give the same bytes.

    Raises:
        MissingDependencyError: h5py is not installed.
    """
    try:
        import h5py
    except ImportError:
        raise MissingDependencyError(f"{path.name} needs the package h5py: pip install 'showroom_ros[data]'") from None
    with h5py.File(path, "w", libver=("v110", "v110")) as file:
        for name, array in (
            ("rgb", views.rgb),
            ("mask", views.mask),
            ("K", views.camera.matrix.astype(np.float32)),
            ("world_T_cam", views.world_T_cam.astype(np.float32)),
            ("azimuth", views.azimuth_deg.astype(np.float32)),
            ("elevation", views.elevation_deg.astype(np.float32)),
            ("distance", views.distance.astype(np.float32)),
        ):
            chunks = (1, *array.shape[1:]) if array.ndim > 2 else True
            file.create_dataset(name, data=array, chunks=chunks, compression="gzip", track_times=False)
        file.attrs["convention"] = f"opencv: {CONVENTION}"
        file.attrs["img_size"] = np.int64(views.camera.width)
        file.attrs["seed"] = np.int64(seed)


def combine_shapenet(items: list[Item], out: Path, settings: ShapeNetSettings) -> dict[str, bytes]:
    """``train.txt`` and ``val.txt``: ``<synset>/<model>`` a line."""
    del out
    train: list[str] = []
    val: list[str] = []
    for synset in sorted({item.key.split("/")[0] for item in items}):
        parts = split_names(
            [item.key for item in items if item.key.startswith(f"{synset}/")], settings.val_fraction, settings.seed
        )
        train, val = train + parts[0], val + parts[1]
    return {"train.txt": list_file(train), "val.txt": list_file(val)}


def _check_fits(settings: ShapeNetSettings) -> None:
    """A ball is seen whole if its rim, seen from the nearest distance, is within the image."""
    if settings.max_distance < settings.min_distance:
        raise SettingsError(f"max_distance is {settings.max_distance}, min_distance {settings.min_distance}")
    half_view = np.arctan(64 / settings.focal_px_at_128)
    largest = settings.min_distance * np.sin(half_view)
    if settings.radius > largest:
        raise SettingsError(
            f"radius is {settings.radius}, expected at most {largest:.3f}: from a distance of {settings.min_distance} "
            f"with a focal length of {settings.focal_px_at_128} pixels the pictures would cut models off"
        )


RECIPE = Recipe(
    name="shapenet",
    title="views, masks and cameras of ShapeNet models in HDF5",
    find=find_shapenet,
    prepare=prepare_shapenet,
    settings=ShapeNetSettings,
    combine=combine_shapenet,
)
