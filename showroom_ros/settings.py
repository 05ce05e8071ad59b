"""All settings of the package: frozen dataclasses that hold the only defaults.

YAML files, ROS parameters and launch arguments only override them, by the same dotted names
(``map.voxel_size_m``). An unknown key or a value out of range is an error.
"""

from __future__ import annotations

import dataclasses
import difflib
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from showroom_ros.errors import MissingDependencyError, SettingsError

T = TypeVar("T")


def setting(
    default: Any,
    doc: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] | None = None,
    live: bool = False,
) -> Any:
    """A dataclass field with its documentation, range and whether it may change while running."""
    return field(
        default=default,
        metadata={"doc": doc, "minimum": minimum, "maximum": maximum, "choices": choices, "live": live},
    )


@dataclass(frozen=True)
class PoseSettings:
    """Where camera poses come from."""

    source: str = setting("tf", "pose input", choices=("tf", "odom", "pose", "none"))
    world_frame: str = setting("odom", "frame the map is built in (REP-105)")
    camera_frame: str = setting("", "optical frame of the colour camera; empty = the image's frame_id")
    max_wait_s: float = setting(
        2.0, "a frame without a pose is dropped after this time", minimum=0.0, maximum=60.0, live=True
    )
    max_gap_s: float = setting(
        0.5, "poses further apart than this are not interpolated", minimum=0.0, maximum=10.0, live=True
    )
    history_s: float = setting(30.0, "how long poses are kept", minimum=1.0, maximum=3600.0)


@dataclass(frozen=True)
class SyncSettings:
    """How messages that belong together find each other."""

    slop_s: float = setting(0.02, "largest difference between stamps of colour and depth", minimum=0.0, maximum=1.0)
    queue_size: int = setting(
        60, "frames kept while waiting for their partner or pose; oldest dropped", minimum=1, maximum=10000
    )
    input_qos: str = setting("SENSOR_DATA", "QoS of image inputs", choices=("SENSOR_DATA", "SYSTEM_DEFAULT", "DEFAULT"))
    depth_timeout_s: float = setting(
        1.0, "colour images go without depth when none came for this long", minimum=0.0, maximum=60.0
    )
    color_transport: str = setting("raw", "form colour arrives in", choices=("raw", "compressed"))
    depth_transport: str = setting("raw", "form depth arrives in", choices=("raw", "compressed", "compressedDepth"))
    color_is_rectified: bool = setting(False, "colour was undistorted already: use P of its camera_info")
    depth_is_rectified: bool = setting(False, "depth was undistorted already: use P of its camera_info")


@dataclass(frozen=True)
class KeyframeSettings:
    """Which frames become keyframes."""

    min_translation_m: float = setting(
        0.1, "moved at least this far since the last keyframe", minimum=0.0, maximum=100.0, live=True
    )
    min_rotation_deg: float = setting(15.0, "or turned at least this much", minimum=0.0, maximum=360.0, live=True)
    min_sharpness: float = setting(
        0.4,
        "sharpness relative to the recent median below which a frame is blurred; 0 = off",
        minimum=0.0,
        maximum=10.0,
        live=True,
    )
    max_interval_s: float = setting(
        2.0, "a keyframe at least this often although still; 0 = off", minimum=0.0, maximum=3600.0, live=True
    )
    min_appearance_change: float = setting(
        0.15,
        "without poses: a keyframe once the image differs this much (1 - correlation)",
        minimum=0.0,
        maximum=2.0,
        live=True,
    )
    use_depth: bool = setting(True, "subscribe to depth")


