"""Depth teachers: the measured one exactly, the adapters against stand-ins for their packages.

The stand-ins check what the adapters ask of ``diffusers`` and ``transformers``; no real weights are run here.
"""

from __future__ import annotations

import hashlib
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from showroom_ros.datasets.prepare.digest import sha256_of_folder
from showroom_ros.datasets.prepare.teachers import (
    MarigoldTeacher,
    SensorDepthTeacher,
    TeacherSettings,
    TransformersDepthTeacher,
    predicts_inverse_depth,
    teacher_of,
)
from showroom_ros.errors import InputError, MissingDependencyError, SettingsError

torch = pytest.importorskip("torch")

IMAGE = np.random.default_rng(0).integers(0, 255, (12, 16, 3), dtype=np.uint8)


def fake_package(monkeypatch: pytest.MonkeyPatch, name: str, **content: Any) -> None:
    """Makes ``import name`` give a module with that content."""
    module = ModuleType(name)
    module.__spec__ = ModuleSpec(name, None)
    for key, value in content.items():
        setattr(module, key, value)
    monkeypatch.setitem(sys.modules, name, module)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A folder that could hold weights."""
    folder = tmp_path / "some-weights"
    (folder / "unet").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "unet" / "model.safetensors").write_bytes(b"abc")
    (folder / ".cache").mkdir()
    (folder / ".cache" / "lock").write_text("x")
    return folder


@pytest.fixture
def pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for Pillow, whose pictures are the arrays themselves."""
    fake_package(monkeypatch, "PIL", Image=SimpleNamespace(fromarray=lambda array: array))


def test_measured_depth_is_divided_by_its_largest_value() -> None:
    depth = np.array([[1.0, 2.0, 4.0]], np.float32)
    relative = SensorDepthTeacher().predict(np.zeros((1, 3, 3), np.uint8), depth)
    assert relative.dtype == np.float32
    np.testing.assert_array_equal(relative, [[0.25, 0.5, 1.0]])


def test_holes_of_measured_depth_take_the_farthest_beside_them() -> None:
    depth = np.array([[2.0, np.nan, 4.0], [1.0, 0.0, 1.0]], np.float32)
    relative = SensorDepthTeacher().predict(np.zeros((2, 3, 3), np.uint8), depth)
    np.testing.assert_array_equal(relative, [[0.5, 1.0, 1.0], [0.25, 1.0, 0.25]])


@pytest.mark.parametrize(
    ("depth", "words"),
    [
        (None, "no measured depth"),
        (np.full((12, 16), np.nan, np.float32), "unknown at every pixel"),
        (np.ones((3, 4), np.float32), "depth is (3, 4), its image is (12, 16)"),
    ],
)
def test_measured_depth_that_is_none(depth: np.ndarray | None, words: str) -> None:
    with pytest.raises(InputError) as raised:
        SensorDepthTeacher().predict(IMAGE, depth)
    assert words in str(raised.value)


class FakeMarigold:
    """Remembers how it was loaded and called."""

    calls: list[dict] = []  # noqa: RUF012
    loaded: list[tuple] = []  # noqa: RUF012
    prediction: Any = None

    @classmethod
    def from_pretrained(cls, folder: Path, **options: Any) -> FakeMarigold:
        cls.loaded.append((folder, options))
        return cls()

    def set_progress_bar_config(self, disable: bool) -> None:
        assert disable

    def to(self, device: str) -> FakeMarigold:
        self.device = device
        return self

    def __call__(self, image: np.ndarray, **options: Any) -> SimpleNamespace:
        noise = float(torch.rand(1, generator=options["generator"]))
        self.calls.append({"image": image, **options})
        if self.prediction is not None:
            return SimpleNamespace(prediction=self.prediction)
        return SimpleNamespace(prediction=np.full((1, *image.shape[:2], 1), noise, np.float32))


