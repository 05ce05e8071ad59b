"""A sequence, written to a bag and read back, is the same sequence."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
from tiny_recording import TinyRecording

from showroom_ros.bags import messages
from showroom_ros.bags.convert import convert
from showroom_ros.bags.reader import BagReader
from showroom_ros.bags.sequence import BagSequence
from showroom_ros.errors import InputError, OutputError
from showroom_ros.scene.view import SensorFrame, Sequence


def assert_same_frames(found: SensorFrame, expected: SensorFrame, *, lossy_color: bool = False) -> None:
    if lossy_color:
        assert np.abs(found.image.astype(int) - expected.image).mean() < 3
    else:
        np.testing.assert_array_equal(found.image, expected.image)
    assert (found.stamp_ns, found.frame_id) == (expected.stamp_ns, expected.frame_id)
    assert (found.color_camera, found.depth is None) == (expected.color_camera, expected.depth is None)
    if expected.depth is not None:
        np.testing.assert_array_equal(found.depth, expected.depth)
        assert (found.depth_camera or found.color_camera) == (expected.depth_camera or expected.color_camera)
    for name in ("T_world_camera", "T_color_depth"):
        assert (getattr(found, name) is None) == (getattr(expected, name) is None)
        if getattr(expected, name) is not None:
            np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=1e-9)


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
@pytest.mark.parametrize("image_format", ["raw", "png", "jpeg"])
@pytest.mark.parametrize("registered", [False, True])
def test_round_trip(tmp_path: Path, storage: str, image_format: str, registered: bool) -> None:
    source = TinyRecording(registered=registered)
    convert(source, tmp_path / "bag", storage, image_format=image_format)
    found = BagSequence(tmp_path / "bag")
    assert isinstance(found, Sequence)
    assert (len(found), found.skipped, found.world_frame, found.name) == (len(source), {}, "odom", "bag")
    for index in range(len(source)):
        assert_same_frames(found.frame(index), source.frame(index), lossy_color=image_format == "jpeg")
    view, expected = found[2], source[2]
    assert view.camera == expected.camera
    np.testing.assert_allclose(view.depth, expected.depth, atol=1e-5)


def test_recordings_without_depth_or_poses(tmp_path: Path) -> None:
    for has_depth, has_pose in ((False, True), (True, False), (False, False)):
        source = TinyRecording(has_depth=has_depth, has_pose=has_pose, registered=True)
        path = tmp_path / f"bag{has_depth}{has_pose}"
        convert(source, path)
        assert_same_frames(BagSequence(path).frame(3), source.frame(3))


@pytest.mark.recorded
@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_redkitchen_round_trip(redkitchen: Path, tmp_path: Path, storage: str) -> None:
    from showroom_ros.datasets.seven_scenes import SevenScenes

    class Part:
        """Some frames at full and some at a third of the rate."""

        name = "part"
        source = SevenScenes(redkitchen)
        indices = (0, 1, 2, 119, 120, 121, 313)

        def __len__(self) -> int:
            return len(self.indices)

        def __getitem__(self, index: int) -> object:
            return self.source[self.indices[index]]

        def frame(self, index: int) -> SensorFrame:
            return self.source.frame(self.indices[index])

    convert(Part(), tmp_path / "bag", storage)  # type: ignore[arg-type]
    found = BagSequence(tmp_path / "bag")
    assert len(found) == len(Part())
    for index in range(len(found)):
        assert_same_frames(found.frame(index), Part().frame(index))
    assert found.frame(1).stamp_ns - found.frame(0).stamp_ns == 33_333_333
    assert found.frame(5).stamp_ns - found.frame(4).stamp_ns == 100_000_000


def test_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    for storage, file in (("mcap", "bag.mcap"), ("sqlite3", "bag.db3")):
        digests = set()
        for attempt in ("first", "second"):
            convert(TinyRecording(), tmp_path / storage / attempt / "bag", storage)
            folder = tmp_path / storage / attempt / "bag"
            digests.add(
                tuple(hashlib.sha256((folder / name).read_bytes()).digest() for name in (file, "metadata.yaml"))
            )
        assert len(digests) == 1


def test_topics_and_frames(tmp_path: Path) -> None:
    convert(TinyRecording(2), tmp_path / "bag")
    with BagReader(tmp_path / "bag") as bag:
        assert {topic: (info.type, info.count) for topic, info in bag.topics.items()} == {
            "/tf": (messages.TRANSFORMS, 2),
            "/tf_static": (messages.TRANSFORMS, 1),
            "/camera/color/image": (messages.IMAGE, 2),
            "/camera/color/camera_info": (messages.CAMERA_INFO, 2),
            "/camera/depth/image": (messages.IMAGE, 2),
            "/camera/depth/camera_info": (messages.CAMERA_INFO, 2),
        }
        static = next(bag.messages(["/tf_static"])).message.transforms[0]
        assert (static.header.frame_id, static.child_frame_id) == (
            "camera_color_optical_frame",
            "camera_depth_optical_frame",
        )
        moving = next(bag.messages(["/tf"])).message.transforms[0]
        assert (moving.header.frame_id, moving.child_frame_id) == ("odom", "camera_color_optical_frame")
        depth = next(bag.messages(["/camera/depth/image"])).message
        assert (depth.encoding, depth.header.frame_id) == ("16UC1", "camera_depth_optical_frame")


def test_rate_and_progress(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    convert(TinyRecording(4), tmp_path / "bag", rate_hz=10.0, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]
    found = BagSequence(tmp_path / "bag")
    stamps = [found.frame(i).stamp_ns for i in range(4)]
    assert np.diff(stamps).tolist() == [100_000_000] * 3
    assert stamps[0] == TinyRecording().frame(0).stamp_ns


class Stamped(TinyRecording):
    """All frames at one time."""

    def frame(self, index: int) -> SensorFrame:
        return super().frame(0)


def test_bad_input(tmp_path: Path) -> None:
    bag = tmp_path / "bag"
    for options, message in (
        ({"image_format": "gif"}, "image format is 'gif', expected one of raw, jpeg, png"),
        ({"rate_hz": 0.0}, "rate is 0.0 Hz"),
    ):
        with pytest.raises(InputError, match=re.escape(message)):
            convert(TinyRecording(), bag, **options)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="tiny has no frames"):
        convert(TinyRecording(0), bag)
    with pytest.raises(InputError, match="expected rising stamps"):
        convert(Stamped(), bag)
    assert list(tmp_path.iterdir()) == []
    convert(TinyRecording(1), bag)
    with pytest.raises(OutputError, match="exists already"):
        convert(TinyRecording(1), bag)
    convert(TinyRecording(2), bag, overwrite=True)
    assert len(BagSequence(bag)) == 2
