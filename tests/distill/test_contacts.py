"""A law from contacts: planted energies come back, and published tables are what is known of them."""

import json
import re

import numpy as np
import pytest
import sympy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sciml.builders import residue_graph
from sciml.builders.residue import AMINO
from sciml.datasets.structures import shipped
from sciml.distill import Law
from sciml.distill.contacts import (
    TooFewContactsError,
    compare,
    contact_energies,
    count_contacts,
    distill_contacts,
)
from sciml.distill.contacts.compare import attraction, without_one_body
from sciml.distill.contacts.counts import FIRST, PAIR, SECOND, SEPARATIONS, ContactCounts
from sciml.distill.contacts.forms import Form, deviance, evaluated, fit_form, tied
from sciml.distill.contacts.gauge import ONE_BODY, bilinear, canonical, extended, settled, signs_of, start_of
from sciml.distill.published import charges, kyte_doolittle, miyazawa_jernigan
from sciml.distill.report.contacts import contact_page, contact_report

TABLE = {name: i for i, name in enumerate(AMINO)}
q_i, q_j = sympy.symbols("q_i q_j")


def planted(energy, structures=40, seed=0, rate=0.2, families=None):
    """Poisson contacts of structures whose compositions and densities differ."""
    rng = np.random.default_rng(seed)
    observed, possible, owner = [], [], []
    for number in range(structures):
        share = rng.dirichlet(np.full(20, 3.0))
        pairs = 6000 * share[FIRST] * share[SECOND] * np.where(FIRST == SECOND, 1, 2)
        for density in (1.0, 0.3):
            mean = pairs * rate * density * rng.uniform(0.5, 1.5) * np.exp(-energy[FIRST, SECOND])
            possible.append(pairs)
            observed.append(rng.poisson(mean))
            owner.append(number)
    family = np.arange(structures) if families is None else families
    weight = 1.0 / np.bincount(family)[family]
    return ContactCounts(np.array(observed, float), np.array(possible), np.array(owner), family, weight)


def two_charges(seed=3):
    rng = np.random.default_rng(seed)
    water = rng.normal(0, 0.7, 20)
    charge = np.zeros(20)
    charge[[TABLE[n] for n in ("ASP", "GLU", "LYS", "ARG")]] = [-0.8, -0.8, 0.8, 0.8]
    return water, charge


# ------------------------------------------------------------------ counts


def test_contacts_are_counted_as_by_hand():
    graph = residue_graph(shipped() / "entries/1ubi.pdb.gz", contact="centroid", cutoff=6.5, sequence=0)
    counts = count_contacts(graph, fewest=1)
    nodes = {name: graph.nodes[name].tolist() for name in ("type", "place")}
    touching = set(map(tuple, graph.edge_index.T.tolist()))
    observed, possible = np.zeros((2, 20, 20), int)
    for a in range(graph.num_nodes):
        for b in range(a + SEPARATIONS[0], graph.num_nodes):
            pair = tuple(sorted((nodes["type"][a], nodes["type"][b])))
            possible[pair] += 1
            observed[pair] += (a, b) in touching
    assert np.array_equal(counts.observed.sum(0), observed[FIRST, SECOND])
    assert np.array_equal(counts.possible.sum(0), possible[FIRST, SECOND])
    assert counts.contacts == observed.sum() > 50


def test_contacts_of_other_chains_and_nucleotides_do_not_count():
    graph = residue_graph(shipped() / "entries/3mht.pdb.gz", contact="centroid", cutoff=6.5, sequence=0)
    counts = count_contacts(graph, fewest=1)
    edge = graph.edge_index[:, graph.edges["separation"].abs() >= SEPARATIONS[0]]
    amino = (graph.nodes["type"][edge] < 20).all(0)
    assert counts.contacts == int(amino.sum()) // 2


def test_too_few_contacts_are_an_error_that_counts_them():
    graph = residue_graph(shipped() / "entries/1ejg.pdb.gz", contact="centroid", cutoff=6.5)
    with pytest.raises(TooFewContactsError, match=r"1 structures hold \d+ contacts .* need at least 2000"):
        count_contacts(graph)


# ------------------------------------------------------------------ energies


def test_planted_energies_come_back_whatever_composition_and_density():
    water, charge = two_charges()
    energy = -np.outer(water, water) + np.outer(charge, charge)
    found = contact_energies(planted(energy), draws=20)
    inferred, true = found.energy[FIRST, SECOND], energy[FIRST, SECOND]
    shift = np.average(inferred - true, weights=found.expected)
    error = inferred - true - shift
    assert np.corrcoef(inferred, true)[0, 1] > 0.99
    assert np.sqrt(np.mean(error**2)) < 0.12
    assert np.average(inferred, weights=found.expected) == pytest.approx(0, abs=1e-5)
    assert np.mean(np.abs(error) < 2.5 * found.error[FIRST, SECOND] + 0.02) > 0.9  # errors are of their size


