"""The report: what report.json promises, and a page that stands alone."""

import dataclasses
import io
import json
import math
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest
import sympy
import torch
from rich.console import Console

from sciml.distill.evaluate import RolloutComparison
from sciml.distill.front import Candidate, Front
from sciml.distill.pipeline import distill
from sciml.distill.report import report, summary
from sciml.distill.report.page import mathml, typeset
from sciml.graph import Graph
from sciml.models.interaction_network import InteractionNetwork

MASSES = np.array([1.0, 0.3, 0.02, 0.1, 0.005])
HOSTILE = '<script>alert("x")</script>'
NAMES = ("star", "b & b", HOSTILE, "$x^", "pebble")
G = 2.5


def gravity_frames(frames: int, seed: int) -> Graph:
    """Five bodies thrown at random, with the accelerations of Newton's law."""
    rng = np.random.default_rng(seed)
    position = rng.normal(size=(frames, 5, 3)) * 2.0
    apart = position[:, None] - position[:, :, None]  # [frame, i, j] from i to j
    distance = np.linalg.norm(apart, axis=-1) + np.eye(5)
    acceleration = np.einsum("fij,fijd->fid", G * MASSES * (1 - np.eye(5)) / distance**3, apart)
    i, j = np.nonzero(~np.eye(5, dtype=bool))
    edges = np.stack([j, i])[:, None] + 5 * np.arange(frames)[None, :, None]
    nodes = {
        "pos": torch.tensor(position.reshape(-1, 3)),
        "acceleration": torch.tensor(acceleration.reshape(-1, 3)),
        "particle": torch.arange(5).repeat(frames),
    }
    return Graph.create(torch.tensor(edges.reshape(2, -1)), nodes, node_counts=torch.full((frames,), 5))


@pytest.fixture(scope="module")
def found():
    """A distillation whose "network" is Newton's law with a slightly wrong exponent."""
    model = InteractionNetwork(3, particles=5, hidden=["mass"]).to(torch.float64)
    model = model.with_formula(
        lambda c, r, m_i, m_j: -c * m_i * m_j * r**-2.001, {"c": G}, {"mass": torch.tensor(MASSES)}
    )
    formulas = {"-0.4": 0.9, "-2.4*m_i*m_j/r": 0.02, "-2.5*m_i*m_j/r**2": 1e-6}
    candidates = [
        Candidate(sympy.sympify(text), 1 + 4 * k, loss, "structured")
        for k, (text, loss) in enumerate(formulas.items())
    ]
    return distill(
        model,
        gravity_frames(40, seed=0),
        gravity_frames(20, seed=1),
        particles=NAMES,
        units={"position": "AU", "time": "day"},
        front=Front.of(candidates, rows=800),
    )


@pytest.fixture(scope="module")
def rollout():
    time = np.linspace(2458849.5, 2458849.5 + 3652.5, 30)
    true = np.zeros((30, 5, 3))
    true[..., 0] = np.cos(time / 100)[:, None] * np.arange(1, 6)
    predicted = true.copy()
    predicted[..., 1] += np.linspace(0, 1e-6, 30)[:, None] * np.arange(5)
    return RolloutComparison(time, NAMES, predicted, true, 1e-12, 1e-15, "AU", "day")


@pytest.fixture(scope="module")
def made(found, rollout, tmp_path_factory):
    metrics = tmp_path_factory.mktemp("run") / "metrics.csv"
    metrics.write_text("epoch,step,train/loss,validation/relative_error\n0,1,0.5,\n1,2,0.1,0.2\n")
    reference = {"mass": dict(zip(NAMES, 7.0 * MASSES, strict=True))}  # on a scale of its own
    return report(
        found,
        rollout=rollout,
        reference=reference,
        seconds={"train": 1.5},
        seed=3,
        title=f"title {HOSTILE}",
        config=f"name: {HOSTILE}",
        metrics=metrics,
    )


def strict(text: str):
    """Parse JSON that has no NaN and no infinity."""
    return json.loads(text, parse_constant=lambda token: pytest.fail(f"{token} in JSON"))


def test_written_report_reads_back(made, tmp_path):
    page = made.write(tmp_path)
    assert page == tmp_path / "report.html"
    assert page.read_text(encoding="utf-8") == made.html
    assert strict((tmp_path / "report.json").read_text(encoding="utf-8")) == made.json
    assert sorted(p.name for p in tmp_path.iterdir()) == ["report.html", "report.json"]


