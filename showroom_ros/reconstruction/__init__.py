"""From views to a map: one verb, ``Reconstructor.process(view) -> MapUpdate``."""
