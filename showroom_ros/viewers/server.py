"""The web server of the page: one clear word about a missing package, a taken port or an open interface."""

from __future__ import annotations

import ipaddress
import logging
import socket
from typing import TYPE_CHECKING

from showroom_ros.errors import MissingDependencyError, SettingsError
from showroom_ros.settings import ViewerSettings

if TYPE_CHECKING:
    import viser

LOGGER = logging.getLogger("showroom.viewer")
PORTS_TRIED = 20


def start_server(settings: ViewerSettings, label: str) -> viser.ViserServer:
    """A running server on ``settings.host`` and the first free port from ``settings.port`` on.

    Raises:
        MissingDependencyError: viser is not installed.
        SettingsError: the interface is not one of this machine's, or no port is free.
    """
    try:
        import viser
    except ImportError as error:
        raise MissingDependencyError(
            f"the browser page needs viser ({error}); install it with: pip install 'showroom_ros[viewer]'"
        ) from error
    port = free_port(settings.host, settings.port)
    if port != settings.port:
        LOGGER.warning("viewer.port %d is in use, the page is on port %d", settings.port, port)
    if not is_loopback(settings.host):
        LOGGER.warning(
            "viewer.host is %s: everybody who can reach port %d of this machine sees the map; 127.0.0.1 keeps it here",
            settings.host,
            port,
        )
    return viser.ViserServer(host=settings.host, port=port, label=label, verbose=False)


def free_port(host: str, port: int) -> int:
    """The first of ``PORTS_TRIED`` ports from ``port`` on that can be bound on ``host``.

    Raises:
        SettingsError: ``host`` is no interface of this machine, or all those ports are taken.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((address[0], 0))
    except OSError as error:
        raise SettingsError(
            f"viewer.host is '{host}', expected an address of this machine such as 127.0.0.1 or 0.0.0.0: {error}"
        ) from error
    last = min(port + PORTS_TRIED, 65536) - 1
    for candidate in range(port, last + 1):
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address[0], candidate))
                return candidate
            except OSError:
                continue
    raise SettingsError(f"viewer.port is {port}, but ports {port} to {last} of {host} are all in use")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches ``host``."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
