"""``showroom benchmark rooms``: how fast made-up rooms are made and rendered.

Views have colour, depth and normals, in furnished test rooms of the public split, along hand-held paths;
making the rooms is not counted in them. The peer, where Open3D is installed, is its ``RaycastingScene``
(embree): it casts the same rays of the same views into the same triangles, which gives depth, triangles and
normals; colour is **not** in its time, for it has none to give.

Needs torch and numpy only, so it runs on a machine with a GPU and nothing else:
``python -m showroom_ros.benchmarks.rooms --device cuda --json FILE``.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from showroom_ros import __version__
from showroom_ros.errors import InputError
from showroom_ros.scene.output_file import atomic_output
from showroom_ros.scene.spread import evenly_spread

if TYPE_CHECKING:
    from showroom_ros.datasets.synthetic.renderer import Renderer, Rendering
    from showroom_ros.datasets.synthetic.room import Room
    from showroom_ros.evaluation.benchmark import BenchmarkResult
    from showroom_ros.geometry.camera import Camera

SIZES = ((256, 192), (640, 480))
ROOMS = 4
SAMPLES = 24


class Figure(NamedTuple):
    """One measured figure; ``reference`` is the peer's."""

    name: str
    value: float
    unit: str
    reference: float | None = None


def run(device: str = "cpu", rooms: int = ROOMS, views: int | None = None, samples: int = SAMPLES) -> BenchmarkResult:
    """Measures; ``views`` per room and size, None = as many as the device deserves.

    Rows: ``views_per_s_WxH`` (reference: Open3D's ray casting without colour), ``rooms_per_s`` (made, lit and
    uploaded), ``sample_stream_per_s`` (samples of five photos of 256x192, rooms included, two workers).

    Raises:
        InputError: an unknown device, no rooms or views.
    """
    from showroom_ros.evaluation.benchmark import BenchmarkResult, Row

    rows = [
        Row(f.name, f.value, f.unit, f.reference, None if f.reference is None else f.value / f.reference)
        for f in measure(device, rooms, views, samples)
    ]
    return BenchmarkResult("rooms", _settings(device, rooms, views, samples), rows)


