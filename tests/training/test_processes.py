"""Two processes that train together do what one alone would, to rounding."""

import json
import os
import pickle
import socket
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from rdkit import Chem

from sciml.datasets import Frames, MoleculeTable, potential_data, read_frames, split_molecules
from sciml.datasets.frames import shipped_ethanol
from sciml.models import PaiNN, PropertyPredictor
from sciml.training import processes
from sciml.training.data import Batches
from sciml.training.errors import RunError
from sciml.training.potential import train_potential
from sciml.training.processes import batch_mean, leave_to_first, summed
from sciml.training.property import predicted, property_data, train_property
from sciml.training.run import load_checkpoint

ROOT = Path(__file__).parents[2]
CHAINS = [a + "C" * n + b for n in range(1, 8) for a in ("", "O", "N") for b in ("", "Cl", "C#N")]


def frames():
    """Ethanol, some frames without forces and some without an energy."""
    found = read_frames(shipped_ethanol()).take(np.arange(30))
    forces = [None if i % 3 == 1 else f for i, f in enumerate(found.forces)]
    energy = np.where(np.arange(30) % 6 == 2, np.nan, found.energy)
    return potential_data(Frames(found.atoms, energy, forces), train=17, validation=7)


def potential(kind, folder, **trainer):
    """Train on 17 frames in batches of 4: the last has one frame, so that one process has none of it."""
    data, small = frames(), {"channels": 4, "layers": 2, "cutoff": 3.0}
    torch.manual_seed(int(os.environ.get("LOCAL_RANK", 0)))  # the first process's weights count
    model = kind(**small, scale=data.scale, references=data.references).double()
    graphs = [graph.to(torch.float64) for graph in data.graphs(model.cutoff)]
    train_potential(
        model, *graphs, folder, epochs=3, batch_size=4, learning_rate=1e-2, decay=0.9, **trainer
    )  # fmt: skip


def labels(folder, **trainer):
    return properties(folder, classes=True, **trainer)


def properties(folder, classes=False, epochs=4, **trainer):
    """Train on two properties, the second of which a third of the molecules have."""
    mols = tuple(map(Chem.MolFromSmiles, CHAINS))
    values = np.array([[mol.GetNumAtoms(), len(text)] for mol, text in zip(mols, CHAINS)], float)
    values = values % 2 if classes else values
    values[np.arange(len(mols)) % 3 > 0, 1] = np.nan
    table = MoleculeTable(mols, tuple(CHAINS), values, ("a", "b"), np.arange(len(mols)))
    data = property_data(table, split_molecules(table, seed=1), descriptors=False)
    mean, scale = data.statistics
    torch.manual_seed(int(os.environ.get("LOCAL_RANK", 0)))
    model = PropertyPredictor(
        table.targets, channels=8, members=2, mean=mean, scale=scale, kind=data.kind
    ).double()  # fmt: skip
    train_property(
        model, data, folder, epochs=epochs, batch_size=10, learning_rate=1e-2, progress=False, **trainer
    )
    return predicted(model, data.test)


KINDS = {"painn": lambda *a, **b: potential(PaiNN, *a, **b), "properties": properties, "labels": labels}


def work(folder):
    """What each of the two processes does."""
    folder = Path(folder)
    for name, train in KINDS.items():
        train(folder / name, devices=2)
    rank, found = processes.dist.get_rank(), {}
    part, known = torch.arange(5.0)[rank::2], torch.tensor([True, False, True, True, False])[rank::2]
    found["means"] = [float(summed(batch_mean(part, mask))) / 2 for mask in (None, known, known & False)]
    limited = properties(folder / "limited", epochs=10**6, devices=2, max_time=timedelta(seconds=1))
    (folder / f"found_{rank}.pkl").write_bytes(pickle.dumps(found | {"limited": limited}))
    leave_to_first()
    assert rank == 0
    assert processes.processes() == 1
    (folder / "the_first_goes_on").touch()


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """The folder in which two processes trained, started as torchrun starts them."""
    folder = tmp_path_factory.mktemp("together")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    here = ROOT / "tests" / "training"
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    common["PYTHONPATH"] = os.pathsep.join([str(here), str(ROOT)])
    started = [
        subprocess.Popen(
            [sys.executable, "-c", f"import test_processes; test_processes.work({str(folder)!r})"],
            env=os.environ | common | {"LOCAL_RANK": str(rank)},
            cwd=folder, text=True, stderr=subprocess.PIPE,
        )
        for rank in range(2)
    ]  # fmt: skip
    for process in started:
        _, error = process.communicate(timeout=240)
        assert process.returncode == 0, error
    return folder


