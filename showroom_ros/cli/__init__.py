"""The ``showroom`` command."""
