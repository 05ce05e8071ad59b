"""Image, depth and calibration decoders: exact on known pixels, lossless round trips, clear refusals."""

from __future__ import annotations

import struct

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from showroom_ros.errors import InputError
from showroom_ros.scene.camera_info import camera_from_info
from showroom_ros.scene.image_codec import (
    decode_compressed_depth,
    decode_compressed_image,
    decode_depth,
    decode_image,
    encode_compressed_depth,
    encode_compressed_image,
)

RGB = np.random.default_rng(3).integers(0, 256, (4, 6, 3), np.uint8)
K = [500.0, 0, 320, 0, 510, 240, 0, 0, 1]


def padded(pixels: np.ndarray, padding: int) -> tuple[int, bytes]:
    rows = np.ascontiguousarray(pixels).view(np.uint8).reshape(pixels.shape[0], -1)
    return rows.shape[1] + padding, np.pad(rows, ((0, 0), (0, padding)), constant_values=7).tobytes()


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize(
    ("encoding", "stored"),
    [
        ("rgb8", RGB),
        ("bgr8", RGB[..., ::-1]),
        ("8UC3", RGB[..., ::-1]),
        ("rgba8", np.dstack([RGB, RGB[..., :1]])),
        ("bgra8", np.dstack([RGB[..., ::-1], RGB[..., :1]])),
        ("rgb16", RGB.astype(np.uint16) * 256 + 9),
        ("bgr16", RGB[..., ::-1].astype(np.uint16) * 256 + 9),
    ],
)
def test_color_encodings_give_the_same_rgb(encoding: str, stored: np.ndarray, padding: int) -> None:
    step, data = padded(stored, padding)
    np.testing.assert_array_equal(decode_image(encoding, 4, 6, step, data), RGB)


def test_grey_is_repeated_and_16_bit_keeps_its_high_byte() -> None:
    grey = RGB[..., 0]
    expected = np.repeat(grey[..., None], 3, axis=2)
    np.testing.assert_array_equal(decode_image("mono8", 4, 6, 6, grey.tobytes()), expected)
    wide = (grey.astype(np.uint16) << 8) + 77
    for big, kind in ((True, ">u2"), (False, "<u2")):
        np.testing.assert_array_equal(decode_image("mono16", 4, 6, 12, wide.astype(kind).tobytes(), big), expected)


@pytest.mark.parametrize(("encoding", "order"), [("yuv422", "uyvy"), ("yuv422_yuy2", "yuyv")])
def test_yuv_order(encoding: str, order: str) -> None:
    u, v, y0, y1 = 90, 160, 60, 180
    stored = {"uyvy": [u, y0, v, y1], "yuyv": [y0, u, y1, v]}[order]
    image = decode_image(encoding, 2, 4, 8, bytes(stored * 4)).astype(int)
    for column, y in ((0, y0), (1, y1)):
        luma = 1.164 * (y - 16)
        expected = [luma + 1.596 * (v - 128), luma - 0.392 * (u - 128) - 0.813 * (v - 128), luma + 2.017 * (u - 128)]
        assert np.abs(image[0, column] - np.clip(expected, 0, 255)).max() <= 2


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_bayer_pattern_names_the_top_left_pixels(pattern: str) -> None:
    color = {"r": 200, "g": 100, "b": 30}
    tile = np.array([[color[pattern[0]], color[pattern[1]]], [color[pattern[2]], color[pattern[3]]]], np.uint8)
    image = decode_image(f"bayer_{pattern}8", 8, 8, 8, np.tile(tile, (4, 4)).tobytes())
    np.testing.assert_array_equal(image[2:-2, 2:-2], np.broadcast_to((200, 100, 30), (4, 4, 3)))


def test_depth_units_and_unknown_values() -> None:
    millimetres = np.array([[0, 1500], [1, 65535]], ">u2")
    depth = decode_depth("16UC1", 2, 2, 4, millimetres.tobytes(), True)
    np.testing.assert_allclose(depth, [[np.nan, 1.5], [0.001, 65.535]], rtol=1e-6)
    metres = np.array([[0, -1, 2.5], [np.inf, -np.inf, np.nan]], np.float32)
    depth = decode_depth("32FC1", 2, 3, 12, metres.tobytes())
    np.testing.assert_array_equal(depth, np.array([[np.nan, np.nan, 2.5], [np.nan] * 3], np.float32))
    assert depth.dtype == np.float32


@settings(deadline=None, max_examples=30)
@given(arrays(np.uint16, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9)), st.sampled_from(["png", "rvl"]))
def test_compressed_depth_round_trip(millimetres: np.ndarray, codec: str) -> None:
    millimetres = np.where(millimetres == 65535, 0, millimetres)
    depth = np.where(millimetres > 0, millimetres.astype(np.float32) / np.float32(1000), np.nan).astype(np.float32)
    fmt, data = encode_compressed_depth(depth, codec)
    np.testing.assert_array_equal(decode_compressed_depth(fmt, data), depth)


def rvl_reference(words: np.ndarray, count: int) -> list[int]:
    """The decoder of Wilson's paper on a list of nibbles."""
    nibbles = iter([int(word) >> shift & 15 for word in words for shift in range(28, -4, -4)])

    def number() -> int:
        value = shift = 0
        while True:
            nibble = next(nibbles)
            value |= (nibble & 7) << shift
            shift += 3
            if nibble < 8:
                return value

    values: list[int] = []
    previous = 0
    while len(values) < count:
        values += [0] * number()
        for _ in range(number() if len(values) < count else 0):
            zigzag = number()
            previous += (zigzag >> 1) ^ -(zigzag & 1)
            values.append(previous)
    return values


