"""The commands: configuration, bad input, interruption, and the whole road in small."""

import json
import os
import signal
import subprocess
import sys
import time

import common
import numpy as np
import pytest
from commands import ROOT, command
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf, open_dict

import sciml
from sciml.datasets import simulated, write_npz
from sciml.distill import Law
from sciml.training.errors import RunError

EXPERIMENTS = sorted(p.stem for p in (ROOT / "conf/experiment").glob("*.yaml"))
SMALL = {"task.stages.adam.epochs": 1, "task.stages.levenberg_marquardt.epochs": 1, "data.split.frames": 8}


@pytest.fixture(scope="module")
def gravity(tmp_path_factory):
    """A file of three bodies whose masses are not given."""
    path = tmp_path_factory.mktemp("data") / "three.npz"
    write_npz(path, simulated("gravity", particles=3, simulations=1, times=300, dt=0.005, seed=3))
    return path


def config(*overrides, run_dir=None):
    found = common._compose("config", list(overrides))
    with open_dict(found):
        found.name, found.run_dir = "test", str(run_dir)
    return found


# ---------------------------------------------------------------- configuration


def kind(experiment):
    return config(f"experiment={experiment}").task.get("kind", "dynamics")


@pytest.mark.parametrize("experiment", [e for e in EXPERIMENTS if kind(e) == "classification"])
def test_every_experiment_on_images_composes_and_takes_a_step(experiment, tmp_path):
    from classify import classify

    chosen = config(f"experiment={experiment}", run_dir=tmp_path)
    chosen.model.widths = [2, 2, 2]
    chosen.task.epochs, chosen.data.train = 1, 64
    if chosen.data.source == "mnist":  # the smaller digits, which do not halve twice
        chosen.data.source, chosen.model.kernel, chosen.model.pool = "digits", 3, [2, 1, 1]
    if chosen.data.source == "lattices":
        chosen.data.number = 80
    classify(chosen, tmp_path)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["test/accuracy"] + metrics["test/error"] == pytest.approx(1)
    assert np.sum(metrics["test/confusion"]) == metrics["test/images"]
    model = sciml.load_run(tmp_path)
    assert model.classes == len(metrics["classes"])
    chosen.task.epochs = 2
    with pytest.raises(RunError, match=r"another task.*choose another run_dir"):
        classify(chosen, tmp_path)


def test_images_have_no_forces(tmp_path):
    done = command("discover", "experiment=lattices", f"run_dir={tmp_path}")
    assert done.returncode == 1
    assert "train it by scripts/train.py" in done.stderr


@pytest.mark.parametrize("experiment", [e for e in EXPERIMENTS if kind(e) == "dynamics"])
def test_every_experiment_composes_and_takes_a_step(experiment, gravity, tmp_path):
    from dynamics import train

    overrides = [f"experiment={experiment}", *(f"{k}={v}" for k, v in SMALL.items())]
    chosen = config(*overrides, run_dir=tmp_path)
    if "source" in chosen.data:
        chosen.data.source.step = 60.0
    else:
        chosen.data.path = str(gravity)
    train(chosen, tmp_path)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert np.isfinite(metrics["validation/relative_error"])
    assert set(metrics["units"]) == set(metrics) - {"units"}
    assert (tmp_path / "metrics.csv").is_file()
    resolved = OmegaConf.load(tmp_path / "config.yaml")
    assert resolved.model.particles in (3, 11)


def test_no_experiment_says_what_is_to_be_found():
    files = ("conf/experiment/orbits.yaml", "conf/data/solar_system.yaml")
    text = "".join((ROOT / file).read_text() for file in files)
    values = OmegaConf.to_yaml(config("experiment=orbits", run_dir="x"))
    for word in ("G:", "gm:", "exponent", "m_i", "r**", "masses:"):
        assert word not in text + values


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("task.stages.adam.epocs=3", "Did you mean task.stages.adam.epochs"),
        ("sead=3", "Did you mean seed"),
        ("trainer.max_time=20min", "expected DD:HH:MM:SS, as 00:00:20:00"),
        ("task.stages.adam.batch_size=0", "expected 1 or more"),
        ("task.stages.adam.epochs=many", "expected a whole number"),
        ("task.stages.adam.epochs=1.5", "expected a whole number"),
        ("task.stages.adam.learning_rate=fast", "expected a number"),
        ("model.third_law=3", "expected true or false"),
        ("model.hidden=mass", "expected a list"),
        ("experiment=orbit", "Did you mean orbits"),
        ("distill=strctured", "Did you mean structured"),
        ("data.splitt.train=0.5", "Did you mean data.split.train"),
        ("data.options.dt=0.1", "Did you mean data.options"),
    ],
)
def test_wrong_overrides_name_the_key_and_the_nearest_right_one(override, message):
    with pytest.raises(ValueError, match=message):
        common.check_overrides("config", [override])


