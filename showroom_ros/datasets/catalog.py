"""Every kind of recording that can be opened by its path, in the order in which they are tried."""

from __future__ import annotations

from showroom_ros.bags.reader import looks_like_bag
from showroom_ros.bags.sequence import BagSequence
from showroom_ros.datasets import (
    arkitscenes,
    cub,
    hypersim,
    icl_nuim,
    invsfm,
    megadepth,
    nyu,
    photos,
    places,
    scannet,
    scannetpp,
    scannetpp_iphone,
    seven_scenes,
    shapenet,
    slambook,
    tum,
)
from showroom_ros.datasets.dataset import Dataset
from showroom_ros.datasets.prepare import prepared
from showroom_ros.errors import DatasetError

BAG = Dataset("bag", "rosbag2 or ROS 1 bag", "metadata.yaml, .mcap, .db3 or ROS 1 .bag", looks_like_bag, BagSequence)

DATASETS: tuple[Dataset, ...] = (
    BAG,
    prepared.DATASET,
    hypersim.DATASET,
    arkitscenes.DATASET,
    scannetpp.DATASET,
    scannetpp_iphone.DATASET,
    scannet.DATASET,
    seven_scenes.DATASET,
    slambook.DATASET,
    icl_nuim.DATASET,
    tum.DATASET,  # rgb/ and groundtruth.txt: other kinds may have them too
    nyu.DATASET,
    megadepth.DATASET,
    invsfm.DATASET,
    shapenet.DATASET,
    cub.DATASET,
    places.DATASET,
    photos.DATASET,  # any folder of images: last
)


def dataset_named(name: str) -> Dataset:
    """The kind of that name.

    Raises:
        DatasetError: there is none; names those there are.
    """
    for dataset in DATASETS:
        if dataset.name == name:
            return dataset
    raise DatasetError(f"data set '{name}' is unknown, expected one of {', '.join(d.name for d in DATASETS)}")