def test_contract_of_the_json(made):
    content = made.json
    assert content["format"] == 1
    assert content["verdict"] == "law"
    assert content["seed"] == 3
    assert {"train", "record", "refit"} <= set(content["seconds"])
    assert content["peak_memory_bytes"] > 2**20
    assert content["versions"]["numpy"] == np.__version__
    assert set(content["network"]["held_out_error"]) == set(NAMES)
    (marked,) = [c for c in content["front"] if c["chosen"]]
    assert sympy.sympify(marked["expression"]) == sympy.sympify("-2.5*m_i*m_j/r**2")
    assert {"expression", "complexity", "loss", "engine"} <= set(marked)


def test_law_of_the_json_is_newtons(made):
    law = made.json["law"]
    expression = sympy.sympify(law["expression"])
    (name,) = law["constants"]
    constant = law["constants"][name]
    value = expression.subs({name: constant["value"], "m_i": 2, "m_j": 3, "r": 4})
    assert float(value) == pytest.approx(-G * 2 * 3 / 4**2, rel=1e-9)
    assert constant["unit"] == "AU**3/day**2"
    assert law["exponents"]["r"]["value"] == pytest.approx(-2, abs=1e-9)
    assert law["exponents"]["r"]["snapped"] == -2


def test_hidden_properties_are_compared_on_our_scale(made):
    entries = made.json["hidden"]["mass"]
    assert made.json["reference_particle"] == "star"
    for name, mass in zip(NAMES, MASSES, strict=True):
        assert entries[name]["reference"] == pytest.approx(mass)
        assert entries[name]["relative_error"] == pytest.approx(0, abs=1e-9)
        assert entries[name]["determined"]


def test_undetermined_property_is_said_to_be_so(found):
    mass = dict(found.hidden["mass"])
    for name, error in (("pebble", 0.6), ("b & b", math.inf)):
        mass[name] = dataclasses.replace(mass[name], standard_error=error * mass[name].value)
    made = report(dataclasses.replace(found, hidden={"mass": mass}))
    entries = made.json["hidden"]["mass"]
    assert not entries["pebble"]["determined"]
    assert not entries["b & b"]["determined"]
    assert entries["b & b"]["standard_error"] is None
    assert entries["pebble"]["reference"] is None
    assert any("pebble" in sentence and "not determined" in sentence for sentence in made.json["caveats"])
    assert "not determined" in made.html


def test_surprising_differences_are_explained(found):
    reference = {"mass": dict(zip(NAMES, MASSES * [1, 1, 1.01, 1, 1], strict=True))}
    sentences = report(found, reference=reference).json["caveats"]
    (told,) = [s for s in sentences if "differs from the reference" in s]
    assert HOSTILE in told
    assert "pebble" not in told


def test_rollout_is_in_kilometres_and_years(made):
    rollout = made.json["rollout"]
    assert (rollout["unit"], rollout["time_unit"]) == ("km", "year")
    assert rollout["span"] == pytest.approx(10.0)
    final = rollout["particles"]["pebble"]["final_error"]
    assert final == pytest.approx(4e-6 * 149597870.7, rel=1e-6)
    assert rollout["particles"]["pebble"]["rms_error"] == pytest.approx(
        final * np.sqrt(np.mean(np.linspace(0, 1, 30) ** 2))
    )
    assert rollout["energy_drift"] == 1e-12


def test_rollout_that_ended_early_says_so(found, rollout):
    ended = dataclasses.replace(rollout, note="the force diverges near time 3")
    made = report(found, rollout=ended)
    assert made.json["rollout"]["note"] == "the force diverges near time 3"
    assert "The force diverges near time 3" in made.html


def test_reference_values_come_from_the_data(found):
    past = SimpleNamespace(names=NAMES, reference={"mass": MASSES[None]}, source="de421, 1990 to 2030")
    graph = SimpleNamespace(num_graphs=7)
    data = SimpleNamespace(past=past, names=NAMES, noise=1e-9, train=graph, fit=graph, held_out=graph)
    made = report(found, data=data)
    assert made.json["hidden"]["mass"]["pebble"]["reference"] == pytest.approx(MASSES[-1])
    assert made.json["data"]["frames"] == {"train": 7, "fit": 7, "held_out": 7}
    assert any("JPL" in sentence for sentence in made.json["caveats"])
    past.reference = {"mass": np.stack([MASSES, 2 * MASSES])}  # which of the two would it be?
    assert report(found, data=data).json["hidden"]["mass"]["pebble"]["reference"] is None


def test_law_without_variables_and_hidden_properties_has_a_page(found):
    law = dataclasses.replace(
        found.law, expression=sympy.Integer(0), constants={}, exponents={}, verdict="none", reason="nothing"
    )
    made = report(dataclasses.replace(found, law=law, hidden={}))
    assert made.json["law"]["expression"] == "0"
    assert made.json["hidden"] == {}
    assert made.json["reference_particle"] is None
    assert "Hidden properties" not in made.html


