"""The map as a page in the browser (viser): it grows while the camera walks. Works without a network."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from showroom_ros.scene.mesh import Mesh
from showroom_ros.scene.view import View
from showroom_ros.settings import ViewerSettings
from showroom_ros.viewers.base import BlockKey
from showroom_ros.viewers.drawing import Drawing, thumbnail_of
from showroom_ros.viewers.overview import FOV_RAD, Overview, overview_of
from showroom_ros.viewers.panel import Choices, Panel
from showroom_ros.viewers.server import start_server
from showroom_ros.viewers.tiles import MeshTiles

if TYPE_CHECKING:
    import viser

TILE_EDGE_M = 1.0
_TILES_PER_DRAW = 8
"""Bounds the work of one drawing; what is left is drawn at the next."""
_GROWN = 1.3
"""The camera is set anew when the map is this much larger and nobody has moved it."""
_UNMOVED_M = 1e-3
_STOP_TIMEOUT_S = 5.0


class BrowserViewer:
    """Serves the page. Updates only leave the newest state behind; one thread draws it at ``max_rate_hz``.

    So fast updates cost next to nothing, replace each other while they wait, and nothing at all is drawn
    while no page is open.

    Attributes:
        url: address of the page.
    """

    def __init__(
        self, settings: ViewerSettings, on_fatal: Callable[[BaseException], None] = lambda error: None
    ) -> None:
        """Starts the server and the drawing thread.

        Args:
            settings: where the page is and how often it changes.
            on_fatal: told of a defect that ended the drawing thread.

        Raises:
            MissingDependencyError: viser is not installed.
            SettingsError: wrong interface, or no free port.
        """
        self._settings = settings
        self._server = start_server(settings, "showroom")
        host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self._server.get_port()}"
        self._on_fatal = on_fatal
        self._lock = threading.Lock()
        self._is_drawing = False
        self._news = threading.Event()
        self._stopping = threading.Event()
        self._tiles = MeshTiles(TILE_EDGE_M)
        self._pending: dict[str, Callable[[], None]] = {}
        self._points: tuple[NDArray, NDArray, NDArray] | None = None
        self._path = np.zeros((0, 3))
        self._cameras = _Cameras(self._server)
        self._drawing = Drawing(self._server, settings.up)
        self._panel = Panel(self._server, self._choices_changed, self._reset_view)
        self._choices = Choices()
        self._server.on_client_connect(lambda client: self._client_joined(client))
        self._thread = threading.Thread(target=self._run, name="viewer", daemon=True)
        self._thread.start()

    @property
    def wants_points(self) -> bool:
        """Whether a page is open and shows the cloud."""
        return self._choices.cloud and bool(self._server.get_clients())

    def update_blocks(self, blocks: Mapping[Any, Mesh], removed: Iterable[BlockKey] = ()) -> None:
        """Replaces changed blocks of the mesh and takes away removed ones."""
        with self._lock:
            self._tiles.update(blocks, removed)
        self._news.set()

    def update_points(
        self, points: NDArray[np.float32], colors: NDArray[np.uint8], provenance: NDArray[np.uint8]
    ) -> None:
        """Replaces the cloud; beyond ``max_points`` every n-th point is shown."""
        step = max(1, -(-len(points) // self._settings.max_points))
        self._points = (points[::step], colors[::step], provenance[::step])
        self._later("points", self._draw_points)

    def update_camera(self, view: View) -> None:
        """Shows the newest keyframe and where it was taken."""

        def draw() -> None:
            thumbnail = thumbnail_of(view.image)
            self._panel.show_image(thumbnail)
            self._drawing.draw_camera(view, thumbnail)

        self._later("camera", draw)

    def update_path(self, positions: NDArray[np.float64]) -> None:
        """Replaces the camera's path."""
        self._path = positions
        self._later("path", lambda: self._drawing.draw_path(positions))

    def update_status(self, status: Mapping[str, Any]) -> None:
        """Replaces the table of figures."""
        self._later("status", lambda: self._panel.show_status(status))

    def reset(self) -> None:
        """Forgets the map, the path and the keyframe."""
        with self._lock:
            self._pending.clear()
            self._tiles.clear()
            self._points, self._path = None, np.zeros((0, 3))
        self._later("reset", self._clear)

    def close(self) -> None:
        """Stops drawing and the server."""
        self._stopping.set()
        self._news.set()
        if threading.current_thread() is not self._thread:
            self._thread.join(_STOP_TIMEOUT_S)
        self._server.stop()

    def wait_drawn(self, timeout_s: float = 30.0) -> bool:
        """Waits until a page is open and all updates so far were sent to it; returns whether that came true."""
        for _ in range(max(1, round(timeout_s * 20))):
            if self._server.get_clients() and not self._has_news():
                self._server.flush()
                return True
            if self._stopping.wait(0.05):
                return False
        return False

    def _run(self) -> None:
        """Draws what is new, at most ``max_rate_hz`` times a second, while a page is open."""
        try:
            while not self._stopping.wait(1.0 / self._settings.max_rate_hz):
                self._news.wait()
                if self._server.get_clients() and not self._stopping.is_set():
                    self._draw()
        except BaseException as error:  # handed on: this thread has nobody above it
            self._on_fatal(error)
            raise

    def _draw(self) -> None:
        with self._lock:
            self._is_drawing = True
            pending, self._pending = self._pending, {}
            tiles = self._tiles.take_changed(_TILES_PER_DRAW)
            overview = self._overview_now()
            if not self._tiles.changed_count:
                self._news.clear()
        self._drawing.remove_outdated()
        for draw in pending.values():
            draw()
        for index, blocks in tiles.items():
            self._drawing.draw_tile(index, blocks)
        if tiles:
            self._later("outdated", lambda: None)  # another drawing follows, to remove what these replace
        if overview is not None:
            self._cameras.map_grew_to(overview)
        with self._lock:
            self._is_drawing = False

    def _later(self, name: str, draw: Callable[[], None]) -> None:
        """Lets the drawing thread run ``draw``; a newer one of the same name replaces it."""
        with self._lock:
            self._pending[name] = draw
        self._news.set()

    def _has_news(self) -> bool:
        with self._lock:
            return self._is_drawing or bool(self._pending) or self._tiles.changed_count > 0

    def _draw_points(self) -> None:
        if self._points is not None and self._choices.cloud:
            self._drawing.draw_points(*self._points)

    def _clear(self) -> None:
        self._drawing.clear()
        self._panel.show_image(None)
        self._panel.show_status({})
        self._cameras.forget()

    def _choices_changed(self) -> None:
        before, self._choices = self._choices, self._panel.choices
        choices = self._choices
        if choices.color_by_provenance != before.color_by_provenance:
            with self._lock:
                self._tiles.touch_all()
        self._later("choices", lambda: self._drawing.apply(choices))
        self._later("points", self._draw_points)

    def _client_joined(self, client: viser.ClientHandle) -> None:
        self._cameras.show(client)
        self._news.set()

    def _reset_view(self) -> None:
        with self._lock:
            overview = self._overview_now()
        if overview is not None:
            self._cameras.set_all(overview)

    def _overview_now(self) -> Overview | None:
        bounds = self._tiles.bounds()
        return None if bounds is None else overview_of(*bounds, self._settings.up, self._path)


