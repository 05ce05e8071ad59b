"""The page in a real browser: what a person sees."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest

pytest.importorskip("viser")
pytest.importorskip("websockets")

from chromium import Chromium, find_chromium

from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import look_at
from showroom_ros.scene.mesh import Mesh
from showroom_ros.scene.view import Provenance, View
from showroom_ros.settings import ViewerSettings
from showroom_ros.viewers.browser import BrowserViewer, show_mesh
from showroom_ros.viewers.palette import PROVENANCE_RGB
from showroom_ros.viewers.panel import BY_PROVENANCE, EVEN
from showroom_ros.viewers.server import free_port

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(find_chromium() is None, reason="no Chromium (Debian package chromium)"),
]
SIZE, PANEL_WIDTH = (960, 600), 340
RED, GREEN, BLUE = (200, 40, 110), (50, 170, 80), (60, 90, 210)
SAME_HUE, LEAST_LENGTH = 0.98, 80
"""The page maps tones for the screen: colours keep their direction, not their exact values."""
_DRAW_TIMEOUT_S = 60.0


def tilted_grid(color, x, provenance=Provenance.MEASURED) -> Mesh:
    """A patch of a square metre, as triangles with corners of their own."""
    steps = np.linspace(0, 1, 9)
    squares = [
        [(a, b, 0), (c, b, 0), (c, d, 0), (a, b, 0), (c, d, 0), (a, d, 0)]
        for a, c in itertools.pairwise(steps)
        for b, d in itertools.pairwise(steps)
    ]
    vertices = np.array(squares, np.float32).reshape(-1, 3) + np.array([x, 0, 0], np.float32)
    count = len(vertices)
    return Mesh(
        vertices,
        np.arange(count, dtype=np.int32).reshape(-1, 3),
        np.full((count, 3), color, np.uint8),
        np.tile(np.float32([0, 0, 1]), (count, 1)),
        np.full(count, provenance, np.uint8),
    )


def area(picture, color) -> int:
    """Pixels of nearly this hue, in the part of the page the panel leaves free."""
    return hue_area(picture[:, : picture.shape[1] - PANEL_WIDTH], color)


def hue_area(picture, color) -> int:
    """Pixels whose RGB points nearly into the direction of ``color`` and is not too dark to tell."""
    lengths = np.linalg.norm(picture, axis=2)
    cosines = picture.astype(float) @ np.array(color) / np.maximum(lengths, 1) / np.linalg.norm(color)
    return int(((cosines > SAME_HUE) & (lengths > LEAST_LENGTH)).sum())


class Page:
    """A viewer, and a browser that shows it."""

    def __init__(self, browser, viewer):
        self.browser, self.viewer = browser, viewer

    def settled(self):
        """A screenshot taken after everything sent was drawn and the picture stands still."""
        assert self.viewer.wait_drawn(_DRAW_TIMEOUT_S)
        before, deadline = self.browser.screenshot(), time.monotonic() + _DRAW_TIMEOUT_S
        while time.monotonic() < deadline:
            time.sleep(0.5)
            now = self.browser.screenshot()
            if np.array_equal(before, now):
                return now
            before = now
        raise AssertionError("the page does not come to rest")

    def until(self, condition):
        """The first screenshot for which ``condition`` holds."""
        deadline = time.monotonic() + _DRAW_TIMEOUT_S
        while time.monotonic() < deadline:
            picture = self.settled()
            if condition(picture):
                return picture
        raise AssertionError("the page never showed it")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    settings = ViewerSettings(port=free_port("127.0.0.1", 23_000), max_rate_hz=20.0)
    viewer = BrowserViewer(settings)
    with Chromium(tmp_path_factory.mktemp("profile"), SIZE) as browser:
        browser.open(viewer.url)
        yield Page(browser, viewer)
    viewer.close()


@pytest.fixture(autouse=True)
def fresh(page):
    """Every test starts with an empty page and the default switches."""
    page.viewer.reset()
    yield
    panel = page.viewer._panel
    panel._color.value, panel._light.value = panel._color.options[0], panel._light.options[0]
    for switch in (panel._layers["mesh"], panel._layers["camera"], *panel._kinds.values()):
        switch.value = True
    panel._layers["cloud"].value = False


def test_a_growing_mesh_is_drawn_lit_and_without_errors(page, tmp_path):
    page.viewer.update_blocks({"a": tilted_grid(RED, 0.0)})
    one = page.settled()
    page.viewer.update_blocks({"b": tilted_grid(GREEN, 1.0), "c": tilted_grid(BLUE, 2.0)})
    page.viewer.update_status({"Triangles": "384", "Memory": "1 MB"})
    three = page.until(lambda picture: len(np.unique(picture.reshape(-1, 3), axis=0)) > 300)

    assert area(one, RED) > 3000
    assert area(three, RED) > 3000
    assert area(three, GREEN) > 3000
    assert page.browser.evaluate("document.body.innerText").count("384") == 1
    assert page.browser.problems == []


def test_colors_are_those_of_the_mesh_under_even_light(page):
    page.viewer._panel._light.value = EVEN
    page.viewer.update_blocks({"a": tilted_grid(RED, 0.0), "b": tilted_grid(BLUE, 1.0)})
    picture = page.until(lambda picture: area(picture, BLUE) > 3000)
    assert area(picture, RED) > 3000
    assert area(picture, GREEN) == 0

    page.viewer.update_blocks({"a": tilted_grid(GREEN, 0.0)}, removed=["b"])
    picture = page.until(lambda picture: area(picture, GREEN) > 3000)
    assert area(picture, RED) == area(picture, BLUE) == 0, "replaced and removed"


def test_provenance_is_switched_and_coloured_by_the_person_at_the_page(page):
    page.viewer._panel._light.value = EVEN
    page.viewer.update_blocks({"a": tilted_grid(RED, 0.0), "b": tilted_grid(BLUE, 1.0, Provenance.PREDICTED)})
    page.until(lambda picture: area(picture, RED) > 3000 and area(picture, BLUE) > 3000)

    page.browser.click_label("Predicted")
    picture = page.until(lambda picture: area(picture, BLUE) == 0)
    assert area(picture, RED) > 3000

    page.browser.click_label("Predicted")
    page.viewer._panel._color.value = BY_PROVENANCE
    page.until(
        lambda picture: (
            area(picture, PROVENANCE_RGB[Provenance.MEASURED]) > 3000
            and area(picture, PROVENANCE_RGB[Provenance.PREDICTED]) > 3000
        )
    )


def test_the_cloud_is_asked_for_only_while_it_is_looked_at(page):
    mesh = tilted_grid(GREEN, 0.0)
    page.viewer.update_blocks({"a": tilted_grid(RED, 0.0)})
    page.viewer.update_points(mesh.vertices, mesh.colors, mesh.provenance)
    picture = page.settled()
    assert not page.viewer.wants_points
    assert area(picture, GREEN) == 0

    page.browser.click_label("Point cloud")
    page.browser.click_label("Mesh")
    page.until(lambda picture: area(picture, GREEN) > 200)
    assert page.viewer.wants_points


def test_the_keyframe_is_shown_with_its_place(page):
    page.viewer.update_blocks({"a": tilted_grid(RED, 0.0)})
    image = np.zeros((48, 64, 3), np.uint8)
    image[:] = (10, 250, 250)
    pose = look_at((0.3, 0.3, 0.3), (0.6, 0.6, 0.0))
    page.viewer.update_path(np.array([[0.1, 0.2, 0.3], [0.3, 0.3, 0.3]]))
    page.viewer.update_camera(View(image, Camera(64, 48, 60.0, 60.0, 32.0, 24.0), T_world_camera=pose))
    picture = page.until(lambda picture: area(picture, (10, 250, 250)) > 200)
    assert hue_area(picture[:, -PANEL_WIDTH:], (10, 250, 250)) > 2000


def test_reset_empties_the_picture(page):
    page.viewer._panel._light.value = EVEN
    page.viewer.update_blocks({"a": tilted_grid(RED, 0.0)})
    page.until(lambda picture: area(picture, RED) > 3000)
    page.viewer.reset()
    page.until(lambda picture: area(picture, RED) == 0)


def test_fast_updates_do_not_flood_the_page(page, monkeypatch):
    drawn = []
    draw = page.viewer._drawing.draw_tile
    monkeypatch.setattr(page.viewer._drawing, "draw_tile", lambda *tile: (drawn.append(tile[0]), draw(*tile)))
    for i in range(500):
        page.viewer.update_blocks({"a": tilted_grid((i % 256, 60, 50), 0.0)})
    page.viewer.update_blocks({"a": tilted_grid(RED, 0.0)})
    page.settled()
    assert 1 <= len(drawn) < 100, "updates that were overtaken are never drawn"


def test_the_page_needs_no_network(page):
    page.viewer.update_blocks({"a": tilted_grid(RED, 0.0)})
    page.settled()
    foreign = [
        address
        for address in page.browser.requests
        if not address.startswith((page.viewer.url, page.viewer.url.replace("http", "ws"), "data:", "blob:"))
    ]
    assert page.browser.requests
    assert foreign == []
    assert page.browser.problems == []


def test_a_mesh_file_has_its_own_page(tmp_path):
    viewer = show_mesh(tilted_grid(RED, 0.0), ViewerSettings(port=free_port("127.0.0.1", 24_000)))
    try:
        with Chromium(tmp_path, SIZE) as browser:
            browser.open(viewer.url)
            alone = Page(browser, viewer)
            alone.until(lambda picture: area(picture, RED) > 3000)
            assert "128" in browser.evaluate("document.body.innerText"), "the number of triangles"
            assert browser.problems == []
    finally:
        viewer.close()
