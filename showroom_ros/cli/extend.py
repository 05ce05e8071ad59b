"""``showroom extend PHOTO...``: photos of one room reconstructed, and the side that is missing made up."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from showroom_ros.cli.common import add_settings_arguments, progress_bar, settings_from
from showroom_ros.cli.method import add_method_arguments
from showroom_ros.errors import InputError

if TYPE_CHECKING:
    from showroom_ros.completion.extend import Decide, Extension
    from showroom_ros.completion.layout import LayoutNetwork
    from showroom_ros.reconstruction.multi_view import MultiViewResult
    from showroom_ros.settings import Settings

_UP = (0.0, 0.0, 1.0)
"""Placed photos are levelled: z is up."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``showroom extend``."""
    parser.add_argument("photos", nargs="+", metavar="PHOTO", help="two or more of one room, or one folder of them")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE.ply",
        help="mesh, with provenance; beside it FILE.json and the folder FILE_pictures",
    )
    parser.add_argument(
        "--decide",
        choices=("surface", "layout"),
        default="surface",
        help="where most surface is missing (default); or ShowRoom's rules on the layouts of exactly three photos",
    )
    parser.add_argument(
        "--layout-file", default="", metavar="FILE", help="weights of the room layout (default: those shipped)"
    )
    parser.add_argument("--views", type=int, default=1, help="made at most, one after the other, while one is missing")
    parser.add_argument(
        "--turn", type=float, default=30.0, metavar="DEGREES", help="from a photo to the view beside it"
    )
    parser.add_argument("--prompt", default="", help="what the room is, for inpainters that read")
    parser.add_argument("--inpainter", default="telea", help="small, telea, lama or diffusers:FOLDER")
    parser.add_argument("--inpainter-file", default="", help="weights of it")
    parser.add_argument("--depth-completer", default="small", help="small, planes..., zoedepth:FILE...")
    parser.add_argument("--depth-completer-file", default="", help="weights of it")
    parser.add_argument("--seed", type=int, default=0, help="of inpainters")
    add_method_arguments(parser)
    add_settings_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """Reconstructs, decides, makes up, writes, says what was decided."""
    from showroom_ros.cli.reconstruct_photos import placed, read_photos
    from showroom_ros.completion.completable import map_of_views
    from showroom_ros.completion.complete import filled_by
    from showroom_ros.completion.depth import make_depth_completer
    from showroom_ros.completion.extend import extend, settings_of_photos
    from showroom_ros.completion.inpaint import make_inpainter
    from showroom_ros.reconstruction.outputs import make_parent
    from showroom_ros.scene.volume import make_volume

    settings = settings_from(arguments)
    paths = _checked_photos(arguments)
    device = settings.reconstruction.device
    network: LayoutNetwork | None = None
    if arguments.decide == "layout":
        from showroom_ros.completion.layout_torch import RoomLayout

        network = RoomLayout(arguments.layout_file, device)
    inpainter = make_inpainter(arguments.inpainter, device=device, model_file=arguments.inpainter_file)
    completer = make_depth_completer(
        arguments.depth_completer, device=device, model_file=arguments.depth_completer_file
    )
    make_parent(arguments.out)  # before the work, not after
    photos, rejected = read_photos(paths)
    method, result = placed(photos, settings)
    scene = map_of_views(result.views, make_volume(settings_of_photos(settings.map), device))
    made, is_whole = extend(
        scene,
        [view.require_pose() for view in result.views],
        result.views[0].camera,
        _decider(network, result, arguments.turn),
        filled_by(inpainter, completer, prompt=arguments.prompt, seed=arguments.seed),
        up=_UP,
        turn_deg=arguments.turn,
        max_views=arguments.views,
        progress=progress_bar("extending", "view") if arguments.views > 1 else lambda done, most: None,
    )
    report = {
        "method": method, "scale": result.scale, "photos": len(paths), "photos_placed": len(result.views),
        "photos_rejected": rejected, "decided_by": network.name if network else "surface",
        "inpainter": inpainter.name, "depth_completer": completer.name, "seed": arguments.seed,
        "prompt": arguments.prompt, "nothing_missing": is_whole, "notes": result.notes,
    }  # fmt: skip
    _write(arguments.out, scene.mesh(), made, result, report, settings)
    _tell(report, arguments.out)


