"""The file services of ``reconstruction_node``: below ``output.output_dir`` only."""

from __future__ import annotations

from showroom_ros.reconstruction.outputs import make_parent, resolve_output
from showroom_ros.reconstruction.reconstructor import Reconstructor
from showroom_ros.scene.mesh_files import save_mesh
from showroom_ros.settings import OutputSettings


class MapFiles:
    """Saves and loads one map; each method gets the path of a request and returns what was done.

    For the thread that owns the map. Bad paths and files are a ``ShowroomError``.
    """

    def __init__(self, reconstructor: Reconstructor, settings: OutputSettings) -> None:
        """``settings`` say where files may go."""
        self._reconstructor, self._settings = reconstructor, settings

    def save_mesh(self, file_path: str) -> str:
        """Writes the mesh; the suffix tells the format."""
        path = make_parent(resolve_output(file_path, self._settings))
        mesh = self._reconstructor.volume.extract_mesh()
        save_mesh(path, mesh)
        return f"{len(mesh.triangles)} triangles written to {path}"

    def save_map(self, file_path: str) -> str:
        """Writes the map with its settings."""
        path = make_parent(resolve_output(file_path, self._settings))
        self._reconstructor.save_map(path)
        return f"{self._reconstructor.volume.block_count} blocks written to {path}"

    def load_map(self, file_path: str) -> str:
        """Replaces the map by a saved one."""
        path = resolve_output(file_path, self._settings)
        self._reconstructor.load_map(path)
        return f"{self._reconstructor.volume.block_count} blocks read from {path}"
