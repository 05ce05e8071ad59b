"""Training of ``networks.room_layout``: photos of made-up rooms, labelled as if there were no furniture.

Rooms may be made as training goes (half a minute of light each), or come from a folder that ``showroom prepare
synthetic`` filled: then photos are frames of the walks, and the empty room is made again for their labels.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from showroom_ros.datasets.synthetic.path import rotation_of
from showroom_ros.datasets.synthetic.renderer import Renderer
from showroom_ros.datasets.synthetic.room import Layout, Room, make_room
from showroom_ros.datasets.synthetic.room_layout import LayoutClass
from showroom_ros.datasets.synthetic.sensor import develop
from showroom_ros.datasets.synthetic.splits import seed_of, settings_of
from showroom_ros.datasets.synthetic.walkable import WalkableSpace
from showroom_ros.errors import DatasetError
from showroom_ros.geometry.camera import assumed_camera
from showroom_ros.networks.room_layout import (
    CLASSES,
    KIND,
    dense_classes,
    layout_classes,
    layout_shares,
    reference_planes,
)
from showroom_ros.settings import setting
from showroom_ros.training.appearance import as_by_another_camera
from showroom_ros.training.scenes import RecordedScene, Scene, SyntheticScene, open_scenes
from showroom_ros.training.task import Batch, Samples, TaskKind

SOFTNESS_PX = (61, 9)
"""Of the reference planes the loss looks at: the first reaches far, the second is near the truth."""
_LEAST_SHARE = 0.02
"""A class is never thought to be less likely: what is far off does not outweigh all else."""
_HORIZONTAL_FOV_DEG = (50.0, 90.0)
_HEIGHT_M = (1.0, 1.7)
_PITCH_DEG = (-18.0, 4.0)
_ROLL_DEG = 1.0
_CLEARANCE_M = 0.3
_LOOK_M = 1.5
"""A photo is taken towards a place at least so far away."""
_LENSES = 4
"""Fields of view per room."""
_FRAME_PITCH_DEG = (-28.0, 12.0)
"""Frames of a walk that look farther down or up are left out."""
_PREPARED = re.compile(r"synthetic-(train|val|test)-(\d+)")
_OUTSIDE_M, _OUTSIDE_SHARE = 0.1, 0.05
"""A recording is of another room where more than this share of it lies behind the room's walls."""
_ZOOM = 1.6
"""Photos to train on show this much less of the room at most, across and down."""
_DENSE_STEP, _MAP_STEP = 2, 3
"""Of the labels' pixels every so many, across and down, count for the classes and for the map."""
_COLORS = ((0, 0, 0), (230, 60, 60), (60, 160, 230), (240, 190, 50), (90, 200, 90), (190, 110, 220))


@dataclass(frozen=True)
class RoomLayoutTaskSettings:
    """What the recipe's ``task`` section may set."""

    width: int = setting(96, "of the images in pixels", minimum=16, maximum=1024)
    height: int = setting(72, "of the images in pixels", minimum=16, maximum=1024)
    photos: int = setting(32, "taken in a room", minimum=1, maximum=1024)
    rooms_at_once: int = setting(32, "rooms that are kept, and whose photos follow each other at random", minimum=1)
    overlap_weight: float = setting(1.0, "of one minus intersection over union", minimum=0.0)
    map_weight: float = setting(0.5, "of the map to the box room, beside the classes of places", minimum=0.0)


