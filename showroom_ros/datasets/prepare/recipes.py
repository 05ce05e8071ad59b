"""Every preparation by name."""

from __future__ import annotations

from showroom_ros.datasets.prepare.recipe import Recipe

RECIPES: tuple[Recipe, ...] = ()