def test_page_without_a_training_curve_is_still_a_page(found, tmp_path, caplog):
    html = report(found, metrics=tmp_path / "metrics.csv").html
    assert "Training of the network" not in html
    assert "metrics.csv" in caplog.text


def test_nothing_is_written_where_a_page_cannot_be_made(found, tmp_path, monkeypatch):
    monkeypatch.setattr("sciml.plotting.front", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        report(found).write(tmp_path)
    assert not list(tmp_path.iterdir())


def test_no_rollout_and_no_reference_make_a_smaller_report(found):
    made = report(found)
    assert made.json["rollout"] is None
    assert "The law runs alone" not in made.html
    assert all(entry["reference"] is None for entry in made.json["hidden"]["mass"].values())


@pytest.mark.parametrize(("verdict", "word"), [("none", "no law"), ("ambiguous", "ambiguous")])
def test_verdict_leads_the_page(found, verdict, word):
    law = dataclasses.replace(found.law, verdict=verdict, reason="because")
    made = report(dataclasses.replace(found, law=law))
    assert made.json["verdict"] == verdict
    assert word in made.html.split("</header>")[0]
    assert "<h2>The best formula found</h2>" in made.html
    assert "<h2>The law</h2>" not in made.html
    assert made.json["caveats"][0].startswith(("The formula is the best", "Other formulas fit"))


class Page(HTMLParser):
    """Collects tags, the attributes that could load something, and text."""

    VOID = frozenset({"meta", "br", "img", "link", "hr", "input"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.labels: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [v for k, v in attrs if k in ("src", "href", "xlink:href", "srcset", "action", "data")]
        self.ids += [v for k, v in attrs if k == "id"]
        if tag == "svg":
            self.labels.append(dict(attrs)["aria-label"])
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_page_is_whole_and_needs_no_network(made):
    page = Page(made.html)
    assert page.open == []
    assert all(link.startswith(("#", "data:")) for link in page.links)
    assert not {"script", "link", "iframe", "object", "base"} & set(page.tags)
    assert "@import" not in made.html
    assert "url(http" not in made.html
    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    assert page.tags.count("svg") == len(page.labels) >= 8
    assert all(len(label) > 20 for label in page.labels)
    assert page.tags.count("math") >= 4


def test_hostile_names_are_text(made):
    assert "<script" not in made.html.lower()
    page = Page(made.html)
    assert page.text.count(HOSTILE) >= 4  # title, heading, table, configuration
    assert "$x^" in page.text


def test_page_says_what_json_says(made):
    text = Page(made.html).text
    for sentence in made.json["caveats"]:
        assert typeset(sentence).split(":")[0].split("(")[0].strip()[:60] in text
    assert made.json["law"]["latex"] in text
    assert "km" in text


def test_notebook_shows_the_page_in_a_sandbox(made):
    page = Page(made._repr_html_())
    assert page.tags == ["iframe"]
    assert "sandbox" in made._repr_html_()


def test_summary_in_a_terminal(made, found, tmp_path):
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(summary(made, tmp_path / "report.html"))
    text = console.export_text()
    assert "m_i*m_j/r**2" in text
    assert "AU³/day²" in text
    assert "verdict: law" in text
    assert "held" in text
    assert str(tmp_path)[:20] in text
    for name in NAMES:
        assert name in text
    console.print(summary(report(found).json))
    assert "reference" not in console.export_text()


def test_many_particles_with_long_names_stay_readable(found):
    one = found.hidden["mass"]["pebble"]
    lost = dataclasses.replace(one, standard_error=one.value)
    names = [f"a particle with a long name, number {i}" for i in range(50)]
    crowd = dataclasses.replace(found, hidden={"mass": {"star": one, **dict.fromkeys(names, lost)}})
    made = report(crowd)
    (sentence,) = [s for s in made.json["caveats"] if "not determined" in s]
    assert "45 others" in sentence
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(summary(made))
    text = console.export_text()
    assert "not determined" in text
    assert "21 more" in text
    assert max(map(len, text.splitlines())) <= 80


def test_free_exponents_that_win_are_traced_to_their_formula(found):
    choice = dataclasses.replace(found.choice, best=found.choice.released)
    released = dataclasses.replace(found, choice=choice)
    assert [c["chosen"] for c in report(released).json["front"]] == [False, False, True]


def test_a_decaying_exponential_stands_on_the_line():
    a, b, r = sympy.symbols("a b r")
    page = str(mathml(a * sympy.exp(-b * r) / r**6))
    above, below = page.split("<mfrac>")[1].split("</mfrac>")[0].split("<msup>")
    assert "exp" in above
    assert "exp" not in below
