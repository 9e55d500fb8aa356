"""Make digits.npz and digits.onnx: ``pip install 'hetpart[train]'``, then ``python -m examples.digits.train``.

Takes a minute on one core. The results are committed, so that nothing else needs torch or scikit-learn.
"""

from __future__ import annotations

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

from examples.digits import DATA, INPUT, MODEL, load

SEED = 0
EPOCHS = 40
BATCH = 64


class Layer(nn.Sequential):
    """A convolution that keeps the size (but for its stride), and a normalisation."""

    def __init__(self, made_of: int, channels: int, kernel: int, *, stride: int = 1, group: int = 1) -> None:
        super().__init__(
            nn.Conv2d(made_of, channels, kernel, stride, kernel // 2, groups=group, bias=False),
            nn.BatchNorm2d(channels),
        )


class Network(nn.Module):
    """A residual block, a separable convolution, two concatenated branches, an inverted residual, a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Layer(1, 32, 3)
        self.first, self.second = Layer(32, 32, 3), Layer(32, 32, 3)
        self.down, self.point = Layer(32, 32, 3, stride=2, group=32), Layer(32, 64, 1)
        self.small, self.large = Layer(64, 32, 1), Layer(64, 32, 3)
        self.expand, self.depth, self.project = Layer(64, 128, 1), Layer(128, 128, 3, group=128), Layer(128, 64, 1)
        self.head = nn.Linear(64, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        relu = functional.relu
        x = relu(self.stem(image))
        x = relu(x + self.second(relu(self.first(x))))
        x = relu(self.point(relu(self.down(x))))
        x = relu(torch.cat([self.small(x), self.large(x)], dim=1))
        x = relu(x + self.project(relu(self.depth(relu(self.expand(x))))))
        logits: torch.Tensor = self.head(x.mean(dim=(2, 3)))
        return logits


def save_data() -> None:
    """All images in random order, as the bytes that they are."""
    bunch = load_digits()
    order = np.random.default_rng(SEED).permutation(len(bunch.target))
    np.savez_compressed(DATA, images=bunch.images[order].astype(np.uint8), labels=bunch.target[order].astype(np.uint8))


def train() -> Network:
    torch.manual_seed(SEED)
    data, held_out = load()
    images, labels = torch.from_numpy(data.images), torch.from_numpy(data.labels).long()
    network = Network()
    # decay enough to leave channels without use, as in networks that are trained for long
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1.0)
    steps = EPOCHS * (len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=5e-3, total_steps=steps)
    for _ in range(EPOCHS):
        network.train()
        for part in torch.randperm(len(images))[: len(images) // BATCH * BATCH].split(BATCH):
            shifts = torch.randint(-1, 2, (2,)).tolist()
            shifted = torch.roll(functional.pad(images[part], (1, 1, 1, 1)), shifts, (2, 3))[:, :, 1:-1, 1:-1]
            optimiser.zero_grad()
            functional.cross_entropy(network(shifted), labels[part]).backward()
            optimiser.step()
            schedule.step()
    network.eval()
    with torch.no_grad():
        right = network(torch.from_numpy(held_out.images)).argmax(1).numpy() == held_out.labels
    print(f"{right.mean():.2%} of {len(right)} held-out images")
    return network


def save(network: Network) -> None:
    """As exporters do for inference, but with the normalisations still there, which a user's model may have too."""
    torch.onnx.export(
        network, (torch.zeros(1, 1, 8, 8),), MODEL, input_names=[INPUT], output_names=["logits"], dynamo=False,
        training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False, opset_version=17,
    )  # fmt: skip


if __name__ == "__main__":
    save_data()
    save(train())