@pytest.fixture
def marigold(monkeypatch: pytest.MonkeyPatch, pillow: None) -> type[FakeMarigold]:
    monkeypatch.setattr(FakeMarigold, "calls", [])
    monkeypatch.setattr(FakeMarigold, "loaded", [])
    fake_package(monkeypatch, "diffusers", MarigoldDepthPipeline=FakeMarigold)
    return FakeMarigold


def test_marigold_is_asked_as_published(marigold: type[FakeMarigold], weights: Path) -> None:
    teacher = MarigoldTeacher(str(weights))
    assert marigold.loaded == []
    first, again, other = (teacher.predict(IMAGE, seed=seed) for seed in (3, 3, 4))
    assert marigold.loaded == [(weights, {"local_files_only": True})]
    call = marigold.calls[0]
    np.testing.assert_array_equal(call["image"], IMAGE)
    asked = {name: call[name] for name in ("num_inference_steps", "ensemble_size", "match_input_resolution")}
    assert asked == {"num_inference_steps": 10, "ensemble_size": 10, "match_input_resolution": True}
    assert (first.shape, first.dtype) == ((12, 16), np.float32)
    np.testing.assert_array_equal(first, again)
    assert (first != other).all()


def test_records_name_no_folder_of_this_machine(weights: Path) -> None:
    assert MarigoldTeacher(str(weights)).name == "marigold:some-weights"
    assert TransformersDepthTeacher("Some/public-id").name == "transformers:Some/public-id"


@pytest.mark.parametrize("bad", [np.ones((1, 3, 4, 1)), np.full((1, 12, 16, 1), np.nan)])
def test_marigold_that_predicts_nonsense(
    marigold: type[FakeMarigold], weights: Path, monkeypatch: pytest.MonkeyPatch, bad: np.ndarray
) -> None:
    monkeypatch.setattr(marigold, "prediction", bad)
    with pytest.raises(InputError, match="marigold:some-weights predicted"):
        MarigoldTeacher(str(weights)).predict(IMAGE)


def fake_depth_pipeline(monkeypatch: pytest.MonkeyPatch, predicted: np.ndarray, **config: Any) -> list[dict]:
    asked: list[dict] = []

    def pipeline(task: str, **options: Any) -> Any:
        asked.append({"task": task, **options})

        class Loaded:
            model = SimpleNamespace(config=SimpleNamespace(**config))

            def __call__(self, image: np.ndarray) -> dict:
                np.testing.assert_array_equal(image, IMAGE)
                return {"predicted_depth": torch.from_numpy(predicted)}

        return Loaded()

    fake_package(monkeypatch, "transformers", pipeline=pipeline)
    return asked


def test_metric_depth_is_divided_by_its_largest_value(
    monkeypatch: pytest.MonkeyPatch, pillow: None, weights: Path
) -> None:
    predicted = np.linspace(1, 5, 12 * 16, dtype=np.float32).reshape(12, 16)
    asked = fake_depth_pipeline(monkeypatch, predicted, model_type="zoedepth")
    depth = TransformersDepthTeacher(str(weights), device="cpu").predict(IMAGE)
    assert asked == [{"task": "depth-estimation", "model": str(weights), "device": "cpu"}]
    np.testing.assert_allclose(depth, predicted / 5, rtol=1e-6)


def test_inverse_depth_becomes_depth(monkeypatch: pytest.MonkeyPatch, pillow: None, weights: Path) -> None:
    predicted = np.full((12, 16), 100.0, np.float32)
    predicted[0, :3] = (50.0, 5.0, 0.0)
    fake_depth_pipeline(monkeypatch, predicted, depth_estimation_type="relative")
    depth = TransformersDepthTeacher(str(weights)).predict(IMAGE)
    np.testing.assert_allclose(depth[0, :4], [0.1, 1.0, 1.0, 0.05], rtol=1e-6)


def test_depth_at_the_networks_size_is_enlarged(monkeypatch: pytest.MonkeyPatch, pillow: None, weights: Path) -> None:
    fake_depth_pipeline(monkeypatch, np.full((1, 6, 8), 3.0, np.float32), model_type="zoedepth")
    depth = TransformersDepthTeacher(str(weights)).predict(IMAGE)
    np.testing.assert_allclose(depth, np.ones((12, 16)))