@pytest.mark.parametrize("kind", list(KINDS))
def test_two_processes_reach_the_weights_of_one(kind, together, tmp_path):
    KINDS[kind](tmp_path)
    alone, two = (load_checkpoint(path / "checkpoints" / "last.ckpt") for path in (tmp_path, together / kind))
    assert alone["state_dict"].keys() == two["state_dict"].keys()
    for name, value in alone["state_dict"].items():
        torch.testing.assert_close(two["state_dict"][name], value, rtol=1e-9, atol=1e-10, msg=name)
    curves = [
        np.genfromtxt(path / "metrics.csv", delimiter=",", names=True) for path in (tmp_path, together / kind)
    ]
    assert curves[0].dtype.names == curves[1].dtype.names
    for name in curves[0].dtype.names:
        np.testing.assert_allclose(curves[0][name], curves[1][name], rtol=1e-4, err_msg=name)


def test_means_and_progress_are_those_of_all_and_one_process_is_left(together):
    found = [pickle.loads((together / f"found_{rank}.pkl").read_bytes()) for rank in range(2)]
    assert found[0]["means"] == found[1]["means"] == pytest.approx([2.0, 5 / 3, 0.0])
    # where time decides the learning rate, the clock of the first counts
    np.testing.assert_array_equal(found[0]["limited"], found[1]["limited"])
    assert load_checkpoint(together / "limited" / "checkpoints" / "last.ckpt")["epoch"] < 10**6
    assert (together / "the_first_goes_on").exists()


@pytest.mark.parametrize(("size", "edges"), [(1, None), (4, None), (7, None), (None, None), (4, 90)])
def test_parts_of_batches_are_the_batches(size, edges):
    graph = frames().graphs(3.0)[0]
    whole = list(Batches(graph, size, seed=3, edges=edges))
    parts = [list(Batches(graph, size, seed=3, edges=edges, part=(i, 3))) for i in range(3)]
    assert len({len(whole), *map(len, parts)}) == 1
    for batch, *divided in zip(whole, *parts):
        energies = [part.globals["target_energy"] for part in divided]
        assert sum(map(len, divided)) == len(batch)
        assert max(map(len, divided)) - min(map(len, divided)) <= 1
        torch.testing.assert_close(torch.cat(energies).sort()[0], batch.globals["target_energy"].sort()[0])


def test_one_process_is_not_asked(tmp_path):
    value = torch.tensor([1.0, 3.0])
    assert summed(value) is value
    assert batch_mean(value) == 2
    assert batch_mean(value, torch.tensor([True, False])) == 1
    assert batch_mean(value, torch.tensor([False, False])) == 0
    leave_to_first()
    with pytest.raises(RunError, match="choose auto or ddp"):
        properties(tmp_path, strategy="fsdp")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_by_command_potentials_have_one_run_directory_and_the_same_metrics(tmp_path):
    small = ["experiment=ethanol", "model=nequip", "model.channels=4", "model.layers=2", "model.cutoff=3.0"]
    given = [*small, "data.split.train=40", "data.split.validation=11", "task.epochs=2"]
    compare(given, tmp_path, "test/force_mae")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_by_command_properties_go_on_to_the_same_metrics(tmp_path):
    path = tmp_path / "mine.csv"
    rows = [f"{s},{len(s)},{'' if i % 3 else s.count('C')}" for i, s in enumerate(CHAINS)]
    path.write_text("\n".join(["smiles,size,carbons", *rows]) + "\n")
    small = ["experiment=molecules", f"data.path={path}", "model.channels=8", "task.members=2"]
    compare([*small, "data.target_columns=[size,carbons]", "task.epochs=3"], tmp_path, "test/size_rmse")


def compare(given, folder, metric):
    """Run a command with one process and with two; the second time with two, nothing is left to do."""
    found = {}
    for devices, name in ((1, "alone"), (2, "two"), (2, "two")):
        overrides = [*given, f"trainer.devices={devices}", f"run_dir={folder / name}"]
        command = [sys.executable, str(ROOT / "scripts/train.py"), *overrides]
        paths = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, env=paths, capture_output=True, text=True, timeout=240, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count(str(folder / name)) == 1
        assert done.stdout.splitlines()[-1] == str(folder / name)
        assert (folder / name / "metrics.csv").read_text().count("epoch,") == 1
        found[name] = json.loads((folder / name / "metrics.json").read_text())
        assert found[name][metric] == pytest.approx(found["alone"][metric], rel=1e-4)
    names = [{p.name for p in (folder / name).iterdir()} for name in ("alone", "two")]
    assert names[1] - names[0] == {"train_ddp_process_1.log"}  # Hydra's, of what went wrong in that process
