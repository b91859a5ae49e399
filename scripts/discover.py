"""The whole road, from data to a law: python scripts/discover.py experiment=NAME, as orbits or field."""

from __future__ import annotations

from pathlib import Path

from common import main, road
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig


def run(config: DictConfig) -> Path:
    """Train, distill, report."""
    run_dir = Path(HydraConfig.get().runtime.output_dir)
    kind = config.task.get("kind", "dynamics")
    if kind == "contact_law":  # contacts need no network
        return road("contacts:contacts")(config, run_dir)
    if kind == "pair_law":
        return road("pair_law:pair_law")(config, run_dir)
    if kind == "field":
        road("fields:train_field")(config, run_dir)
        return road("fields:distill_field")(run_dir)
    if kind != "dynamics":
        raise ValueError(f"A run of {kind} has no forces to distill: train it by scripts/train.py.")
    data = None
    if config.task.road == "terms":
        road("laws:refuse_networks")(HydraConfig.get().overrides.task)
        road("laws:laws")(config, run_dir)
    else:
        data = road("dynamics:train")(config, run_dir)
        road("messages:distill_run")(run_dir, config.distill, config.seed, data)
    return road("looks:look_at_rest")(run_dir, config, data) if config.residual.looks else run_dir


if __name__ == "__main__":
    main(run, "config")
