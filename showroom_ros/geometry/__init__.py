"""Pure functions on arrays: rigid transforms, cameras, depth registration, rendering."""