def test_no_types_no_energies():
    found = contact_energies(planted(np.zeros((20, 20)), structures=60), draws=20)
    assert np.abs(found.energy).mean() < 0.05


def test_a_family_weighs_as_one():
    water, _ = two_charges()
    counts = planted(-np.outer(water, water), structures=10)
    pick = np.concatenate([np.arange(20), np.tile([0, 1], 5)])  # structure 0 six times
    owner = np.concatenate([counts.structure, np.repeat(np.arange(10, 15), 2)])
    family = np.concatenate([np.arange(10), np.zeros(5, int)])
    weight = 1.0 / np.bincount(family)[family]
    copies = ContactCounts(counts.observed[pick], counts.possible[pick], owner, family, weight)
    np.testing.assert_allclose(
        contact_energies(copies, draws=0).energy, contact_energies(counts, draws=0).energy, atol=1e-6
    )


@given(st.integers(0, 1000))
def test_deviance_is_zero_only_where_expected(seed):
    rng = np.random.default_rng(seed)
    mean = rng.uniform(0.5, 20, 30)
    assert deviance(mean, mean) == pytest.approx(0, abs=1e-9)
    seen = rng.poisson(mean).astype(float)
    assert (deviance(seen, mean) >= 0).all()
    assert (deviance(seen, mean)[np.abs(seen - mean) > 0.01] > 0).all()


# ------------------------------------------------------------------ forms


@settings(max_examples=20)
@given(st.integers(0, 1000), st.booleans(), st.lists(st.sampled_from([1, -1]), min_size=1, max_size=3))
def test_conventions_change_no_energy(seed, one_body, signs):
    rng = np.random.default_rng(seed)
    form = bilinear(one_body, tuple(signs))
    hidden = {name: rng.normal(size=20) for name in form.hidden}
    fixed = settled(form, hidden, hidden)
    change = evaluated(form, fixed) - evaluated(form, hidden)
    np.testing.assert_allclose(change, change[0], atol=1e-9)
    products = [fixed[name] for name in fixed if name != ONE_BODY]
    gram = np.array([[a @ b for a in products] for b in products])
    np.testing.assert_allclose(gram, np.diag(np.diag(gram)), atol=1e-8)
    if one_body:
        np.testing.assert_allclose([p.mean() for p in products], 0, atol=1e-9)
    again = settled(form, fixed, fixed)
    for name, values in fixed.items():
        np.testing.assert_allclose(again[name], values, atol=1e-7)


@pytest.mark.parametrize(
    ("formula", "form"),
    [
        (0.9 * q_i + 0.9 * q_j, bilinear(True, ())),
        (-3.2 * q_i * q_j, bilinear(False, (-1,))),
        (1.5 * q_i * q_j + 0.4 * q_i + 0.4 * q_j, bilinear(False, (1,))),
        (sympy.exp(q_i + q_j), None),
        (q_i**2 + q_j**2, None),
    ],
)
def test_what_q_can_hold_goes_into_q(formula, form):
    assert canonical(formula) == form


def test_more_terms_are_one_more_each():
    more = extended(bilinear(False, (-1,)))
    assert {(ONE_BODY in f.hidden, signs_of(f)) for f in more} == {
        (True, (-1,)),
        (False, (-1, -1)),
        (False, (-1, 1)),
    }
    assert not extended(Form("searched", 2.0 * sympy.exp(q_i + q_j)))


def test_equal_numbers_stay_equal_at_both_ends():
    template, values = tied(0.937 * q_i + 0.937 * q_j - 2.5 * q_i * q_j)
    assert sorted(values.values()) == [-2.5, 0.937]
    swapped = template.xreplace({q_i: q_j, q_j: q_i})
    assert sympy.expand(template - swapped) == 0


def test_start_is_exact_for_energies_of_the_form():
    water, charge = two_charges()
    form = bilinear(True, (-1, 1))
    energy = water[:, None] + water - np.outer(water, water) + np.outer(charge, charge)
    value = evaluated(form, start_of(form, energy))
    difference = value - energy[FIRST, SECOND]
    np.testing.assert_allclose(difference, difference[0], atol=1e-8)


def test_a_fit_finds_planted_values():
    water, charge = two_charges()
    energy = -np.outer(water, water) + np.outer(charge, charge)
    counts = planted(energy, structures=40)
    form = bilinear(False, (-1, 1))
    start = start_of(form, contact_energies(counts, draws=0).energy)
    hidden = settled(form, fit_form(form, *counts.weighted(), start).hidden, start)
    truth = settled(form, {"q": water, "u": charge}, hidden)
    assert np.corrcoef(hidden["q"], truth["q"])[0, 1] > 0.99
    assert np.corrcoef(hidden["u"], truth["u"])[0, 1] > 0.97


# ------------------------------------------------------------------ the whole


@pytest.fixture(scope="module")
def found():
    water, charge = two_charges()
    energy = -np.outer(water, water) + np.outer(charge, charge)
    return distill_contacts(planted(energy, structures=30), draws=12, seconds=4, folds=4)


