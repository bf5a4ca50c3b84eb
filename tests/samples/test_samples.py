# SPDX-License-Identifier: GPL-2.0-or-later
"""The bundled samples: each is what its manifest says, and the audit finds in it what was put there."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from genpatch.audit.registry import all_rules, select
from genpatch.report.auditing import AuditOptions, audit_paths
from genpatch.report.document import AuditDocument, FindingRecord, ImageRecord
from genpatch.samples import sample_names
from genpatch.schemes import CATALOG

ROOT = Path(__file__).parents[2] / "vmlinux-samples"
RECIPE = "recipe.toml"
IMAGES = (".elf", ".ko", ".image")
LICENCE = "SPDX-License-Identifier: GPL-2.0-or-later"
MAX_TOTAL = 1_500_000

NOT_SHOWN: dict[str, str] = {}
"""Rules that no sample makes fire, with the reason."""

PENDING: dict[str, str] = {}
"""Samples whose manifest is right and whose audit is not yet, with the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What stands beside a sample.

    Args:
        name: of the sample.
        digests: SHA-256 of each file, the sample itself first.
        shows: schemes that it shows beside the one it is audited as.
        kernel: the sample that a module is for.
        companions: files that are audited with it.
        expect: scheme, variant, sites, zero and findings, all of them.
    """

    name: str
    digests: dict[str, str]
    shows: tuple[str, ...]
    kernel: str | None
    companions: tuple[str, ...]
    expect: dict[str, Any]

    @property
    def path(self) -> Path:
        """The sample."""
        return ROOT / next(iter(self.digests))


def _manifest(path: Path) -> Manifest:
    raw = tomllib.loads(path.read_text(encoding="utf-8"))
    audit = raw.get("audit", {})
    return Manifest(
        name=path.stem,
        digests=raw["sha256"],
        shows=tuple(raw.get("shows", ())),
        kernel=audit.get("kernel"),
        companions=tuple(audit.get("companions", ())),
        expect=raw["expect"],
    )


MANIFESTS = {path.stem: _manifest(path) for path in sorted(ROOT.glob("*.toml")) if path.name != RECIPE}


@cache
def _audited(name: str) -> AuditDocument:
    manifest = MANIFESTS[name]
    kernel = str(ROOT / manifest.kernel) if manifest.kernel else None
    options = AuditOptions(rules=tuple(select().values()), kernel=kernel, jobs=1)
    return audit_paths([str(manifest.path), *(str(ROOT / each) for each in manifest.companions)], options)


def _image(name: str) -> ImageRecord:
    path = str(MANIFESTS[name].path)
    return next(image for image in _audited(name).images if image.input.path == path)


def _row(finding: FindingRecord) -> str:
    return f"{finding.rule} {finding.level} {finding.sites} {finding.message}"


def _matches(wanted: dict[str, Any], finding: FindingRecord) -> bool:
    same = (wanted["rule"], wanted["level"], wanted["sites"]) == (finding.rule, finding.level, finding.sites)
    return same and re.search(wanted["message"], finding.message) is not None


def _is_no_mistake(wanted: dict[str, Any]) -> bool:
    """Tell whether a finding of a manifest is a note, or says why the sample is right all the same."""
    return wanted["level"] == "note" or bool(wanted.get("why"))


def _with_pending(names: list[str]) -> list[Any]:
    return [
        pytest.param(name, marks=[pytest.mark.xfail(reason=PENDING[name], strict=True)] if name in PENDING else [])
        for name in names
    ]


class TestFiles:
    def test_each_sample_has_a_manifest_and_each_manifest_a_sample(self) -> None:
        files = {path.name for path in ROOT.iterdir() if path.suffix in (*IMAGES, ".o")}
        assert files == {file for manifest in MANIFESTS.values() for file in manifest.digests}

    def test_each_manifest_has_a_recipe(self) -> None:
        assert set(tomllib.loads((ROOT / RECIPE).read_text(encoding="utf-8"))) == set(MANIFESTS)

    def test_the_command_line_knows_them(self) -> None:
        assert set(sample_names()) == set(MANIFESTS)

    @pytest.mark.parametrize("name", MANIFESTS)
    def test_digests(self, name: str) -> None:
        for file, digest in MANIFESTS[name].digests.items():
            assert hashlib.sha256((ROOT / file).read_bytes()).hexdigest() == digest

    def test_they_are_small(self) -> None:
        assert sum(path.stat().st_size for path in ROOT.iterdir() if path.is_file()) < MAX_TOTAL

    @pytest.mark.parametrize("name", MANIFESTS)
    def test_no_path_of_the_build_machine_is_in_them(self, name: str) -> None:
        for file in MANIFESTS[name].digests:
            assert not re.search(rb"/(?:tmp|home|root|work|usr|build)/", (ROOT / file).read_bytes())

    def test_each_source_has_a_licence(self) -> None:
        sources = [path for path in (*ROOT.iterdir(), *(ROOT / "src").iterdir()) if path.is_file()]
        texts = [path for path in sources if path.suffix not in (*IMAGES, ".o")]
        assert not [path.name for path in texts if LICENCE not in path.read_text(encoding="utf-8")]


class TestFindings:
    @pytest.mark.parametrize("name", _with_pending(list(MANIFESTS)))
    def test_all_that_was_put_there_is_found_and_nothing_else(self, name: str) -> None:
        wanted = list(MANIFESTS[name].expect["findings"])
        unexpected = []
        for finding in _image(name).findings:
            match = next((each for each in wanted if _matches(each, finding)), None)
            if match is None:
                unexpected.append(_row(finding))
            else:
                wanted.remove(match)
        assert (unexpected, wanted) == ([], [])

    @pytest.mark.parametrize("name", MANIFESTS)
    def test_scheme_and_sites(self, name: str) -> None:
        image, expect = _image(name), MANIFESTS[name].expect
        assert image.scheme == expect["scheme"]
        assert image.scheme_variant == expect.get("variant")
        assert (image.table.sites, image.table.zero) == (expect["sites"], expect.get("zero", 0))

    @pytest.mark.parametrize("name", MANIFESTS)
    def test_no_rule_breaks_and_nothing_is_unread(self, name: str) -> None:
        document = _audited(name)
        assert not document.trouble
        assert not [rule for image in document.images for rule in image.rules if rule.status == "error"]

    @pytest.mark.parametrize("name", [name for name, manifest in MANIFESTS.items() if manifest.companions])
    def test_nothing_is_found_in_companions(self, name: str) -> None:
        path = str(MANIFESTS[name].path)
        assert not [_row(each) for each in _audited(name).total.findings if each.image != path]


class TestCoverage:
    @pytest.mark.parametrize(
        "code", [code for code, rule in all_rules().items() if rule.applies not in ("verify", "race")]
    )
    def test_each_rule_fires_on_a_sample(self, code: str) -> None:
        shown = [name for name, each in MANIFESTS.items() if any(f["rule"] == code for f in each.expect["findings"])]
        assert bool(shown) != (code in NOT_SHOWN)

    def test_each_rule_code_of_a_manifest_exists(self) -> None:
        used = {finding["rule"] for each in MANIFESTS.values() for finding in each.expect["findings"]}
        assert used <= set(all_rules())

    def test_each_scheme_has_a_sample_in_which_nothing_is_wrong(self) -> None:
        sound = [each for each in MANIFESTS.values() if all(_is_no_mistake(f) for f in each.expect["findings"])]
        shown = {
            scheme for each in sound for scheme in (each.expect["scheme"], each.expect.get("variant"), *each.shows)
        }
        assert set(CATALOG) <= shown

    @pytest.mark.parametrize("scheme", CATALOG)
    def test_each_scheme_has_a_sample_to_run(self, scheme: str) -> None:
        manifest = MANIFESTS[f"scheme-{scheme}"]
        assert scheme in (manifest.expect["scheme"], manifest.expect.get("variant"), *manifest.shows)
        assert all(_is_no_mistake(f) for f in manifest.expect["findings"])

    def test_only_samples_of_schemes_explain_findings_away(self) -> None:
        excused = {name for name, each in MANIFESTS.items() if any(f.get("why") for f in each.expect["findings"])}
        assert excused <= {f"scheme-{scheme}" for scheme in CATALOG}


@pytest.mark.parametrize("toolchain", ["gcc", "gcc+pahole", "clang", "clang+pahole"])
def test_the_recipe_makes_these_bytes(toolchain: str) -> None:
    command = [sys.executable, str(ROOT / "build.py"), "--check", "--toolchain", toolchain]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode == 3:
        pytest.skip(f"samples were not rebuilt: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
