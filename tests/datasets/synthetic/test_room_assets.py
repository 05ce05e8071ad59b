"""Models and images from folders as furniture and pictures."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path

import numpy as np
import pytest

from showroom_ros.datasets.synthetic.assets import IGNORED, AssetLibrary, category_of
from showroom_ros.datasets.synthetic.gltf import read_glb
from showroom_ros.datasets.synthetic.room import RoomSettings, make_room
from showroom_ros.errors import DatasetError

CUBE = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], np.float32)
FACES = [(1, 3, 2, 0), (6, 7, 5, 4), (4, 5, 1, 0), (3, 7, 6, 2), (2, 6, 4, 0), (5, 7, 3, 1)]


ACCESSORS = [(5126, 24, "VEC3"), (5126, 24, "VEC3"), (5126, 24, "VEC2"), (5123, 36, "SCALAR")]


def png_bytes(color: tuple[int, int, int]) -> bytes:
    image = pytest.importorskip("PIL.Image")
    buffer = io.BytesIO()
    image.new("RGB", (8, 4), color).save(buffer, "PNG")
    return buffer.getvalue()


def write_glb(path: Path, size: tuple[float, float, float], color: tuple[int, int, int], **changes: object) -> None:
    """A box of a size in metres with a texture of one colour; its node scales centimetres to metres."""
    quads = [CUBE[list(face)] for face in FACES]
    vertices = (np.concatenate(quads) * np.array(size) * 100).astype("<f4")
    normals = np.concatenate([np.repeat(np.cross(q[1] - q[0], q[2] - q[0])[None], 4, 0) for q in quads]).astype("<f4")
    uv = np.tile(np.array([[0, 1], [1, 1], [1, 0], [0, 0]], "<f4"), (6, 1))
    index = np.concatenate([np.array([0, 1, 2, 0, 2, 3]) + 4 * i for i in range(6)]).astype("<u2")
    blobs = [vertices.tobytes(), normals.tobytes(), uv.tobytes(), index.tobytes(), png_bytes(color)]
    views, start = [], 0
    for blob in blobs:
        views.append({"buffer": 0, "byteOffset": start, "byteLength": len(blob)})
        start += -(-len(blob) // 4) * 4
    accessors = [
        {"bufferView": i, "componentType": kind, "count": count, "type": name}
        for i, (kind, count, name) in enumerate(
            ((5126, 24, "VEC3"), (5126, 24, "VEC3"), (5126, 24, "VEC2"), (5123, 36, "SCALAR"))
        )
    ]
    primitive = {"attributes": {"POSITION": 0, "NORMAL": 1, "TEXCOORD_0": 2}, "indices": 3, "material": 0}
    content = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"children": [1], "translation": [5, 0, 0]}, {"mesh": 0, "scale": [0.01, 0.01, 0.01]}],
        "meshes": [{"primitives": [primitive]}],
        "materials": [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}, "baseColorFactor": [1, 1, 0.5, 1]}}],
        "textures": [{"source": 0}],
        "images": [{"bufferView": 4, "mimeType": "image/png"}],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": start}],
        **changes,
    }
    text = json.dumps(content).encode()
    text += b" " * (-len(text) % 4)
    binary = b"".join(blob + b"\0" * (-len(blob) % 4) for blob in blobs)
    body = struct.pack("<II", len(text), 0x4E4F534A) + text + struct.pack("<II", len(binary), 0x004E4942) + binary
    path.write_bytes(struct.pack("<III", 0x46546C67, 2, 12 + len(body)) + body)


def test_a_model_is_read_exactly(tmp_path: Path) -> None:
    write_glb(tmp_path / "sofa.glb", (2.0, 0.9, 0.8), (200, 100, 50))
    (part,) = read_glb(tmp_path / "sofa.glb")
    np.testing.assert_allclose(part.vertices.min(0), (5, 0, 0), atol=1e-6)
    np.testing.assert_allclose(part.vertices.max(0), (7, 0.9, 0.8), atol=1e-6)
    assert part.triangles.shape == (12, 3)
    a, b, c = (part.vertices[part.triangles[:, i]] for i in range(3))
    np.testing.assert_allclose(
        (np.cross(b - a, c - a) * part.normals[part.triangles[:, 0]]).sum(1),
        np.linalg.norm(np.cross(b - a, c - a), axis=1),
        rtol=1e-6,
    )
    assert part.image is not None
    assert part.image.shape == (4, 8, 3)
    assert (part.image == (200, 100, 50)).all()
    np.testing.assert_allclose(part.color, (1, 1, 0.5))


def test_models_stand_in_the_room_with_their_colour(tmp_path: Path) -> None:
    write_glb(tmp_path / "wardrobe_01.glb", (1.0, 0.6, 1.9), (250, 10, 10))
    piece = AssetLibrary(tmp_path).piece(np.random.default_rng(0), "wardrobe")
    assert piece is not None
    assert (piece.width, piece.depth, piece.height) == pytest.approx((1.0, 0.6, 1.9), abs=1e-6)
    points = np.concatenate([s.vertices for s in piece.surfaces])
    np.testing.assert_allclose(points.min(0), (-0.5, 0, 0), atol=1e-6)
    for name, size in (("bed", (1.4, 2.0, 0.6)), ("dresser", (1.0, 0.4, 0.8)), ("desk", (1.1, 0.6, 0.7))):
        write_glb(tmp_path / f"{name}.glb", size, (250, 10, 10))
    room = make_room(1, RoomSettings("bedroom", "rectangle", assets=tmp_path))
    material = next(m for m in room.materials if m.name == "model")
    assert material.texture[..., 0].mean() > 0.8
    assert material.texture[..., 1].mean() < 0.1


def test_tops_of_tables_are_found(tmp_path: Path) -> None:
    write_glb(tmp_path / "table.glb", (1.2, 0.7, 0.74), (120, 90, 60))
    piece = AssetLibrary(tmp_path).piece(np.random.default_rng(0), "table")
    assert piece is not None
    assert piece.top_m == pytest.approx(0.74)


@pytest.mark.parametrize(
    ("name", "category"),
    [
        ("Sofa_01", "sofa"),
        ("DeskPortraitA_02", "small thing"),
        ("ReadingDesk_01", "desk"),
        ("HouseWallB_01", IGNORED),
        ("FoldingDoor_02", IGNORED),
        ("TV_01", "television"),
        ("TVCabinet_01", "sideboard"),
        ("Chandelier_01", "hanging lamp"),
        ("CoffeeTable_01", "coffee table"),
        ("KitchenTable_01", "table"),
        ("Thing_07", None),
    ],
)
def test_names_say_what_a_model_is(name: str, category: str | None) -> None:
    assert category_of(name) == category


@pytest.mark.parametrize(
    ("extent_m", "category"),
    [
        ((0.2, 0.2, 0.3), "small thing"),
        ((0.6, 0.03, 0.5), "picture"),
        ((1.0, 0.6, 1.8), "wardrobe"),
        ((9, 7, 3), IGNORED),
    ],
)
def test_sizes_say_it_where_names_do_not(extent_m: tuple[float, float, float], category: str) -> None:
    assert category_of("Thing_07", np.array(extent_m)) == category


def test_recorded_models_furnish_rooms(shared_data: Path) -> None:
    library = AssetLibrary(shared_data / "furniture")
    for category in ("sofa", "bed", "desk", "table", "chair", "wardrobe", "picture", "small thing", "hanging lamp"):
        piece = library.piece(np.random.default_rng(1), category)
        assert piece is not None, category
        assert piece.height < 2.4
    settings = RoomSettings("bedroom", "rectangle", assets=shared_data / "furniture")
    room = make_room(4, settings)
    assert sum(m.name == "model" for m in room.materials) >= 3


def test_recorded_cabinets_and_screens_turn_their_front_to_the_room(shared_data: Path) -> None:
    """The front was read off pictures of the models; a doored front has more triangles than a plain back."""
    library = AssetLibrary(shared_data / "furniture")
    for category in ("wardrobe", "nightstand", "fridge"):
        piece = library.piece(np.random.default_rng(0), category)
        assert piece is not None
        depth = np.concatenate([s.vertices[s.triangles].mean(1)[:, 1] for s in piece.surfaces]) / piece.depth
        assert (depth > 0.8).sum() > 1.5 * (depth < 0.2).sum(), category


def test_images_hang_on_the_walls(tmp_path: Path) -> None:
    (tmp_path / "red.png").write_bytes(png_bytes((255, 0, 0)))
    room = make_room(2, RoomSettings("living room", "rectangle", textures=tmp_path))
    red = [m for m in room.materials if m.name == "picture" and (m.texture == (1, 0, 0)).all()]
    assert red


def _broken(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_bad_models_are_named(tmp_path: Path) -> None:
    write_glb(tmp_path / "good.glb", (1, 1, 1), (9, 9, 9))
    whole = (tmp_path / "good.glb").read_bytes()
    cases = {
        "a.glb": (b"", "has 0 bytes"),
        "b.glb": (b"x" * 100, "no GLB model of version 2"),
        "c.glb": (whole[:-100], "cut short"),
        "d.glb": (whole[:30] + b"!!!!" + whole[34:], "broken GLB model"),
    }
    for name, (content, message) in cases.items():
        with pytest.raises(DatasetError, match=f"{name}.*{message}"):
            read_glb(_broken(tmp_path / name, content))
    changed = {
        "e.glb": ({"nodes": [{"mesh": 3}]}, "broken GLB model"),
        "f.glb": ({"extensionsRequired": ["KHR_draco_mesh_compression"]}, "KHR_draco"),
        "g.glb": ({"meshes": [{"primitives": []}]}, "no triangles"),
        "h.glb": ({"images": [{"uri": "x.png"}]}, "outside the file"),
        "i.glb": ({"nodes": [{"children": [0]}]}, "cycle of nodes"),
        "j.glb": ({"images": [{"bufferView": 0}]}, "cannot be decoded"),
        "k.glb": ({"nodes": [{"mesh": 0, "translation": [float("nan"), 0, 0]}]}, "not finite"),
    }
    for name, (changes, message) in changed.items():
        write_glb(tmp_path / name, (1, 1, 1), (9, 9, 9), **changes)
        with pytest.raises(DatasetError, match=f"{name}.*{message}"):
            read_glb(tmp_path / name)
    with pytest.raises(DatasetError, match=r"missing\.glb cannot be read"):
        read_glb(tmp_path / "missing.glb")


def test_bad_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"asset folder .*nowhere is not there"):
        make_room(1, RoomSettings(assets=tmp_path / "nowhere"))
    with pytest.raises(DatasetError, match=r"holds no \.glb models"):
        make_room(1, RoomSettings(assets=tmp_path))
    with pytest.raises(DatasetError, match="holds no images"):
        make_room(1, RoomSettings(textures=tmp_path))
    (tmp_path / "odd.png").write_bytes(b"no image")
    with pytest.raises(DatasetError, match=r"odd\.png.*cannot be decoded"):
        make_room(1, RoomSettings("living room", textures=tmp_path))
