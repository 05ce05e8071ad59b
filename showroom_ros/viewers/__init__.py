"""Where a person sees the map grow."""