class _Cameras:
    """Points every page's camera at the map, until its user takes over."""

    def __init__(self, server: viser.ViserServer) -> None:
        self._server = server
        self._overview: Overview | None = None
        server.initial_camera.fov = FOV_RAD

    def forget(self) -> None:
        """The next map is looked at anew."""
        self._overview = None

    def map_grew_to(self, overview: Overview) -> None:
        """Steps back on pages whose camera nobody has moved, once the map is notably larger."""
        old = self._overview
        if old is None:
            self.set_all(overview)
        elif _distance(overview) > _GROWN * _distance(old):
            self._overview = overview
            for client in self._server.get_clients().values():
                if np.linalg.norm(client.camera.position - old.position) < _UNMOVED_M:
                    self.show(client)

    def set_all(self, overview: Overview) -> None:
        """Sets the camera of every page, present and future."""
        self._overview = overview
        self._server.initial_camera.position = overview.position
        self._server.initial_camera.look_at = overview.look_at
        for client in self._server.get_clients().values():
            self.show(client)

    def show(self, client: viser.ClientHandle) -> None:
        """Sets the camera of one page."""
        if self._overview is not None:
            with client.atomic():
                client.camera.up_direction = self._overview.up
                client.camera.position = self._overview.position
                client.camera.look_at = self._overview.look_at


def _distance(overview: Overview) -> float:
    return float(np.linalg.norm(overview.position - overview.look_at))


def show_mesh(mesh: Mesh, settings: ViewerSettings) -> BrowserViewer:
    """Serves a page with one whole mesh: its surface, its vertices as cloud, its size in figures.

    Raises:
        MissingDependencyError: viser is not installed.
        SettingsError: wrong interface, or no free port.
    """
    viewer = BrowserViewer(settings)
    viewer.update_blocks({"mesh": mesh})
    viewer.update_points(mesh.vertices, mesh.colors, mesh.provenance)
    status = {"Triangles": f"{len(mesh.triangles):,}", "Vertices": f"{len(mesh.vertices):,}"}
    if len(mesh.vertices):
        size = mesh.vertices.max(axis=0) - mesh.vertices.min(axis=0)
        status["Size"] = " x ".join(f"{value:.2f}" for value in size) + " m"
    viewer.update_status(status)
    return viewer
