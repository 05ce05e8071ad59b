"""Settings: one source of defaults, strict overrides, the bad-input table."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from showroom_ros.errors import SettingsError
from showroom_ros.settings import SettingInfo, Settings, load_settings, override, setting_infos, to_dict, to_flat

INFOS = list(setting_infos())


@pytest.mark.parametrize("info", INFOS, ids=lambda info: info.name)
def test_every_default_satisfies_its_own_limits(info: SettingInfo) -> None:
    assert override(Settings(), {info.name: info.default}) == Settings()
    assert len(info.doc) > 5
    assert info.type in (bool, int, float, str), "only these travel as ROS parameters"
    if info.type in (int, float):
        assert info.minimum is not None, "a number needs a range"
        assert info.maximum is not None, "a number needs a range"


def _valid_value(info: SettingInfo) -> st.SearchStrategy:
    if info.choices is not None:
        return st.sampled_from(info.choices)
    if info.type is bool:
        return st.booleans()
    if info.type is int:
        return st.integers(int(info.minimum), int(info.maximum))  # type: ignore[arg-type]
    if info.type is float:
        return st.floats(info.minimum, info.maximum)
    return st.text(max_size=10)


@given(st.sampled_from(INFOS).flatmap(lambda info: st.tuples(st.just(info.name), _valid_value(info))))
def test_a_valid_override_changes_that_setting_only(change: tuple[str, object]) -> None:
    name, value = change
    changed = to_flat(override(Settings(), {name: value}))
    assert changed == {**to_flat(Settings()), name: value}


@given(st.sampled_from(INFOS).flatmap(lambda info: st.tuples(st.just(info.name), _valid_value(info))))
def test_nested_and_dotted_names_mean_the_same(change: tuple[str, object]) -> None:
    name, value = change
    group, leaf = name.split(".")
    assert override(Settings(), {group: {leaf: value}}) == override(Settings(), {name: value})


def test_dictionary_round_trip() -> None:
    changed = override(Settings(), {"map": {"voxel_size_m": 0.05}, "keyframes.use_depth": False})
    assert override(Settings(), to_dict(changed)) == changed
    assert override(Settings(), to_flat(changed)) == changed


def test_whole_numbers_are_fine_where_floats_are_expected() -> None:
    changed = override(Settings(), {"map.max_depth_m": 4})
    assert isinstance(changed.map.max_depth_m, float)


def test_settings_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().map.voxel_size_m = 1.0  # type: ignore[misc]


def test_files_override_in_order_and_ros_form_is_understood(tmp_path: Path) -> None:
    plain, ros, empty = tmp_path / "a.yaml", tmp_path / "b.yaml", tmp_path / "c.yaml"
    plain.write_text("map: {voxel_size_m: 0.05, truncation_m: 0.2}\n")
    ros.write_text(yaml.safe_dump({"/**": {"ros__parameters": {"map": {"voxel_size_m": 0.03}, "use_sim_time": True}}}))
    empty.write_text("# nothing\n")
    loaded = load_settings(plain, ros, empty)
    assert loaded.map.voxel_size_m == 0.03
    assert loaded.map.truncation_m == 0.2
    assert load_settings() == Settings()


def test_a_group_with_all_its_lines_commented_out_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("map:\n  # voxel_size_m: 0.01\npose: {source: odom}\n")
    assert load_settings(path) == override(Settings(), {"pose.source": "odom"})


def test_the_shipped_files_load() -> None:
    folder = Path(__file__).parents[1] / "config"
    for path in folder.glob("*.yaml"):
        assert isinstance(load_settings(path), Settings)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"map.voxel_size": 0.02}, "unknown setting 'map.voxel_size'; did you mean 'map.voxel_size_m'"),
        ({"zzz": 1}, "unknown setting 'zzz'; known: "),
        ({"map": 3}, "unknown setting 'map'"),
        ({"map.voxel_size_m": {"x": 1}}, "unknown setting 'map.voxel_size_m.x'"),
        ({"map.voxel_size_m": "fine"}, "'map.voxel_size_m' is 'fine', expected float"),
        ({"map.voxel_size_m": None}, "'map.voxel_size_m' is None, expected float"),
        ({"map.voxel_size_m": True}, "'map.voxel_size_m' is True, expected float"),
        ({"map.voxel_size_m": 0.0}, "'map.voxel_size_m' is 0.0, expected 0.001 to 1.0"),
        ({"map.voxel_size_m": float("nan")}, "'map.voxel_size_m' is nan, expected 0.001 to 1.0"),
        ({"map.voxel_size_m": float("inf")}, "'map.voxel_size_m' is inf"),
        ({"map.max_bytes": 1.5}, "'map.max_bytes' is 1.5, expected int"),
        ({"map.max_bytes": 0}, "'map.max_bytes' is 0, expected 1000000 to"),
        ({"map.carve": 1}, "'map.carve' is 1, expected bool"),
        ({"pose.source": "gps"}, "'pose.source' is 'gps', expected one of tf, odom, pose, none"),
        ({"pose.source": 3}, "'pose.source' is 3, expected str"),
        ({"viewer.port": 70000}, "'viewer.port' is 70000, expected 1 to 65535"),
    ],
)
def test_bad_values(values: dict[str, object], expected: str) -> None:
    with pytest.raises(SettingsError) as caught:
        override(Settings(), values, "room.yaml")
    assert str(caught.value).startswith("room.yaml: ")
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("map: {voxel_size_m: 0.02", "cannot be read as YAML"),
        ("- 1\n- 2\n", "holds a list, expected a mapping of settings"),
        ("just text", "holds a str"),
        ("map: {voxel_sise_m: 0.02}", "unknown setting 'map.voxel_sise_m'"),
        ("!!python/object/apply:os.system ['true']", "cannot be read as YAML"),
        ("/**: {ros__parameters: {map: {voxel_size_m: -1}}}", "'map.voxel_size_m' is -1.0, expected 0.001"),
        ("\x00\x01", "cannot be read as YAML"),
        ("3: 4\n", "unknown setting '3'"),
    ],
)
def test_bad_files(tmp_path: Path, content: str, expected: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(content)
    with pytest.raises(SettingsError) as caught:
        load_settings(path)
    assert str(path) in str(caught.value)
    assert expected in str(caught.value)


def test_missing_and_binary_files(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(tmp_path / "absent.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(tmp_path / "binary.yaml")
