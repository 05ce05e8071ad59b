"""Time and memory of ``networks.fast3r`` by the number of views, beside upstream's own module where a copy of it lies.

``python -m showroom_ros.benchmarks.fast3r_cost --device cuda --views 2 8 32 100 --peer DIR --json FILE``, torch and
numpy only. DIR: a checkout of facebookresearch/fast3r (needs einops and omegaconf); nothing of it comes with this
package. Weights are random, the same for both; ``difference`` is the largest distance of their points over the largest
coordinate, at two views, in float32.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from showroom_ros.errors import InputError, MissingDependencyError
from showroom_ros.networks.fast3r_settings import PRESETS, Fast3rSettings
from showroom_ros.scene.output_file import atomic_output

_REPEATS = {"cpu": 1, "cuda": 5}
_LEAST_DEPTH = 12
"""Of a decoder that upstream builds."""


def costs(
    settings: Fast3rSettings,
    views: Sequence[int],
    width: int,
    height: int,
    device: str,
    peer: Path | None = None,
) -> dict[str, float]:
    """``ms_N``, ``mib_N`` (GPU only); with a peer ``peer_ms_N``, ``peer_mib_N``, ``ratio_ms_N`` and ``difference`` too.

    Raises:
        InputError: ``peer`` is no checkout, or the device is not there.
        MissingDependencyError: the peer's import needs a package.
    """
    import torch

    from showroom_ros.networks.fast3r import build

    if device.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"device is '{device}', but torch finds none")
    torch.manual_seed(0)
    network = build(settings).eval().to(device)
    half = torch.bfloat16 if device.startswith("cuda") else torch.float32
    found: dict[str, float] = {}
    other = None
    if peer is not None:
        other = _peer(peer, settings, network.state_dict(), device)
        found["difference"] = _difference(network, other, width, height, device)
    for count in views:
        images = torch.rand(1, count, 3, height, width, device=device)
        ms, mib = _measured(lambda images=images: network(images, dtype=half), device)  # type: ignore[misc]
        found[f"ms_{count}"] = ms
        found |= {} if mib is None else {f"mib_{count}": mib}
        if other is not None:
            peers = _as_upstream(images)
            with torch.autocast(torch.device(device).type, half, enabled=half != torch.float32):
                ms, mib = _measured(lambda peers=peers: other(peers), device)  # type: ignore[misc]
            found[f"peer_ms_{count}"] = ms
            found |= {} if mib is None else {f"peer_mib_{count}": mib}
            found[f"ratio_ms_{count}"] = found[f"ms_{count}"] / ms
    return found


def _measured(run: Callable[[], Any], device: str) -> tuple[float, float | None]:
    """Median milliseconds of a call, and the memory it peaks at on a GPU, in MiB."""
    import torch

    cuda = device.startswith("cuda")
    times = []
    with torch.inference_mode():
        run()
        if cuda:
            torch.cuda.reset_peak_memory_stats()
        for _ in range(_REPEATS["cuda" if cuda else "cpu"]):
            start = time.perf_counter()
            run()
            if cuda:
                torch.cuda.synchronize()
            times.append((time.perf_counter() - start) * 1e3)
    return median(times), torch.cuda.max_memory_allocated() / 2**20 if cuda else None


def _difference(network: Any, other: Any, width: int, height: int, device: str) -> float:
    import torch

    images = torch.rand(1, 2, 3, height, width, device=device)
    with torch.inference_mode():
        ours, theirs = network(images), other(_as_upstream(images))
    pairs = [
        *((a.points, b["pts3d_in_other_view"]) for a, b in zip(ours, theirs, strict=True)),
        *((a.local_points, b["pts3d_local"]) for a, b in zip(ours, theirs, strict=True)),
    ]
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in pairs)


def _as_upstream(images: Any) -> list[dict[str, Any]]:
    import torch

    size = torch.tensor([images.shape[-2:]])
    return [
        {"img": 2 * image - 1, "true_shape": size, "idx": number, "instance": str(number)}
        for number, image in enumerate(images.unbind(1))
    ]


def _peer(folder: Path, s: Fast3rSettings, state: dict[str, Any], device: str) -> Any:
    """Upstream's network with the given weights, its ids 0, 1, 2... like ours."""
    if not (folder / "fast3r" / "models" / "fast3r.py").is_file():
        raise InputError(f"{folder}: has no fast3r/models/fast3r.py, expected a checkout of facebookresearch/fast3r")
    if s.stem != "patch" or s.decoder_depth < _LEAST_DEPTH:
        raise InputError(f"upstream builds stems of patches and {_LEAST_DEPTH} blocks or more, not {s.stem}")
    _without_what_is_not_needed()
    sys.path.insert(0, str(folder))
    try:
        from fast3r.models.fast3r import Fast3R  # type: ignore[import-not-found]
    except ImportError as error:
        raise MissingDependencyError(f"{folder}: {error}: pip install einops omegaconf") from error
    finally:
        sys.path.remove(str(folder))
    attention = {"attn_implementation": "pytorch_auto" if device.startswith("cuda") else "pytorch_naive"}
    encoder = {"encoder_type": "croco", "img_size": 512, "patch_size": s.patch, "embed_dim": s.encoder_width,
               "depth": s.encoder_depth, "num_heads": s.encoder_heads, "mlp_ratio": s.mlp_ratio,
               "pos_embed": "RoPE100", "patch_embed_cls": "PatchEmbedDust3R", **attention}  # fmt: skip
    decoder = {"decoder_type": "fast3r", "random_image_idx_embedding": False, "enc_embed_dim": s.encoder_width,
               "embed_dim": s.decoder_width, "depth": s.decoder_depth, "num_heads": s.decoder_heads,
               "mlp_ratio": s.mlp_ratio, "qkv_bias": True, "drop": 0.0, "attn_drop": 0.0,
               "attn_bias_for_inference_enabled": False, **attention}  # fmt: skip
    infinite = float("inf")
    head = {"head_type": "dpt", "output_mode": "pts3d", "landscape_only": False, "with_local_head": True,
            "depth_mode": ["exp", -infinite, infinite], "conf_mode": ["exp", 1, infinite],
            "patch_size": s.patch}  # fmt: skip
    network = Fast3R(encoder, decoder, head).eval()
    network.load_state_dict(state, strict=False)
    return network.to(device)