@pytest.mark.parametrize(
    "override",
    [
        "seed=1,2,3",
        "task.stages.adam.epochs=3",
        "model.hidden=[mass]",
        "trainer.max_time=00:00:01:00",
        "experiment=orbits,trajectories",
        "data.options={dt: 0.1}",
        "+new=1",
        "model=free",
    ],
)
def test_right_overrides_pass(override):
    common.check_overrides("config", [override])
    if not OverridesParser.create().parse_override(override).is_sweep_override():
        common._compose("config", [override])  # Hydra takes them too


def test_help_is_for_newcomers():
    done = command("discover", "--help")
    assert done.returncode == 0
    for word in ("experiment=orbits", "data.path=FILE", "run_dir=", "-m seed=0,1,2,3", "stages:"):
        assert word in done.stdout


# -------------------------------------------------------------------- bad input


def test_a_missing_path_a_missing_file_and_a_wrong_suffix_say_so(tmp_path):
    from dynamics import train

    chosen = config("experiment=messages", run_dir=tmp_path)
    with pytest.raises(RunError, match=r"data\.path=FILE"):
        train(chosen, tmp_path)
    for name, error in ((tmp_path / "no.npz", "no.npz"), (tmp_path / "a.doc", "npz")):
        chosen.data.path = str(name)
        with pytest.raises((FileNotFoundError, ValueError), match=error):
            train(chosen, tmp_path)
    assert not (tmp_path / "metrics.json").exists()


def test_a_model_of_foreign_code_is_refused(gravity, tmp_path):
    from dynamics import train

    chosen = config("experiment=messages", f"data.path={gravity}", run_dir=tmp_path)
    chosen.model._target_ = "os.system"
    with pytest.raises(RunError, match="nothing else may be named"):
        train(chosen, tmp_path)


def test_a_run_directory_of_another_run_is_refused(gravity, tmp_path):
    from dynamics import train

    small = [f"{k}={v}" for k, v in SMALL.items()]
    overrides = ["experiment=messages", f"data.path={gravity}", "model.output=log", *small]
    train(config(*overrides, run_dir=tmp_path), tmp_path)
    train(config(*overrides, run_dir=tmp_path), tmp_path)  # the same settings go on
    with pytest.raises(RunError, match="another seed"):
        train(config(*overrides, "seed=5", run_dir=tmp_path), tmp_path)


def test_a_read_only_folder_and_bad_data_end_with_one_message(gravity, tmp_path):
    (tmp_path / "file").touch()
    done = command(
        "train",
        "experiment=messages",
        f"data.path={gravity}",
        f"run_dir={tmp_path}/file/below",
        cwd=tmp_path,
    )
    assert done.returncode != 0
    assert "run_dir=" in done.stderr
    assert "Traceback" not in done.stderr
    position = np.random.default_rng(0).normal(size=(50, 3, 2))
    position[7, 1, 0] = np.nan
    np.savez(tmp_path / "nan.npz", position=position, dt=0.1)
    done = command("train", "experiment=messages", f"data.path={tmp_path}/nan.npz", f"run_dir={tmp_path}/r")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "time index 7" in done.stderr
    assert not (tmp_path / "r/metrics.json").exists()


def test_distilling_what_is_no_run_says_so(tmp_path):
    from messages import distill_run

    with pytest.raises(RunError, match="no run directory"):
        distill_run(tmp_path, config(run_dir="x").distill, 0)


# --------------------------------------------------------------------- the road


