"""``showroom make-room``: a made-up room with its exact mesh and a recording of it; or a sheet of many rooms."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from showroom_ros.cli.common import progress_bar
from showroom_ros.errors import InputError

if TYPE_CHECKING:
    from showroom_ros.datasets.synthetic.room import RoomSettings
    from showroom_ros.datasets.synthetic.sequence import SyntheticSequence

_SHEET_ROOMS = 24
_SHEET_COLUMNS = 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``showroom make-room``."""
    which = parser.add_argument_group("which room")
    which.add_argument("--seed", type=int, help="of the room; or --split and --index")
    which.add_argument("--split", help="test, val or train: room --index of the public split, as it is meant there")
    which.add_argument("--index", type=int, help="number of the room in its split")
    which.add_argument("--rooms", type=int, help="how many rooms the home has")
    which.add_argument("--kind", help="what the (first) room is for; default: drawn")
    which.add_argument("--assets", type=Path, help="folder of GLB models to furnish with besides the parametric ones")
    recording = parser.add_argument_group("the recording")
    recording.add_argument("--frames", type=int, help="only the first so many; default: the whole walk")
    recording.add_argument("--size", default="640x480", metavar="WxH", help="of the images in pixels")
    recording.add_argument("--loops", type=int, default=1, help="how often the whole way is walked")
    recording.add_argument("--ideal", action="store_true", help="exact colour and depth instead of sensor models")
    recording.add_argument(
        "--format", choices=("folder", "bag"), default="folder", help="TUM RGB-D layout, or rosbag2 (mcap)"
    )
    recording.add_argument("--device", default="cpu", help="torch device that lights and renders")
    parser.add_argument("--out", type=Path, help="folder for mesh.ply, room.json and recording/")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing recording")
    parser.add_argument(
        "--sheet", type=Path, metavar="PNG", help="instead: one picture with a view of each of many rooms of --split"
    )
    parser.add_argument("--sheet-rooms", type=int, default=_SHEET_ROOMS, help="how many rooms the sheet shows")


def run(arguments: argparse.Namespace) -> None:
    """Makes the room and writes it, or the sheet."""
    if arguments.sheet is not None:
        _write_sheet(arguments)
        return
    if arguments.out is None:
        raise InputError("--out is missing, expected a folder for the room (or --sheet PNG)")
    write_room(arguments)


def write_room(arguments: argparse.Namespace) -> None:
    """Writes ``recording/``, ``mesh.ply`` and, last of all, ``room.json`` below ``--out``."""
    from showroom_ros.bags.convert import convert
    from showroom_ros.datasets.synthetic.path import PathSettings
    from showroom_ros.datasets.synthetic.sequence import SyntheticSequence
    from showroom_ros.datasets.tum_writer import write_tum
    from showroom_ros.evaluation.report import write_json
    from showroom_ros.scene.mesh_files import save_mesh

    seed, settings, name = chosen_room(arguments)
    width, height = _size(arguments.size)
    sequence = SyntheticSequence(
        seed,
        arguments.frames,
        width,
        height,
        settings=settings,
        noisy=not arguments.ideal,
        registered=arguments.ideal,
        path=PathSettings(loops=arguments.loops),
        name=name,
        device=arguments.device,
    )
    write = write_tum if arguments.format == "folder" else convert
    write(  # type: ignore[operator]
        sequence, arguments.out / "recording", overwrite=arguments.overwrite, progress=progress_bar("rendering")
    )
    save_mesh(arguments.out / "mesh.ply", sequence.mesh)
    write_json(arguments.out / "room.json", _description(sequence, settings, arguments))
    print(f"{arguments.out}: {name}, {len(sequence)} frames, {len(sequence.room.triangles)} triangles")


def chosen_room(arguments: argparse.Namespace) -> tuple[int, RoomSettings, str]:
    """Seed, settings and name of the room asked for.

    Raises:
        InputError: neither or both of ``--seed`` and ``--split`` with ``--index``, or there is no such room.
    """
    from showroom_ros.datasets.synthetic.room import RoomSettings
    from showroom_ros.datasets.synthetic.splits import seed_of, settings_of

    if (arguments.seed is None) == (arguments.split is None or arguments.index is None):
        raise InputError("expected either --seed N, or --split NAME and --index N")
    if arguments.seed is not None:
        settings = RoomSettings(kind=arguments.kind, rooms=arguments.rooms or 1, assets=arguments.assets)
        return arguments.seed, settings, f"synthetic:{arguments.seed}"
    if arguments.rooms is not None or arguments.kind is not None:
        raise InputError("a room of a split is what it is: --rooms and --kind go with --seed")
    seed = seed_of(arguments.split, arguments.index)
    return seed, settings_of(seed, arguments.assets), f"synthetic:{arguments.split}/{arguments.index}"


def _description(sequence: SyntheticSequence, settings: RoomSettings, arguments: argparse.Namespace) -> dict[str, Any]:
    from showroom_ros import __version__

    room = sequence.room
    things = sorted(set(room.categories))
    return {
        "name": sequence.name,
        "version": __version__,
        "seed": sequence.seed,
        "settings": {k: str(v) if isinstance(v, Path) else v for k, v in dataclasses.asdict(settings).items()},
        "categories": {thing: room.categories.count(thing) for thing in things},
        "rooms": [plan.kind for plan in room.plan.rooms],
        "light": {"exposure": room.exposure, "mean_irradiance_rgb": room.light.mean(0).tolist()},
        "triangles": len(room.triangles),
        "recording": {
            "format": arguments.format,
            "frames": len(sequence),
            "size": [sequence.color_camera.width, sequence.color_camera.height],
            "noisy": sequence.noisy,
            "loops": arguments.loops,
        },
    }


def _write_sheet(arguments: argparse.Namespace) -> None:
    import cv2
    import numpy as np

    from showroom_ros.datasets.synthetic.preview import contact_sheet_views
    from showroom_ros.datasets.synthetic.splits import seed_of
    from showroom_ros.evaluation.canvas import labelled, side_by_side, stacked
    from showroom_ros.evaluation.report import write_bytes

    if arguments.sheet_rooms < 1:
        raise InputError(f"--sheet-rooms is {arguments.sheet_rooms}, expected 1 or more")
    split, first = arguments.split or "test", arguments.index or 0
    width, height = _size(arguments.size) if arguments.size != "640x480" else (480, 360)
    move, pictures = progress_bar("rooms", "room"), []
    for number in range(arguments.sheet_rooms):
        seed = seed_of(split, first + number)
        ((title, picture),) = contact_sheet_views([seed], arguments.assets, width, height, arguments.device)
        pictures.append(labelled(picture, title))
        move(number + 1, arguments.sheet_rooms)
    blank = np.full_like(pictures[0], 255)
    pictures += [blank] * (-len(pictures) % _SHEET_COLUMNS)
    rows = [side_by_side(pictures[i : i + _SHEET_COLUMNS]) for i in range(0, len(pictures), _SHEET_COLUMNS)]
    done, encoded = cv2.imencode(".png", cv2.cvtColor(stacked(rows), cv2.COLOR_RGB2BGR))
    if not done:
        raise InputError(f"{arguments.sheet}: the picture cannot be encoded")
    write_bytes(arguments.sheet, encoded.tobytes())
    print(f"{arguments.sheet}: {arguments.sheet_rooms} rooms of split {split}")


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise InputError(f"--size '{text}', expected WxH such as 640x480")
    return int(width), int(height)
