"""``showroom generate``: a scene from one image: cloud, mesh, Gaussian splats and pictures."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from showroom_ros.cli.common import progress_bar

if TYPE_CHECKING:
    from showroom_ros.completion.generate import GeneratedScene
    from showroom_ros.scene.mesh import Mesh


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``showroom generate``."""
    parser.add_argument("--image", type=Path, required=True, help="photo to begin with")
    parser.add_argument("--depth", type=Path, help="its measured depth: 16-bit PNG in millimetres")
    parser.add_argument("--mode", choices=("single", "stage", "360"), default="stage", help="1, 3 or 13 views")
    parser.add_argument("--prompt", default="", help="what the scene is, for inpainters that read")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE.ply",
        help="cloud; beside it FILE_mesh.ply, FILE_splats.ply, FILE.json and the folder FILE_pictures",
    )
    parser.add_argument("--inpainter", default="telea", help="small, telea, lama or diffusers:FOLDER")
    parser.add_argument("--inpainter-file", default="", help="weights of it")
    parser.add_argument(
        "--depth-completer",
        default="small",
        help="small, zoedepth:FILE, transformers:FOLDER; with --depth also planes",
    )
    parser.add_argument("--depth-completer-file", default="", help="weights of it")
    parser.add_argument("--support-views", action="store_true", help="fill what edges hide, by eight views around each")
    parser.add_argument("--splat-iterations", type=int, default=12, help="fitting of the splats; 0 = as they begin")
    parser.add_argument("--turntable", type=int, default=24, metavar="FRAMES", help="pictures from a small circle")
    parser.add_argument("--voxel-size", type=float, default=0.03, metavar="METRES", help="of the mesh")
    parser.add_argument("--device", default="cpu", help="where networks live")
    parser.add_argument("--seed", type=int, default=0, help="of inpainters")


def run(arguments: argparse.Namespace) -> None:
    """Generates, writes, says what was written."""
    from showroom_ros.completion.depth import make_depth_completer
    from showroom_ros.completion.generate import generate_scene
    from showroom_ros.completion.inpaint import make_inpainter
    from showroom_ros.datasets.files import read_depth
    from showroom_ros.datasets.photo_files import read_photo
    from showroom_ros.evaluation.report import write_json
    from showroom_ros.scene.mesh_files import save_mesh

    image, camera = read_photo(arguments.image)
    inpainter = make_inpainter(arguments.inpainter, device=arguments.device, model_file=arguments.inpainter_file)
    completer = make_depth_completer(
        arguments.depth_completer, device=arguments.device, model_file=arguments.depth_completer_file
    )
    start = time.perf_counter()
    scene = generate_scene(
        image,
        camera,
        inpainter,
        completer,
        mode=arguments.mode,
        prompt=arguments.prompt,
        seed=arguments.seed,
        support_views=arguments.support_views,
        first_depth=read_depth(arguments.depth, 1000.0) if arguments.depth else None,
        progress=progress_bar("generating", "view"),
    )
    seconds = time.perf_counter() - start
    out: Path = arguments.out
    save_mesh(out, _as_cloud(scene))
    mesh = meshed(scene, arguments.voxel_size)
    save_mesh(_beside(out, "_mesh.ply"), mesh)
    pictures, psnr_db = _splats_and_pictures(scene, out, arguments)
    report: dict[str, Any] = {
        "image": str(arguments.image), "mode": arguments.mode, "views": len(scene.views), "points": len(scene.points),
        "triangles": len(mesh.triangles), "closing_error_m": scene.closing_error_m, "splats_psnr_db": psnr_db,
        "pictures": pictures, "seconds": seconds, "inpainter": inpainter.name, "depth_completer": completer.name,
        "seed": arguments.seed, "prompt": arguments.prompt,
    }  # fmt: skip
    write_json(_beside(out, ".json"), report)
    for name in ("views", "points", "triangles", "closing_error_m", "splats_psnr_db", "seconds"):
        print(f"{name:20} {report[name]}")
    print(f"written to {out} and beside it")


def meshed(scene: GeneratedScene, voxel_size_m: float) -> Mesh:
    """The views of a scene, fused: each the part it added."""
    import dataclasses

    import numpy as np

    from showroom_ros.scene.view import Provenance
    from showroom_ros.scene.volume import TsdfVolume
    from showroom_ros.settings import MapSettings

    volume = TsdfVolume(MapSettings(voxel_size_m=voxel_size_m, truncation_m=4 * voxel_size_m, max_depth_m=20.0))
    for view in scene.views:
        assert view.provenance is not None
        own = view if view is scene.views[0] else dataclasses.replace(
            view,
            depth=np.where(view.provenance == Provenance.GENERATED, view.require_depth(), np.nan).astype(np.float32),
        )  # fmt: skip
        volume.integrate(own)
    return volume.extract_mesh()


def _splats_and_pictures(scene: GeneratedScene, out: Path, arguments: argparse.Namespace) -> tuple[int, float]:
    """Writes both; returns how many pictures, and how well the splats show the image."""
    import numpy as np

    from showroom_ros.completion.generate import turntable
    from showroom_ros.completion.splats import gaussians_of_points, render, save_gaussians
    from showroom_ros.completion.splats_torch import optimised
    from showroom_ros.scene.image_codec import write_picture

    gaussians = gaussians_of_points(scene.points, scene.colors, scene.provenance)
    bar = progress_bar("fitting splats", "step")
    gaussians = optimised(
        gaussians,
        scene.views,
        arguments.splat_iterations,
        seed=arguments.seed,
        progress=lambda done, total, _: bar(done, total),
    )
    save_gaussians(_beside(out, "_splats.ply"), gaussians, with_provenance=False)
    first = scene.views[0]
    error = render(gaussians, first.camera, first.require_pose()).astype(float) - first.image
    psnr_db = float(10 * np.log10(255**2 / max(float(np.mean(error**2)), 1e-9)))
    frames = turntable(scene, arguments.turntable, gaussians=gaussians) if arguments.turntable > 0 else []
    folder = _beside(out, "_pictures")
    for number, view in enumerate(scene.views):
        write_picture(folder / f"view_{number:02d}.png", view.image)
    for number, picture in enumerate(frames):
        write_picture(folder / f"turn_{number:03d}.png", picture)
    return len(scene.views) + len(frames), psnr_db


def _as_cloud(scene: GeneratedScene) -> Mesh:
    import numpy as np

    from showroom_ros.scene.mesh import Mesh

    nothing = np.zeros((0, 3), np.int32)
    return Mesh(scene.points, nothing, scene.colors, np.zeros_like(scene.points), scene.provenance)


def _beside(out: Path, ending: str) -> Path:
    return out.with_name(out.stem + ending)
