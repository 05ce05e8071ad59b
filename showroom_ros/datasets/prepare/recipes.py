"""Every preparation by name."""

from __future__ import annotations

from showroom_ros.datasets.prepare import cub, hypersim, nyu, objects, places, scene_packs, shapenet
from showroom_ros.datasets.prepare.posed_video import VIDEO_RECIPES
from showroom_ros.datasets.prepare.recipe import Recipe

RECIPES: tuple[Recipe, ...] = (
    *VIDEO_RECIPES,
    scene_packs.RECIPE,
    nyu.RECIPE,
    places.RECIPE,
    hypersim.RECIPE,
    shapenet.RECIPE,
    cub.RECIPE,
    objects.RECIPE,
)