class RoomLayoutTask:
    """Implements ``training.task.Task``."""

    def __init__(self, settings: RoomLayoutTaskSettings, data: str, seed: int) -> None:
        """Makes no room yet; arguments as ``TaskKind.make``."""
        self.settings, self.data, self.seed = settings, data, seed
        self._planes = [reference_planes(softness) for softness in SOFTNESS_PX]

    def samples(self, validation: bool) -> Samples:
        """Photos; those for validation are the same whenever they are asked for.

        Raises:
            DatasetError: other data than made-up rooms.
        """
        scenes = open_scenes(self.data, validation=validation)
        return RoomPhotos(scenes, self.settings, self.seed, augment=not validation)

    def collate(self, samples: Sequence[Batch]) -> Batch:
        """Stacks."""
        return {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}

    def begin(self, network: nn.Module) -> None:
        """All of it begins fresh."""

    def prepare(self, network: nn.Module, step: int) -> None:
        """Nothing changes with the step."""

    def loss(self, network: nn.Module, batch: Batch, step: int) -> dict[str, Tensor]:
        """Of classes and of the map to the box room; and how many labelled pixels are right, also with H the identity.

        ``accuracy`` is that of the classes, ``map_accuracy`` that of theta; both of the same network.
        """
        labels = batch["classes"].long()
        height, width = labels.shape[-2:]
        theta, logits = network(batch["image"])
        theta = theta.float()
        self._planes = [planes.to(theta.device) for planes in self._planes]
        some, few = (labels[:, ::step, ::step].contiguous() for step in (_DENSE_STEP, _MAP_STEP))
        dense = F.interpolate(logits.float(), some.shape[-2:], mode="bilinear", align_corners=False).softmax(1)
        shares = [layout_shares(theta, planes, *few.shape[-2:]) for planes in self._planes]
        parts = {
            "cross_entropy": cross_entropy(dense, some),
            "no_overlap": 1 - soft_overlap(dense, some),
            "map": torch.stack([cross_entropy(share, few) + 1 - soft_overlap(share, few) for share in shares]).mean(),
        }
        with torch.no_grad():
            identity = theta.new_tensor([1, 0, 0, 0, 1, 0, 0, 0]).expand(len(theta), -1)
            parts["accuracy"] = pixel_accuracy(dense_classes(logits, height, width), labels)
            parts["map_accuracy"] = pixel_accuracy(layout_classes(theta, height, width), labels)
            parts["identity_accuracy"] = pixel_accuracy(layout_classes(identity, height, width), labels)
        classes = parts["cross_entropy"] + self.settings.overlap_weight * parts["no_overlap"]
        return {"loss": classes + self.settings.map_weight * parts["map"], **parts}

    def picture(self, network: nn.Module, batch: Batch) -> NDArray[np.uint8]:
        """Rows of the image, over it the network's classes, its map and the labels, of up to four samples."""
        images, labels = batch["image"][:4], batch["classes"][:4]
        colors = torch.tensor(_COLORS, device=images.device, dtype=torch.float32).T / 255
        with torch.no_grad():
            theta, logits = network(images)
            found = (f(x.float(), *labels.shape[-2:]) for f, x in ((dense_classes, logits), (layout_classes, theta)))
            paint = [colors[:, classes.long()].movedim(0, 1) for classes in (*found, labels)]
        columns = torch.cat([images, *((images + color) / 2 for color in paint)], 3)
        return (torch.cat(list(columns), 1) * 255).clamp(0, 255).byte().movedim(0, -1).cpu().numpy()


