"""The road from a file of fields to its equation, by the commands."""

import json

import numpy as np
import pytest
from commands import command

import sciml
from sciml.distill import Law


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on simulated snapshots: its directory, and what the command said."""
    folder = tmp_path_factory.mktemp("field")
    made = command(
        "simulate", "system=burgers", "noise=0.02", f"output={folder}/f.npz", "seed=1",
        "field.points=64", "field.times=60", "field.parameters={nu: 0.2}",
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    done = command("discover", "experiment=field", f"data.path={folder}/f.npz", f"run_dir={folder}/run")
    assert done.returncode == 0, done.stderr
    return folder / "run", done


def test_the_last_line_is_the_run_directory(run):
    folder, done = run
    assert done.stdout.strip().splitlines()[-1] == str(folder)
    assert "verdict: law" in done.stdout


def test_what_a_run_directory_holds(run):
    folder, _ = run
    law = Law.load(folder / "law.json")
    assert law.verdict == "law"
    assert str(law.expression) == "c0*u_xx + c1*u*u_x"
    assert law.constants["c0"].value == pytest.approx(0.2, rel=0.03)
    assert law.constants["c1"].value == pytest.approx(-1.0, rel=0.03)
    assert json.loads((folder / "report.json").read_text())["verdict"] == "law"
    assert (folder / "report.html").read_text().startswith("<!DOCTYPE html>")
    metrics = json.loads((folder / "metrics.json").read_text())
    assert set(metrics["units"]) == set(metrics) - {"units"}
    assert (folder / "metrics.csv").read_text().startswith("epoch,train/loss")
    assert sciml.load_run(folder).stencils.moments.abs().max() > 0


@pytest.mark.slow
def test_a_trained_run_is_distilled_again(run):
    folder, _ = run
    before = (folder / "law.json").read_text()
    done = command("distill", f"run={folder}")
    assert done.returncode == 0, done.stderr
    assert (folder / "law.json").read_text() == before


def test_another_run_does_not_go_on_there(run):
    folder, _ = run
    done = command(
        "discover", "experiment=field", f"data.path={folder.parent}/f.npz", f"run_dir={folder}", "seed=5"
    )
    assert done.returncode == 1
    assert "another seed" in done.stderr


@pytest.mark.slow
def test_several_channels_have_a_law_each(tmp_path):
    command(
        "simulate",
        "system=wave",
        "noise=0.01",
        f"output={tmp_path}/f.npz",
        "field.points=64",
        "field.times=60",
    )
    done = command("discover", "experiment=field", f"data.path={tmp_path}/f.npz", f"run_dir={tmp_path}/run")
    assert done.returncode == 0, done.stderr
    assert str(Law.load(tmp_path / "run" / "law_u.json").expression) == "c0*v"
    assert str(Law.load(tmp_path / "run" / "law_v.json").expression) == "c0*u_xx"


def test_noise_ends_with_a_status_of_its_own(tmp_path):
    np.savez(tmp_path / "f.npz", u=np.random.default_rng(0).normal(size=(60, 48, 1)), dx=0.1, dt=0.1)
    done = command("discover", "experiment=field", f"data.path={tmp_path}/f.npz", f"run_dir={tmp_path}/run")
    assert done.returncode == 3
    assert done.stdout.strip().splitlines()[-1] == str(tmp_path / "run")
    assert "nothing to explain" in done.stderr
    assert Law.load(tmp_path / "run" / "law.json").verdict == "none"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["data.options={dy: 3}", f"data.path={__file__}"], "unexpected keyword argument 'dy'"),
        (["distill.degre=3"], "Did you mean distill.degree"),
    ],
)
def test_bad_commands(arguments, message, tmp_path):
    done = command("discover", "experiment=field", *arguments, f"run_dir={tmp_path}/run")
    assert done.returncode in (1, 2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_bad_simulations(tmp_path):
    done = command("simulate", "system=heat", f"output={tmp_path}/f.npz", "field.parameters={nu: 1}")
    assert done.returncode == 1
    assert "its parameters are D" in done.stderr
