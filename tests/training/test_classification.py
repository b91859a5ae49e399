"""Classifiers learn, and an interrupted training goes on to the same numbers."""

import pytest
import torch

from sciml.builders import grid_graph
from sciml.models import ImageNetwork
from sciml.training.classification import confusion, train_classifier
from sciml.training.task import NonFiniteLossError


def stripes(number=60, seed=0):
    """Horizontal against vertical stripes under noise."""
    random = torch.Generator().manual_seed(seed)
    label = torch.arange(number) % 2
    wave = torch.sin(torch.arange(8.0) * 2.1)
    clean = torch.where(label[:, None, None] == 1, wave[:, None].expand(8, 8), wave.expand(8, 8))
    values = clean[:, None] + 0.3 * torch.randn(number, 1, 8, 8, generator=random)
    return grid_graph(values).with_globals(label=label)


def network(group=None):
    torch.manual_seed(0)
    return ImageNetwork(2, 1, (4, 4), 3, (2, 1), group)


def test_stripes_are_told_apart_unless_turning_hides_them(tmp_path):
    """A plain network tells the direction; one that is invariant to quarter turns cannot."""
    errors = {}
    for name, group in (("plain", None), ("p4", "C4")):
        model = network(group)
        options = {"classes": 2, "epochs": 15, "batch_size": 10}
        train_classifier(model, stripes(), stripes(10, 1), tmp_path / name, **options)
        table = confusion(model, stripes(100, 2), 2)
        assert table.sum() == 100
        errors[name] = 1 - float(table.diagonal().sum() / table.sum())
    assert errors["plain"] < 0.05
    assert errors["p4"] > 0.3


def test_a_training_that_was_cut_goes_on_to_the_same_numbers(tmp_path):
    whole, part = network(), network()
    options = {"classes": 2, "batch_size": 20, "seed": 5}
    train_classifier(whole, stripes(), stripes(10, 1), tmp_path / "whole", epochs=4, **options)

    class CutError(Exception):
        pass

    def cut(module, inputs, output, calls=[0]):  # noqa: B006 - counts calls
        calls[0] += module.training
        if calls[0] == 8:  # in the third epoch of three steps
            raise CutError

    handle = part.register_forward_hook(cut)
    with pytest.raises(CutError):
        train_classifier(part, stripes(), stripes(10, 1), tmp_path / "part", epochs=4, **options)
    handle.remove()
    again = network()
    train_classifier(again, stripes(), stripes(10, 1), tmp_path / "part", epochs=4, **options)
    for name, value in whole.state_dict().items():
        assert again.state_dict()[name].equal(value), name


def test_a_loss_that_is_not_finite_stops_with_a_message(tmp_path):
    graph = stripes()
    graph = graph.with_nodes(x=graph.nodes["x"] * 1e38)
    with pytest.raises(NonFiniteLossError, match="epoch 0, step 0"):
        train_classifier(network(), graph, stripes(10), tmp_path, classes=2, epochs=1)
