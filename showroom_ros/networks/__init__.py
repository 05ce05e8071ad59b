"""Networks, one per file, read bottom-up; their weights are loaded by ``weights`` and trained in ``training``."""
