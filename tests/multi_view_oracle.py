"""A pointmap network that knows the truth, and pictures for rooms that have none."""

from __future__ import annotations

import dataclasses

import numpy as np

from showroom_ros.geometry.se3 import inverse, transform_points
from showroom_ros.reconstruction.multi_view import Pointmaps
from showroom_ros.reconstruction.photos import Photo


class Oracle:
    """Knows each image; every call has its own unit, noise, and now and then a pixel that is far off."""

    patch, metric, name, note = 8, False, "oracle", ""

    def __init__(self, views, *, noise=0.003, outliers=0.03, seed=0):
        self.image_size = views[0].camera.width
        self._views = {self._key(view.image): view for view in views}
        self._rng = np.random.default_rng(seed)
        self._noise, self._outliers, self.calls = noise, outliers, 0

    def _key(self, image):
        return np.ascontiguousarray(image).tobytes()

    def pointmaps(self, images):
        self.calls += 1
        views = [self._views[self._key(image)] for image in images]
        unit = self._rng.uniform(0.3, 3.0)
        to_first = inverse(views[0].require_pose())
        result = []
        for view in views:
            local = view.camera.back_project(view.require_depth())
            known = np.isfinite(local).all(-1)
            points = transform_points(to_first @ view.require_pose(), local)
            planes = []
            for values in (points, local):
                noisy = unit * values * (1 + self._noise * self._rng.standard_normal(values.shape))
                off = self._rng.random(known.shape) < self._outliers
                noisy[off] *= self._rng.uniform(0.5, 2.0, (int(off.sum()), 1))
                confidence = np.where(known & ~off, 20.0, 1.05) + self._rng.random(known.shape)
                planes += [np.where(known[..., None], noisy, 0.0).astype(np.float32), confidence.astype(np.float32)]
            result.append(Pointmaps(*planes))
        return result


def textured(views, seed):
    """The same geometry with a picture that no other room has, seen by every camera where it is."""
    rng = np.random.default_rng(seed)
    waves, phases = rng.normal(0, 6.0, (8, 3)), rng.uniform(0, 7, 8)
    result = []
    for view in views:
        points = transform_points(view.require_pose(), view.camera.back_project(view.require_depth()))
        grey = np.clip(127 + 30 * np.sin(np.nan_to_num(points) @ waves.T + phases).sum(-1), 0, 255).astype(np.uint8)
        result.append(dataclasses.replace(view, image=np.repeat(grey[..., None], 3, -1)))
    return result


def photos_of(views, **known):
    return [
        Photo(
            view.image,
            name=f"{number}.jpg",
            camera=view.camera if known.get("camera") else None,
            T_world_camera=view.T_world_camera if known.get("pose") else None,
            depth=view.depth if known.get("depth") else None,
        )
        for number, view in enumerate(views)
    ]