def _without_what_is_not_needed() -> None:
    """Empty modules in place of those that upstream imports for its data sets, hub and log."""

    class Mixin:
        def __init_subclass__(cls, **_: Any) -> None:
            """Takes no notice."""

    empty: dict[str, dict[str, Any]] = {
        "huggingface_hub": {"PyTorchModelHubMixin": Mixin, "__version__": "1.0.0"},
        "fast3r.dust3r.datasets": {},
        "fast3r.dust3r.datasets.base": {},
        "fast3r.dust3r.datasets.base.base_stereo_view_dataset": {"view_name": str},
        "fast3r.utils": {"pylogger": types.SimpleNamespace(RankedLogger=lambda *_, **__: logging.getLogger("fast3r"))},
    }
    for name, content in empty.items():
        if name not in sys.modules:
            module = types.ModuleType(name)
            for field, value in content.items():
                setattr(module, field, value)
            sys.modules[name] = module


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", choices=PRESETS, default="full")
    parser.add_argument("--views", type=int, nargs="+", default=[2, 8, 32, 100])
    parser.add_argument("--size", type=int, nargs=2, metavar=("W", "H"), default=[512, 384])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--peer", type=Path)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args(arguments)
    width, height = chosen.size
    found = costs(PRESETS[chosen.preset], chosen.views, width, height, chosen.device, chosen.peer)
    for name, value in found.items():
        sys.stdout.write(f"{name:20} {value:.6g}\n")
    if chosen.json:
        with atomic_output(chosen.json) as file:
            file.write(json.dumps(found, indent=2).encode() + b"\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