@dataclass(frozen=True)
class MapSettings:
    """The TSDF volume."""

    voxel_size_m: float = setting(0.02, "edge of a voxel", minimum=0.001, maximum=1.0)
    truncation_m: float = setting(0.08, "truncation distance of the signed distance", minimum=0.002, maximum=5.0)
    min_depth_m: float = setting(0.1, "nearer depth is ignored", minimum=0.0, maximum=100.0, live=True)
    max_depth_m: float = setting(5.0, "farther depth is ignored", minimum=0.01, maximum=100.0, live=True)
    max_incidence_deg: float = setting(
        75.0,
        "surface seen more grazing than this, and stray pixels at depth edges, are ignored; 90 = off",
        minimum=10.0,
        maximum=90.0,
        live=True,
    )
    max_weight: float = setting(
        64.0, "cap of a voxel's weight: how slowly the map forgets", minimum=1.0, maximum=1000.0, live=True
    )
    min_weight: float = setting(1.0, "voxels seen less are not meshed", minimum=0.0, maximum=1000.0)
    max_bytes: int = setting(
        2_000_000_000, "cap of the map's memory; farthest blocks are evicted", minimum=1_000_000, maximum=10**12
    )
    radius_m: float = setting(
        0.0, "blocks farther from the camera are evicted; 0 = off", minimum=0.0, maximum=1e6, live=True
    )
    carve: bool = setting(True, "free space seen through old surface removes it", live=True)
    mesh_tolerance_m: float = setting(
        0.002, "surface that moved less is not meshed again; 0 = every change", minimum=0.0, maximum=1.0, live=True
    )


@dataclass(frozen=True)
class PublishSettings:
    """What the reconstruction node sends and how often."""

    mesh: bool = setting(True, "publish ~/mesh while somebody subscribes", live=True)
    points: bool = setting(True, "publish ~/points while somebody subscribes", live=True)
    depth: bool = setting(True, "publish ~/depth and ~/view while somebody subscribes", live=True)
    points_rate_hz: float = setting(1.0, "how often the whole cloud is sent", minimum=0.0, maximum=100.0, live=True)
    status_rate_hz: float = setting(1.0, "how often ~/status and /diagnostics are sent", minimum=0.01, maximum=100.0)
    measured: bool = setting(True, "show MEASURED surface", live=True)
    predicted: bool = setting(True, "show PREDICTED surface", live=True)
    generated: bool = setting(True, "show GENERATED surface", live=True)


@dataclass(frozen=True)
class OutputSettings:
    """Where files go."""

    output_dir: str = setting("showroom_output", "services write below this folder only")
    allow_any_path: bool = setting(False, "let services write anywhere")


@dataclass(frozen=True)
class ReconstructionSettings:
    """How geometry is obtained."""

    method: str = setting(
        "sensor_depth",
        "source of geometry: depth of a sensor, depth predicted from images that moved, signed distances predicted "
        "from many images, or depth and poses predicted from images alone; where a sensor measured depth too, that is "
        "kept and the rest predicted",
        choices=("sensor_depth", "plane_sweep", "ioar", "multi_view"),
    )
    device: str = setting("cpu", "where the volume and the networks live", choices=("cpu", "cuda"))
    model_file: str = setting(
        "", "weights of the method's network; empty = those shipped; 'none' = plane_sweep without a network"
    )
    image_width: int = setting(
        320, "width in pixels at which images are matched; the height follows the camera", minimum=64, maximum=4096
    )
    final_image_width: int = setting(
        640,
        "plane_sweep: the same when a whole recording is looked at again at its end; images are enlarged up to twice",
        minimum=64,
        maximum=4096,
    )
    refine_poses: bool = setting(
        True, "plane_sweep: poses, focal length and lens are corrected by bundle adjustment at the end of a recording"
    )
    source_views: int = setting(
        7, "keyframes a plane sweep compares with, chosen by their poses", minimum=1, maximum=64
    )
    map_hints: str = setting(
        "final",
        "plane_sweep: when depth rendered from the map guides the next: at the end of a recording, always, or never",
        choices=("final", "always", "never"),
    )
    min_confidence: float = setting(
        0.2, "predicted depth less sure than this is not fused", minimum=0.0, maximum=1.0, live=True
    )
    predicted_depth_m: float = setting(
        5.0, "depth predicted beyond this is not fused", minimum=0.1, maximum=100.0, live=True
    )
    up: str = setting("+z", "ioar: axis of the world that points up", choices=("+x", "-x", "+y", "-y", "+z", "-z"))
    queue_size: int = setting(64, "views waiting to be fused; oldest dropped", minimum=1, maximum=10000)


