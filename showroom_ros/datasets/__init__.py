"""Readers that turn recordings and synthetic rooms into a ``Sequence``."""
