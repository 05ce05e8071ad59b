"""Thin lifecycle nodes: convert, call, convert, publish."""
