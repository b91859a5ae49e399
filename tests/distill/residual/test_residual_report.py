"""The report on what a law leaves over: numbers, page, escaping."""

import json
from html.parser import HTMLParser

import numpy as np
import pytest

from sciml.datasets.trajectories import Trajectories
from sciml.distill.forces import Forces
from sciml.distill.law import Constant, Law
from sciml.distill.parser import parse
from sciml.distill.report.residual import residual_report
from sciml.distill.residual import Known, Look, look_again, run_alone
from sciml.distill.simulate import simulate
from sciml.distill.terms import Term

NAMES = ("<b>star</b>", "a", "b")
MASS = np.array([1.0, 1e-3, 2e-3])


def law(*more, **constants):
    names = ["G", "q", "m_i", "m_j", "r"]
    terms = [Term(parse("-G*m_i*m_j/r**2", names)), *(Term(parse(text, names)) for text in more)]
    constants = {"G": Constant(1.0)} | {name: Constant(value) for name, value in constants.items()}
    return Law.of_terms(terms, "F", dict.fromkeys(("r", "m_i", "m_j"), ""), constants=constants,
                        inertia="mass")  # fmt: skip


@pytest.fixture(scope="module")
def found():
    truth = law("q*G*m_i*m_j/r**3", q=3e-4)
    start = np.array([[0.0, 0, 0], [1, 0, 0.1], [-1.9, 0.3, 0]])
    speed = np.array([[0.0, 0, 0], [0, 1.15, 0.2], [0.1, -0.6, 0.1]])
    path = simulate(truth, start, speed, np.linspace(0, 40, 300), {"mass": MASS})
    a = Forces(truth, {"mass": MASS})(path.position, path.velocity)
    a += 1e-8 * np.random.default_rng(0).normal(size=a.shape)
    data = Trajectories(
        path.position[None], path.time, path.velocity[None], a[None], names=NAMES,
        units={"position": "AU", "time": "day"}, acceleration_error=np.full(3, 1e-8),
    )  # fmt: skip
    known = Known(law(), NAMES, {"mass": MASS}, held=NAMES[0])
    again = look_again(known, data, [Look(("a", "b"), NAMES[0]), Look(("a", "b"), None)])
    rollouts = {"before": run_alone(again.first, data), "after": run_alone(again.known, data)}
    return again, rollouts


def test_the_numbers_are_those_of_the_findings(found, tmp_path):
    again, rollouts = found
    report = residual_report(again, rollouts=rollouts, length="AU", time="day", title="Rest")
    report.write(tmp_path)
    content = json.loads((tmp_path / "residual.json").read_text())
    first, second = content["looks"]
    assert first["verdict"] == "law"
    assert [t["expression"] for t in first["terms"]] == ["g/r"]
    assert first["constant"]["value"] == pytest.approx(3e-4, rel=1e-3)
    assert first["constant"]["unit"] == "AU"
    assert first["scale"]["kind"] == "length"
    assert first["scale"]["value"] == pytest.approx(3e-4 * 149597870.7, rel=1e-3)
    assert second["verdict"] == "none"
    assert second["terms"] == []
    for entry in content["rollout"]["particles"].values():
        assert entry["after"]["largest"] < 0.05 * entry["before"]["largest"]
    # the planets' own extra pull on each other is left, for the look was at the star's
    assert content["particles"]["a"]["after"] < 0.05 * content["particles"]["a"]["before"]


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.open, self.seen = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        if tag not in ("meta", "br", "path", "use", "rect", "circle", "line"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in self.open:
            while self.open.pop() != tag:
                pass


def test_the_page_is_whole_and_names_are_escaped(found):
    again, rollouts = found
    page = residual_report(again, rollouts=rollouts, config="a: <script>").html
    tags = Tags(page)
    assert not tags.open
    assert "<script>" not in page
    assert "<b>star</b>" not in page
    assert tags.seen.count("svg") == 4
    assert tags.seen.count("math") >= 2


def test_without_rollouts_or_noise_there_is_a_page_too(found):
    from dataclasses import replace

    again, _ = found
    bare = replace(again, before=replace(again.before, noise=None), findings=again.findings[1:])
    report = residual_report(bare)
    assert report.json["rollout"] is None
    assert report.json["particles"]["a"]["noise"] is None
    assert "The law runs alone" not in report.html
