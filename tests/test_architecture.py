"""The layering and house rules of the package, checked on its source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "showroom_ros"
FILES = sorted(PACKAGE.rglob("*.py"))

LEAVES = {"errors", "settings", "geometry", "installation"}
SCENE = LEAVES | {"scene"}
LEARNED = SCENE | {"networks"}
MAY_IMPORT: dict[str, set[str]] = {
    "": set(),
    "errors": set(),
    "settings": {"errors"},
    "installation": {"errors"},
    "geometry": {"errors", "settings"},
    "scene": LEAVES,
    "networks": LEAVES,
    "reconstruction": LEARNED,
    "completion": LEARNED,
    "features": LEARNED,
    "objects": LEARNED,
    "datasets": SCENE | {"bags"},  # a bag is one of the recordings that can be opened by path
    "bags": SCENE,
    "training": LEARNED | {"datasets", "objects", "features"},
    "evaluation": SCENE,
    "viewers": SCENE,
    "ros": SCENE,
}
"""What each part may import besides itself; ``nodes``, ``cli``, ``benchmarks`` wire everything."""

WIRING = {"nodes", "cli", "benchmarks"}
WIRING_MAY_IMPORT = {"nodes": {"nodes"}, "cli": {"cli", "nodes", "benchmarks"}, "benchmarks": {"benchmarks", "nodes"}}
GENERATED = {"msg", "srv", "action"}
ROS_ONLY = {
    "rclpy",
    "tf2_ros",
    "message_filters",
    "cv_bridge",
    "sensor_msgs_py",
    "tf_transformations",
    "rosidl_runtime_py",
}
MESSAGE_SUFFIXES = ("_msgs", "_srvs", "_interfaces")
OPTIONAL = {"open3d", "viser", "diffusers", "transformers", "gsplat", "h5py", "pyrender", "torch", "triton"}
CALLS_ALLOWED_IN = {"print": {"cli"}, "sys.exit": WIRING, "exit": set(), "quit": set(), "os._exit": {"nodes"}}
"""Processes end where they start: in the wiring. Only the command line prints."""

MAX_LINES = 400


def part_of(path: Path) -> str:
    """The part of the package a file belongs to: its top folder, or its own name beside them."""
    relative = path.relative_to(PACKAGE)
    if len(relative.parts) > 1:
        return relative.parts[0]
    return "" if relative.stem == "__init__" else relative.stem


def imports_of(tree: ast.AST, path: Path) -> Iterator[tuple[str, int]]:
    """Dotted names of all imports in a file, at any depth, with their lines; relative ones made absolute."""
    package = ["showroom_ros", *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module, node.lineno
            if module == "showroom_ros":
                for alias in node.names:
                    yield f"showroom_ros.{alias.name}", node.lineno


def top_level_imports(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Names imported as the file itself is imported (not inside functions, not for type checking only)."""
    for node in tree.body:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module, node.lineno


def layering_faults(source: str, path: Path) -> list[str]:
    """Imports in ``source`` that the file at ``path`` may not have."""
    part, faults = part_of(path), []
    for name, line in imports_of(ast.parse(source), path):
        pieces = name.split(".")
        if pieces[0] == "showroom_ros" and len(pieces) > 1:
            faults += [f"{path}:{line}: {part} imports {name}"] if not _allowed(part, pieces[1], path) else []
        elif (pieces[0] in ROS_ONLY or pieces[0].endswith(MESSAGE_SUFFIXES)) and part not in ("ros", "nodes"):
            faults.append(f"{path}:{line}: {part} imports {name}, only ros and nodes may")
    return faults


def _allowed(part: str, target: str, path: Path) -> bool:
    if target in GENERATED:
        return path.relative_to(PACKAGE).as_posix() == "ros/interfaces.py"
    if target == "__version__" or target == part:
        return True
    if part in WIRING:
        return target not in WIRING or target in WIRING_MAY_IMPORT[part]
    return target in MAY_IMPORT[part]