@dataclass(frozen=True)
class CompletionSettings:
    """Surface that no camera saw: views of holes are painted and given depth, and enter the map as GENERATED."""

    mode: str = setting(
        "off",
        "on request = by ~/complete_scene; continuous = all the time",
        choices=("off", "on_request", "continuous"),
    )
    inpainter: str = setting("telea", "who paints: small, telea, lama, or diffusers:FOLDER")
    inpainter_file: str = setting("", "weights of it; empty = those shipped")
    depth_completer: str = setting("planes", "who gives depth: small, planes..., zoedepth:FILE, transformers:FOLDER")
    depth_completer_file: str = setting("", "weights of it; empty = those shipped")
    device: str = setting("cpu", "where both live", choices=("cpu", "cuda"))
    prompt: str = setting("", "what the scene is, for inpainters that read", live=True)
    seed: int = setting(0, "of what inpainters do at random", minimum=0, maximum=2**31 - 1)
    image_width: int = setting(320, "of generated views in pixels", minimum=64, maximum=2048)
    max_views: int = setting(12, "generated by one request, and at a time", minimum=1, maximum=1000, live=True)
    min_holes: float = setting(0.08, "share of a view that must lack surface", minimum=0.01, maximum=1.0, live=True)
    min_overlap: float = setting(0.3, "share of a view that must have surface", minimum=0.05, maximum=1.0, live=True)
    timeout_s: float = setting(120.0, "a view is waited for so long", minimum=0.1, maximum=3600.0, live=True)
    up: str = setting("+z", "axis of the world that points up", choices=("+x", "-x", "+y", "-y", "+z", "-z"))


@dataclass(frozen=True)
class ViewerSettings:
    """The browser page."""

    host: str = setting("127.0.0.1", "interface the page is served on; 0.0.0.0 opens it to the network")
    port: int = setting(8080, "port of the page; the next free one where it is taken", minimum=1, maximum=65535)
    max_rate_hz: float = setting(4.0, "how often the page is updated at most", minimum=0.1, maximum=60.0)
    max_points: int = setting(1_000_000, "larger clouds are thinned out", minimum=1000, maximum=100_000_000)
    up: str = setting("+z", "axis of the world that points up", choices=("+x", "-x", "+y", "-y", "+z", "-z"))


@dataclass(frozen=True)
class Settings:
    """Everything that can be set, by group."""

    pose: PoseSettings = field(default_factory=PoseSettings)
    sync: SyncSettings = field(default_factory=SyncSettings)
    keyframes: KeyframeSettings = field(default_factory=KeyframeSettings)
    map: MapSettings = field(default_factory=MapSettings)
    reconstruction: ReconstructionSettings = field(default_factory=ReconstructionSettings)
    publish: PublishSettings = field(default_factory=PublishSettings)
    output: OutputSettings = field(default_factory=OutputSettings)
    viewer: ViewerSettings = field(default_factory=ViewerSettings)
    completion: CompletionSettings = field(default_factory=CompletionSettings)


@dataclass(frozen=True)
class SettingInfo:
    """One leaf of the tree: dotted name, type, default and what its field says of it."""

    name: str
    type: type
    default: Any
    doc: str
    minimum: float | None
    maximum: float | None
    choices: tuple[str, ...] | None
    live: bool


def setting_infos(settings: Any = None, prefix: str = "") -> Iterator[SettingInfo]:
    """All leaves below ``settings`` (default: ``Settings()``), with their current values as defaults."""
    settings = Settings() if settings is None else settings
    hints = typing.get_type_hints(type(settings))
    for item in dataclasses.fields(settings):
        value = getattr(settings, item.name)
        if dataclasses.is_dataclass(value):
            yield from setting_infos(value, f"{prefix}{item.name}.")
        else:
            yield SettingInfo(name=prefix + item.name, type=hints[item.name], default=value, **_described(item))


def _described(item: dataclasses.Field[Any]) -> dict[str, Any]:
    """What ``setting`` said of a field; one made without it has neither text nor range."""
    unsaid = {"doc": item.name.replace("_", " "), "minimum": None, "maximum": None, "choices": None, "live": False}
    return {key: item.metadata.get(key, default) for key, default in unsaid.items()}


def to_flat(settings: Any) -> dict[str, Any]:
    """``{dotted name: value}`` of every leaf."""
    return {info.name: info.default for info in setting_infos(settings)}


def to_dict(settings: Any) -> dict[str, Any]:
    """Nested plain dictionary, as saved with maps and reports."""
    return dataclasses.asdict(settings)