@pytest.fixture(scope="module")
def discovered(gravity, tmp_path_factory):
    """The whole road on three bodies, as a user runs it."""
    run_dir = tmp_path_factory.mktemp("runs") / "three"
    done = command(
        "discover",
        "experiment=messages",
        f"data.path={gravity}",
        f"run_dir={run_dir}",
        "model.output=log",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(run_dir)
    return run_dir


def gravity_and_masses(run_dir):
    """Assert that a run found attraction by m m / r² and the masses; return its report."""
    found = json.loads((run_dir / "report.json").read_text())
    assert found["verdict"] == "law"
    law = Law.load(run_dir / "law.json")
    m, n, r = np.array([0.3, 0.5]), np.array([0.7, 0.2]), np.array([0.4, 2.0])
    ratio = law.numpy(m_i=m, m_j=n, r=r) / (m * n / r**2)
    assert ratio[0] == pytest.approx(ratio[1])
    assert ratio[0] < 0
    for entry in found["hidden"]["mass"].values():
        assert entry["value"] == pytest.approx(entry["reference"], rel=1e-8)
    return found


def test_three_bodies_give_the_law_and_their_masses(discovered):
    found = gravity_and_masses(discovered)
    for exponent in found["law"]["exponents"].values():
        assert exponent["value"] == pytest.approx(exponent["snapped"], abs=1e-8)
    assert found["rollout"]["energy_drift"] < 1e-8
    assert found["rollout"]["momentum_drift"] < 1e-10
    for name in (
        "config.yaml",
        "metrics.json",
        "metrics.csv",
        "checkpoints/last.ckpt",
        "report.html",
        "front.json",
    ):
        assert (discovered / name).is_file()


def test_the_model_of_a_run_loads_and_predicts(discovered, gravity):
    import sciml
    from sciml.datasets import load_trajectories
    from sciml.training.dynamics import dynamics_data

    model = sciml.load_run(discovered)
    data = dynamics_data(load_trajectories(gravity))
    table = sciml.distill.record(model, data.train)
    assert table.names == ("r", "m_i", "m_j")
    predicted = model(data.held_out).nodes["acceleration"]
    error = (predicted - data.held_out.nodes["acceleration"]).norm() / data.held_out.nodes[
        "acceleration"
    ].norm()
    assert error < 0.05


@pytest.mark.slow
def test_interrupted_training_and_search_keep_what_they_had_and_go_on(gravity, tmp_path):
    run_dir = tmp_path / "run"
    arguments = ["experiment=messages", f"data.path={gravity}", f"run_dir={run_dir}", "model.output=log"]
    script = [sys.executable, str(ROOT / "scripts/discover.py"), *arguments, "task.stages.adam.epochs=400"]
    process = subprocess.Popen(
        script,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        # a shell that starts tests in the background has its children ignore Ctrl-C
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 120
    while not (run_dir / "checkpoints/last.ckpt").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode not in (0, None)
    assert "Traceback" not in errors
    assert not (run_dir / "metrics.json").exists()
    assert not (run_dir / "report.json").exists()
    assert not list(run_dir.rglob("*.partial*"))
    done = command("discover", *script[2:])
    assert done.returncode == 0, done.stderr
    assert (run_dir / "report.json").is_file()


def test_interrupted_search_keeps_its_front(discovered, monkeypatch, gravity, tmp_path):
    import messages as script

    from sciml.distill import Front, pipeline

    original = pipeline.search

    def interrupted(*arguments, on_front, **options):
        front = original(*arguments, **options)
        os.kill(os.getpid(), signal.SIGINT)  # Ctrl-C in the search, which then returns what it has
        return front

    def search(*arguments, on_front, **options):
        try:
            return interrupted(*arguments, on_front=on_front, **options)
        except KeyboardInterrupt:
            return Front.of(original(*arguments, **options), rows=10, complete=False)

    monkeypatch.setattr(pipeline, "search", search)
    (discovered / "front.json").unlink()
    with pytest.raises(KeyboardInterrupt):
        script.distill_run(discovered, config("experiment=messages", run_dir="x").distill, 0)
    kept = json.loads((discovered / "front.json").read_text())
    assert kept["complete"] is False
    assert any("m_i*m_j" in c["expression"] for c in kept["front"])


def test_simulate_writes_what_the_readers_read(tmp_path):
    from sciml.datasets import load_trajectories

    done = command(
        "simulate",
        "system=spring",
        "particles=4",
        "dim=3",
        "times=50",
        "noise=0.01",
        f"output={tmp_path}/s.npz",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"{tmp_path}/s.npz"
    found = load_trajectories(tmp_path / "s.npz")
    assert found.shape == (1, 50, 4, 3)
    assert found.velocity is None
    assert "mass" in found.reference
    assert "mass" not in found.properties


def test_simulate_takes_species_and_node_terms_and_says_what_is_conserved(tmp_path):
    from sciml.datasets import load_trajectories

    options = ["times=20", "particles=4", "species=2", "given=[species]", f"output={tmp_path}/s.npz"]
    done = command("simulate", "system=morse", "parameters={drag: 0.3}", *options)
    assert done.returncode == 0, done.stderr
    assert "energy: lost to drag" in done.stdout
    assert "momentum: not conserved" in done.stdout
    found = load_trajectories(tmp_path / "s.npz")
    assert sorted(found.properties["species"][0]) == [0, 0, 1, 1]
    done = command("simulate", "system=morse", "parameters={range: 0.3}", *options)
    assert done.returncode == 1
    assert "no parameter 'range'; it has" in done.stderr
    assert "width" in done.stderr


def test_multirun_goes_on_after_a_failure(gravity, tmp_path):
    small = [f"{k}={v}" for k, v in SMALL.items()]
    done = command("train", "-m", "experiment=messages", f"data.path={tmp_path}/no.npz,{gravity}",
                   f"run_dir={tmp_path}/sweep", "model.output=log", *small)  # fmt: skip
    assert done.returncode == 1
    assert "1 of the jobs failed" in done.stderr
    assert (tmp_path / "sweep/1/metrics.json").is_file()


@pytest.fixture(scope="module")
def laws_of_motion(gravity, tmp_path_factory):
    """The road of users: their file, no network."""
    run_dir = tmp_path_factory.mktemp("runs") / "motion"
    done = command("discover", "experiment=trajectories", f"data.path={gravity}", f"run_dir={run_dir}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(run_dir)
    return run_dir, done.stdout


def test_a_file_of_trajectories_gives_the_law_and_masses_without_a_network(laws_of_motion):
    run_dir, printed = laws_of_motion
    found = gravity_and_masses(run_dir)
    assert found["rollout"]["energy_drift"] < 1e-8
    assert found["rollout"]["momentum_drift"] < 1e-10
    assert found["extrapolation"]["left"] < 1e-8
    assert found["law"]["terms"][0]["share"] == pytest.approx(1)
    assert "The law runs alone" in (run_dir / "report.html").read_text()
    assert "verdict: law" in printed
    assert "at extreme distances and speeds" in printed


def test_a_network_chosen_where_there_is_none_is_refused(gravity, tmp_path):
    done = command("discover", "experiment=trajectories", f"data.path={gravity}", f"run_dir={tmp_path}/r",
                   "model=free")  # fmt: skip
    assert done.returncode == 1
    assert "experiment=messages" in done.stderr


def test_a_run_without_a_network_has_nothing_to_distill(laws_of_motion):
    from messages import distill_run

    with pytest.raises(RunError, match=r"no network.*law\.json"):
        distill_run(laws_of_motion[0], config(run_dir="x").distill, 0)


@pytest.mark.parametrize(
    ("experiment", "short"),
    [
        ("messages", ["task.stages.adam.epochs=5", "task.stages.levenberg_marquardt.epochs=3"]),
        ("trajectories", []),
    ],
)
def test_noise_has_no_law_and_the_status_says_so(experiment, short, tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "noise.npz", position=rng.normal(size=(120, 3, 2)), dt=0.1)
    done = command(
        "discover",
        f"experiment={experiment}",
        f"data.path={tmp_path}/noise.npz",
        f"run_dir={tmp_path}/r",
        *short,
        "distill.seconds=5",
    )
    assert done.returncode == 3, done.stderr
    assert done.stdout.splitlines()[-1] == f"{tmp_path}/r"
    found = json.loads((tmp_path / "r/report.json").read_text())
    assert found["verdict"] == "none"
    assert found["reason"] in done.stderr