@pytest.mark.slow
def test_the_planted_formula_and_its_charges_are_found(found):
    _, charge = two_charges()
    assert found.law.verdict == "law"
    assert signs_of(next(t for t in found.trials if t.chosen).form)[:2] == (-1, 1)
    assert abs(np.corrcoef(found.fitted.hidden["u"], charge)[0, 1]) > 0.95
    i, j = TABLE["LYS"], TABLE["ASP"]
    ends = {f"{n}_{e}": v[k] for n, v in found.fitted.hidden.items() for e, k in (("i", i), ("j", j))}
    assert found.law.numpy(**ends) == pytest.approx(found.fitted.energy[PAIR[i, j]], abs=1e-6)


@pytest.mark.slow
def test_the_report_is_json_and_a_page_without_anything_foreign(found, tmp_path):
    report = contact_report(found, {"<b>.pdb": "web page"})
    again = json.loads(json.dumps(report))
    assert np.shape(again["energies"]) == (20, 20)
    assert sum(t["chosen"] for t in again["trials"]) == 1
    page = contact_page(found, report, title="<script>")
    assert "<script>" not in page
    assert "&lt;b&gt;.pdb" in page
    assert "https:" not in page
    assert not set(re.findall(r"http://[\w.]+", page)) - {"http://www.w3.org"}
    assert page.count("<svg") == 2
    found.law.save(tmp_path / "law.json")
    assert Law.load(tmp_path / "law.json").verdict == "law"


@pytest.mark.slow
def test_nothing_is_found_where_types_do_not_matter():
    nothing = distill_contacts(planted(np.zeros((20, 20)), structures=25), draws=5, seconds=2, folds=5)
    assert nothing.law.verdict == "none"
    assert "do not tell which touch" in nothing.law.reason
    report = contact_report(nothing)
    assert report["hidden"] == {}
    assert "no law" in contact_page(nothing, report)


# ------------------------------------------------------------------ published scales


def test_miyazawa_jernigan_is_what_is_known_of_it():
    e = miyazawa_jernigan()
    assert np.array_equal(e, e.T)
    assert e.min() == e[TABLE["LEU"], TABLE["LEU"]] == -7.37
    assert e.max() == e[TABLE["LYS"], TABLE["LYS"]] == -0.12
    # the paper's lower half, e'_ij = e_ij - (e_ii + e_jj) / 2
    excess = lambda a, b: e[TABLE[a], TABLE[b]] - (e[TABLE[a], TABLE[a]] + e[TABLE[b], TABLE[b]]) / 2
    for a, b, value in (
        *(("CYS", "MET", 0.46), ("MET", "PHE", -0.20), ("CYS", "ILE", 0.49)),
        *(("ASP", "HIS", -0.19), ("ASP", "ARG", -0.91), ("ASP", "LYS", -1.01)),
        *(("GLU", "ARG", -1.04), ("GLU", "LYS", -1.28), ("ARG", "LYS", 0.24)),
        *(("HIS", "PRO", 0.15), ("ARG", "PRO", -0.05), ("LYS", "PRO", -0.04)),
    ):
        assert excess(a, b) == pytest.approx(value, abs=0.0101), (a, b)
    # Li, Tang & Wingreen 1997: two eigenvalues stand out, -22.5 and 18.7 here, all others are small
    values = np.sort(np.linalg.eigvalsh(e - e.mean()))
    assert values[0] == pytest.approx(-22.5, abs=0.1)
    assert values[-1] == pytest.approx(18.7, abs=0.1)
    assert np.abs(values[1:-1]).max() < 2.5


def test_kyte_doolittle_and_charges():
    scale = dict(zip(AMINO, kyte_doolittle()))
    assert max(scale, key=scale.get) == "ILE"
    assert min(scale, key=scale.get) == "ARG"
    assert scale["ILE"] == -scale["ARG"] == 4.5
    assert sum(scale.values()) == pytest.approx(-9.8)
    assert charges().sum() == 0


def test_comparison_with_itself_is_perfect():
    e = miyazawa_jernigan()
    energies = contact_energies(planted(e - e.mean(), structures=60, rate=0.02), draws=10)
    pairs, rest, attracted, _ = compare(energies)
    assert pairs.rho > 0.95
    assert rest.rho > 0.8  # of the small part that is of pairs alone, under noise
    assert attracted.rho > 0.97
    for one in (pairs, rest, attracted):
        assert one.low <= one.rho <= one.high


def test_parts_of_energies():
    e = miyazawa_jernigan()
    rest = without_one_body(e)
    h = np.linspace(-1, 1, 20)
    np.testing.assert_allclose(without_one_body(rest + h[:, None] + h), rest, atol=1e-9)
    np.testing.assert_allclose(attraction(e), -e.mean(0))
    assert torch.tensor(rest).abs().max() < 2
