"""The notebooks of docs/notebooks: they compile, hold no output, and run."""

import ast
import os
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


def name(path: Path) -> str:
    return path.stem


def code(path: Path) -> list[str]:
    return [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_cells_compile_and_hold_no_output(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for source in code(path):
        ast.parse(source)
    assert all(
        not cell.outputs and cell.execution_count is None for cell in notebook.cells if "outputs" in cell
    )


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_what_the_cells_import_exists(path):
    imports = [
        node
        for source in code(path)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert imports
    exec("\n".join(map(ast.unparse, imports)), {})


@pytest.mark.slow
def test_gravity_notebook_finds_newtons_law(tmp_path, monkeypatch):
    """Runs as a user would run it; its law and its page are there at the end."""
    from nbclient import NotebookClient

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    notebook = nbformat.read(ROOT / "docs" / "notebooks" / "gravity.ipynb", as_version=4)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [o for cell in notebook.cells if cell.cell_type == "code" for o in cell.outputs]
    text = "".join(o.get("text", "") for o in outputs if o.output_type == "stream")
    assert "m_i*m_j/r**2" in text
    assert "verdict: law" in text
    assert sum("image/png" in o.get("data", {}) for o in outputs) == 3
    assert (tmp_path / "outputs" / "gravity" / "report.html").is_file()


@pytest.mark.slow
def test_drug_target_notebook_ranks_drugs_for_new_targets(tmp_path, monkeypatch):
    """Its model finds more of the best drugs than chance, and beats every baseline."""
    from nbclient import NotebookClient

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    notebook = nbformat.read(ROOT / "docs" / "notebooks" / "drug_target.ipynb", as_version=4)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [o for cell in notebook.cells if cell.cell_type == "code" for o in cell.outputs]
    text = "".join(o.get("text", "") for o in outputs if o.output_type == "stream")
    rows = [line.split() for line in text.splitlines() if line.split()[:1] and len(line.split()) == 4]
    error = {
        row[0]: float(row[1]) for row in rows if row[0] in ("model", "mean", "drug_target_mean", "kernel")
    }
    assert error["model"] == min(error.values())
    assert len(error) == 4
    found = int(re.search(r"hold (\d+)% of the best tenth; by chance 20%", text)[1])
    assert found > 60
    assert sum("image/png" in o.get("data", {}) for o in outputs) == 2


def executed(name, folder, monkeypatch):
    """Run a notebook as a user would; return its outputs and what it prints."""
    from nbclient import NotebookClient

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    notebook = nbformat.read(ROOT / "docs" / "notebooks" / f"{name}.ipynb", as_version=4)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}}).execute()
    outputs = [o for cell in notebook.cells if cell.cell_type == "code" for o in cell.outputs]
    return outputs, "".join(o.get("text", "") for o in outputs if o.output_type == "stream")


@pytest.mark.slow
def test_structure_notebook_beats_the_linear_answer(tmp_path, monkeypatch):
    """A network that sees a CA trace tells exposure better than local features do, on strange proteins."""
    outputs, text = executed("structure", tmp_path, monkeypatch)
    r2 = {name: float(value) for name, value in re.findall(r"(\w+) +r2 (-?[\d.]+)", text)}
    assert r2["network"] > r2["linear"] > r2["mean"]
    assert sum("image/png" in o.get("data", {}) for o in outputs) == 2


@pytest.mark.slow
def test_contacts_notebook_finds_a_charge(tmp_path, monkeypatch):
    """Of its hidden properties one is like hydropathy and another like charge."""
    outputs, text = executed("residue_contacts", tmp_path, monkeypatch)
    assert "verdict: law" in text
    rho = {what: float(value) for value, what in re.findall(r"^([\d.]+) \(.*?\)  (.*) \(", text, re.M)}
    assert max(value for what, value in rho.items() if "charge" in what) > 0.8
    assert max(value for what, value in rho.items() if "hidden" in what and "hydropathy" in what) > 0.8
    assert sum("image/png" in o.get("data", {}) for o in outputs) == 2


@pytest.mark.slow
def test_csv_notebook_finds_its_secret_law_and_masses(tmp_path, monkeypatch):
    outputs, text = executed("csv_to_law", tmp_path, monkeypatch)
    assert "m_i*m_j/r**(3/2)" in text
    assert "verdict: law" in text
    pairs = re.findall(r"^[abcd]  ([\d.]+) ± \S+   true ([\d.]+)$", text, re.M)
    assert len(pairs) == 4
    assert all(float(found) == pytest.approx(float(true), rel=1e-4) for found, true in pairs)
    assert float(re.search(r"distance from the truth: (\S+)", text)[1]) < 1e-6
    assert sum("image/png" in o.get("data", {}) for o in outputs) == 1