class RoomPhotos:
    """Samples ``image`` float32 [3, H, W], RGB in 0..1, and ``classes`` uint8 [H, W] of ``LayoutClass``."""

    def __init__(self, scenes: Sequence[Scene], settings: RoomLayoutTaskSettings, seed: int, *, augment: bool) -> None:
        """Photos of the rooms; with ``augment`` mirrored, zoomed and exposed at random, else as they are.

        Raises:
            DatasetError: a scene that is no made-up room.
        """
        self._scenes = {_room_seed(scene): scene for scene in scenes}
        self._seeds, self._settings, self._seed, self._augment = list(self._scenes), settings, seed, augment
        self._kept: OrderedDict[int, tuple[NDArray[np.uint8], NDArray[np.uint8]]] = OrderedDict()
        kind = "prepared" if any(isinstance(scene, RecordedScene) for scene in scenes) else "made-up"
        rooms = f"{len(self._seeds)} {kind} rooms {self._seeds[0]}..{self._seeds[-1]}"
        self.data_id = f"{rooms}, {settings.photos} photos each, seed {seed}"

    def __len__(self) -> int:
        """As many as there are photos; with ``augment`` without end."""
        return 2**31 - 1 if self._augment else len(self._seeds) * self._settings.photos

    def __getitem__(self, index: int) -> Batch:
        """Photo ``index``: of some rooms the photos in random order, then those of the next rooms."""
        photos, at_once = self._settings.photos, self._settings.rooms_at_once
        epoch, place = divmod(index, len(self._seeds) * photos)
        group, inside = divmod(place, at_once * photos)
        order = np.random.default_rng([self._seed, epoch, 1]).permutation(self._seeds)
        rooms = order[group * at_once : (group + 1) * at_once]
        shuffled = np.random.default_rng([self._seed, epoch, 2, group]).permutation(len(rooms) * photos)
        room, photo = divmod(int(shuffled[inside]), photos)
        images, classes = self._photos_of(int(rooms[room]))
        image, labels = torch.from_numpy(images[photo]).movedim(-1, 0).float() / 255, torch.from_numpy(classes[photo])
        if self._augment:
            rng = np.random.default_rng([self._seed, index, 3])
            image, labels = mirrored(image, labels) if rng.random() < 0.5 else (image, labels)
            image, labels = zoomed(image, labels, rng)
            image = as_by_another_camera(image[None], rng)[0]
        return {"image": image, "classes": labels.clone()}

    def _photos_of(self, room_seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        if room_seed not in self._kept:
            if len(self._kept) >= self._settings.rooms_at_once:
                self._kept.popitem(last=False)
            scene, settings = self._scenes[room_seed], replace(settings_of(room_seed), rooms=1)
            if isinstance(scene, RecordedScene):
                bare = make_room(room_seed, settings, furnished=False)
                self._kept[room_seed] = frames_of(scene, bare, self._settings)
            else:
                room = make_room(room_seed, settings)
                rng = np.random.default_rng([self._seed, room_seed, 51])
                self._kept[room_seed] = photos_of(room, self._settings, rng)
        self._kept.move_to_end(room_seed)
        return self._kept[room_seed]


def photos_of(
    room: Room, settings: RoomLayoutTaskSettings, rng: Generator
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Photos uint8 [N, H, W, 3] of a room, and what would be seen in each without furniture, uint8 [N, H, W]."""
    poses = photo_poses(room, settings.photos, rng)
    furnished, empty = Renderer(room), Renderer(without_objects(room))
    images, classes = [], []
    for some in np.array_split(poses, min(_LENSES, len(poses))):
        camera = assumed_camera(settings.width, settings.height, float(rng.uniform(*_HORIZONTAL_FOV_DEG)))
        seen = furnished.render_batch(camera, some)
        assert seen.radiance is not None
        images.append(develop(seen.radiance * room.exposure).numpy())
        classes.append(empty.render_batch(camera, some, shaded=False).layout_classes.numpy())
    return np.concatenate(images), np.concatenate(classes)


def frames_of(
    scene: RecordedScene, room: Room, settings: RoomLayoutTaskSettings
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """As ``photos_of``, of frames of a walk through the room, spread evenly over those that look ahead.

    Raises:
        DatasetError: no frame looks ahead, or the walk was through another room.
    """
    pitch = np.degrees(np.arcsin(np.clip(scene.poses[:, 2, 2], -1, 1)))
    ahead = np.flatnonzero((pitch >= _FRAME_PITCH_DEG[0]) & (pitch <= _FRAME_PITCH_DEG[1]))
    if not len(ahead):
        raise DatasetError(f"{scene.name}: no frame looks ahead, expected pitches within {_FRAME_PITCH_DEG} deg")
    chosen = ahead[np.linspace(0, len(ahead) - 1, settings.photos).round().astype(int)]
    size, empty = (settings.width, settings.height), Renderer(without_objects(room))
    images, classes, outside = [], [], []
    for index in chosen.tolist():
        view = scene.view(index)
        pixels = torch.from_numpy(view.image.astype(np.float32)).movedim(-1, 0)[None]
        small = F.interpolate(pixels, size[::-1], mode="area")[0].movedim(0, -1)
        images.append(small.round().byte().numpy())
        seen = empty.render_batch(view.camera.scaled(*size), scene.poses[index][None], shaded=False)
        classes.append(seen.layout_classes.numpy()[0])
        depth = F.interpolate(torch.from_numpy(view.require_depth())[None, None], size[::-1])[0, 0].numpy()
        outside.append(float((depth > seen.depth.numpy()[0] + _OUTSIDE_M).mean()))
    if np.mean(outside) > _OUTSIDE_SHARE:
        raise DatasetError(
            f"{scene.name}: {np.mean(outside):.0%} of it lies behind the walls of room {room.seed}, expected a walk "
            f"through it: prepare it with camera 'varied'"
        )
    return np.stack(images), np.stack(classes)


def photo_poses(room: Room, count: int, rng: Generator) -> NDArray[np.float64]:
    """Cameras ``T_world_camera`` float64 [count, 4, 4] held level by people who look into the room."""
    places = WalkableSpace(room.plan, room.furniture, _CLEARANCE_M).spread(60)
    poses = np.tile(np.eye(4), (count, 1, 1))
    for pose in poses:
        here = places[rng.integers(len(places))]
        away = np.linalg.norm(places - here, axis=1)
        ahead = places[rng.choice(np.flatnonzero(away >= min(_LOOK_M, float(away.max()))))] - here
        yaw, pitch = np.array(np.arctan2(ahead[1], ahead[0])), np.radians(rng.uniform(*_PITCH_DEG))
        pose[:3, :3] = rotation_of(yaw, pitch, np.radians(rng.normal(0, _ROLL_DEG)))
        pose[:3, 3] = (*here, rng.uniform(*_HEIGHT_M))
    return poses


def without_objects(room: Room) -> Room:
    """Floor, ceiling and walls with their doors and windows; of one material: to look at its layout only."""
    kept = room.layout != int(Layout.OBJECT)
    return replace(
        room,
        triangles=room.triangles[kept],
        material=np.zeros(int(kept.sum()), room.material.dtype),
        instance=room.instance[kept],
        layout=room.layout[kept],
        materials=room.materials[:1],
    )


def mirrored(image: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The photo [3, H, W] and its classes [H, W] as in a mirror: left and right wall change their names."""
    names = torch.arange(CLASSES + 1, dtype=labels.dtype)
    names[int(LayoutClass.LEFT_WALL)], names[int(LayoutClass.RIGHT_WALL)] = 3, 2
    return image.flip(-1), names[labels.flip(-1).long()]


def zoomed(image: Tensor, labels: Tensor, rng: Generator) -> tuple[Tensor, Tensor]:
    """A part of the photo [3, H, W] and of its classes [H, W], in their size, near the middle.

    The classes stay those of the whole photo's optical axis.
    """
    height, width = labels.shape
    share = 1 / float(rng.uniform(1, _ZOOM))
    rows, columns = round(share * height), round(share * width)
    top, left = (round((whole - part) * rng.uniform(0.25, 0.75)) for whole, part in ((height, rows), (width, columns)))
    window = np.s_[..., top : top + rows, left : left + columns]
    image = F.interpolate(image[window][None], (height, width), mode="bilinear", align_corners=False)[0]
    return image, F.interpolate(labels[window][None, None], (height, width), mode="nearest")[0, 0]


def cross_entropy(shares: Tensor, labels: Tensor) -> Tensor:
    """Mean of minus the logarithm of the true class's share over labelled pixels.

    Args:
        shares: float [B, 5, H, W], of classes 1 to 5.
        labels: int64 [B, H, W]; 0 is not labelled.
    """
    labelled = labels > 0
    true = shares.gather(1, (labels - 1).clamp(min=0)[:, None])[:, 0]
    return -((1 - _LEAST_SHARE) * true + _LEAST_SHARE).log()[labelled].sum() / labelled.sum().clamp(min=1)


def soft_overlap(shares: Tensor, labels: Tensor) -> Tensor:
    """Intersection over union of shares and labels (Rahman and Wang, 2016); mean over the classes of the batch.

    Of all images together: a class of which one image shows a few pixels would outweigh the others.
    """
    truth = torch.stack([labels == number for number in range(1, CLASSES + 1)], 1).to(shares.dtype)
    shares = shares * (labels > 0)[:, None]
    both = (shares * truth).sum((0, 2, 3))
    either = (shares + truth - shares * truth).sum((0, 2, 3))
    there = truth.sum((0, 2, 3)) > 0
    return (both / either.clamp(min=1))[there].sum() / there.sum().clamp(min=1)


def pixel_accuracy(found: Tensor, labels: Tensor) -> Tensor:
    """Share of labelled pixels [B, H, W] whose class was found."""
    labelled = labels > 0
    return (found == labels)[labelled].float().sum() / labelled.sum().clamp(min=1)


def _room_seed(scene: object) -> int:
    name = str(getattr(scene, "name", scene))
    if isinstance(scene, SyntheticScene):
        split, _, number = name.removeprefix("synthetic:").partition("/")
        return seed_of(split, int(number))
    if found := _PREPARED.fullmatch(name):
        return seed_of(found[1], int(found[2]))
    raise DatasetError(
        f"{name}: nothing says which wall is which in a recording, expected made-up rooms such as synthetic:train, "
        f"synthetic:train/0-99 or a folder of such that were prepared"
    )


TASK = TaskKind(KIND, RoomLayoutTaskSettings, RoomLayoutTask)
