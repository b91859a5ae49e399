"""Exported potentials: the file alone, without sciml, says what the model says, at all sizes."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

from sciml.builders import atoms_graph
from sciml.models import MACE, NequIP, PaiNN, PotentialEnsemble, SchNet
from sciml.training.errors import RunError
from sciml.training.export import INPUTS, exported
from sciml.training.run import save_config

SMALL = {"channels": 6, "layers": 1, "radial": 5, "cutoff": 3.0, "references": {"C": -1000.0, "O": -2000.5}}
ALONE = """
import json, sys
import numpy as np, torch
assert "sciml" not in sys.modules
facts = {"sciml.json": ""}
run = torch.export.load(sys.argv[1], extra_files=facts).module()
given = np.load(sys.argv[2])
inputs = json.loads(facts["sciml.json"])["inputs"]
energy, forces, virial = run(*(torch.from_numpy(given[name]) for name in inputs))
np.savez(sys.argv[3], energy=energy, forces=forces, virial=virial)
assert "sciml" not in sys.modules
"""


def potential(kind=PaiNN, **options):
    torch.manual_seed(0)
    return kind(**SMALL | options).double().eval()


def arrays(atoms):
    graph = atoms_graph(atoms, SMALL["cutoff"])
    open_space = torch.zeros(graph.num_edges, 3, dtype=torch.long)
    cell = graph.globals["cell"][0] if "cell" in graph.globals else torch.zeros(3, 3, dtype=torch.float64)
    found = {
        "number": graph.nodes["number"],
        "pos": graph.nodes["pos"],
        "cell": cell,
        "edge_index": graph.edge_index,
        "shift": graph.edges.get("shift", open_space),
    }
    return [found[name] for name in INPUTS]


def structures():
    """A pair, a molecule, a crystal cell that is smaller than the cutoff, and a large one."""
    random = np.random.default_rng(0)
    cluster = Atoms("C4O5", positions=random.normal(scale=1.5, size=(9, 3)))
    small = bulk("CO", "rocksalt", a=4.0)
    large = small * (3, 2, 2)
    large.rattle(0.1, seed=1)
    return [Atoms("CO", [[0, 0, 0], [0, 0, 1.2]]), cluster, small, large]


@pytest.mark.parametrize(
    "make",
    [
        lambda: potential(PaiNN, repulsion="zbl"),
        lambda: potential(NequIP, lmax=1, hidden=(8,)),
        lambda: potential(MACE, lmax=1, hidden=(8,)),
        pytest.param(
            lambda: PotentialEnsemble([potential(SchNet), potential(SchNet, scale=2.0)]).double(),
            marks=pytest.mark.slow,
        ),
    ],
    ids=["PaiNN with repulsion", "NequIP", "MACE", "ensemble of SchNets"],
)
def test_exported_is_eager_for_structures_of_all_sizes(make):
    model = make().eval()
    run = exported(model).module()
    for atoms in structures():
        energy, forces, virial = run(*arrays(atoms))
        expected = model.predict(atoms)
        assert float(energy) == pytest.approx(expected.energy, abs=1e-9)
        np.testing.assert_allclose(forces.numpy(), expected.forces, atol=1e-11)
        if expected.stress is not None:
            stress = 0.5 * (virial + virial.T).numpy() / atoms.get_volume()
            np.testing.assert_allclose(stress, expected.stress, atol=1e-12)
    assert torch.isnan(run(*arrays(Atoms("CF", [[0, 0, 0], [0, 0, 1.3]])))[0])  # an unknown element


@pytest.mark.slow
def test_the_file_runs_without_sciml(tmp_path):
    from export import main
    from omegaconf import OmegaConf

    model = potential(SchNet)
    run_dir = tmp_path / "run"
    (run_dir / "checkpoints").mkdir(parents=True)
    save_config(run_dir, OmegaConf.create({"model": {"_target_": "sciml.models.SchNet", **SMALL}}))
    state = {f"model.{name}": value for name, value in model.state_dict().items()}
    torch.save({"state_dict": state}, run_dir / "checkpoints" / "last.ckpt")
    main([f"run={run_dir}", f"output={tmp_path}/model.pt2"])
    atoms = structures()[1]
    np.savez(tmp_path / "in.npz", **dict(zip(INPUTS, (a.numpy() for a in arrays(atoms)))))
    (tmp_path / "alone.py").write_text(ALONE)
    files = [str(tmp_path / name) for name in ("alone.py", "model.pt2", "in.npz", "out.npz")]
    subprocess.run([sys.executable, "-I", *files], check=True, cwd=tmp_path)
    found, expected = np.load(tmp_path / "out.npz"), model.predict(atoms)
    assert float(found["energy"]) == pytest.approx(expected.energy, abs=1e-9)
    np.testing.assert_allclose(found["forces"], expected.forces, atol=1e-11)
    facts = {"sciml.json": ""}
    torch.export.load(tmp_path / "model.pt2", extra_files=facts)
    assert json.loads(facts["sciml.json"])["elements"] == ["C", "O"]


def test_bad_calls(tmp_path):
    from export import main

    with pytest.raises(RunError, match="Expected run, output"):
        main(["run=a"])
    with pytest.raises(RunError, match=r"\*\.pt2"):
        main(["run=a", "output=b.onnx"])
    with pytest.raises(RunError, match="is no run directory"):
        main([f"run={tmp_path}", f"output={tmp_path}/b.pt2"])
