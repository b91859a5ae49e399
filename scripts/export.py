"""Write a trained potential as one file that runs without sciml: export.py run=DIR output=FILE.pt2."""

from __future__ import annotations

from pathlib import Path

from common import run_plain
from omegaconf import OmegaConf

from sciml.training.errors import RunError

DTYPES = ("float32", "float64")
USAGE = "python scripts/export.py run=DIR output=FILE.pt2 [dtype=float64]"


def main(arguments: list[str]) -> None:
    """Read ``key=value`` arguments and write the file."""
    options = {"dtype": "float64"} | {str(k): str(v) for k, v in OmegaConf.from_dotlist(arguments).items()}
    if set(options) != {"run", "output", "dtype"} or options["dtype"] not in DTYPES:
        raise RunError(f"Expected run, output and, if wanted, dtype (float32 or float64): {USAGE}")
    output = Path(options["output"])
    if output.suffix != ".pt2":
        raise RunError(f"output={output}: torch.export names its files *.pt2.")
    import torch

    from sciml.training.export import export_run

    export_run(options["run"], output, getattr(torch, options["dtype"]))
    print(output, flush=True)


if __name__ == "__main__":
    run_plain(main)
