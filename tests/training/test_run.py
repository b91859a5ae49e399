"""Run directories: whole files, clear errors, and no foreign code."""

import json
import os

import pytest
import torch
from omegaconf import OmegaConf

import sciml
from sciml.models import InteractionNetwork
from sciml.training.errors import RunError
from sciml.training.run import (
    AtomicCheckpoints,
    build,
    load_checkpoint,
    load_config,
    open_run,
    save_config,
    write_json,
    write_text,
)

MODEL = {"_target_": "sciml.models.InteractionNetwork", "dim": 2, "particles": 3, "hidden": ["mass"]}


@pytest.fixture
def run(tmp_path):
    """A run directory as training leaves it."""
    model = InteractionNetwork(2, particles=3, hidden=["mass"]).double()
    save_config(tmp_path, OmegaConf.create({"model": MODEL, "seed": 0}))
    state = {f"model.{k}": v for k, v in model.state_dict().items()}
    AtomicCheckpoints().save_checkpoint({"state_dict": state, "epoch": 3}, tmp_path / "checkpoints/last.ckpt")
    return tmp_path, model


def test_a_model_comes_back_from_its_run(run):
    path, model = run
    loaded = sciml.load_run(path)
    assert not loaded.training
    for a, b in zip(model.state_dict().values(), loaded.state_dict().values(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("cut", [0, 100, 0.5])
def test_a_checkpoint_cut_short_says_so(run, cut):
    path, _ = run
    file = path / "checkpoints/last.ckpt"
    content = file.read_bytes()
    file.write_bytes(content[: int(cut * len(content)) if cut < 1 else cut])
    with pytest.raises(RunError, match="cut short"):
        sciml.load_run(path)


def test_a_run_without_checkpoint_or_configuration_says_so(run, tmp_path_factory):
    path, _ = run
    (path / "checkpoints/last.ckpt").unlink()
    with pytest.raises(RunError, match="no checkpoint"):
        sciml.load_run(path)
    with pytest.raises(RunError, match="no run directory"):
        sciml.load_run(tmp_path_factory.mktemp("empty"))


def test_a_checkpoint_of_another_network_does_not_fit(run):
    path, _ = run
    save_config(path, OmegaConf.create({"model": {**MODEL, "particles": 4}}))
    with pytest.raises(RunError, match="does not fit"):
        sciml.load_run(path)


@pytest.mark.parametrize("text", ["model: [", "- 1", "seed: 0"])
def test_a_broken_configuration_says_so(run, text):
    path, _ = run
    (path / "config.yaml").write_text(text)
    with pytest.raises(RunError, match=r"config\.yaml"):
        sciml.load_run(path)


@pytest.mark.parametrize(
    "target",
    ["os.system", "subprocess.run", "sciml.training.run.os.system", "sciml.training.run.Path",
     "sciml.nothing.Here", "torch.load", "builtins.eval", "sciml", "sciml_evil.Thing", "torch.optim.Nothing"],
)  # fmt: skip
def test_a_configuration_may_not_name_foreign_code(run, target):
    path, _ = run
    save_config(path, OmegaConf.create({"model": {"_target_": target}}))
    with pytest.raises(RunError, match="nothing else may be named"):
        sciml.load_run(path)


def test_a_checkpoint_runs_no_code(run, tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "owned"),)

    path, _ = run
    torch.save({"state_dict": Evil()}, path / "checkpoints/last.ckpt")
    with pytest.raises(RunError):
        sciml.load_run(path)
    assert not (tmp_path / "owned").exists()


def test_wrong_arguments_are_named(run):
    with pytest.raises(RunError, match=r"here: .*no_such_option"):
        build({**MODEL, "no_such_option": 1}, "here")
    with pytest.raises(RunError, match="needs a _target_"):
        build({"dim": 2}, "here")


def test_a_folder_that_cannot_be_written_says_so(tmp_path):
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(RunError, match="run_dir="):
        open_run(file / "below")


def test_files_appear_whole_or_not_at_all(tmp_path, monkeypatch):
    write_text(tmp_path / "a.txt", "before")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_text(tmp_path / "a.txt", "after")
    assert (tmp_path / "a.txt").read_text() == "before"


def test_json_has_no_numbers_that_are_none(tmp_path):
    content = {"x": float("nan"), "y": [1.0, float("inf")], "t": torch.tensor([1.5])}
    write_json(tmp_path / "a.json", content)
    assert json.loads((tmp_path / "a.json").read_text()) == {"x": None, "y": [1.0, None], "t": [1.5]}


def test_a_checkpoint_that_is_no_checkpoint_says_so(tmp_path):
    torch.save([1, 2], tmp_path / "x.ckpt")
    with pytest.raises(RunError, match="no state_dict"):
        load_checkpoint(tmp_path / "x.ckpt")
    with pytest.raises(RunError, match=r"config\.yaml"):
        load_config(tmp_path)
