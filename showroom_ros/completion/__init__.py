"""What no camera saw: views of the holes of a map, filled by inpainting and depth completion."""
