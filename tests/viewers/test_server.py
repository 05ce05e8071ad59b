"""Ports, interfaces, a missing package, and the viewer that shows nothing."""

import builtins
import logging
import socket
from types import SimpleNamespace

import numpy as np
import pytest

from showroom_ros.errors import MissingDependencyError, SettingsError
from showroom_ros.scene.mesh import Mesh
from showroom_ros.settings import ViewerSettings
from showroom_ros.viewers import server
from showroom_ros.viewers.base import NullViewer, Viewer
from showroom_ros.viewers.panel import status_html
from showroom_ros.viewers.server import free_port, is_loopback, start_server


@pytest.fixture
def taken():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.fixture
def fake_viser(monkeypatch):
    """The server's arguments instead of a server."""
    monkeypatch.setitem(__import__("sys").modules, "viser", SimpleNamespace(ViserServer=lambda **given: given))


def test_the_next_free_port_is_taken_and_said(taken, fake_viser, caplog):
    with caplog.at_level(logging.WARNING):
        started = start_server(ViewerSettings(port=taken), "label")
    assert taken < started["port"] < taken + server.PORTS_TRIED
    assert f"viewer.port {taken} is in use, the page is on port {started['port']}" in caplog.text


def test_a_free_port_and_this_machine_only_need_no_words(fake_viser, caplog):
    started = start_server(ViewerSettings(port=free_port("127.0.0.1", 20_000)), "label")
    assert started["host"] == "127.0.0.1"
    assert not caplog.text


def test_an_open_interface_is_warned_of(fake_viser, caplog):
    with caplog.at_level(logging.WARNING):
        start_server(ViewerSettings(host="0.0.0.0", port=free_port("0.0.0.0", 21_000)), "label")
    assert "viewer.host is 0.0.0.0: everybody who can reach port" in caplog.text


def test_no_free_port_is_an_error(taken, monkeypatch):
    monkeypatch.setattr(server, "PORTS_TRIED", 1)
    with pytest.raises(SettingsError, match=rf"viewer.port is {taken}, but ports {taken} to {taken} .* in use"):
        free_port("127.0.0.1", taken)


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid"])
def test_a_foreign_interface_is_an_error(host):
    with pytest.raises(SettingsError, match=rf"viewer.host is '{host}', expected an address of this machine"):
        free_port(host, 8080)


@pytest.mark.parametrize(
    ("host", "loopback"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("h", False)]
)
def test_loopback(host, loopback):
    assert is_loopback(host) == loopback


def test_without_viser_the_extra_is_named(monkeypatch):
    real_import = builtins.__import__

    def no_viser(name, *rest):
        if name == "viser":
            raise ImportError("No module named 'viser'")
        return real_import(name, *rest)

    monkeypatch.setattr(builtins, "__import__", no_viser)
    with pytest.raises(MissingDependencyError, match=r"pip install 'showroom_ros\[viewer\]'"):
        start_server(ViewerSettings(), "label")


def test_the_null_viewer_takes_everything():
    viewer: Viewer = NullViewer()
    viewer.update_blocks({(0, 0, 0): Mesh.empty()}, [(1, 0, 0)])
    viewer.update_points(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint8), np.zeros(0, np.uint8))
    viewer.update_path(np.zeros((0, 3)))
    viewer.update_status({})
    viewer.reset()
    viewer.close()
    assert not viewer.wants_points


def test_status_cannot_smuggle_markup_into_the_page():
    table = status_html({"Last error": "<script>alert(1)</script>"})
    assert "<script>" not in table
    assert "&lt;script&gt;" in table
