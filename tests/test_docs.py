"""The pages do what they show: their Python runs, and prints what the page says."""

import contextlib
import doctest
import importlib.util
import io
import math
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("README.md"), *ROOT.glob("docs/**/*.md")])
BLOCK = re.compile(r"^```python\n(?P<code>.*?)^```\n(?:\s*^```text\n(?P<output>.*?)^```)?", re.M | re.S)
NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d*)?(?:e[-+]?\d+)?(?!\w)")


def same(expected: str, printed: str) -> bool:
    """Compare what a page shows: words exactly, numbers to 1 % (roundoff: any); "..." stands for anything."""
    words = [NUMBER.sub("#", text) for text in (expected, printed)]
    if not doctest.OutputChecker().check_output(*words, doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE):
        return False
    numbers = zip(*([float(n) for n in NUMBER.findall(text)] for text in (expected, printed)))
    return "..." in expected or all(math.isclose(a, b, rel_tol=1e-2, abs_tol=1e-9) for a, b in numbers)


def run(page: str, name: str = "page") -> int:
    """Run the ```python blocks one after the other; a ```text block after one is what it prints."""
    namespace: dict = {"__name__": "__main__"}
    blocks = list(BLOCK.finditer(page))
    for block in blocks:
        line = page.count("\n", 0, block.start()) + 1
        code = compile("\n" * line + block["code"], name, "exec")  # errors show the page's own lines
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, namespace)
        expected, found = block["output"], printed.getvalue()
        if expected is not None:
            assert same(expected, found), f"{name}, line {line} prints:\n{found}\nnot:\n{expected}"
    return len(blocks)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_page(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(path.read_text(), str(path))


def test_the_gallery_is_what_the_layers_say():
    """Made anew by: python docs/gallery.py."""
    specification = importlib.util.spec_from_file_location("gallery", ROOT / "docs" / "gallery.py")
    gallery = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(gallery)
    assert (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8") == gallery.page()


def test_blocks_share_names_and_their_output_is_compared():
    page = "```python\nx = 2\n```\nand then\n\n```python\nprint(x, 0.123)\n```\n\n```text\n2 0.123\n```\n"
    assert run(page) == 2
    with pytest.raises(AssertionError, match=r"line 6 prints:\s+2"):
        run(page.replace("2 0.1", "3 0.1"))
    with pytest.raises(NameError):
        run(page.replace("x = 2", "y = 2"))