@pytest.mark.slow
def test_no_law_notebook_finds_none(tmp_path, monkeypatch):
    _, text = executed("no_law", tmp_path, monkeypatch)
    assert re.findall(r"^(none|law|ambiguous): ", text, re.M) == ["none"] * 3


@pytest.mark.slow
def test_einstein_notebook_finds_c_and_the_shape_of_the_earth(tmp_path, monkeypatch):
    outputs, text = executed("newton_to_einstein", tmp_path, monkeypatch)
    c, true_c = map(float, re.search(r"light: (\d+) ± \d+ km/s, JPL (\d+)", text).groups())
    assert c == pytest.approx(true_c, rel=1e-3)
    j2, true_j2 = map(float, re.search(r"Earth: (\S+), JPL (\S+)", text).groups())
    assert j2 == pytest.approx(true_j2, rel=1e-2)
    errors = {name: float(last) for name, last in re.findall(r"^(\w+) +\d+ km +(\d+) km$", text, re.M)}
    planets = ("mercury", "venus", "earth", "mars", "jupiter", "saturn", "uranus", "neptune")
    assert all(errors[name] < 100 for name in planets)
    assert sum("image/png" in o.get("data", {}) for o in outputs) == 1
    assert (tmp_path / "outputs" / "residual.html").is_file()


@pytest.mark.slow
def test_solubility_notebook_comes_near_the_error_of_measurement(tmp_path, monkeypatch):
    """Values are a formula and an error of 0.3: the network comes near it, and beats the forest."""
    outputs, text = executed("solubility", tmp_path, monkeypatch)
    rows = re.findall(r"^(network|mean|ridge|forest) +([\d.]+)", text, re.M)
    rmse = {name: float(value) for name, value in rows}
    assert len(rmse) == 4
    assert rmse["network"] < 0.45
    assert rmse["network"] < rmse["forest"] < rmse["mean"]
    assert "unclosed ring" in text
    assert "no molecule with Si" in text
    assert sum("image/png" in o.get("data", {}) for o in outputs) == 1


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_ethanol_notebook_vibrates_where_bonds_do(tmp_path, monkeypatch):
    """Its network beats pairs, its dynamics keep the energy, and hydrogens stretch where chemistry says."""
    outputs, text = executed("ethanol_md", tmp_path, monkeypatch)
    force = {name: float(value) for name, value in re.findall(r"(\w+): forces (\d+) meV", text)}
    assert force["network"] < 0.5 * force["pairs"]
    assert abs(float(re.search(r"drifts by (\S+) eV/atom", text)[1])) < 1e-3
    harmonic = {
        name: [float(v) for v in values.split(", ")]
        for name, values in re.findall(r"(C-H|O-H) stretch: ([\d., ]+) 1/cm, harmonic", text)
    }
    assert len(harmonic["C-H"]) == 5
    assert len(harmonic["O-H"]) == 1
    assert 2600 < np.mean(harmonic["C-H"]) < 3300
    assert max(harmonic["C-H"]) < harmonic["O-H"][0] < 4000
    moving = {n: float(v) for n, v in re.findall(r"(C-H|O-H) stretch in dynamics: (\d+)", text)}
    assert 2600 < moving["C-H"] < 3300 < moving["O-H"] < 3900
    assert sum("image/png" in o.get("data", {}) for o in outputs) == 1


@pytest.mark.slow
def test_pair_notebook_reads_lennard_jones_out_of_a_network(tmp_path, monkeypatch):
    """Its constants are those of the frames; of ethanol it says that pairs are not enough."""
    outputs, text = executed("pair_potential", tmp_path, monkeypatch)
    assert re.findall(r"^verdict: (\w+)", text, re.M) == ["law", "none"]
    assert "Lennard-Jones" in text
    assert float(re.search(r"epsilon = ([\d.]+)", text)[1]) == pytest.approx(0.0104, rel=1e-2)
    assert float(re.search(r"sigma = ([\d.]+)", text)[1]) == pytest.approx(3.4, rel=1e-3)
    assert "no sum over pairs" in text
    assert sum("image/png" in o.get("data", {}) for o in outputs) == 1
