# SPDX-License-Identifier: GPL-2.0-or-later
"""The layers of the program, and what a file of the project must and must not hold."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "genpatch"
LAYERS = (
    ("errors", "units", "samples"),
    ("isa",),
    ("image",),
    ("schemes",),
    ("machine",),
    ("run",),
    ("sites",),
    ("verify",),
    ("race",),
    ("audit",),
    ("compare",),
    ("emit",),
    ("check",),
    ("prove",),
    ("report",),
    ("cli",),
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
OWNERS = {
    "elftools": {"image"},
    "capstone": {"isa"},
    "jinja2": {"emit", "check", "prove", "schemes", "report"},
    "unidiff": {"emit", "check"},
    "tree_sitter": {"emit", "check"},
    "tree_sitter_c": {"emit", "check"},
    "typer": {"cli"},
    "click": set(),
}
MODULES = sorted(PACKAGE.rglob("*.py"))
SPDX = "# SPDX-License-Identifier: GPL-2.0-or-later"


def layer_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted module) of each import, those under TYPE_CHECKING and in functions too."""
    package = ("genpatch", *path.relative_to(PACKAGE).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, each.name) for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *(node.module or "").split(".")]).strip(".")
            if module == "genpatch":
                yield from ((node.lineno, f"genpatch.{each.name}") for each in node.names)
            else:
                yield node.lineno, module


def test_every_module_has_a_layer() -> None:
    assert {layer_of(path) for path in MODULES} - set(LEVEL) == {"__init__", "__main__"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_upward(path: Path) -> None:
    own = LEVEL.get(layer_of(path), len(LAYERS))
    for line, module in imports(path):
        package, _, rest = module.partition(".")
        if package != "genpatch":
            continue
        target = rest.split(".")[0]
        if target in ("", "__version__"):
            continue
        same = target == layer_of(path)
        assert same or LEVEL[target] < own or own == LEVEL[target] == 0, f"{path.name}:{line} imports {module}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_each_dependency_has_its_place(path: Path) -> None:
    for line, module in imports(path):
        owners = OWNERS.get(module.split(".")[0])
        assert owners is None or layer_of(path) in owners, f"{path.name}:{line} imports {module}"


def test_the_import_reader_sees_all_kinds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.PACKAGE", tmp_path)
    (tmp_path / "audit").mkdir()
    path = tmp_path / "audit" / "a.py"
    path.write_text(
        "import typer\nif TYPE_CHECKING:\n    from ..cli.app import app\n"
        "def f():\n    from . import rules\n    from .. import report\n    from ..image import elf\n",
        encoding="utf-8",
    )
    assert sorted(imports(path)) == [
        (1, "typer"),
        (3, "genpatch.cli.app"),
        (5, "genpatch.audit"),
        (6, "genpatch.report"),
        (7, "genpatch.image"),
    ]


SOURCES = sorted(path for folder in ("genpatch", "tests") for path in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_spdx(path: Path) -> None:
    content = path.read_text(encoding="utf-8")
    assert content.split("\n")[0] == SPDX or (path.name == "__init__.py" and not content)


_HOMES = ("home", "root", "work", "Users", "mnt", "tmp")
_ABSOLUTE = re.compile(r"(?<![\w.:/{}\])*])/(?:" + "|".join(_HOMES) + r")/[A-Za-z0-9_.]")
_REGISTRIES = re.compile(
    r"\b(?:[\w-]+\.)*(?:py" + r"pi\.org|pythonhosted\.org|artifactory|nexus|jfrog\.io|crates\.io|npmjs\.\w+)\b"
)
_TEXTS = {".py", ".md", ".toml", ".j2", ".c", ".S", ".lds", ".sh", ""}


def _project_files() -> Iterator[Path]:
    for name in ("genpatch", "tests", "templates", "vmlinux-samples", ".ci"):
        yield from (path for path in (ROOT / name).rglob("*") if path.is_file() and path.suffix in _TEXTS)
    yield from (path for path in (ROOT / "README.md", ROOT / "CHANGES.md", ROOT / "pyproject.toml") if path.is_file())


def test_no_file_knows_a_machine() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in _project_files()
        if path != Path(__file__)
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").split("\n"), 1)
        if _ABSOLUTE.search(line) or _REGISTRIES.search(line)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        ('open("/wor' + 'k/x")', True),
        ("see /ho" + "me/me/x", True),
        ("https://py" + "pi.org/simple", True),
        ("linux/tmp/x", False),
        ("/lib/modules", False),
    ],
)
def test_what_counts_as_a_machine(text: str, is_found: bool) -> None:
    assert bool(_ABSOLUTE.search(text) or _REGISTRIES.search(text)) == is_found
