"""scripts/residual.py on a small run: what it writes, and what it says where it cannot."""

import json

import numpy as np
import pytest
import torch
from commands import command

from sciml.datasets import simulated, write_npz
from sciml.distill import Law


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    write_npz(
        folder / "three.npz", simulated("gravity", particles=3, simulations=1, times=300, dt=0.005, seed=3)
    )
    done = command(
        "discover", "experiment=messages", f"data.path={folder}/three.npz",
        f"run_dir={folder}/run", "model.output=log",
        "residual.looks=[{receivers: [p0, p1], senders: [p2]}]",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "left over for p0, p1 relative to p2: none" in done.stdout
    return folder / "run"


@pytest.mark.slow
def test_a_look_that_finds_nothing_leaves_the_law_as_it_is(run_dir):
    content = json.loads((run_dir / "residual.json").read_text())
    assert content["looks"][0]["verdict"] == "none"
    law, extended = (Law.load(run_dir / name) for name in ("law.json", "law_extended.json"))
    r = np.array([0.5, 2.0])
    columns = {"r": r, "m_i": 1.0, "m_j": 0.5}
    np.testing.assert_allclose(extended.numpy(**columns), law.numpy(**columns), rtol=1e-6)
    assert (run_dir / "residual.html").is_file()
    assert set(json.loads((run_dir / "properties.json").read_text())) == {"mass"}


@pytest.mark.slow
def test_wrong_names_and_no_looks_say_so(run_dir):
    done = command("residual", f"run={run_dir}", "looks=[{receivers: [p0], senders: [moon]}]")
    assert done.returncode == 1
    assert "has no particle 'moon'; it has p0, p1, p2" in done.stderr
    assert "Traceback" not in done.stderr
    done = command("residual", f"run={run_dir}", "looks=[{receiver: [p0]}]")
    assert done.returncode == 1
    assert "receivers" in done.stderr
    assert "Traceback" not in done.stderr
    done = command("residual", f"run={run_dir}", "looks=[]")
    assert done.returncode == 1
    assert "residual.looks is empty" in done.stderr
    assert torch.get_default_dtype() == torch.float32
