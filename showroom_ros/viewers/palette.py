"""How provenance is told apart by colour, here and in reports: readable with any colour vision (Okabe and Ito)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from showroom_ros.scene.view import Provenance

PROVENANCE_RGB: dict[Provenance, tuple[int, int, int]] = {
    Provenance.UNKNOWN: (150, 150, 150),
    Provenance.MEASURED: (86, 180, 233),
    Provenance.PREDICTED: (240, 190, 70),
    Provenance.GENERATED: (204, 121, 167),
}
SHOWN = (Provenance.MEASURED, Provenance.PREDICTED, Provenance.GENERATED)
"""The kinds a viewer switches; UNKNOWN goes with MEASURED."""

_TABLE = np.array([PROVENANCE_RGB[kind] for kind in Provenance], np.uint8)


def provenance_colors(provenance: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 [N, 3] RGB of uint8 [N] provenance."""
    return _TABLE[np.minimum(provenance, len(_TABLE) - 1)]


def switched_with(kind: Provenance, provenance: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Bool [N]: which elements the switch of ``kind`` shows and hides."""
    shown = provenance == kind
    return shown | (provenance == Provenance.UNKNOWN) if kind == Provenance.MEASURED else shown
