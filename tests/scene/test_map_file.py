import json
import os
import signal
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest
from tsdf_scenes import ENGINES, make_engine, room_views, triangle_set

from showroom_ros.errors import MapFileError, OutputError
from showroom_ros.scene.map_file import VERSION, load_map, read_header, save_map
from showroom_ros.scene.volume import TsdfVolume
from showroom_ros.settings import MapSettings

SETTINGS = MapSettings(mesh_tolerance_m=0.0)


def mapped(views: int = 3, name: str = "numba"):
    volume = make_engine(name, SETTINGS)
    for view in room_views(8)[:views]:
        volume.integrate(view)
    return volume


@pytest.mark.parametrize("name", ENGINES)
def test_a_map_goes_on_where_it_was_saved(tmp_path, name):
    volume = mapped(name=name)
    save_map(tmp_path / "room.map", volume, {"map": {"voxel_size_m": 0.02}}, {"data": "room"})
    loaded = load_map(tmp_path / "room.map", SETTINGS)
    for old, new in zip(volume.voxels(), loaded.voxels(), strict=True):
        assert (old == new).all()
    view = room_views(8)[3]
    volume.integrate(view)
    loaded.integrate(view)
    a, b = volume.extract_mesh(), loaded.extract_mesh()
    assert len(a.triangles) == pytest.approx(len(b.triangles), rel=0 if name == "numba" else 1e-3)
    if name == "numba":
        assert triangle_set(a) == triangle_set(b)
    header = read_header(tmp_path / "room.map")
    assert header["version"] == VERSION
    assert header["settings"] == {"map": {"voxel_size_m": 0.02}}
    assert header["metadata"] == {"data": "room"}


def test_an_empty_map_is_a_map(tmp_path):
    save_map(tmp_path / "empty.map", TsdfVolume(SETTINGS), {}, {})
    assert load_map(tmp_path / "empty.map", SETTINGS).block_count == 0


def _cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _damage(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def _version(path):
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    header = json.loads(members["header.json"])
    header["version"] = VERSION + 1
    members["header.json"] = json.dumps(header).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def _without(name):
    def drop(path):
        with zipfile.ZipFile(path) as archive:
            members = {other: archive.read(other) for other in archive.namelist() if other != name}
        with zipfile.ZipFile(path, "w") as archive:
            for other, content in members.items():
                archive.writestr(other, content)

    return drop


@pytest.mark.parametrize(
    ("spoil", "settings", "message"),
    [
        (_cut, SETTINGS, "cut short"),
        (_damage, SETTINGS, "damaged"),
        (_version, SETTINGS, f"version {VERSION + 1}, expected {VERSION}"),
        (_without("tsdf.npy"), SETTINGS, "tsdf"),
        (_without("header.json"), SETTINGS, "not a saved map"),
        (lambda path: path.write_text("ply"), SETTINGS, "not a saved map"),
        (lambda path: path.write_bytes(b""), SETTINGS, "not a saved map"),
        (lambda path: path.unlink(), SETTINGS, "No such file"),
        (lambda path: None, MapSettings(voxel_size_m=0.01), "voxel_size_m is 0.02, the map in use has 0.01"),
        (lambda path: None, MapSettings(truncation_m=0.05), "truncation_m is 0.08"),
        (lambda path: None, MapSettings(max_bytes=1_000_000), "do not fit"),
    ],
)
def test_files_that_are_no_map_here(tmp_path, spoil, settings, message):
    path = tmp_path / "room.map"
    save_map(path, mapped(), {}, {})
    spoil(path)
    with pytest.raises(MapFileError, match=message) as error:
        load_map(path, settings)
    assert str(path) in str(error.value)


def test_a_map_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot be written"):
        save_map(tmp_path / "file" / "room.map", TsdfVolume(SETTINGS), {}, {})
    with pytest.raises(OutputError, match="is a folder"):
        save_map(tmp_path, TsdfVolume(SETTINGS), {}, {})


SAVER = """
import sys
import numpy as np
from showroom_ros.scene.map_file import save_map
from showroom_ros.scene.volume import TsdfVolume, Voxels
from showroom_ros.settings import MapSettings

rng, n = np.random.default_rng(0), 12000
position = np.stack([np.arange(n) % 100, np.arange(n) // 100, np.zeros(n)], 1).astype(np.int32)
noise = lambda dtype, high: rng.integers(1, high, (n, 512)).astype(dtype)
volume = TsdfVolume(MapSettings())
volume.insert(Voxels(position, noise(np.int16, 30000), noise(np.uint16, 60000), noise(np.uint32, 2**30)))
print("saving", flush=True)
save_map(sys.argv[1], volume, {}, {})
print("saved", flush=True)
"""


def test_kill_9_while_saving_leaves_the_old_map(tmp_path):
    path = tmp_path / "room.map"
    save_map(path, mapped(), {}, {"which": "old"})
    old = path.read_bytes()
    process = subprocess.Popen([sys.executable, "-c", SAVER, str(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "saving\n"
        deadline = time.monotonic() + 60
        while not any(part.stat().st_size > 500_000 for part in tmp_path.glob(".*.part") if part.exists()):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGKILL)
    finally:
        process.kill()
        rest = process.communicate()[0]
    assert "saved" not in rest
    assert path.read_bytes() == old
    assert read_header(path)["metadata"] == {"which": "old"}
    assert load_map(path, SETTINGS).block_count > 0


def test_a_failed_save_leaves_no_trace(tmp_path):
    path = tmp_path / "room.map"
    save_map(path, mapped(), {}, {})
    old = path.read_bytes()
    with pytest.raises(TypeError):
        save_map(path, mapped(), {"unwritable": np.zeros(3)}, {})
    assert path.read_bytes() == old
    assert [file.name for file in tmp_path.iterdir()] == ["room.map"]
