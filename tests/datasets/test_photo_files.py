"""Photos as cameras save them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from showroom_ros.datasets import photo_files
from showroom_ros.datasets.photo_files import read_photo
from showroom_ros.errors import DatasetError

IMAGE = np.zeros((40, 60, 3), np.uint8)
IMAGE[:20, :30] = (250, 10, 20)  # RGB, upper left


def saved(path, **exif):
    from PIL import Image

    picture = Image.fromarray(IMAGE)
    tags = picture.getexif()
    if "orientation" in exif:
        tags[0x0112] = exif["orientation"]
    if "focal" in exif:
        tags.get_ifd(0x8769)[0xA405] = exif["focal"]
    picture.save(path, exif=tags, quality=95)
    return path


def test_the_focal_length_of_exif_is_the_cameras(tmp_path):
    pytest.importorskip("PIL")
    image, camera = read_photo(saved(tmp_path / "a.jpg", focal=27))
    assert image.shape == (40, 60, 3)
    assert camera is not None
    assert camera.fx == camera.fy == pytest.approx(27 / 36 * 60)
    assert (camera.cx, camera.cy) == (29.5, 19.5)


def test_photos_are_turned_as_they_were_taken(tmp_path):
    pytest.importorskip("PIL")
    image, camera = read_photo(saved(tmp_path / "a.jpg", orientation=6))  # to be turned clockwise by 90 degrees
    assert image.shape == (60, 40, 3)
    assert image[5, 35, 0] > 200  # upper right now
    assert camera is None


@pytest.mark.parametrize("focal", [0, 10000])
def test_focal_lengths_that_cannot_be_are_ignored(tmp_path, focal):
    pytest.importorskip("PIL")
    assert read_photo(saved(tmp_path / "a.jpg", focal=focal))[1] is None


def test_grey_sixteen_bit_and_transparent_images_become_rgb(tmp_path):
    grey = np.arange(48, dtype=np.uint16).reshape(6, 8) * 1000
    cv2.imwrite(str(tmp_path / "a.png"), grey)
    image, _ = read_photo(tmp_path / "a.png")
    assert (image.shape, image.dtype) == ((6, 8, 3), np.uint8)
    assert abs(int(image[5, 7, 0]) - 47000 // 256) <= 1
    cv2.imwrite(str(tmp_path / "b.png"), np.full((6, 8, 4), (1, 2, 3, 0), np.uint8))
    assert read_photo(tmp_path / "b.png")[0][0, 0].tolist() == [3, 2, 1]


def test_heic(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    from PIL import Image

    pillow_heif.from_pillow(Image.fromarray(IMAGE)).save(tmp_path / "a.heic", quality=95)
    image, _ = read_photo(tmp_path / "a.heic")
    assert image.shape == (40, 60, 3)
    assert abs(image[5, 5].astype(int) - (250, 10, 20)).max() < 20
    (tmp_path / "b.heic").write_bytes(b"nothing")
    with pytest.raises(DatasetError, match=r"b\.heic: cannot be decoded as HEIC"):
        read_photo(tmp_path / "b.heic")


def test_bad_files_are_named(tmp_path, monkeypatch):
    with pytest.raises(DatasetError, match=r"x\.jpg: no such file"):
        read_photo(tmp_path / "x.jpg")
    cv2.imwrite(str(tmp_path / "y.png"), IMAGE)
    monkeypatch.setattr(photo_files, "MOST_PIXELS", 100)
    with pytest.raises(DatasetError, match="60x40 pixels, expected at most"):
        read_photo(tmp_path / "y.png")
