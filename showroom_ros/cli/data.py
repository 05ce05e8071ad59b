"""``showroom data info PATH``: what a folder or file is, how much is in it, what is missing, and a contact sheet."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from showroom_ros.cli.common import Progress, progress_bar
from showroom_ros.errors import ShowroomError

if TYPE_CHECKING:
    from showroom_ros.datasets.info import RootInfo
    from showroom_ros.datasets.pose_convention import PoseCheck
    from showroom_ros.datasets.recording_info import DepthInfo, PoseInfo, RecordingInfo
    from showroom_ros.evaluation.contact_sheet import Tile
    from showroom_ros.scene.view import Sequence

_LISTED = 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``showroom data``."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    info = actions.add_parser("info", help="what a path is, what it holds and what is missing")
    info.add_argument("source", metavar="PATH", help="recording, root of a data set, bag, photos, or synthetic:SEED")
    info.add_argument("--split", help="only the recordings of this split of the data set")
    info.add_argument("--frames", type=_positive, default=50, help="read so many frames, evenly spread (default 50)")
    info.add_argument("--json", type=Path, metavar="FILE", help="also write everything here")
    info.add_argument("--sheet", type=Path, metavar="PNG", help="draw colour and depth of frames, evenly spread")
    info.add_argument("--tiles", type=_positive, default=12, help="frames on the sheet (default 12)")


def run(arguments: argparse.Namespace) -> int:
    """Prints what there is; 1 where the recording cannot be opened."""
    from showroom_ros.datasets.info import RootInfo, describe
    from showroom_ros.evaluation.report import write_json

    found = describe(arguments.source, arguments.split, frames=arguments.frames, progress=_Progress())
    recording = found.first if isinstance(found, RootInfo) else found
    lines = _root_lines(found) if isinstance(found, RootInfo) else []
    print("\n".join([*lines, *_recording_lines(recording)]))
    if arguments.json:
        kind = "root" if isinstance(found, RootInfo) else "recording"
        write_json(arguments.json, {"kind": kind, **dataclasses.asdict(found)})
    if arguments.sheet and not recording.problem:
        _draw_sheet(found, arguments.sheet, arguments.tiles)
        print(f"contact sheet: {arguments.sheet}")
    return 1 if recording.problem else 0


class _Progress:
    """A progress bar that appears with the first frame."""

    def __init__(self) -> None:
        self._move: Progress | None = None

    def __call__(self, done: int, total: int) -> None:
        self._move = self._move or progress_bar("reading frames")
        self._move(done, total)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number}, expected at least 1")
    return number


def _root_lines(root: RootInfo) -> list[str]:
    several = "" if root.dataset else " ({})"
    names = [Path(path).name + several.format(kind) for path, kind in root.recordings.items()]
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    within = f" in split '{root.split}'" if root.split else ""
    recordings = f"{len(names)}{within}: {', '.join(names[:_LISTED])}{more}"
    lines = [f"{root.source}: {root.title}", _row("recordings", recordings)]
    lines += [_row(f"split {name}", str(count)) for name, count in root.splits.items()]
    for path, missing in list(root.missing.items())[:_LISTED]:
        lines += [_row("missing", f"{Path(path).name}: {line}") for line in missing]
    return [*lines, "", "one of them:"]


def _recording_lines(info: RecordingInfo) -> list[str]:
    lines = [f"{info.source}: {info.title}"]
    lines += [_row("missing", line) for line in info.missing]
    lines += [_row("topic", f"{name} ({text})") for name, text in info.topics.items()]
    if info.problem:
        return [*lines, _row("cannot be opened", info.problem)]
    lines.append(_row("frames", f"{info.frames} in '{info.name}', {info.frames_read} read for what follows"))
    lines += [_row("left out", f"{count} with {reason}") for reason, count in info.skipped.items()]
    lines += [_row("unreadable", f"{count} x {reason}") for reason, count in list(info.unreadable.items())[:_LISTED]]
    lines += [_row("colour", _counted(info.sizes)), _row("camera", _camera_text(info))]
    lines.append(_row("depth", _depth_text(info.depth, _unit(info))))
    lines.append(_row("poses", _pose_text(info.poses, _unit(info), info.frames_read == info.frames)))
    lines.append(_row("pose convention", _check_text(info.pose_check)))
    return [*lines, _row("time", _time_text(info))]


def _row(name: str, text: str) -> str:
    return f"  {name:16} {text}"


def _unit(info: RecordingInfo) -> str:
    return "m" if info.metric else "units of its own (not metres)"


def _counted(sizes: dict[str, int]) -> str:
    return ", ".join(size if len(sizes) == 1 else f"{size} ({count})" for size, count in sizes.items()) or "none"


def _camera_text(info: RecordingInfo) -> str:
    if info.intrinsics is None:
        return "unknown"
    fx, fy, cx, cy = info.intrinsics
    text = f"fx {fx:.2f}, fy {fy:.2f}, cx {cx:.2f}, cy {cy:.2f} px, distortion {info.distortion}"
    text += f"; {info.cameras} different ones" if info.cameras > 1 else ""
    return text if info.intrinsics_known else f"assumed, 60 degrees wide ({text})"


def _depth_text(depth: DepthInfo | None, unit: str) -> str:
    if depth is None:
        return "none"
    where = "registered to colour" if depth.registered else "of a camera of its own"
    return (
        f"{depth.frames} frames, {_counted(depth.sizes)}, {where}, {100 * depth.coverage:.1f} % known, "
        f"{depth.nearest:.2f} to {depth.farthest:.2f}, median {depth.median:.2f} {unit}"
    )


def _pose_text(poses: PoseInfo | None, unit: str, all_read: bool) -> str:
    if poses is None:
        return "none"
    if poses.path_length is None or poses.extent is None:
        return f"{poses.frames} frames, each in a world of its own"
    least = "" if all_read else "at least "
    extent = " x ".join(f"{side:.2f}" for side in poses.extent)
    return f"{poses.frames} frames, path {least}{poses.path_length:.2f}, extent {extent} {unit}"


def _check_text(check: PoseCheck | None) -> str:
    if check is None:
        return "not checked (needs depth and poses in one world)"
    shares = f"{100 * check.share_as_given:.0f} % of the points of {check.pairs} pairs of frames meet"
    if check.verdict == "undecided":
        return f"undecided: {shares}; the frames do not see enough in common, or the camera hardly moves"
    if check.verdict == "implausible":
        return f"IMPLAUSIBLE: {shares}, {100 * check.share_best:.0f} % if the poses were: {check.best}"
    also = f"; the motion is too simple to exclude: {'; '.join(check.not_excluded)}" if check.not_excluded else ""
    return f"plausible ({check.best}): {shares}{also}"


def _time_text(info: RecordingInfo) -> str:
    if not info.stamps_known:
        return "no stamps (made up, a second apart)"
    if info.duration_s is None or info.rate_hz is None:
        return "one frame, or frames at one time"
    return f"{info.duration_s:.2f} s, {info.rate_hz:.2f} Hz on average"


def _draw_sheet(found: RootInfo | RecordingInfo, path: Path, tiles: int) -> None:
    """Frames of a recording, or the middle frames of recordings, evenly spread."""
    from showroom_ros.datasets.info import RootInfo
    from showroom_ros.evaluation.contact_sheet import contact_sheet
    from showroom_ros.evaluation.pictures import Picture
    from showroom_ros.evaluation.report import encode, write_bytes
    from showroom_ros.scene.spread import evenly_spread

    drawn: list[Tile] = []
    if isinstance(found, RootInfo):
        title = f"{Path(found.source).name}: {len(found.recordings)} recordings"
        paths = list(found.recordings)
        for index in evenly_spread(len(paths), tiles):
            drawn += _tiles_of(paths[index], 1, Path(paths[index]).name)
    else:
        title = f"{found.name}: {found.frames} frames"
        drawn = _tiles_of(found.source, tiles, "")
    write_bytes(path, encode(Picture(path.stem, title, contact_sheet(drawn, title)), ".png"))


def _tiles_of(source: str, count: int, label: str) -> list[Tile]:
    """Tiles of a recording; frames that cannot be read are passed over (the text names them)."""
    from showroom_ros.datasets.open import open_sequence
    from showroom_ros.evaluation.contact_sheet import Tile
    from showroom_ros.scene.spread import evenly_spread

    tiles = []
    try:
        sequence: Sequence = open_sequence(source)
    except ShowroomError:
        return []
    for index in [len(sequence) // 2] if count == 1 else evenly_spread(len(sequence), count):
        try:
            frame = sequence.frame(index)
        except ShowroomError:
            continue
        tiles.append(Tile(frame.image, label or f"frame {index}", frame.depth))
    return tiles
