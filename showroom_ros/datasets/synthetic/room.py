"""``make_room``: one integer seed becomes a furnished, textured and lit room."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from showroom_ros.datasets.synthetic.assets import AssetLibrary
from showroom_ros.datasets.synthetic.floor_plan import Home
from showroom_ros.datasets.synthetic.interiors import KINDS, furnish
from showroom_ros.datasets.synthetic.layout import Placed
from showroom_ros.datasets.synthetic.lighting import AreaLight, baked_light
from showroom_ros.datasets.synthetic.palette import MOODS, Palette, make_mood, make_palette
from showroom_ros.datasets.synthetic.pictures import image_files
from showroom_ros.datasets.synthetic.piece import Light
from showroom_ros.datasets.synthetic.plans import SHAPES, make_home
from showroom_ros.datasets.synthetic.shell import build_shell
from showroom_ros.datasets.synthetic.solids import Surface
from showroom_ros.datasets.synthetic.textures import Material
from showroom_ros.errors import InputError

MOST_ROOMS = 4


class Layout(IntEnum):
    """What part of the room a triangle is."""

    OBJECT = 0
    FLOOR = 1
    CEILING = 2
    WALL = 3


@dataclass(frozen=True, eq=False)
class Room:
    """A textured triangle mesh with light baked into its vertices.

    Attributes:
        vertices: float32 [V, 3], metres; z up, floor at 0.
        normals: float32 [V, 3], unit length, towards free space.
        uv: float32 [V, 2], texture coordinates in repeats, v upwards.
        light: float32 [V, 3], irradiance over pi: times the albedo it is the radiance.
        triangles: int32 [T, 3], counter-clockwise seen from the free side.
        material: int32 [T], index into ``materials``.
        instance: int32 [T], index into ``categories``.
        layout: uint8 [T] of ``Layout``.
        materials: textures by index.
        categories: what each instance is ("wall", "sofa", ...).
        plan: its rooms with their openings, and the doorways between them.
        furniture: pieces and where they stand.
        exposure: factor that brings typical radiance to mid-tone.
        seed: what it was made from.
    """

    vertices: NDArray[np.float32]
    normals: NDArray[np.float32]
    uv: NDArray[np.float32]
    light: NDArray[np.float32]
    triangles: NDArray[np.int32]
    material: NDArray[np.int32]
    instance: NDArray[np.int32]
    layout: NDArray[np.uint8]
    materials: tuple[Material, ...]
    categories: tuple[str, ...]
    plan: Home
    furniture: tuple[Placed, ...]
    exposure: float
    seed: int

    @cached_property
    def face_normals(self) -> NDArray[np.float32]:
        """Unit normals of the triangles towards free space, float32 [T, 3]."""
        a, b, c = (self.vertices[self.triangles[:, i]].astype(np.float64) for i in range(3))
        normals = np.cross(b - a, c - a)
        return (normals / np.linalg.norm(normals, axis=1, keepdims=True)).astype(np.float32)


@dataclass(frozen=True)
class RoomSettings:
    """What kind of room to make; what is None is drawn from the seed.

    Attributes:
        kind: one of ``interiors.KINDS``; of the first room where there are several.
        shape: one of ``SHAPES``; of the first room where there are several.
        rooms: how many rooms, joined by open doorways.
        assets: folder of GLB models to furnish with besides the parametric pieces.
        textures: folder of images to hang on the walls.
        clutter: how many small things lie about; 0 = none, 1 = as usual.
        mood: one of ``palette.MOODS``.
    """

    kind: str | None = None
    shape: str | None = None
    rooms: int = 1
    assets: Path | None = None
    textures: Path | None = None
    clutter: float = 1.0
    mood: str | None = None

    def __post_init__(self) -> None:
        """Checks every field."""
        if self.kind is not None and self.kind not in KINDS:
            raise InputError(f"room kind '{self.kind}' is unknown, expected one of {', '.join(KINDS)}")
        if self.shape is not None and self.shape not in SHAPES:
            raise InputError(f"room shape '{self.shape}' is unknown, expected one of {', '.join(SHAPES)}")
        if self.mood is not None and self.mood not in MOODS:
            raise InputError(f"room mood '{self.mood}' is unknown, expected one of {', '.join(MOODS)}")
        if not 1 <= self.rooms <= MOST_ROOMS:
            raise InputError(f"rooms is {self.rooms}, expected 1 to {MOST_ROOMS}")
        if not 0 <= self.clutter <= 3:
            raise InputError(f"clutter is {self.clutter}, expected 0 to 3")


def make_room(seed: int, settings: RoomSettings | None = None, device: str = "cpu", *, furnished: bool = True) -> Room:
    """Makes the room of a seed.

    Args:
        seed: not negative; the same seed gives the same room on the same device.
        settings: what kind of room; None = the defaults.
        device: torch device that computes the light.
        furnished: whether it has furniture and light; the walls are the same without, and made in no time.

    Raises:
        InputError: a negative seed or an unknown device.
    """
    if seed < 0:
        raise InputError(f"room seed is {seed}, expected 0 or more")
    settings = settings or RoomSettings()
    rng = np.random.default_rng([seed, 1])
    kinds = _kinds(rng, settings)
    palette = make_palette(rng, make_mood(rng, settings.mood))
    home = make_home(rng, kinds, settings.shape)
    library = AssetLibrary(settings.assets) if settings.assets is not None else None
    images = tuple(image_files(settings.textures)) if settings.textures is not None else ()
    if not furnished:
        return _bare(home, palette, seed)
    furniture = [
        furnish(np.random.default_rng([seed, 4, number]), plan, palette.room(number), library, images, settings.clutter)
        for number, plan in enumerate(home.rooms)
    ]
    return _assembled(home, furniture, palette, seed, device)


def _kinds(rng: Generator, settings: RoomSettings) -> list[str]:
    """A kind for each room; kinds repeat only when there are more rooms than kinds."""
    order = [KINDS[int(i)] for i in rng.permutation(len(KINDS))]
    first = settings.kind or next(kind for kind in order if kind != "hallway")
    return [first, *(kind for kind in order if kind != first)][: settings.rooms]


@dataclass(frozen=True, eq=False)
class Instance:
    """Surfaces that belong to one thing."""

    category: str
    layout: Layout
    surfaces: list[Surface]


def _bare(plan: Home, palette: Palette, seed: int) -> Room:
    shell, _ = build_shell(np.random.default_rng([seed, 2]), plan, palette, frozenset())
    instances = [Instance(category, Layout[layout.upper()], surfaces) for category, layout, surfaces in shell]
    return _joined(instances, plan, [], seed)


def _assembled(plan: Home, furnished: list[list[Placed]], palette: Palette, seed: int, device: str) -> Room:
    furniture = [placed for room in furnished for placed in room]
    hanging = (any(p.piece.category == "hanging lamp" for p in room) for room in furnished)
    lampless = frozenset(number for number, found in enumerate(hanging) if found)
    shell, lights = build_shell(np.random.default_rng([seed, 2]), plan, palette, lampless)
    instances = [Instance(category, Layout[layout.upper()], surfaces) for category, layout, surfaces in shell]
    for placed in furniture:
        surfaces = [s.moved(placed.pose) for s in placed.piece.surfaces]
        instances.append(Instance(placed.piece.category, Layout.OBJECT, surfaces))
        if placed.piece.light is not None:
            lights.append(_moved_light(placed.piece.light, placed))
    room = _joined(instances, plan, furniture, seed)
    light = baked_light(room, lights, device)
    radiance = light[room.triangles].mean(1).mean(1)
    exposure = 0.62 * palette.mood.exposure / float(np.quantile(radiance, 0.6))
    return replace(room, light=light, exposure=exposure)


def _moved_light(light: Light, placed: Placed) -> AreaLight:
    center = placed.pose[:3, :3] @ np.array(light.position) + placed.pose[:3, 3]
    return AreaLight.ball(center, light.radius_m, np.array(light.power))


def _joined(instances: list[Instance], plan: Home, furniture: list[Placed], seed: int) -> Room:
    surfaces = [(number, instance, s) for number, instance in enumerate(instances) for s in instance.surfaces]
    materials = tuple({id(s.material): s.material for _, _, s in surfaces}.values())
    index = {id(material): i for i, material in enumerate(materials)}
    starts = np.cumsum([0] + [len(s.vertices) for _, _, s in surfaces[:-1]])
    counts = [len(s.triangles) for _, _, s in surfaces]
    vertices = np.concatenate([s.vertices for _, _, s in surfaces]).astype(np.float32)
    triangles = np.concatenate([s.triangles + start for (_, _, s), start in zip(surfaces, starts, strict=True)])
    edges = vertices[triangles]
    doubled_area = np.linalg.norm(np.cross(edges[:, 1] - edges[:, 0], edges[:, 2] - edges[:, 0]), axis=1)
    solid = doubled_area > 1e-9

    def per_triangle(values: list[int], dtype: type) -> NDArray:
        return np.repeat(np.array(values, dtype), counts)[solid]

    return Room(
        vertices=vertices,
        normals=np.concatenate([s.normals for _, _, s in surfaces]).astype(np.float32),
        uv=np.concatenate([s.uv / s.material.tile_m for _, _, s in surfaces]).astype(np.float32),
        light=np.zeros((len(vertices), 3), np.float32),
        triangles=triangles[solid].astype(np.int32),
        material=per_triangle([index[id(s.material)] for _, _, s in surfaces], np.int32),
        instance=per_triangle([number for number, _, _ in surfaces], np.int32),
        layout=per_triangle([int(instance.layout) for _, instance, _ in surfaces], np.uint8),
        materials=materials,
        categories=tuple(instance.category for instance in instances),
        plan=plan,
        furniture=tuple(furniture),
        exposure=1.0,
        seed=seed,
    )
