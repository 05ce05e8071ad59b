"""Ceilings: flat, with beams, with a cove, or sloped to one or both sides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from showroom_ros.datasets.synthetic.floor_plan import FloorPlan, Rectangle
from showroom_ros.datasets.synthetic.openings import Part
from showroom_ros.datasets.synthetic.palette import Palette
from showroom_ros.datasets.synthetic.solids import Surface, box, cells, panel
from showroom_ros.datasets.synthetic.textures import Material

SLOPE_FROM_M = 0.12
"""Walls below a slope keep their shape up to this far under its lowest height."""

_COVE_M = 0.09


def ceiling(plan: FloorPlan, palette: Palette) -> list[Part]:
    """The ceiling and what belongs to it."""
    parts: list[Part] = [("ceiling", "ceiling", _slabs(plan, palette.ceiling))]
    if plan.ceiling == "beams":
        parts.append(("beam", "ceiling", _beams(plan, palette.dark_wood)))
    if plan.ceiling == "coving":
        parts += [("coving", "ceiling", [_cove(plan, wall, palette.trim)]) for wall in range(plan.wall_count)]
    return parts


def sloped(plan: FloorPlan, surface: Surface) -> Surface:
    """A wall or ceiling built as high as the highest place, lowered to the slope above each of its points."""
    if not plan.rise_m:
        return surface
    top, fixed = plan.height_m + plan.rise_m, plan.height_m - SLOPE_FROM_M
    height = plan.ceiling_at(surface.vertices[:, :2])
    z = surface.vertices[:, 2]
    lowered = fixed + (z - fixed) * (height - fixed) / (top - fixed)
    vertices = surface.vertices.copy()
    vertices[:, 2] = np.where(z > fixed, lowered, z)
    return replace(surface, vertices=vertices)


def _slabs(plan: FloorPlan, material: Material) -> list[Surface]:
    whole = (*plan.low.tolist(), *plan.high.tolist())
    if plan.ridge is None:
        return [_slab(plan, whole, material)]
    axis, place = plan.ridge
    first, second = list(whole), list(whole)
    first[2 + axis] = second[axis] = place
    return [_slab(plan, tuple(part), material) for part in (first, second)]  # type: ignore[arg-type]


def _slab(plan: FloorPlan, part: Rectangle, material: Material) -> Surface:
    x0, y0, x1, y1 = part
    width, depth = x1 - x0, y1 - y0
    us, vs = cells(width, x1 - plan.corners[:, 0]), cells(depth, plan.corners[:, 1] - y0)
    holes = [(x1 - b[2], b[1] - y0, x1 - b[0], b[3] - y0) for b, inside in plan.grid_blocks() if not inside]
    top = plan.height_m + plan.rise_m
    surface = sloped(plan, panel((x1, y0, top), (-1, 0, 0), (0, 1, 0), us, vs, material, holes))
    a, b, c = surface.vertices[surface.triangles[0]]
    normal = np.cross(b - a, c - a)
    return replace(surface, normals=np.broadcast_to(normal / np.linalg.norm(normal), surface.vertices.shape))


def _beams(plan: FloorPlan, material: Material) -> list[Surface]:
    size = plan.high - plan.low
    along = int(np.argmax(size))
    count = max(2, round(size[along] / 1.1))
    surfaces = []
    for i in range(count):
        middle = plan.low[along] + (i + 0.5) * size[along] / count
        low, high = np.array([*plan.low, plan.height_m - 0.16]), np.array([*plan.high, plan.height_m + 0.002])
        low[along], high[along] = middle - 0.06, middle + 0.06
        low[1 - along] -= 0.002
        high[1 - along] += 0.002
        surfaces += box(low, high, material)
    return surfaces


def _cove(plan: FloorPlan, wall: int, material: Material) -> Surface:
    """A hollow quarter circle between wall and ceiling, mitred with its neighbours."""
    start, direction, normal, length = plan.wall(wall)
    turns = []
    for corner in (wall, (wall + 1) % plan.wall_count):
        before, after = plan.wall((corner - 1) % plan.wall_count)[1], plan.wall(corner)[1]
        turns.append(1.0 if before[0] * after[1] - before[1] * after[0] > 0 else -1.0)
    angle = np.linspace(0, np.pi / 2, 6)
    out, down = _COVE_M * (1 - np.cos(angle)), _COVE_M * (1 - np.sin(angle))
    along = cells(length)[::-1] / length  # to the right as seen from the room
    share = along[None, :]
    place = (share * length) + out[:, None] * (turns[0] * (1 - share) - turns[1] * share)
    flat = start + place[..., None] * direction + out[:, None, None] * normal
    vertices = np.concatenate([flat, np.broadcast_to((plan.height_m - down)[:, None, None], (*flat.shape[:2], 1))], -1)
    facing = np.concatenate([np.cos(angle)[:, None] * normal, -np.sin(angle)[:, None]], 1)
    normals = np.broadcast_to(facing[:, None], vertices.shape).reshape(-1, 3)
    uv = np.stack(np.broadcast_arrays(-place, (_COVE_M * angle)[:, None]), -1).reshape(-1, 2)
    lattice = panel((0, 0, 0), (1, 0, 0), (0, 1, 0), along * 0, angle * 0, material).triangles
    return Surface(vertices.reshape(-1, 3), normals, uv, lattice, material)
