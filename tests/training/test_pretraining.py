"""Pretraining without labels: noise is seen, elements are found, and the encoder goes where it fits."""

import numpy as np
import pytest
import torch
from ase.build import molecule
from omegaconf import OmegaConf

import sciml
from sciml.builders import atoms_graph
from sciml.models import Denoiser, PaiNN, StructurePredictor
from sciml.training.errors import RunError
from sciml.training.pretraining import denoising_errors, pretrain, take_encoder
from sciml.training.run import open_run, save_config

SIZES = {"channels": 16, "layers": 2, "radial": 6, "cutoff": 3.0}
NAMES = ("CH4", "NH3", "H2O", "C2H2", "HCN", "H2CO", "CH3OH", "C2H6")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of pretraining on eight molecules as they are."""
    path = tmp_path_factory.mktemp("pretraining")
    graphs = atoms_graph([molecule(NAMES[i % 8]) for i in range(64)], 3.0).to(torch.float32)
    torch.manual_seed(0)
    model = Denoiser(**SIZES, noise=0.1)
    before = denoising_errors(model, graphs)
    options = {"epochs": 25, "batch_size": 16, "learning_rate": 5e-3, "progress": False}
    pretrain(model, graphs, graphs[:8], path, **options)
    after = denoising_errors(model, graphs)
    open_run(path)
    config = {"model": {"_target_": "sciml.models.Denoiser", **SIZES, "noise": 0.1}}
    save_config(path, OmegaConf.create(config))
    return path, before, after


def test_it_learns(run):
    """Noise of known molecules can be told, and what is bonded to four hydrogens is a carbon."""
    _, before, after = run
    assert before["noise_left"] > 0.95
    assert after["noise_left"] < 0.85
    assert after["elements_found"] > max(0.7, before["elements_found"])


def test_spoiled_graphs():
    graph = atoms_graph([molecule("CH3OH")] * 200, 3.0)
    model = Denoiser(**SIZES, noise=0.2, hidden=0.3)
    spoiled, noise, hidden = model.spoiled(graph, torch.Generator().manual_seed(0))
    torch.testing.assert_close(spoiled.nodes["pos"], graph.nodes["pos"] + 0.2 * noise)
    assert (spoiled.nodes["number"][hidden] == 0).all()
    assert (spoiled.nodes["number"][~hidden] == graph.nodes["number"][~hidden]).all()
    assert float(noise.std()) == pytest.approx(1.0, abs=0.05)
    assert float(hidden.double().mean()) == pytest.approx(0.3, abs=0.05)


def test_the_encoder_is_taken(run):
    """By a predictor and by a potential, and nothing else of them changes."""
    path, *_ = run
    weights = sciml.load_run(path).encoder.state_dict()
    predictor = StructurePredictor({"gap": "mean"}, **SIZES)
    readout = predictor.readouts[0].scalar[0].weight.clone()
    take_encoder(predictor, path)
    for name, value in weights.items():
        torch.testing.assert_close(predictor.encoder.state_dict()[name], value, rtol=0, atol=0)
    torch.testing.assert_close(predictor.readouts[0].scalar[0].weight, readout)
    potential = PaiNN(**SIZES)
    take_encoder(potential, path)
    torch.testing.assert_close(potential.embedding, weights["embedding"])
    graph = atoms_graph(molecule("CH3OH"), 3.0).to(torch.float32)
    mine = predictor.encoder(graph).nodes["x"]
    torch.testing.assert_close(mine, sciml.load_run(path).encoder(graph).nodes["x"])
    assert np.isfinite(potential.predict(molecule("CH3OH")).energy)


def test_what_does_not_fit_is_said(run, tmp_path):
    path, *_ = run
    with pytest.raises(RunError, match="channels, layers and radial must be alike"):
        take_encoder(StructurePredictor({"gap": "mean"}, **SIZES | {"channels": 8}), path)
    with pytest.raises(RunError, match="cutoff of 3 Å, and the model has 4 Å"):
        take_encoder(StructurePredictor({"gap": "mean"}, **SIZES | {"cutoff": 4.0}), path)
    with pytest.raises(RunError, match="Linear has no encoder"):
        take_encoder(torch.nn.Linear(2, 2), path)
    with pytest.raises(RunError):
        take_encoder(StructurePredictor({"gap": "mean"}, **SIZES), tmp_path)
    with pytest.raises(ValueError, match="share below 1"):
        Denoiser(hidden=1.0)