def _checked_photos(arguments: argparse.Namespace) -> list[Path]:
    from showroom_ros.cli.reconstruct_photos import photo_paths
    from showroom_ros.completion.extend import LAYOUT_PHOTOS

    paths = photo_paths(arguments.photos)
    if paths is None:
        raise InputError(f"{arguments.photos[0]}: is neither a photo nor a folder of photos")
    if len(paths) < 2:
        raise InputError(f"there is {len(paths)} photo, expected at least 2; a scene from one: showroom generate")
    if arguments.decide == "layout" and len(paths) != LAYOUT_PHOTOS:
        raise InputError(f"there are {len(paths)} photos, --decide layout is for exactly {LAYOUT_PHOTOS}")
    if arguments.decide == "layout" and arguments.views != 1:
        raise InputError(f"--views is {arguments.views}, --decide layout decides once: expected 1")
    if arguments.views < 1 or not 0 < arguments.turn < 180:
        raise InputError(
            f"--views is {arguments.views}, --turn {arguments.turn}, expected 1 or more and degrees between 0 and 180"
        )
    return paths


def _decider(network: LayoutNetwork | None, result: MultiViewResult, turn_deg: float) -> Decide:
    from showroom_ros.completion.extend import LAYOUT_PHOTOS, by_layout, by_surface

    if network is None:
        return by_surface(_UP, turn_deg)
    if len(result.views) != LAYOUT_PHOTOS:
        raise InputError(
            f"{len(result.views)} of {len(result.names)} photos could be placed, --decide layout needs exactly "
            f"{LAYOUT_PHOTOS}: {'; '.join(result.notes) or 'no reason is known'}"
        )
    return by_layout(network, [view.image for view in result.views])


def _write(
    out: Path,
    mesh: Any,
    made: Sequence[Extension],
    result: MultiViewResult,
    report: dict[str, Any],
    settings: Settings,
) -> None:
    """Mesh, pictures of the views that were made, and the report; adds to ``report`` what was made."""
    import numpy as np

    from showroom_ros.evaluation.report import write_json
    from showroom_ros.scene.image_codec import write_picture
    from showroom_ros.scene.mesh_files import save_mesh
    from showroom_ros.scene.view import Provenance
    from showroom_ros.settings import to_dict

    save_mesh(out, mesh)
    for number, extension in enumerate(made):
        write_picture(out.with_name(f"{out.stem}_pictures") / f"view_{number:02d}.png", extension.view.image)
    report["extended"] = [
        {
            "photo": result.names[result.numbers[extension.photo]],
            "side": extension.side.name.lower(),
            "turned_deg": extension.turned_deg,
            "hole_share": extension.hole_share,
            "pixels_generated": extension.counts.generated,
            "pixels_blocking": extension.counts.blocking,
        }
        for extension in made
    ]
    report["triangles"] = len(mesh.triangles)
    report["vertices_generated"] = int(np.count_nonzero(mesh.provenance == Provenance.GENERATED))
    write_json(out.with_suffix(".json"), report | {"settings": to_dict(settings)})


def _tell(report: dict[str, Any], out: Path) -> None:
    for name in ("method", "photos", "photos_placed", "scale"):
        print(f"{name:20} {report[name]}")
    for line in report["notes"]:
        print(f"{'note':20} {line}")
    for one in report["extended"]:
        print(
            f"{'extended':20} {one['photo']} to the {one['side']}, turned by {one['turned_deg']:g} deg, "
            f"{one['hole_share']:.0%} holes, {one['pixels_generated']} pixels generated"
        )
    if report["nothing_missing"]:
        print("nothing more is missing" if report["extended"] else "nothing is missing")
    print(f"written to {out}; look at it: showroom view {out}")
