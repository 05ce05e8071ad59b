"""3D Gaussians (Kerbl et al., "3D Gaussian Splatting", SIGGRAPH 2023): the type, its PLY file, and the first ones.

Made of points, one Gaussian each. Drawing and optimisation are in ``splats_torch``; ``render_reference`` is the
equations pixel by pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from showroom_ros.errors import InputError, MissingDependencyError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import inverse, rotation_from_quat, transform_points
from showroom_ros.scene.output_file import atomic_output

SH_DC = 0.28209479177387814
"""The constant spherical harmonic, 1 / (2 sqrt(pi)): colour = 0.5 + SH_DC * coefficient."""

LOW_PASS_PX2 = 0.3
"""Variance in pixels^2 that is added to each projected Gaussian, so that none falls between pixels."""

MIN_ALPHA = 1 / 255
MAX_ALPHA = 0.99
MIN_TRANSMITTANCE = 1e-4
NEAR_M = 0.01
BESIDE = 0.15
"""Gaussians whose centre is beside the image by more than this part of its size are not drawn."""

FIRST_OPACITY = 0.95
FIRST_SCALE = 0.35
"""Of the distance to neighbours; with the low-pass a pixel's Gaussian is then about 0.65 pixels wide."""

_NEIGHBOURS = 3
_SCALE_LIMITS_M = (1e-5, 0.5)
_COEFFICIENTS = (1, 4, 9, 16)


@dataclass(frozen=True, eq=False)
class Gaussians:
    """Parameters of N Gaussians as the PLY files of the method store them.

    Attributes:
        means: float32 [N, 3], metres, world frame.
        log_scales: float32 [N, 3], natural logarithm of the standard deviations in metres.
        rotations: float32 [N, 4], quaternions ``wxyz`` from a Gaussian's axes to the world's.
        opacity_logits: float32 [N].
        harmonics: float32 [N, K, 3] of RGB, K = 1, 4, 9 or 16 spherical harmonics, the constant one first.
        provenance: uint8 [N] of ``scene.view.Provenance``.

    Raises:
        InputError: shapes or dtypes that do not fit, or values that are not finite.
    """

    means: NDArray[np.float32]
    log_scales: NDArray[np.float32]
    rotations: NDArray[np.float32]
    opacity_logits: NDArray[np.float32]
    harmonics: NDArray[np.float32]
    provenance: NDArray[np.uint8]

    def __post_init__(self) -> None:
        """Checks every field."""
        count, kinds = len(self.means), self.harmonics.shape[1] if self.harmonics.ndim == 3 else 0
        if kinds not in _COEFFICIENTS:
            raise InputError(f"harmonics are {self.harmonics.shape}, expected ({count}, {_COEFFICIENTS}, 3)")
        shapes = {"means": (3,), "log_scales": (3,), "rotations": (4,), "opacity_logits": (), "harmonics": (kinds, 3)}
        for name, shape in shapes.items():
            values = getattr(self, name)
            if values.dtype != np.float32 or values.shape != (count, *shape):
                raise InputError(f"{name} are {values.dtype} {values.shape}, expected float32 {(count, *shape)}")
            if not np.isfinite(values).all():
                raise InputError(f"{name} of {int((~np.isfinite(values)).sum())} entries are not finite")
        if self.provenance.dtype != np.uint8 or self.provenance.shape != (count,):
            raise InputError(
                f"provenance is {self.provenance.dtype} {self.provenance.shape}, expected uint8 ({count},)"
            )

    def __len__(self) -> int:
        """How many there are."""
        return len(self.means)

    @property
    def opacities(self) -> NDArray[np.float32]:
        """Float32 [N] in (0, 1)."""
        return (1 / (1 + np.exp(-self.opacity_logits))).astype(np.float32)

    @property
    def colors(self) -> NDArray[np.float32]:
        """RGB float32 [N, 3] of the constant harmonic, 0 to 1."""
        return np.maximum(0.5 + SH_DC * self.harmonics[:, 0], 0).astype(np.float32)