def measure(device: str, rooms: int, views: int | None, samples: int) -> list[Figure]:
    """The figures."""
    from showroom_ros.datasets.synthetic.backends import checked_device
    from showroom_ros.datasets.synthetic.path import plan_path
    from showroom_ros.datasets.synthetic.sequence import COLOR_CAMERA

    for name, value in (("rooms", rooms), ("views", views), ("samples", samples)):
        if value is not None and value < 1:
            raise InputError(f"benchmark {name} is {value}, expected 1 or more")
    count = views or (512 if checked_device(device).type == "cuda" else 40)
    made, seconds = _made(rooms, device)
    total = 0
    ours, peers = dict.fromkeys(SIZES, 0.0), dict.fromkeys(SIZES, 0.0)
    for renderer in made:
        path = plan_path(renderer.room)
        poses = path[evenly_spread(len(path), count)]
        total += len(poses)
        peer = _peer(renderer.room)
        for size in SIZES:
            camera = COLOR_CAMERA.scaled(*size)
            ours[size] += _seconds(lambda r=renderer, c=camera, p=poses: _render(r, c, p), device)  # type: ignore[misc]
            if peer is not None:
                few = poses[:: max(1, count // 40)]
                took = _seconds(lambda c=camera, p=few, cast=peer: [cast(c, pose) for pose in p], device)  # type: ignore[misc]
                peers[size] += took / len(few) * len(poses)
    figures = [
        Figure(f"views_per_s_{w}x{h}", total / ours[w, h], "1/s", total / peers[w, h] if peers[w, h] else None)
        for w, h in SIZES
    ]
    return [*figures, Figure("rooms_per_s", rooms / seconds, "1/s"), _stream_figure(device, samples)]


def _made(rooms: int, device: str) -> tuple[list[Renderer], float]:
    """Renderers of the first test rooms, and how long they took; what is compiled at first use is not counted."""
    from showroom_ros.datasets.synthetic.renderer import Renderer
    from showroom_ros.datasets.synthetic.room import make_room
    from showroom_ros.datasets.synthetic.splits import seed_of, settings_of

    Renderer(make_room(seed_of("val", 0), settings_of(seed_of("val", 0)), device), device)
    start = time.perf_counter()
    made = []
    for index in range(rooms):
        seed = seed_of("test", index)
        made.append(Renderer(make_room(seed, settings_of(seed), device), device))
    return made, time.perf_counter() - start


def _render(renderer: Renderer, camera: Camera, poses: NDArray[np.float64]) -> None:
    """Colour, depth and normals of all poses, batch by batch on a GPU, one by one on the CPU."""
    for rendering in _rendered(renderer, camera, poses):
        from showroom_ros.datasets.synthetic.sensor import develop

        if rendering.radiance is not None:
            develop(rendering.radiance * renderer.room.exposure)
        _ = rendering.depth, rendering.normals


def _rendered(renderer: Renderer, camera: Camera, poses: NDArray[np.float64]) -> Iterator[Rendering]:
    if renderer.device.type != "cuda":
        yield from (renderer.render(camera, pose) for pose in poses)
        return
    size = max(1, 128 * 256 * 192 // (camera.width * camera.height))
    for first in range(0, len(poses), size):
        yield renderer.render_batch(camera, poses[first : first + size])


def _seconds(work: Callable[[], Any], device: str) -> float:
    """How long the second of two runs takes, the device's queue included."""
    work()
    _wait(device)
    start = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - start


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize(device)


def _peer(room: Room) -> Callable[[Camera, NDArray[np.float64]], None] | None:
    """Casts the rays of a view with Open3D; None where it is not installed."""
    try:
        import open3d as o3d
    except ImportError:
        return None
    tensor: Any = o3d.core.Tensor
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(tensor(room.vertices), tensor(room.triangles.astype(np.uint32)))
    rays_of: dict[Camera, NDArray[np.float32]] = {}

    def cast(camera: Camera, pose: NDArray[np.float64]) -> None:
        if camera not in rays_of:
            rays_of[camera] = camera.rays().astype(np.float32)
        rotation, origin = pose[:3, :3].astype(np.float32), pose[:3, 3].astype(np.float32)
        directions = rays_of[camera] @ rotation.T
        rays = np.concatenate([np.broadcast_to(origin, directions.shape), directions], -1)
        found = scene.cast_rays(tensor(rays))  # directions have z = 1: t_hit is planar depth
        _ = found["t_hit"].numpy(), found["primitive_ids"].numpy(), found["primitive_normals"].numpy()

    return cast


def _stream_figure(device: str, samples: int) -> Figure:
    from showroom_ros.datasets.synthetic.stream import SampleStream, StreamSettings

    per_room = max(1, min(12, samples // 2))
    stream = SampleStream("train", StreamSettings(samples_per_room=per_room), workers=2, device=device, count=samples)
    start = time.perf_counter()
    found = sum(1 for _ in islice(stream, samples))
    _wait(device)
    return Figure("sample_stream_per_s", found / (time.perf_counter() - start), "1/s")


def _settings(device: str, rooms: int, views: int | None, samples: int) -> dict[str, Any]:
    import torch

    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else platform.processor()
    return {
        "device": device,
        "device_name": name,
        "torch": torch.__version__,
        "torch_threads": torch.get_num_threads(),
        "rooms": [f"test/{index}" for index in range(rooms)],
        "views_per_room": views,
        "samples": samples,
        "peer": "Open3D RaycastingScene: depth, triangles, normals; no colour",
    }


def main(argv: list[str] | None = None) -> int:
    """Measures where only torch and numpy are installed, and writes JSON."""
    parser = argparse.ArgumentParser(description="How fast made-up rooms are made and rendered.")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rooms", type=int, default=ROOMS)
    parser.add_argument("--views", type=int, help="per room and size")
    parser.add_argument("--samples", type=int, default=SAMPLES)
    parser.add_argument("--json", type=Path, required=True)
    chosen = parser.parse_args(argv)
    figures = measure(chosen.device, chosen.rooms, chosen.views, chosen.samples)
    content = {
        "benchmark": "rooms",
        "version": __version__,
        "hardware": {"machine": platform.machine(), "python": platform.python_version()},
        "settings": _settings(chosen.device, chosen.rooms, chosen.views, chosen.samples),
        "rows": [{**f._asdict(), "ratio": None if f.reference is None else f.value / f.reference} for f in figures],
    }
    with atomic_output(chosen.json) as file:
        file.write(json.dumps(content, indent=2).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
