"""``showroom demo``: a room, recorded to a bag, replayed through the real nodes in real time, scored."""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from showroom_ros import __version__
from showroom_ros.cli.common import add_settings_arguments, progress_bar, settings_from
from showroom_ros.cli.method import add_method_arguments, method_report
from showroom_ros.errors import ShowroomError

if TYPE_CHECKING:
    from showroom_ros.nodes.replay_run import ReplayResult
    from showroom_ros.scene.view import Sequence
    from showroom_ros.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``showroom demo``."""
    parser.add_argument("--source", default="synthetic:7", help="synthetic:SEED, or a data set folder of your own")
    parser.add_argument("--out", type=Path, default=Path("outputs/demo"), help="folder for bag, mesh, pictures, report")
    parser.add_argument(
        "--rate-hz", type=float, help="frames per second of the bag; default: keep the recording's stamps"
    )
    parser.add_argument("--rate", type=float, default=1.0, help="speed of the replay")
    parser.add_argument("--image-format", choices=("raw", "jpeg"), default="jpeg", help="how the bag holds images")
    parser.add_argument("--view", action="store_true", help="show the map in the browser; the page stays up")
    add_method_arguments(parser)
    add_settings_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """Records, replays, scores, reports."""
    from showroom_ros.cli.scoring import color_scores, geometry_scores, some_views, write_map_report
    from showroom_ros.datasets.open import open_sequence
    from showroom_ros.nodes.replay_run import replay_through_nodes
    from showroom_ros.scene.mesh_files import save_mesh
    from showroom_ros.settings import override

    started = time.monotonic()
    settings = override(settings_from(arguments), {"output.output_dir": str(arguments.out.resolve())})
    if arguments.image_format != "raw":
        settings = override(settings, {"sync.color_transport": "compressed", "sync.depth_transport": "compressedDepth"})
    sequence = open_sequence(arguments.source)
    bag = recorded_bag(sequence, arguments)
    print("starting the nodes (the first time their kernels are compiled, about a minute)")
    result = replay_through_nodes(
        bag,
        settings,
        rate=arguments.rate,
        log_file=arguments.out / "nodes.log",
        extra_nodes=("viewer_node",) if arguments.view else (),
        progress=progress_bar("replaying", "msg"),
        before_stop=(lambda: _keep_page(settings)) if arguments.view else (lambda: None),
    )
    save_mesh(arguments.out / "mesh.ply", result.mesh)
    report = {
        **method_report(settings),
        **stream_figures(result),
        **geometry_scores(result.mesh, sequence, settings),
        **color_scores(result.mesh, some_views(sequence)),
        "source": arguments.source,
        "rate": arguments.rate,
        "seconds": round(time.monotonic() - started, 1),
    }
    write_map_report(
        report, result.mesh, sequence, settings, arguments.out, f"{sequence.name}: streamed through the nodes"
    )
    headline = ("f_score", "accuracy_m", "completeness_m", "frames_in", "keyframes", "keyframes_dropped", "latency_ms")
    for name in headline:
        print(f"{name:18} {json.dumps(report.get(name))}")
    print(f"report: {arguments.out / 'report.html'}")


def _keep_page(settings: Settings) -> None:
    """Leaves the browser page up until Ctrl-C; the report comes after that."""
    page = f"http://{settings.viewer.host}:{settings.viewer.port}"
    print(f"the page stays up at {page} until Ctrl-C; then the mesh is scored")
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            time.sleep(0.5)


def recorded_bag(sequence: Sequence, arguments: argparse.Namespace) -> Path:
    """The bag of ``sequence`` below ``--out``; made again unless it is there from the same version."""
    from showroom_ros.bags.convert import convert
    from showroom_ros.reconstruction.outputs import make_parent

    bag, made_from = arguments.out / "bag", arguments.out / "bag.json"
    how = {"image_format": arguments.image_format, "rate_hz": arguments.rate_hz}
    origin = {"source": arguments.source, "frames": len(sequence), "version": __version__, **how}
    if bag.exists() and made_from.is_file() and json.loads(made_from.read_text()) == origin:
        return bag
    make_parent(bag)
    shutil.rmtree(bag, ignore_errors=True)
    convert(sequence, bag, **how, progress=progress_bar("recording"))
    made_from.write_text(json.dumps(origin))
    return bag


def stream_figures(result: ReplayResult) -> dict[str, Any]:
    """The part of the report that needs no truth."""
    if not len(result.latency_ms):
        raise ShowroomError("no mesh block arrived: see nodes.log")
    return {
        "frames_in": result.frames_in,
        "keyframes": result.keyframes,
        "keyframes_dropped": result.keyframes_dropped,
        "latency_ms": {f"p{q}": round(float(np.percentile(result.latency_ms, q)), 1) for q in (50, 95)},
        "peak_memory_mb": round(result.peak_memory_mb, 1),
        "bytes_received": result.bytes_received,
        "cpu_cores": round(result.cpu_s / result.duration_s, 2),
        "triangles": len(result.mesh.triangles),
    }