def gaussians_of_points(
    points: ArrayLike, colors: ArrayLike, provenance: ArrayLike, scale: float = FIRST_SCALE
) -> Gaussians:
    """One round Gaussian a point, of the point's colour.

    Standard deviation: ``scale`` times the root of the mean squared distance to the 3 nearest neighbours, within
    1e-5 and 0.5 m.

    Args:
        points: [N, 3], metres; at least 4.
        colors: uint8 [N, 3], RGB.
        provenance: uint8 [N].
        scale: positive.

    Raises:
        InputError: fewer than 4 points, shapes that do not fit, or points that are not finite.
    """
    points_, colors_ = np.asarray(points, np.float32), np.asarray(colors)
    if points_.ndim != 2 or points_.shape[1] != 3 or len(points_) <= _NEIGHBOURS or not np.isfinite(points_).all():
        raise InputError(f"points are {points_.shape}, expected finite (N, 3), N at least {_NEIGHBOURS + 1}")
    if colors_.shape != points_.shape or colors_.dtype != np.uint8 or not scale > 0:
        raise InputError(
            f"colours are {colors_.dtype} {colors_.shape}, expected uint8 {points_.shape}; scale {scale}, above 0"
        )
    distances = cKDTree(points_).query(points_, k=_NEIGHBOURS + 1)[0][:, 1:]
    sigma = np.clip(scale * np.sqrt(np.mean(distances**2, axis=1)), *_SCALE_LIMITS_M)
    count = len(points_)
    return Gaussians(
        points_,
        np.repeat(np.log(sigma)[:, None], 3, axis=1).astype(np.float32),
        np.tile(np.array([1, 0, 0, 0], np.float32), (count, 1)),
        np.full(count, np.log(FIRST_OPACITY / (1 - FIRST_OPACITY)), np.float32),
        ((colors_ / 255 - 0.5) / SH_DC)[:, None].astype(np.float32),
        np.asarray(provenance, np.uint8),
    )


def render(
    gaussians: Gaussians, camera: Camera, T_world_camera: ArrayLike, *, backend: str = "auto"
) -> NDArray[np.uint8]:
    """A picture uint8 [H, W, 3] of the Gaussians before black.

    Args:
        gaussians: what to draw.
        camera: pinhole without distortion.
        T_world_camera: [4, 4], maps camera points to the world.
        backend: ``torch`` (CPU; the constant harmonic only), ``gsplat`` (CUDA) or ``auto``: gsplat where it and
            CUDA are there.

    Raises:
        InputError: an unknown backend, a camera with distortion, or harmonics of a degree the backend cannot draw.
        MissingDependencyError: torch or gsplat is not installed.
    """
    if backend not in ("auto", "torch", "gsplat"):
        raise InputError(f"splat backend '{backend}' is unknown, expected auto, torch or gsplat")
    if find_spec("torch") is None:
        raise MissingDependencyError("drawing Gaussians needs torch: pip install torch")
    from showroom_ros.completion.splats_torch import picture

    return picture(gaussians, camera, T_world_camera, backend)


def render_reference(gaussians: Gaussians, camera: Camera, T_world_camera: ArrayLike) -> NDArray[np.float64]:
    """The obvious, slow picture float64 [H, W, 3]: every pixel blends every Gaussian, front to back (eq. 3 to 6)."""
    T_camera_world = inverse(T_world_camera)
    local = transform_points(T_camera_world, gaussians.means)
    image = np.zeros((camera.height, camera.width, 3))
    passed = np.ones((camera.height, camera.width))
    stopped = np.zeros(passed.shape, bool)
    v, u = np.mgrid[: camera.height, : camera.width]
    size = np.array([camera.width, camera.height])
    low, high = -BESIDE * size, BESIDE * size + size - 1
    for n in np.argsort(local[:, 2], kind="stable"):
        x, y, z = local[n]
        if z < NEAR_M:
            continue
        center = np.array([camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy])
        if (center < low).any() or (center > high).any():
            continue
        J = np.array([[camera.fx / z, 0, -camera.fx * x / z**2], [0, camera.fy / z, -camera.fy * y / z**2]])
        axes = J @ T_camera_world[:3, :3] @ _rotation(gaussians.rotations[n]) * np.exp(gaussians.log_scales[n])
        covariance = axes @ axes.T + LOW_PASS_PX2 * np.eye(2)
        d = np.stack([u - center[0], v - center[1]], axis=-1)
        power = -0.5 * np.einsum("hwi,ij,hwj->hw", d, np.linalg.inv(covariance), d)
        alpha = np.minimum(gaussians.opacities[n] * np.exp(power), MAX_ALPHA)
        drawn = (alpha >= MIN_ALPHA) & ~stopped
        stopped |= drawn & (passed * (1 - alpha) < MIN_TRANSMITTANCE)
        weight = np.where(drawn & ~stopped, alpha, 0)
        image += (weight * passed)[..., None] * gaussians.colors[n]
        passed *= 1 - weight
    return image


