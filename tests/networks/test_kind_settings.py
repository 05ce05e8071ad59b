"""Settings of networks from plain values."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from tiny_network import PRESETS, TinySettings

from showroom_ros.errors import SettingsError
from showroom_ros.networks.kind_settings import override_settings, plain_settings
from showroom_ros.networks.registry import NETWORKS, network_kind, preset_settings


@dataclass(frozen=True)
class Outer:
    """Settings within settings."""

    tiny: TinySettings = field(default_factory=TinySettings)
    pairs: tuple[tuple[int, int], ...] = ((1, 2),)
    mode: Literal["a", "b"] = "a"


@pytest.mark.parametrize("name", NETWORKS)
def test_presets_survive_json(name: str) -> None:
    kind = network_kind(name)
    for preset, settings in kind.presets.items():
        values = json.loads(json.dumps(plain_settings(settings)))
        assert override_settings(kind.settings(), values) == settings
        assert preset_settings(kind, preset) is settings


def test_an_unknown_preset() -> None:
    with pytest.raises(SettingsError, match="plane_sweep: unknown preset 'huge', expected one of tiny, small, base"):
        preset_settings(network_kind("plane_sweep"), "huge")


def test_only_what_is_named_changes() -> None:
    changed = override_settings(PRESETS["wide"], {"scales": [1, 3], "limit": 5, "gain": 2})
    assert changed == TinySettings(widths=(16, 8), scales=(1.0, 3.0), limit=5, gain=2.0)
    assert isinstance(changed.gain, float)
    assert override_settings(changed, {"limit": None}).limit is None
    assert override_settings(changed, {}) == changed


def test_settings_within_settings() -> None:
    settings = override_settings(Outer(), {"tiny": {"bias": False}, "pairs": [[3, 4], [5, 6]], "mode": "b"})
    assert settings == Outer(TinySettings(bias=False), ((3, 4), (5, 6)), "b")
    assert override_settings(Outer(), json.loads(json.dumps(plain_settings(settings)))) == settings


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"width": 1}, r"net: unknown setting 'width'; did you mean 'widths'\?"),
        ({"xyz": 1}, "net: unknown setting 'xyz'; known: widths, scales, activation"),
        ({"widths": 4}, "net: 'widths' is 4, expected a list"),
        ({"widths": "44"}, "net: 'widths' is '44', expected a list"),
        ({"widths": [4, 3.5]}, r"net: 'widths'\[1\] is 3.5, expected int"),
        ({"scales": [1.0]}, "net: 'scales' holds 1 values, expected 2"),
        ({"bias": 1}, "net: 'bias' is 1, expected bool"),
        ({"gain": True}, "net: 'gain' is True, expected float"),
        ({"activation": None}, "net: 'activation' is None, expected str"),
        ({"limit": "7"}, "net: 'limit' is '7', expected int or None"),
        (None, "net: is None, expected a mapping of settings"),
    ],
)
def test_what_is_refused(values: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        override_settings(TinySettings(), values, "net")


def test_what_is_refused_within() -> None:
    with pytest.raises(SettingsError, match="net: 'tiny': unknown setting 'gian'"):
        override_settings(Outer(), {"tiny": {"gian": 1}}, "net")
    with pytest.raises(SettingsError, match="net: 'tiny': is 3, expected a mapping"):
        override_settings(Outer(), {"tiny": 3}, "net")
    with pytest.raises(SettingsError, match="net: 'mode' is 'c', expected one of a, b"):
        override_settings(Outer(), {"mode": "c"}, "net")