def house_faults(source: str, path: Path) -> list[str]:
    """Prints, exits, bare excepts and asserts in ``source``."""
    faults = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ExceptHandler) and node.type is None:
            faults.append(f"{path}:{node.lineno}: bare except")
        elif isinstance(node, ast.Assert) and part_of(path) != "cli" and not _narrows_type(node):
            faults.append(f"{path}:{node.lineno}: assert; raise a ShowroomError instead")
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            allowed = CALLS_ALLOWED_IN.get(called)
            if allowed is not None and part_of(path) not in allowed:
                faults.append(f"{path}:{node.lineno}: {called}()")
        elif isinstance(node, ast.Attribute) and ast.unparse(node).startswith(("np.random.seed", "numpy.random.seed")):
            faults.append(f"{path}:{node.lineno}: global random generator")
    return faults


def _narrows_type(node: ast.Assert) -> bool:
    """``assert x is not None``, without a message: for the type checker, never for a user."""
    test = node.test
    return node.msg is None and isinstance(test, ast.Compare) and ast.unparse(test).endswith(" is not None")


def test_every_part_is_known() -> None:
    known = set(MAY_IMPORT) | WIRING
    assert {part_of(path) for path in FILES} <= known


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_layering(path: Path) -> None:
    assert layering_faults(path.read_text(encoding="utf-8"), path) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_house_rules(path: Path) -> None:
    assert house_faults(path.read_text(encoding="utf-8"), path) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_file_length(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MAX_LINES, f"{path} has {lines} lines, at most {MAX_LINES}: split it by meaning"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_optional_packages_are_imported_where_they_are_used(path: Path) -> None:
    """Importing a module never needs an extra; whole modules for torch end in ``_torch`` and are imported late."""
    learned = part_of(path) in ("networks", "training") or "synthetic" in path.parts or path.stem.endswith("_torch")
    found = [name for name, _ in top_level_imports(ast.parse(path.read_text(encoding="utf-8")))]
    assert {name.split(".")[0] for name in found} & OPTIONAL <= ({"torch", "triton"} if learned else set())
    if not learned:
        assert [name for name in found if name.endswith("_torch")] == []


def test_message_generator_owns_its_folders() -> None:
    assert [name for name in GENERATED if (PACKAGE / name).exists()] == []


@pytest.mark.parametrize(
    ("where", "source"),
    [
        ("geometry/x.py", "from showroom_ros.scene import view"),
        ("geometry/x.py", "from ..scene.view import View"),
        ("scene/x.py", "import showroom_ros.reconstruction"),
        ("evaluation/x.py", "def f():\n    from showroom_ros.datasets.open import open_sequence"),
        ("evaluation/x.py", "from showroom_ros import cli"),
        ("ros/x.py", "from showroom_ros.msg import View"),
        ("scene/x.py", "import sensor_msgs.msg"),
        ("cli/x.py", "import rclpy"),
        ("nodes/x.py", "from showroom_ros.cli import main"),
        ("viewers/x.py", "from showroom_ros.nodes.graph import Graph"),
    ],
)
def test_layering_check_can_fail(where: str, source: str) -> None:
    assert layering_faults(source, PACKAGE / where)


@pytest.mark.parametrize(
    "source",
    [
        "print(1)",
        "import sys\nsys.exit(1)",
        "try:\n    f()\nexcept:\n    pass",
        "assert x",
        "assert x is not None, 'no image'",
        "np.random.seed(0)",
    ],
)
def test_house_check_can_fail(source: str) -> None:
    assert house_faults(source, PACKAGE / "scene" / "x.py")


def test_layering_check_lets_the_right_ones_pass() -> None:
    assert layering_faults("from showroom_ros.msg import View", PACKAGE / "ros" / "interfaces.py") == []
    assert layering_faults("from showroom_ros.scene.view import View", PACKAGE / "evaluation" / "x.py") == []
    assert layering_faults("from showroom_ros.nodes import graph", PACKAGE / "cli" / "x.py") == []
