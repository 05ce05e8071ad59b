"""ShapeNet: models of both versions, the official split, renders, and what is said of broken ones."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from layout_shapenet import AIRPLANE, CAR, HALF, MODELS, RED, renders, write_renders, write_shapenet

from showroom_ros.datasets.open import open_sequence
from showroom_ros.datasets.shapenet import DATASET, SYNSETS, ShapeNetModels, ShapeNetRenders
from showroom_ros.errors import DatasetError, MissingDependencyError
from showroom_ros.geometry.se3 import inverse, transform_points
from showroom_ros.scene.view import Sequence

FIRST = MODELS[AIRPLANE][0]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_shapenet(tmp_path / "ShapeNetCore.v2")


@pytest.mark.parametrize("version", [1, 2])
def test_models_and_their_colors(tmp_path: Path, version: int) -> None:
    root = write_shapenet(tmp_path, version)
    planes, cars = ShapeNetModels(root, AIRPLANE), ShapeNetModels(root, CAR)
    assert (planes.ids, len(cars)) == (list(MODELS[AIRPLANE]), 1)
    assert planes.path(0).name == ("model.obj" if version == 1 else "model_normalized.obj")
    textured, plain = planes.mesh(0), planes.mesh(1)
    assert len(textured.triangles) == 12
    np.testing.assert_allclose(np.abs(textured.vertices), np.tile(HALF, (8, 1)), atol=1e-6)
    above = textured.vertices[:, 1] > 0  # y is up
    np.testing.assert_array_equal(textured.colors[above], np.tile((0, 0, 255), (4, 1)))
    np.testing.assert_array_equal(textured.colors[~above], np.tile((0, 255, 0), (4, 1)))
    np.testing.assert_array_equal(plain.colors, np.tile(RED, (8, 1)))
    corners = textured.vertices[textured.triangles].astype(np.float64)
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2
    x, y, z = 2 * np.array(HALF)
    assert areas.sum() == pytest.approx(2 * (x * y + y * z + z * x), rel=1e-5)


def test_official_split(root: Path) -> None:
    assert ShapeNetModels(root, AIRPLANE, "train").ids == [FIRST]
    assert ShapeNetModels(root, AIRPLANE, "test").ids == [MODELS[AIRPLANE][1]]
    assert [path.name for path in DATASET.scenes(root, "train")] == [FIRST, MODELS[CAR][0]]
    assert [path.parent.name for path in DATASET.scenes(root, None)] == [AIRPLANE, AIRPLANE, CAR]
    assert set(SYNSETS) == {"02691156", "02747177", "02958343", "03642806"}
    for wrong in (lambda: ShapeNetModels(root, CAR, "test"), lambda: DATASET.scenes(root, "val")):
        with pytest.raises(DatasetError, match=r"all.csv: (none of the models|has no models of split 'val', found)"):
            wrong()
    with pytest.raises(DatasetError, match="split 'dev' is unknown, expected one of train, val, test"):
        DATASET.scenes(root, "dev")


@pytest.mark.parametrize("form", ["one file per model", "one file for all"])
def test_renders(root: Path, form: str) -> None:
    truth = renders()
    if form == "one file per model":
        write_renders(root / AIRPLANE / FIRST / "renders.h5")
        path = root / AIRPLANE / FIRST
    else:
        write_renders(root / "all.h5", f"{AIRPLANE}/{FIRST}")
        write_renders(root / "all.h5", f"{CAR}/{MODELS[CAR][0]}")
        path = root / "all.h5" / AIRPLANE / FIRST
        assert DATASET.scenes(root / "all.h5", None) == [path, root / "all.h5" / CAR / MODELS[CAR][0]]
    sequence = open_sequence(path)
    assert isinstance(sequence, ShapeNetRenders)
    assert isinstance(sequence, Sequence)
    assert (sequence.name, len(sequence)) == (f"{AIRPLANE}/{FIRST}", 5)
    np.testing.assert_array_equal(sequence.elevation_deg, truth["elevation"])
    for index in range(5):
        view = sequence[index]
        np.testing.assert_array_equal(view.image, truth["rgb"][index])
        np.testing.assert_array_equal(sequence.mask(index), truth["mask"][index] > 0)
        np.testing.assert_allclose(view.T_world_camera, truth["world_T_cam"][index], atol=1e-6)
        # every camera looks at the origin from its distance
        origin = transform_points(inverse(view.T_world_camera), np.zeros(3))
        np.testing.assert_allclose(origin, (0, 0, sequence.distance[index]), atol=1e-5)
    assert (view.camera.fx, view.camera.cx, view.camera.width) == (20.0, 7.5, 16)


@pytest.mark.parametrize(("convention", "signs"), [("OpenGL", (1, -1, -1)), ("pytorch3d, y up", (-1, -1, 1))])
def test_other_conventions_are_turned_into_ours(tmp_path: Path, convention: str, signs: tuple[int, ...]) -> None:
    truth = renders()["world_T_cam"]
    path = write_renders(tmp_path / "renders.h5", convention=convention, world_T_cam=truth @ np.diag([*signs, 1]))
    np.testing.assert_allclose(ShapeNetRenders(path)[2].T_world_camera, truth[2], atol=1e-6)


def test_a_model_without_renders_says_so(root: Path) -> None:
    folder = root / AIRPLANE / FIRST
    assert DATASET.missing(folder) == ["renders.h5: no such file (showroom prepare shapenet makes it)"]
    with pytest.raises(DatasetError, match=r"renders.h5: no such file, expected an HDF5 file"):
        open_sequence(folder)


BAD: dict[str, tuple[dict[str, object], str]] = {
    "unknown convention": ({"convention": "left-handed"}, "convention is 'left-handed', expected it to name one of"),
    "no masks": ({"mask": None}, "has no data set 'mask', found K"),
    "masks of another size": (
        {"mask": np.zeros((5, 16, 17), np.uint8)},
        r"'mask' has shape \(5, 16, 17\), expected \(5, 16, 16\)",
    ),
    "a pose too few": ({"world_T_cam": np.zeros((4, 4, 4), np.float32)}, r"'world_T_cam' has shape \(4, 4, 4\)"),
    "poses that are none": ({"world_T_cam": np.zeros((5, 4, 4), np.float32)}, "renders.h5: T_world_camera"),
    "poses that are not finite": ({"world_T_cam": np.full((5, 4, 4), np.nan, np.float32)}, "T_world_camera is not"),
    "focal length 0": ({"K": np.zeros((3, 3), np.float32)}, "renders.h5: K: camera fx is 0.0"),
    "images of floats": ({"rgb": np.zeros((5, 16, 16, 3), np.float32)}, "renders.h5: 'rgb' is float32, expected uint8"),
    "images in one channel": ({"rgb": np.zeros((5, 16, 16), np.uint8)}, r"'rgb' has shape \(5, 16, 16\), expected"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_renders(tmp_path: Path, case: str) -> None:
    changes, message = BAD[case]
    path = write_renders(tmp_path / "renders.h5", **changes)  # type: ignore[arg-type]
    with pytest.raises(DatasetError, match=message):
        ShapeNetRenders(path).frame(0)


def test_renders_cut_short(tmp_path: Path) -> None:
    whole = write_renders(tmp_path / "renders.h5").read_bytes()
    for share in (0.0, 0.3, 0.9):
        os.truncate(tmp_path / "renders.h5", int(share * len(whole)))
        with pytest.raises(DatasetError, match=r"renders.h5: cut short or not HDF5 \(\d+ bytes\)"):
            ShapeNetRenders(tmp_path / "renders.h5")
    damaged = bytearray(whole)
    start = whole.index(b"\x78\x9c") if b"\x78\x9c" in whole else whole.index(b"\x78\x5e")
    damaged[start : start + 40] = b"\xff" * 40  # in the first compressed chunk
    (tmp_path / "renders.h5").write_bytes(bytes(damaged))
    with pytest.raises(DatasetError, match=r"renders.h5: '(rgb|mask)'\[0\] cannot be read"):
        _both(ShapeNetRenders(tmp_path / "renders.h5"))


def _both(sequence: ShapeNetRenders) -> None:
    sequence.frame(0)
    sequence.mask(0)


MODELS_BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "no models": (lambda r: ShapeNetModels(r, "03642806"), "03642806: no such folder, expected models of ShapeNet"),
    "no such group": (
        lambda r: ShapeNetRenders(write_renders(r / "a.h5", "x/y") / "x/z"),
        "has no group 'x/z'",
    ),
    "nothing there": (lambda r: DATASET.scenes(r / "gone", None), "no models of ShapeNet; looked for"),
    "ragged split": (
        lambda r: [(r / "all.csv").write_text("id,synsetId,modelId,split\n1,2\n"), DATASET.scenes(r, "train")],
        "all.csv, line 2",
    ),
    "split without its columns": (
        lambda r: [(r / "all.csv").write_text("a,b\n1,2\n"), DATASET.scenes(r, "train")],
        "all.csv: has no column synsetId",
    ),
    "no split file": (lambda r: [(r / "all.csv").unlink(), DATASET.scenes(r, "train")], "all.csv: cannot be read"),
    "mesh of nothing": (
        lambda r: [
            (r / CAR / MODELS[CAR][0] / "models/model_normalized.obj").write_text("v 0 0 0\n"),
            ShapeNetModels(r, CAR).mesh(0),
        ],
        "model_normalized.obj: ",
    ),
}


@pytest.mark.parametrize("case", MODELS_BAD)
def test_bad_models(root: Path, case: str) -> None:
    use, message = MODELS_BAD[case]
    with pytest.raises(DatasetError, match=message):
        use(root)


def test_h5py_is_asked_for_by_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_renders(tmp_path / "renders.h5")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingDependencyError, match=r"renders.h5: .*pip install 'showroom_ros\[data\]'"):
        ShapeNetRenders(path)


def test_other_hdf5_files_hold_no_renders(tmp_path: Path) -> None:
    import h5py

    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["a/b/c"] = np.zeros(3)
        file["d"] = np.zeros(3)
    with pytest.raises(DatasetError, match="no models of ShapeNet; looked for"):
        DATASET.scenes(tmp_path / "other.h5", None)
