"""What the scripts share: checked overrides, errors in one line, and the run directory as last line.

Nothing here imports torch, so that a wrong command is told at once.
"""

from __future__ import annotations

import ctypes
import difflib
import importlib
import logging
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sciml.training.errors import RunError

CONF = Path(__file__).resolve().parents[1] / "conf"
EXPECTED = (
    RunError,
    ValueError,
    ArithmeticError,
    FileNotFoundError,
    ModuleNotFoundError,
    OSError,
    OmegaConfBaseException,
)
DURATION = re.compile(r"\d+(:\d\d?){3}")
COUNTS = ("batch_size", "batch_edges", "epochs", "every", "members")  # options of which there is at least 1
INTERRUPTED = 130  # the shell's number for Ctrl-C


def road(name: str) -> Callable[..., Any]:
    """Return ``module:function``, imported when it is called: commands wait for what they need alone."""
    module, _, function = name.partition(":")

    def go(*arguments: Any) -> Any:
        return getattr(importlib.import_module(module), function)(*arguments)

    return go


def run_plain(task: Callable[[list[str]], None]) -> None:
    """Run a script that takes ``key=value`` arguments without Hydra: end with a message, never a traceback.

    Set ``SCIML_DEBUG=1`` to see tracebacks.
    """
    keep_memory()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        task(sys.argv[1:])
    except EXPECTED as error:
        if os.environ.get("SCIML_DEBUG"):
            raise
        fail(str(error))


def main(task: Callable[[DictConfig], Path | None], config_name: str) -> None:
    """Run a task under Hydra: check the overrides first, end with a message and a status, never a traceback.

    Set ``SCIML_DEBUG=1`` to see tracebacks.
    """
    keep_memory()
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # errors reach us instead of Hydra's own printing
    try:
        check_overrides(config_name, [a for a in sys.argv[1:] if not a.startswith("-")])
    except OverrideParseException as error:
        said = str(error).split("\n\nSee ")[0]
        fail(f"{said}\nWords with brackets, commas or quotes need quotes: 'key=[\"a (b)\"]'.", status=2)
    except (ValueError, HydraException) as error:
        fail(str(error), status=2)

    @hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)
    def run(config: DictConfig) -> None:
        if process_rank():  # one of several processes says what is to be said
            logging.disable(logging.WARNING)
        try:
            check_processes(config)
            path = task(config)
        except KeyboardInterrupt:
            fail(
                "Interrupted. What was done is kept; the same command with the same run_dir goes on.",
                INTERRUPTED,
            )
        except EXPECTED as error:
            if os.environ.get("SCIML_DEBUG"):
                raise
            if HydraConfig.get().mode != RunMode.MULTIRUN:
                fail(str(error))
            print(f"Error: {error}", file=sys.stderr, flush=True)
            failed.append(1)
            return
        if path is not None:
            print(path, flush=True)

    failed: list[Any] = []
    try:
        run()
        if failed:
            fail(f"{len(failed)} of the jobs failed; see above.")
    except KeyboardInterrupt:
        fail("Interrupted.", INTERRUPTED)
    except OSError as error:  # Hydra creates the run directory before the task starts
        fail(f"Cannot write the run directory: {error}. Choose another with run_dir=...")


def process_rank() -> int:
    """Return the number of this process among those that train together; 0 where it is alone."""
    names = ("RANK", "LOCAL_RANK", "SLURM_PROCID")  # as Lightning's own, which would be seconds to import
    return next((int(os.environ[name]) for name in names if name in os.environ), 0)


def check_processes(config: DictConfig) -> None:
    """Refuse several jobs of several processes each: Lightning starts a process by the job's own command.

    Raises:
        RunError: a multirun with more than one device or machine.
    """
    trainer = config.get("trainer", {})
    several = (trainer.get("devices", 1), trainer.get("num_nodes", 1)) != (1, 1)
    if several and HydraConfig.get().mode == RunMode.MULTIRUN:
        raise RunError("-m and trainer.devices do not go together: start one command for each job.")


def fail(message: str, status: int = 1) -> None:
    """End with a message on stderr and a status that tells scripts."""
    print(f"Error: {message}" if status != INTERRUPTED else message, file=sys.stderr, flush=True)
    logging.shutdown()
    raise SystemExit(status)


@contextmanager
def interrupts() -> Iterator[list[int]]:
    """Remember Ctrl-C: the list is no longer empty once it was pressed, even where a search went on."""
    pressed: list[int] = []
    before = signal.getsignal(signal.SIGINT)

    def remember(number: int, frame: FrameType | None) -> None:
        pressed.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, remember)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)


