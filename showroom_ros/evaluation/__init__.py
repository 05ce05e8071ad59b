"""Measures of geometry, depth and colour: arrays in, dataclasses out."""
