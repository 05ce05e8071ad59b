"""Every preparation by name."""

from __future__ import annotations

from showroom_ros.datasets.prepare import scene_packs
from showroom_ros.datasets.prepare.posed_video import VIDEO_RECIPES
from showroom_ros.datasets.prepare.recipe import Recipe

RECIPES: tuple[Recipe, ...] = (
    *VIDEO_RECIPES,
    scene_packs.RECIPE,
)
