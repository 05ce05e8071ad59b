"""The controls beside the picture."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from showroom_ros.scene.view import Provenance
from showroom_ros.viewers.palette import PROVENANCE_RGB, SHOWN

if TYPE_CHECKING:
    import viser

BRAND_RGB = (40, 110, 160)


BY_PHOTO, BY_PROVENANCE = "as seen", "by provenance"
LIT, EVEN = "from above", "even"


@dataclass(frozen=True)
class Choices:
    """What the person at the page wants to see."""

    mesh: bool = True
    cloud: bool = False
    camera: bool = True
    provenances: frozenset[Provenance] = frozenset(SHOWN)
    color_by_provenance: bool = False
    lit: bool = True


class Panel:
    """The newest keyframe, figures and switches."""

    def __init__(
        self, server: viser.ViserServer, on_change: Callable[[], None], on_reset_view: Callable[[], None]
    ) -> None:
        """Builds the controls.

        Args:
            server: gets them.
            on_change: called after any switch was moved.
            on_reset_view: called when the button is pressed.
        """
        gui, default = server.gui, Choices()
        gui.configure_theme(dark_mode=True, show_logo=False, show_share_button=False, brand_color=BRAND_RGB)
        self._image = gui.add_image(np.zeros((3, 4, 3), np.uint8), visible=False)
        self._status = gui.add_html(status_html({}))
        with gui.add_folder("Show"):
            self._layers = {
                "mesh": gui.add_checkbox("Mesh", default.mesh),
                "cloud": gui.add_checkbox("Point cloud", default.cloud),
                "camera": gui.add_checkbox("Camera", default.camera, hint="path and latest keyframe"),
            }
            gui.add_html(legend_html())
            self._kinds = {kind: gui.add_checkbox(kind.name.capitalize(), True) for kind in SHOWN}
            self._color = gui.add_dropdown("Colour", (BY_PHOTO, BY_PROVENANCE))
            self._light = gui.add_dropdown(
                "Light", (LIT, EVEN), hint="from above shows the shape; even shows colours as photographed"
            )
        gui.add_button("Reset view", hint="see the whole map").on_click(lambda _: on_reset_view())
        switches: list[Any] = [*self._layers.values(), *self._kinds.values(), self._color, self._light]
        for switch in switches:
            switch.on_update(lambda _: on_change())

    @property
    def choices(self) -> Choices:
        """How the switches stand."""
        return Choices(
            **{name: switch.value for name, switch in self._layers.items()},
            provenances=frozenset(kind for kind, switch in self._kinds.items() if switch.value),
            color_by_provenance=self._color.value == BY_PROVENANCE,
            lit=self._light.value == LIT,
        )

    def show_image(self, image: NDArray[np.uint8] | None) -> None:
        """Shows uint8 [H, W, 3] as the newest keyframe; None hides it."""
        if image is not None:
            self._image.image = image
        self._image.visible = image is not None

    def show_status(self, status: Mapping[str, Any]) -> None:
        """Shows a table of figures."""
        self._status.content = status_html(status)


def status_html(status: Mapping[str, Any]) -> str:
    """A compact table, one row per entry."""
    if not status:
        return _note("No figures yet: waiting for the map.")
    rows = "".join(
        f'<tr><td style="opacity:.65;padding:0 .8em 0 0;white-space:nowrap">{html.escape(str(name))}</td>'
        f'<td style="text-align:right;font-variant-numeric:tabular-nums">{html.escape(str(value))}</td></tr>'
        for name, value in status.items()
    )
    return f'<table style="width:92%;margin:.2em 4%;font-size:.82em;line-height:1.55">{rows}</table>'


def legend_html() -> str:
    """The colours of the kinds of surface."""
    dots = " ".join(
        f'<span style="white-space:nowrap;margin-right:.7em">'
        f'<span style="color:rgb{PROVENANCE_RGB[kind]}">&#9679;</span> {kind.name.lower()}</span>'
        for kind in SHOWN
    )
    return f'<div style="margin:.1em 4%;font-size:.8em">{dots}</div>'


def _note(text: str) -> str:
    return f'<div style="margin:.4em 4%;font-size:.82em;opacity:.65">{html.escape(text)}</div>'
