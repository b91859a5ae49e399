"""Simulated micrographs of crystals in the plane: which of the five Bravais lattices is it?"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Int

LATTICES = ("oblique", "rectangular", "centred rectangular", "square", "hexagonal")


def lattice_images(
    seed: int = 0,
    number: int = 2000,
    size: int = 32,
    spacing: float = 6.0,
    width: float = 1.0,
    noise: float = 0.5,
) -> tuple[Float[np.ndarray, "images 1 size size"], Int[np.ndarray, "images"], tuple[str, ...]]:
    """Draw Gaussian atoms on lattices of random orientation, origin and scale, under white noise.

    Cells a, b with angle γ between them: oblique b/a in 1.15–1.4 and γ in 68°–80°, rectangular b/a in
    1.25–1.6 and 90°, centred rectangular the rhombus a = b with γ in 68°–82° , square a = b and 90°,
    hexagonal a = b and 60°. All have the area ``spacing²`` up to 10 %, so that density tells nothing.

    Args:
        seed: of everything.
        number: of images, the five lattices in equal parts as far as it divides.
        size: pixels along each side.
        spacing: square root of the cell's mean area, in pixels.
        width: standard deviation of an atom, in pixels.
        noise: standard deviation of the noise; an atom is 1 high.

    Raises:
        ValueError: sizes that are not positive, or cells larger than the image.
    """
    if min(number, size, spacing, width) <= 0 or noise < 0 or 2 * spacing > size:
        raise ValueError(
            f"lattices: number {number}, size {size}, spacing {spacing} and width {width} must be positive, "
            f"noise {noise} not negative, and two spacings must fit into the image."
        )
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(number) % len(LATTICES))
    images = np.stack([_micrograph(rng, int(label), size, spacing, width) for label in labels])
    images += noise * rng.standard_normal(images.shape)
    return images[:, None], labels.astype(np.int64), LATTICES


def _micrograph(
    rng: np.random.Generator, label: int, size: int, spacing: float, width: float
) -> Float[np.ndarray, "size size"]:
    ratio, degrees = (
        (rng.uniform(1.15, 1.4), rng.uniform(68, 80)),
        (rng.uniform(1.25, 1.6), 90.0),
        (1.0, rng.uniform(68, 82)),
        (1.0, 90.0),
        (1.0, 60.0),
    )[label]
    gamma = math.radians(degrees)
    cell = np.array([[1.0, 0.0], [ratio * math.cos(gamma), ratio * math.sin(gamma)]])  # rows a, b
    cell *= spacing * rng.uniform(0.95, 1.05) / math.sqrt(np.linalg.det(cell))
    turn = rng.uniform(0, 2 * math.pi)
    cell = cell @ np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    if rng.random() < 0.5:
        cell = cell[:, ::-1]  # either hand
    reach = math.ceil(2 * size / spacing)
    counts = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 2, indexing="ij"), -1).reshape(-1, 2)
    atoms = counts @ cell + size / 2 + rng.uniform(0, 1, 2) @ cell
    atoms = atoms[((atoms > -4 * width) & (atoms < size + 4 * width)).all(1)]
    pixel = np.arange(size)
    profile = np.exp(-((pixel - atoms[:, :, None]) ** 2) / (2 * width**2))  # atoms 2 size
    return np.einsum("ar,ac->rc", profile[:, 0], profile[:, 1])