@pytest.mark.parametrize(
    ("config", "inverse"),
    [
        ({"depth_estimation_type": "relative"}, True),
        ({"depth_estimation_type": "metric"}, False),
        ({"model_type": "dpt"}, True),
        ({"model_type": "zoedepth"}, False),
        ({}, False),
    ],
)
def test_which_models_predict_inverse_depth(config: dict, inverse: bool) -> None:
    assert predicts_inverse_depth(SimpleNamespace(**config)) is inverse


def test_hash_of_weights(weights: Path) -> None:
    inside = [("config.json", b"{}"), ("unet/model.safetensors", b"abc")]
    text = "".join(f"{name}\0{hashlib.sha256(content).hexdigest()}\n" for name, content in inside)
    assert MarigoldTeacher(str(weights)).sha256 == hashlib.sha256(text.encode()).hexdigest()
    (weights / "unet" / "model.safetensors").write_bytes(b"abd")
    assert sha256_of_folder(weights) != hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("allowed", [False, True])
def test_nothing_is_downloaded_unless_allowed(
    monkeypatch: pytest.MonkeyPatch, marigold: type[FakeMarigold], weights: Path, allowed: bool
) -> None:
    asked: list[tuple] = []

    def snapshot_download(name: str, *, local_files_only: bool) -> str:
        asked.append((name, local_files_only))
        return str(weights)

    fake_package(monkeypatch, "huggingface_hub", snapshot_download=snapshot_download)
    MarigoldTeacher("somebody/weights", allow_download=allowed).predict(IMAGE)
    assert asked == [("somebody/weights", not allowed)]
    assert marigold.loaded == [(weights, {"local_files_only": True})]


def test_weights_that_are_not_there(monkeypatch: pytest.MonkeyPatch, marigold: type[FakeMarigold]) -> None:
    def snapshot_download(name: str, *, local_files_only: bool) -> str:
        raise FileNotFoundError("not in the cache")

    fake_package(monkeypatch, "huggingface_hub", snapshot_download=snapshot_download)
    with pytest.raises(SettingsError, match=r"'somebody/weights': not found .* --allow-download: not in the cache"):
        MarigoldTeacher("somebody/weights").predict(IMAGE)


def test_weights_that_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch, marigold: type[FakeMarigold], weights: Path
) -> None:
    def broken(folder: Path, **options: Any) -> None:
        raise OSError("no file named model_index.json")

    monkeypatch.setattr(marigold, "from_pretrained", broken)
    with pytest.raises(SettingsError, match=r"marigold:some-weights: the weights cannot be read: no file named"):
        MarigoldTeacher(str(weights)).predict(IMAGE)


@pytest.mark.parametrize(
    ("teacher", "package"), [(MarigoldTeacher, "diffusers"), (TransformersDepthTeacher, "transformers")]
)
def test_missing_packages_are_named(
    monkeypatch: pytest.MonkeyPatch, weights: Path, teacher: type[MarigoldTeacher], package: str
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=rf"{package}: pip install 'showroom_ros\[teachers\]'"):
        teacher(str(weights)).predict(IMAGE)


def test_teacher_by_settings(weights: Path) -> None:
    assert teacher_of(TeacherSettings("sensor")).name == "sensor"
    marigold = teacher_of(TeacherSettings("marigold", str(weights)))
    assert marigold.name == "marigold:some-weights"
    assert teacher_of(TeacherSettings("marigold", str(weights))) is marigold
    assert teacher_of(TeacherSettings("transformers", str(weights))).name == "transformers:some-weights"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (TeacherSettings(), "none is named: expected --teacher marigold"),
        (TeacherSettings("marigold"), "'marigold' needs --teacher-weights"),
        (TeacherSettings("transformers"), "'transformers' needs --teacher-weights"),
    ],
)
def test_no_teacher(settings: TeacherSettings, words: str) -> None:
    with pytest.raises(SettingsError) as raised:
        teacher_of(settings)
    assert words in str(raised.value)