def override(settings: T, values: Mapping[str, Any], source: str = "settings") -> T:
    """A copy of ``settings`` with ``values`` (nested or dotted keys) in place.

    Raises:
        SettingsError: unknown key, wrong type or value out of range; names ``source`` and the key.
    """
    infos = {info.name: info for info in setting_infos(settings)}
    groups = {name.rpartition(".")[0] for name in infos}
    flat = {name: value for name, value in _flatten(values).items() if not (value is None and name in groups)}
    for name, value in flat.items():
        if name not in infos:
            raise SettingsError(f"{source}: unknown setting '{name}'{_suggestion(name, infos)}")
        flat[name] = checked_value(infos[name], value, source)
    return _rebuild(settings, flat, "")


def checked_value(info: SettingInfo, value: Any, source: str = "settings") -> Any:
    """``value`` as the setting's type, or a ``SettingsError`` that names what was expected."""
    if typing.get_origin(info.type) is tuple:
        return _checked_tuple(info, value, source)
    if info.type is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, info.type) or (info.type is not bool and isinstance(value, bool)):
        raise SettingsError(f"{source}: '{info.name}' is {value!r}, expected {info.type.__name__}")
    if info.choices is not None and value not in info.choices:
        raise SettingsError(f"{source}: '{info.name}' is '{value}', expected one of {', '.join(info.choices)}")
    number: Any = value
    below = info.minimum is not None and not number >= info.minimum
    above = info.maximum is not None and not number <= info.maximum
    if below or above:
        raise SettingsError(f"{source}: '{info.name}' is {value}, expected {info.minimum} to {info.maximum}")
    return value


def _checked_tuple(info: SettingInfo, value: Any, source: str) -> tuple[Any, ...]:
    """A list or tuple as the tuple of the setting's type."""
    kinds = typing.get_args(info.type)
    if not isinstance(value, (list, tuple)) or (Ellipsis not in kinds and len(value) != len(kinds)):
        raise SettingsError(f"{source}: '{info.name}' is {value!r}, expected {info.type}, such as {info.default}")
    kinds = kinds[:1] * len(value) if Ellipsis in kinds else kinds
    items = [dataclasses.replace(info, name=f"{info.name}[{number}]", type=kind) for number, kind in enumerate(kinds)]
    return tuple(checked_value(item, one, source) for item, one in zip(items, value, strict=True))


def load_settings(*paths: str | Path, base: Settings | None = None) -> Settings:
    """Defaults (or ``base``) overridden by YAML files, the later winning.

    A file holds either the groups themselves or the ROS form ``/**: ros__parameters: ...``.

    Raises:
        SettingsError: unreadable file, YAML that is no mapping, unknown key, value out of range.
    """
    settings = base or Settings()
    for path in paths:
        settings = override(settings, read_yaml(Path(path)), str(path))
    return settings


def read_yaml(path: Path) -> dict[str, Any]:
    """What a YAML file sets, by dotted name; groups of ROS nodes (``ros__parameters``) are opened.

    Raises:
        SettingsError: unreadable file or YAML that is no mapping.
        MissingDependencyError: PyYAML is not installed.
    """
    try:
        import yaml
    except ImportError as error:
        raise MissingDependencyError(f"{path}: reading YAML needs PyYAML: pip install PyYAML") from error
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f"{path}: cannot be read as YAML: {error}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SettingsError(f"{path}: holds a {type(content).__name__}, expected a mapping of settings")
    merged: dict[str, Any] = {}
    for key, value in content.items():
        is_node = isinstance(value, dict) and set(value) == {"ros__parameters"}
        parameters = (value["ros__parameters"] or {}) if is_node else {key: value}
        merged.update({k: v for k, v in _flatten(parameters).items() if not (is_node and k == "use_sim_time")})
    return merged


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat.update(_flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _rebuild(settings: T, flat: Mapping[str, Any], prefix: str) -> T:
    changes: dict[str, Any] = {}
    for item in dataclasses.fields(settings):  # type: ignore[arg-type]
        value = getattr(settings, item.name)
        name = prefix + item.name
        if dataclasses.is_dataclass(value):
            changes[item.name] = _rebuild(value, flat, f"{name}.")
        elif name in flat:
            changes[item.name] = flat[name]
    return dataclasses.replace(settings, **changes)  # type: ignore[type-var]


def _suggestion(name: str, infos: Mapping[str, SettingInfo]) -> str:
    close = difflib.get_close_matches(name, infos, n=1)
    return f"; did you mean '{close[0]}'?" if close else f"; known: {', '.join(sorted(infos))}"