def save_gaussians(path: str | Path, gaussians: Gaussians, *, with_provenance: bool = True) -> None:
    """Writes the PLY file splat viewers read, atomically: binary, little endian, parameters before activation.

    Args:
        path: ending with .ply.
        gaussians: what to write.
        with_provenance: adds a byte ``provenance`` to each vertex, behind what viewers look for.

    Raises:
        OutputError: the file cannot be written.
    """
    kind = _ply_type(gaussians.harmonics.shape[1], with_provenance)
    rows = np.zeros(len(gaussians), kind)
    rest = (
        gaussians.harmonics[:, 1:].transpose(0, 2, 1).reshape(len(gaussians), -1)
    )  # all of red, then green, then blue
    groups = {
        ("x", "y", "z"): gaussians.means,
        _numbered("f_dc", 3): gaussians.harmonics[:, 0],
        _numbered("f_rest", rest.shape[1]): rest,
        ("opacity",): gaussians.opacity_logits[:, None],
        _numbered("scale", 3): gaussians.log_scales,
        _numbered("rot", 4): gaussians.rotations,
    }
    for names, values in groups.items():
        for column, name in enumerate(names):
            rows[name] = values[:, column]
    if with_provenance:
        rows["provenance"] = gaussians.provenance
    types = {"<f4": "float", "|u1": "uchar"}
    properties = [f"property {types[kind[name].str]} {name}" for name in kind.names or ()]
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(rows)}", *properties, "end_header", ""]
    with atomic_output(path) as file:
        file.write("\n".join(header).encode("ascii"))
        file.write(rows.tobytes())


def load_gaussians(path: str | Path) -> Gaussians:
    """Reads a splat PLY; properties may come in any order, without ``provenance`` it is 0, unknown.

    Raises:
        InputError: no such file, not a binary little-endian PLY of floats, cut short, or a property is missing.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file, expected a splat PLY")
    data = path.read_bytes()
    rows = _ply_rows(path, data)
    names = rows.dtype.names or ()
    rest_count = sum(name.startswith("f_rest_") for name in names)
    wanted = ("x", "y", "z", *_numbered("f_dc", 3), "opacity", *_numbered("scale", 3), *_numbered("rot", 4))
    missing = [name for name in wanted if name not in names]
    if missing or rest_count // 3 + 1 not in _COEFFICIENTS or rest_count % 3:
        found = "no " + ", ".join(missing) if missing else f"{rest_count} f_rest"
        raise InputError(f"{path}: is no splat PLY: {found}, expected all properties and 0, 9, 24 or 45 f_rest")

    def columns(*fields: str) -> NDArray[np.float32]:
        return np.stack([rows[name] for name in fields], axis=1).astype(np.float32)

    harmonics = columns(*_numbered("f_dc", 3))[:, None]
    if rest_count:
        rest = columns(*_numbered("f_rest", rest_count)).reshape(len(rows), 3, -1).transpose(0, 2, 1)
        harmonics = np.concatenate([harmonics, rest], axis=1)
    kinds = rows["provenance"].astype(np.uint8) if "provenance" in names else np.zeros(len(rows), np.uint8)
    return Gaussians(
        columns("x", "y", "z"),
        columns(*_numbered("scale", 3)),
        columns(*_numbered("rot", 4)),
        rows["opacity"].astype(np.float32),
        np.ascontiguousarray(harmonics),
        kinds,
    )


def _numbered(name: str, count: int) -> tuple[str, ...]:
    return tuple(f"{name}_{index}" for index in range(count))


def _ply_type(coefficients: int, with_provenance: bool) -> np.dtype:
    names = ("x", "y", "z", "nx", "ny", "nz", *_numbered("f_dc", 3), *_numbered("f_rest", 3 * (coefficients - 1)))
    names += ("opacity", *_numbered("scale", 3), *_numbered("rot", 4))
    return np.dtype([(name, "<f4") for name in names] + ([("provenance", "u1")] if with_provenance else []))


def _ply_rows(path: Path, data: bytes) -> NDArray:
    """The vertices of a binary PLY that has no lists."""
    end = data.find(b"end_header\n")
    lines = [line.split() for line in data[: max(end, 0)].decode("ascii", "replace").splitlines()]
    if end < 0 or ["format", "binary_little_endian", "1.0"] not in lines:
        raise InputError(f"{path}: is no binary little-endian PLY")
    types = {"float": "<f4", "float32": "<f4", "double": "<f8", "uchar": "u1", "uint8": "u1"}
    counts = [line for line in lines if line[:1] == ["element"]]
    properties = [line for line in lines if line[:1] == ["property"]]
    if len(counts) != 1 or counts[0][1] != "vertex" or any(len(p) != 3 or p[1] not in types for p in properties):
        raise InputError(f"{path}: is no splat PLY: expected one element 'vertex' of floats")
    kind, count = np.dtype([(p[2], types[p[1]]) for p in properties]), int(counts[0][2])
    start = end + len(b"end_header\n")
    found, expected = len(data) - start, count * kind.itemsize
    if found < expected:
        raise InputError(f"{path}: is cut short: {found} bytes of {expected} for {count} Gaussians")
    return np.frombuffer(data, kind, count, start)


def _rotation(quat_wxyz: NDArray[np.float32]) -> NDArray[np.float64]:
    return rotation_from_quat(quat_wxyz / np.linalg.norm(quat_wxyz))
