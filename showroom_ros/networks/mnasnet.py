"""The trunk of MnasNet 1.0 (Tan et al., CVPR 2019) in plain torch, with torchvision's parameter names."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from showroom_ros.errors import WeightsError

_BATCH_NORM_MOMENTUM = 1 - 0.9997


class MnasNetTrunk(nn.Module):
    """``layers[0]`` to ``layers[10]`` of torchvision's ``mnasnet1_0``: 24, 40, 80 channels at strides 4, 8, 16."""

    channels = (24, 40, 80)

    def __init__(self) -> None:
        """Fresh weights (Kaiming-normal, as torchvision)."""
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 32, 3, 2, 1, bias=False),
            _norm(32),
            nn.ReLU(inplace=True),
            nn.Conv2d(32, 32, 3, 1, 1, groups=32, bias=False),
            _norm(32),
            nn.ReLU(inplace=True),
            nn.Conv2d(32, 16, 1, bias=False),
            _norm(16),
            _stack(16, 24, 3, 2, 3, 3),
            _stack(24, 40, 5, 2, 3, 3),
            _stack(40, 80, 5, 2, 6, 3),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Normalised images [n, 3, H, W] to features at strides 4, 8, 16."""
        fine = self.layers[:9](images)
        medium = self.layers[9](fine)
        return fine, medium, self.layers[10](medium)


class InvertedResidual(nn.Module):
    """Expansion, depthwise convolution, projection; added to the input where shapes allow (Sandler et al., 2018)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        """Fresh weights."""
        super().__init__()
        inner = inputs * expansion
        self.residual = inputs == outputs and stride == 1
        self.layers = nn.Sequential(
            nn.Conv2d(inputs, inner, 1, bias=False),
            _norm(inner),
            nn.ReLU(inplace=True),
            nn.Conv2d(inner, inner, kernel, stride, kernel // 2, groups=inner, bias=False),
            _norm(inner),
            nn.ReLU(inplace=True),
            nn.Conv2d(inner, outputs, 1, bias=False),
            _norm(outputs),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Float [n, inputs, H, W] to [n, outputs, ceil(H / stride), ceil(W / stride)]."""
        result = self.layers(features)
        return result + features if self.residual else result


def load_torchvision(trunk: MnasNetTrunk, state: Mapping[str, Tensor]) -> None:
    """Takes the trunk's part of a state dict of torchvision's ``mnasnet1_0``; what lies behind it is not looked at.

    Raises:
        WeightsError: a parameter or statistic of the trunk is missing or has another shape.
    """
    own = trunk.state_dict()
    taken = {}
    for name, value in own.items():
        given = state.get(name)
        if given is None:
            raise WeightsError(f"the state dict lacks '{name}', expected that of torchvision's mnasnet1_0")
        if given.shape != value.shape:
            raise WeightsError(
                f"'{name}' of the state dict is {tuple(given.shape)}, expected {tuple(value.shape)} of mnasnet1_0"
            )
        taken[name] = given
    trunk.load_state_dict(taken)


def _stack(inputs: int, outputs: int, kernel: int, stride: int, expansion: int, repeats: int) -> nn.Sequential:
    first = InvertedResidual(inputs, outputs, kernel, stride, expansion)
    rest = [InvertedResidual(outputs, outputs, kernel, 1, expansion) for _ in range(repeats - 1)]
    return nn.Sequential(first, *rest)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, momentum=_BATCH_NORM_MOMENTUM)