def keep_memory() -> None:
    """Tell glibc not to give large blocks back to the system at every free.

    Otherwise each large tensor is page-faulted anew, which doubles the time of memory-bound operators.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            libc.mallopt(-4, 0)  # M_MMAP_MAX: no separate mappings
            libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD


# ---------------------------------------------------------------- configuration


def check_overrides(config_name: str, arguments: list[str]) -> None:
    """Refuse unknown keys, unknown choices and values of a wrong type, each with the nearest right one.

    Raises:
        ValueError: with the key, what was found, and what was expected.
    """
    overrides = OverridesParser.create().parse_overrides(arguments)
    groups = {p.name for p in CONF.iterdir() if p.is_dir()}
    choices = [o for o in overrides if o.key_or_group in groups]
    for override in choices:
        _check_choice(override)
    reference = _compose(config_name, [str(o.input_line) for o in choices if not o.is_sweep_override()])
    known = dict(_flatten(reference))
    for override in overrides:
        key = override.key_or_group
        if (
            override in choices
            or key.startswith(("hydra.", "hydra/"))
            or override.is_add()
            or override.is_delete()
        ):
            continue
        if key not in known and not any(
            key.startswith(parent + ".") for parent, v in known.items() if v == {}
        ):
            nearest = difflib.get_close_matches(key, known, n=1, cutoff=0.5) or difflib.get_close_matches(
                key.split(".")[-1], [k.split(".")[-1] for k in known], n=1
            )
            hint = f" Did you mean {_full(nearest[0], known)}?" if nearest else f" Keys: {', '.join(known)}."
            raise ValueError(f"Unknown key {key!r}.{hint}")
        for value in override.sweep_iterator() if override.is_sweep_override() else [override.value()]:
            _check_type(key, value, known.get(key))


def _compose(config_name: str, overrides: list[str]) -> DictConfig:
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        config = hydra.compose(config_name, overrides=overrides)
    GlobalHydra.instance().clear()
    return config


def _flatten(config: DictConfig, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key in config:
        name = f"{prefix}{key}"
        if OmegaConf.is_missing(config, key) or OmegaConf.is_interpolation(config, key):
            yield name, None
        elif isinstance(config[key], DictConfig):
            if not config[key]:
                yield name, {}  # free: any key may be added
            yield from _flatten(config[key], f"{name}.")
        else:
            yield name, config[key]


def _full(name: str, known: dict[str, Any]) -> str:
    return name if name in known else next(k for k in known if k.split(".")[-1] == name)


def _check_choice(override: Override) -> None:
    group = override.key_or_group
    options = sorted(p.stem for p in (CONF / group).glob("*.yaml"))
    values = override.sweep_iterator() if override.is_sweep_override() else [override.value()]
    for value in values:
        if str(value) not in [*options, "null", "None"]:
            nearest = difflib.get_close_matches(str(value), options, n=1)
            hint = f" Did you mean {nearest[0]}?" if nearest else ""
            raise ValueError(f"Unknown choice {group}={value}.{hint} There are: {', '.join(options)}.")


def _check_type(key: str, value: Any, default: Any) -> None:
    """A value must have the type of the default; null may stand anywhere, anything for a null."""
    value = str(value) if type(value).__name__ == "QuotedString" else value
    if key.endswith(".max_time") and value is not None and not DURATION.fullmatch(str(value)):
        raise ValueError(f"{key}={value}: expected DD:HH:MM:SS, as 00:00:20:00 for twenty minutes.")
    if key.split(".")[-1] in COUNTS and isinstance(value, int | float) and value < 1:
        raise ValueError(f"{key}={value}: expected 1 or more.")
    if value is None or default is None or default == {}:
        return
    kinds: dict[type, tuple[type, ...]] = {
        bool: (bool,),
        int: (int,),
        float: (int, float),
        ListConfig: (list,),
    }
    for kind, allowed in kinds.items():
        if isinstance(default, kind):
            if not isinstance(value, allowed) or (kind is not bool and isinstance(value, bool)):
                raise ValueError(
                    f"{key}={value}: expected {_article(kind)}, as in {key}={default}, "
                    f"not {type(value).__name__}."
                )
            return


def _article(kind: type) -> str:
    return {bool: "true or false", int: "a whole number", float: "a number", ListConfig: "a list"}[kind]
