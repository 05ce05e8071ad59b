"""How networks of this package are trained: one trainer, one task per network, recipes in ``config/recipes``."""
