"""Settings of networks from and to plain values, as recipes and checkpoints hold them."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from showroom_ros.errors import SettingsError

T = TypeVar("T")


def override_settings(settings: T, values: Mapping[str, Any], source: str = "settings") -> T:
    """A copy of a network's settings (any frozen dataclass) with some fields replaced.

    Args:
        settings: the instance to start from.
        values: field -> plain value as JSON and YAML give it (lists become tuples, whole numbers floats); fields that
            are dataclasses themselves take mappings.
        source: what the errors name.

    Raises:
        SettingsError: unknown field, or a value of another type or length than the field has.
    """
    if not isinstance(values, Mapping):
        raise SettingsError(f"{source}: is {values!r}, expected a mapping of settings")
    hints = typing.get_type_hints(type(settings))
    known = [item.name for item in dataclasses.fields(settings) if item.init]  # type: ignore[arg-type]
    changes: dict[str, Any] = {}
    for name, value in values.items():
        if name not in known:
            close = difflib.get_close_matches(str(name), known, n=1)
            hint = f"; did you mean '{close[0]}'?" if close else f"; known: {', '.join(known)}"
            raise SettingsError(f"{source}: unknown setting '{name}'{hint}")
        current = getattr(settings, name)
        if dataclasses.is_dataclass(current) and not isinstance(current, type):
            changes[name] = override_settings(current, value, f"{source}: '{name}'")
        else:
            changes[name] = _typed(value, hints[name], f"{source}: '{name}'")
    return dataclasses.replace(settings, **changes)  # type: ignore[type-var]


def plain_settings(settings: Any) -> dict[str, Any]:
    """All fields of a network's settings as JSON takes them (tuples become lists)."""
    return {name: _plain(value) for name, value in dataclasses.asdict(settings).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _typed(value: Any, hint: Any, where: str) -> Any:
    """``value`` as the annotated type ``hint``; raises ``SettingsError`` where it is not."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _one_of(value, arguments, where)
    if origin is tuple:
        return _typed_tuple(value, arguments, where)
    if origin is typing.Literal:
        if value not in arguments:
            raise SettingsError(f"{where} is {value!r}, expected one of {', '.join(map(str, arguments))}")
        return value
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint in (bool, int, float, str):
        if not isinstance(value, hint) or (hint is not bool and isinstance(value, bool)):
            raise SettingsError(f"{where} is {value!r}, expected {hint.__name__}")
        return value
    if hint is type(None):
        if value is not None:
            raise SettingsError(f"{where} is {value!r}, expected nothing")
        return value
    raise SettingsError(f"{where} has the type {hint}, which plain values cannot hold")


def _one_of(value: Any, hints: tuple[Any, ...], where: str) -> Any:
    for hint in hints:
        try:
            return _typed(value, hint, where)
        except SettingsError:
            continue
    raise SettingsError(f"{where} is {value!r}, expected {' or '.join(getattr(h, '__name__', str(h)) for h in hints)}")


def _typed_tuple(value: Any, hints: tuple[Any, ...], where: str) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise SettingsError(f"{where} is {value!r}, expected a list")
    if hints[-1:] == (Ellipsis,):
        hints = hints[:1] * len(value)
    if len(value) != len(hints):
        raise SettingsError(f"{where} holds {len(value)} values, expected {len(hints)}")
    return tuple(
        _typed(item, hint, f"{where}[{number}]") for number, (item, hint) in enumerate(zip(value, hints, strict=True))
    )