def test_rvl_equals_its_reference_and_the_published_bit_layout() -> None:
    # two zeros, one pixel of value 5 (zigzag 10 = nibbles 1010 0001), top nibble first
    _, data = encode_compressed_depth(np.array([[np.nan, np.nan, 0.005]], np.float32), "rvl")
    assert data[12:] == struct.pack("<III", 3, 1, 0x21A10000)
    values = np.random.default_rng(1).integers(0, 9000, (40, 50)) * (np.random.default_rng(2).random((40, 50)) < 0.7)
    _, data = encode_compressed_depth((values * 0.001).astype(np.float32), "rvl")
    assert rvl_reference(np.frombuffer(data[20:], "<u4"), values.size) == values.ravel().tolist()


def test_inverse_depth_is_undone() -> None:
    a, b = 200.0, -10.0
    values = np.array([[0, 90], [190, 40]], np.uint16)
    data = struct.pack("<iff", 0, a, b) + cv2.imencode(".png", values)[1].tobytes()
    depth = decode_compressed_depth("32FC1; compressedDepth png", data)
    np.testing.assert_allclose(depth, [[np.nan, 2.0], [1.0, 4.0]], rtol=1e-6)


def test_plain_png_depth_has_no_header() -> None:
    data = cv2.imencode(".png", np.full((2, 3), 1234, np.uint16))[1].tobytes()
    np.testing.assert_allclose(decode_compressed_depth("16UC1; png compressed", data), 1.234, rtol=1e-6)


def test_compressed_images() -> None:
    smooth = np.asarray(cv2.resize(RGB, (64, 48), interpolation=cv2.INTER_CUBIC), np.uint8)
    np.testing.assert_array_equal(decode_compressed_image(*encode_compressed_image(smooth, "png")), smooth)
    jpeg = decode_compressed_image(*encode_compressed_image(smooth, "jpeg"))
    assert np.abs(jpeg.astype(int) - smooth).mean() < 4


def test_camera_of_a_binned_region() -> None:
    camera = camera_from_info(640, 480, K, [0.0] * 5, "plumb_bob", binning=(2, 2), roi=(20, 10, 600, 460))
    assert (camera.width, camera.height, camera.distortion_model) == (300, 230, "none")
    assert (camera.fx, camera.fy) == (250, 255)
    assert (camera.cx, camera.cy) == pytest.approx(((320 - 20 + 0.5) / 2 - 0.5, (240 - 10 + 0.5) / 2 - 0.5))


def test_camera_of_rectified_images_uses_p() -> None:
    p = [400.0, 0, 300, 0, 0, 410, 200, 0, 0, 0, 1, 0]
    camera = camera_from_info(640, 480, K, [0.1, 0, 0, 0, 0], "plumb_bob", p, rectified=True)
    assert (camera.fx, camera.fy, camera.cx, camera.cy, camera.is_distorted) == (400, 410, 300, 200, False)
    assert camera_from_info(640, 480, K, [0.1, 0, 0, 0], "fisheye").distortion_model == "equidistant"


BAD_INPUT = {
    "unknown encoding": (lambda: decode_image("rgb9", 2, 2, 6, bytes(12)), "encoding 'rgb9'.*bgra8"),
    "color as depth": (lambda: decode_depth("rgb8", 2, 2, 6, bytes(12)), "no depth encoding.*16UC1"),
    "short step": (lambda: decode_image("rgb8", 2, 2, 5, bytes(10)), "step is 5 bytes, expected at least 6"),
    "short data": (lambda: decode_image("rgb8", 2, 2, 6, bytes(11)), "data has 11 bytes, expected 12"),
    "empty": (lambda: decode_image("rgb8", 0, 0, 0, b""), "empty"),
    "odd yuv": (lambda: decode_image("yuv422", 2, 3, 6, bytes(12)), "width is 3"),
    "empty jpeg": (lambda: decode_compressed_image("jpeg", b""), "0 bytes of format 'jpeg'"),
    "no jpeg": (lambda: decode_compressed_image("jpeg", b"12345"), "cannot be decoded"),
    "codec": (lambda: encode_compressed_image(RGB, "gif"), "'gif', expected jpeg or png"),
    "depth codec": (lambda: encode_compressed_depth(np.ones((2, 2), np.float32), "gif"), "expected png or rvl"),
    "header only": (lambda: decode_compressed_depth("16UC1; compressedDepth png", bytes(12)), "12 bytes"),
    "depth format": (lambda: decode_compressed_depth("rgb8; compressedDepth png", bytes(30)), "is unknown"),
    "8 bit png": (
        lambda: decode_compressed_depth("16UC1; png compressed", cv2.imencode(".png", RGB)[1].tobytes()),
        "expected a 16-bit PNG",
    ),
    "rvl cut": (
        lambda: decode_compressed_depth("16UC1; compressedDepth rvl", bytes(12) + struct.pack("<III", 4, 4, 0x11A1)),
        "cut short",
    ),
    "rvl size": (
        lambda: decode_compressed_depth("16UC1; compressedDepth rvl", bytes(12) + struct.pack("<II", 0, 4)),
        "says it is 0x4",
    ),
    "zero K": (lambda: camera_from_info(640, 480, [0.0] * 9), "fx is 0.0"),
    "short K": (lambda: camera_from_info(640, 480, [1.0]), "K has 1"),
    "lens": (lambda: camera_from_info(640, 480, K, [0.1], "cubic"), "distortion_model 'cubic'"),
    "lens size": (lambda: camera_from_info(640, 480, K, [0.1], "plumb_bob"), "has 1 coefficients"),
    "region": (lambda: camera_from_info(640, 480, K, roi=(600, 0, 100, 100)), "not inside 640x480"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input(case: str) -> None:
    call, message = BAD_INPUT[case]
    with pytest.raises(InputError, match=f"(?s){message}"):
        call()
