"""Synthetic rooms: endless furnished interiors with exact geometry, from one integer seed (torch and numpy only)."""
