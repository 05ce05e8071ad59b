import numpy as np
import pytest
import trimesh
from tsdf_scenes import make_engine, sphere_views

from showroom_ros.errors import InputError, OutputError
from showroom_ros.scene.mesh import Mesh
from showroom_ros.scene.mesh_files import load_mesh, save_mesh
from showroom_ros.settings import MapSettings


@pytest.fixture(scope="module")
def ball() -> Mesh:
    volume = make_engine("numba", MapSettings())
    for view in sphere_views(6):
        view.image[:] = np.random.default_rng(0).integers(0, 256, view.image.shape)
        volume.integrate(view)
    mesh = volume.extract_mesh()
    kinds = np.random.default_rng(1).integers(1, 4, len(mesh.vertices)).astype(np.uint8)
    return Mesh(mesh.vertices, mesh.triangles, mesh.colors, mesh.normals, kinds)


def test_ply_keeps_everything(tmp_path, ball):
    save_mesh(tmp_path / "ball.ply", ball)
    loaded = load_mesh(tmp_path / "ball.ply")
    for name in ("vertices", "triangles", "colors", "normals", "provenance"):
        assert (getattr(loaded, name) == getattr(ball, name)).all()
        assert getattr(loaded, name).dtype == getattr(ball, name).dtype


def test_other_programs_read_our_ply(tmp_path, ball):
    save_mesh(tmp_path / "ball.ply", ball)
    model = trimesh.load_mesh(tmp_path / "ball.ply", process=False)
    assert (model.faces == ball.triangles).all()
    assert np.allclose(model.vertices, ball.vertices)
    assert (model.visual.vertex_colors[:, :3] == ball.colors).all()


@pytest.mark.parametrize("suffix", [".glb", ".obj"])
def test_glb_and_obj_come_back(tmp_path, ball, suffix):
    save_mesh(tmp_path / f"ball{suffix}", ball)
    loaded = load_mesh(tmp_path / f"ball{suffix}")
    assert (loaded.triangles == ball.triangles).all()
    assert np.abs(loaded.vertices - ball.vertices).max() < 2e-6
    assert np.abs(loaded.normals - ball.normals).max() < 1e-2
    assert np.abs(loaded.colors.astype(int) - ball.colors).max() <= 1
    if suffix == ".glb":
        assert (loaded.provenance == ball.provenance).all()


def test_glb_stands_upright_in_other_programs(tmp_path):
    corner = np.array([[0, 0, 0], [1, 0, 0], [0, 0, 2]], np.float32)  # 2 m high: z is up here, y in glTF
    grey = np.full((3, 3), 128, np.uint8)
    wall = Mesh(
        corner, np.array([[0, 1, 2]], np.int32), grey, np.tile(np.float32([0, -1, 0]), (3, 1)), np.ones(3, np.uint8)
    )
    save_mesh(tmp_path / "wall.glb", wall)
    extents = trimesh.load_scene(tmp_path / "wall.glb").extents
    assert extents == pytest.approx([1, 2, 0], abs=1e-6)


def test_an_empty_mesh_is_a_ply(tmp_path):
    save_mesh(tmp_path / "nothing.ply", Mesh.empty())
    loaded = load_mesh(tmp_path / "nothing.ply")
    assert loaded.vertices.shape == loaded.triangles.shape == (0, 3)


@pytest.mark.parametrize("name", ["mesh.stl", "mesh", "mesh.ply.gz"])
def test_unknown_formats_are_refused(tmp_path, ball, name):
    with pytest.raises(OutputError, match=r"\.ply, \.glb, \.obj"):
        save_mesh(tmp_path / name, ball)
    with pytest.raises(InputError, match=r"\.ply, \.glb, \.obj"):
        load_mesh(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_empty_glb_and_impossible_folder_are_refused(tmp_path, ball):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="no triangles"):
        save_mesh(tmp_path / "nothing.glb", Mesh.empty())
    with pytest.raises(OutputError, match="cannot be written"):
        save_mesh(tmp_path / "file" / "ball.ply", ball)
    save_mesh(tmp_path / "new" / "folder" / "ball.ply", ball)
    assert len(load_mesh(tmp_path / "new" / "folder" / "ball.ply").vertices) == len(ball.vertices)


PLY = "ply\nformat binary_little_endian 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
FACE = "element face 1\nproperty list uchar int vertex_indices\nend_header\n"
POINTS = np.arange(9, dtype="<f4").tobytes()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a PLY"),
        (b"solid ball", "not a PLY"),
        (PLY.replace("binary_little_endian", "ascii").encode() + FACE.encode(), "cannot be read as a mesh"),
        (PLY.encode() + FACE.encode() + POINTS[:20], "cut short"),
        (PLY.encode() + FACE.encode() + POINTS + b"\4" + np.int32([0, 1, 2, 0]).tobytes(), "expected triangles"),
        (PLY.encode() + FACE.encode() + POINTS + b"\3" + np.int32([0, 1, 3]).tobytes(), "names vertex 3"),
        (PLY.replace("float z", "float depth").encode() + FACE.encode() + POINTS + bytes(13), "x, y, z"),
        (PLY.replace("float z", "quad z").encode() + FACE.encode() + POINTS, "'quad' is unknown"),
    ],
)
def test_broken_ply_files_are_refused(tmp_path, content, message):
    path = tmp_path / "broken.ply"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        load_mesh(path)
    assert "broken.ply" in str(error.value)


def test_text_and_big_endian_ply_files_are_read(tmp_path):
    corners = "0 0 0 255 0 0\n1 0 0 0 255 0\n0 2 0 0 0 255\n"
    colors = "".join(f"property uchar {name}\n" for name in ("red", "green", "blue"))
    text = PLY.replace("binary_little_endian", "ascii") + colors + FACE + corners + "3 0 1 2\n"
    (tmp_path / "text.ply").write_text(text)
    content = (PLY.replace("little", "big") + FACE).encode() + np.arange(9, dtype=">f4").tobytes()
    (tmp_path / "big.ply").write_bytes(content + b"\3" + np.array([0, 1, 2], ">i4").tobytes())
    mesh = load_mesh(tmp_path / "text.ply")
    assert mesh.vertices.tolist() == [[0, 0, 0], [1, 0, 0], [0, 2, 0]]
    assert mesh.colors.tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255]]
    assert mesh.triangles.tolist() == [[0, 1, 2]]
    assert load_mesh(tmp_path / "big.ply").vertices.tolist() == np.arange(9.0).reshape(3, 3).tolist()


def test_a_ply_of_points_alone_is_grey_and_of_unknown_origin(tmp_path):
    (tmp_path / "points.ply").write_bytes(PLY.encode() + FACE.encode() + POINTS + b"\3" + np.int32([0, 1, 2]).tobytes())
    mesh = load_mesh(tmp_path / "points.ply")
    assert mesh.triangles.tolist() == [[0, 1, 2]]
    assert (mesh.colors == 128).all()
    assert (mesh.provenance == 0).all()


def test_missing_and_unreadable_files(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load_mesh(tmp_path / "none.ply")
    (tmp_path / "bad.glb").write_bytes(b"glTF but not really")
    with pytest.raises(InputError, match="cannot be read"):
        load_mesh(tmp_path / "bad.glb")
