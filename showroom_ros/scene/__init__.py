"""The scene: views of it, the volume they are fused into, and the meshes that come out."""
