"""What stands in the 3D picture: mesh tiles, cloud, path, camera."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from showroom_ros.geometry.se3 import quat_from_rotation
from showroom_ros.scene.mesh import Mesh
from showroom_ros.scene.view import Provenance, View
from showroom_ros.viewers.glb import glb_bytes
from showroom_ros.viewers.overview import axis_from_name
from showroom_ros.viewers.palette import SHOWN, provenance_colors, switched_with
from showroom_ros.viewers.panel import Choices
from showroom_ros.viewers.tiles import TileIndex, welded

if TYPE_CHECKING:
    import viser

_GENERATED_OPACITY = 0.6
_POINT_SIZE_M = 0.012
_PATH_RGB, _CAMERA_RGB = (255, 170, 60), (255, 200, 110)
_LINE_PX = 2.5
_FRUSTUM_SCALE_M = 0.12
_THUMBNAIL_WIDTH = 320


class Drawing:
    """The nodes of the scene; used by one thread only."""

    def __init__(self, server: viser.ViserServer, up_name: str) -> None:
        """An empty picture whose axis ``up_name`` (``+z``...) points up on the screen."""
        self._scene = server.scene
        self._scene.set_up_direction(axis_from_name(up_name))
        self._groups: dict[str, Any] = {
            name: self._scene.add_frame(f"/{name}", show_axes=False)
            for name in (*(_group(layer, kind) for layer in ("mesh", "cloud") for kind in SHOWN), "camera")
        }
        self._tiles: dict[str, Any] = {}
        self._outdated: list[Any] = []
        self._version = 0
        self._nodes: dict[str, Any] = {}
        self._choices = Choices()
        self._scene.configure_default_lights(enabled=False)
        self._scene.configure_environment_map(None)
        self._lights = _make_lights(self._scene, up_name)

    def apply(self, choices: Choices) -> None:
        """Shows and hides what the switches say."""
        self._choices = choices
        for layer, is_on in (("mesh", choices.mesh), ("cloud", choices.cloud)):
            for kind in SHOWN:
                self._groups[_group(layer, kind)].visible = is_on and kind in choices.provenances
        self._groups["camera"].visible = choices.camera
        for lit, lights in self._lights.items():
            for light in lights:
                light.visible = lit == choices.lit

    def draw_tile(self, index: TileIndex, blocks: Sequence[Mesh]) -> None:
        """Replaces one tile of the mesh; no blocks = it is gone."""
        mesh = Mesh.concatenate(blocks)
        worst = mesh.provenance[mesh.triangles].max(axis=1, initial=0)
        for kind in SHOWN:
            name = "/{}/{}_{}_{}".format(_group("mesh", kind), *index)
            triangles = mesh.triangles[switched_with(kind, worst)]
            if len(triangles):
                part = welded(_compact(mesh, triangles))
                colors = provenance_colors(part.provenance) if self._choices.color_by_provenance else part.colors
                opacity = _GENERATED_OPACITY if kind == Provenance.GENERATED else 1.0
                data = glb_bytes(part.vertices, part.normals, colors, part.triangles, opacity)
                self._replace_tile(name, data)
            elif name in self._tiles:
                self._tiles.pop(name).remove()

    def remove_outdated(self) -> None:
        """Removes tiles that were replaced at the drawing before."""
        for node in self._outdated:
            node.remove()
        self._outdated.clear()

    def _replace_tile(self, name: str, data: bytes) -> None:
        """Adds the new tile under a name of its own; the old one goes later, when the page has loaded the new.

        A node that is given new data shows nothing until the page has parsed it: the map would flicker.
        """
        if name in self._tiles:
            self._outdated.append(self._tiles.pop(name))
        self._version += 1
        versioned = f"{name}_{self._version}"
        self._tiles[name] = self._scene.add_glb(versioned, data, cast_shadow=False, receive_shadow=False)

    def draw_points(
        self, points: NDArray[np.float32], colors: NDArray[np.uint8], provenance: NDArray[np.uint8]
    ) -> None:
        """Replaces the cloud."""
        if self._choices.color_by_provenance:
            colors = provenance_colors(provenance)
        for kind in SHOWN:
            shown = switched_with(kind, provenance)
            name = f"/{_group('cloud', kind)}/points"
            self._remove(name)
            if shown.any():
                self._nodes[name] = self._scene.add_point_cloud(
                    name,
                    points[shown],
                    colors[shown],
                    point_size=_POINT_SIZE_M,
                    point_shape="circle",
                    point_shading="flat",
                    precision="float32",
                )

    def draw_path(self, positions: NDArray[np.float64]) -> None:
        """Replaces the path."""
        self._remove("/camera/path")
        if len(positions) > 1:
            segments = np.stack([positions[:-1], positions[1:]], axis=1).astype(np.float32)
            self._nodes["/camera/path"] = self._scene.add_line_segments(
                "/camera/path", segments, _PATH_RGB, thickness=_LINE_PX, thickness_units="screen"
            )

    def draw_camera(self, view: View, thumbnail: NDArray[np.uint8]) -> None:
        """Replaces the frustum; an unposed view has none."""
        self._remove("/camera/frustum")
        if view.T_world_camera is None:
            return
        camera = view.camera
        self._nodes["/camera/frustum"] = self._scene.add_camera_frustum(
            "/camera/frustum",
            fov=2 * float(np.arctan(camera.height / (2 * camera.fy))),
            aspect=camera.width / camera.height,
            scale=_FRUSTUM_SCALE_M,
            thickness=_LINE_PX,
            thickness_units="screen",
            color=_CAMERA_RGB,
            image=thumbnail,
            format="jpeg",
            wxyz=quat_from_rotation(view.T_world_camera[:3, :3]),
            position=view.T_world_camera[:3, 3],
            cast_shadow=False,
            receive_shadow=False,
        )

    def clear(self) -> None:
        """Takes everything away but the lights."""
        self.remove_outdated()
        for node in (*self._tiles.values(), *self._nodes.values()):
            node.remove()
        self._tiles.clear()
        self._nodes.clear()

    def _remove(self, name: str) -> None:
        if name in self._nodes:
            self._nodes.pop(name).remove()


def thumbnail_of(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 [H, W, 3] scaled down to what a page shows; small ones stay."""
    height, width = image.shape[:2]
    if width <= _THUMBNAIL_WIDTH:
        return image
    size = (_THUMBNAIL_WIDTH, max(1, round(height * _THUMBNAIL_WIDTH / width)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8)


def _group(layer: str, kind: Provenance) -> str:
    return f"{layer}/{kind.name.lower()}"


def _compact(mesh: Mesh, triangles: NDArray[np.int32]) -> Mesh:
    """Only ``triangles`` of the mesh and the vertices they use."""
    if len(triangles) == len(mesh.triangles):
        return mesh
    used, renumbered = np.unique(triangles, return_inverse=True)
    return Mesh(
        mesh.vertices[used],
        renumbered.reshape(-1, 3).astype(np.int32),
        mesh.colors[used],
        mesh.normals[used],
        mesh.provenance[used],
    )


def _make_lights(scene: viser.SceneApi, up_name: str) -> dict[bool, list[viser.SceneNodeHandle]]:
    """The lights of a lit surface, and the even one that shows colours as they are."""
    up = axis_from_name(up_name)
    side = np.roll(np.abs(up), 1)
    key_direction = up + 0.5 * side + 0.3 * np.cross(up, side)
    sky = scene.add_light_hemisphere(
        "/light/sky", sky_color=(255, 255, 255), ground_color=(120, 116, 110), intensity=2.1
    )
    key = scene.add_light_directional(
        "/light/key", color=(255, 250, 240), intensity=1.3, position=tuple(key_direction.tolist())
    )
    even = scene.add_light_ambient("/light/even", color=(255, 255, 255), intensity=np.pi, visible=False)
    return {True: [sky, key], False: [even]}
