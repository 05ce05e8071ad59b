"""Streaming indoor 3D reconstruction for ROS 2: measured, predicted and generated surface in one map.

Conventions, everywhere in this package: OpenCV optical axes (x right, y down, z forward), metres,
``T_a_b`` maps points of frame b to frame a, quaternions are ``wxyz``, stamps are int64 nanoseconds,
images are RGB, unknown depth is NaN.
"""

from pkgutil import extend_path

# The generated messages live in an installed ``showroom_ros``; from the repository root the source
# tree would hide them.
__path__ = extend_path(__path__, __name__)

__version__ = "0.1.0"
