"""ShapeNet Core, v1 and v2: boxes with a texture or a plain material; the official split; renders of a model."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from showroom_ros.geometry.se3 import look_at

AIRPLANE, CAR = "02691156", "02958343"
MODELS = {AIRPLANE: ("1a04e3eab45ca15dd86060f189eb133", "1a32f10b20170883663e90eaf6b4ca52"), CAR: ("1a0bc9ab92c915",)}
HALF = (0.3, 0.1, 0.2)
RED = (204, 51, 0)  # Kd 0.8 0.2 0.0

_CORNERS = [(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
_FACES = [(1, 2, 4, 3), (5, 7, 8, 6), (1, 5, 6, 2), (3, 4, 8, 7), (1, 3, 7, 5), (2, 6, 8, 4)]


def write_shapenet(root: Path, version: int = 2) -> Path:
    """Two airplanes and a car; the first airplane is textured blue above and green below, the others plain red.

    ``all.csv`` puts the first airplane into train, the second into test and the car into train.
    """
    rows = ["id,synsetId,subSynsetId,modelId,split"]
    for synset, models in MODELS.items():
        for number, model in enumerate(models):
            folder = root / synset / model / ("models" if version == 2 else "")
            write_box(
                folder, "model_normalized" if version == 2 else "model", textured=synset == AIRPLANE and not number
            )
            rows.append(f"{len(rows):06d},{synset},{synset},{model},{'train' if not number else 'test'}")
    (root / "all.csv").write_text("\n".join(rows) + "\n")
    return root


def write_box(folder: Path, name: str, *, textured: bool) -> None:
    """A box of half size ``HALF``, y up, as OBJ with its material."""
    folder.mkdir(parents=True, exist_ok=True)
    vertices = [f"v {x * HALF[0]} {y * HALF[1]} {z * HALF[2]}" for x, y, z in _CORNERS]
    places = [f"vt 0.5 {0.75 if y > 0 else 0.25}" for _, y, _ in _CORNERS]
    faces = ["f " + " ".join(f"{corner}/{corner}" for corner in face) for face in _FACES]
    (folder / f"{name}.obj").write_text("\n".join([f"mtllib {name}.mtl", *vertices, *places, "usemtl skin", *faces]))
    material = ["newmtl skin", "Kd 0.8 0.2 0.0"]
    if textured:
        material = ["newmtl skin", "Kd 1 1 1", "map_Kd texture.png"]
        texture = np.zeros((64, 64, 3), np.uint8)
        texture[:32], texture[32:] = (255, 0, 0), (0, 255, 0)  # BGR: blue above (v > 0.5), green below
        cv2.imwrite(str(folder / "texture.png"), texture)
    (folder / f"{name}.mtl").write_text("\n".join(material) + "\n")


def renders(views: int = 5, size: int = 16) -> dict[str, np.ndarray]:
    """Arrays of ``renders.h5``: cameras in a circle around the model, OpenCV axes, a square as its mask."""
    azimuth = np.arange(views) * 72.0
    elevation = np.linspace(-75, 75, views)
    a, e = np.radians(azimuth), np.radians(elevation)
    eyes = 1.5 * np.stack([np.cos(e) * np.sin(a), np.sin(e), np.cos(e) * np.cos(a)], axis=1)
    mask = np.zeros((views, size, size), np.uint8)
    mask[:, 4:12, 5:11] = 1
    rgb = np.arange(views, dtype=np.uint8)[:, None, None, None] * 10 + np.zeros((views, size, size, 3), np.uint8)
    return {
        "rgb": rgb * mask[..., None],
        "mask": mask,
        "K": np.array([[20, 0, 7.5], [0, 20, 7.5], [0, 0, 1]], np.float32),
        "world_T_cam": np.array([look_at(eye, (0, 0, 0), up=(0, 1, 0)) for eye in eyes], np.float32),
        "azimuth": azimuth.astype(np.float32),
        "elevation": elevation.astype(np.float32),
        "distance": np.full(views, 1.5, np.float32),
    }


def write_renders(path: Path, group: str = "", convention: str = "opencv", **changes: np.ndarray) -> Path:
    """``renders.h5``, or a group of a file that holds all; ``changes`` replace arrays, None leaves one out."""
    import h5py

    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "a") as file:
        place = file.require_group(group) if group else file
        for name, array in {**renders(), **changes}.items():
            if array is not None:
                place.create_dataset(name, data=array, compression="gzip" if np.ndim(array) > 2 else None)
        place.attrs.update({"convention": convention, "img_size": 16, "seed": 0})
    return path
