# SPDX-License-Identifier: GPL-2.0-or-later
"""The sources of schemes: what is printed is what the samples are built from, and it is tried first."""

from __future__ import annotations

import hashlib
import re
import shutil
import tomllib
from pathlib import Path

import pytest

from genpatch.emit.errors import EmitError
from genpatch.emit.sources import scheme_name, scheme_sources
from genpatch.errors import UsageError
from genpatch.samples import sample_root
from genpatch.schemes import CATALOG
from genpatch.schemes.sources import sources_of
from genpatch.schemes.trampoline import OpsLayout

SAMPLES = ("call-ops", "jal-per-func", "pair-t0", "bpf-fentry")


@pytest.mark.parametrize("name", sorted(CATALOG))
def test_samples_are_built_from_what_is_rendered(name: str) -> None:
    manifest = tomllib.loads((sample_root() / f"scheme-{name}.toml").read_text(encoding="utf-8"))
    made = sources_of(CATALOG[name], OpsLayout(direct_call=32))
    assert manifest["sources"] == {file: hashlib.sha256(text.encode()).hexdigest() for file, text in made.items()}


@pytest.mark.parametrize("name", sorted(CATALOG))
def test_c_holds_nothing_of_other_schemes(name: str) -> None:
    text = sources_of(CATALOG[name], OpsLayout())["patching.c"]
    assert ("stop_machine(" in text) == (name in ("mcount-ra16", "pair-t0", "dynamic-trampoline"))
    assert ("ftrace_find_unique_ops" in text) == name.startswith(("call-ops", "jal-"))
    assert ("set_slot" in text) == (name == "auipc-fixed")
    assert ("ftrace_dispatcher" in text) == (name == "jal-per-func")
    assert "{{" not in text
    assert "\t\n" not in text
    assert not re.search(r"[ \t]$", text, re.MULTILINE)


def test_words_of_call_ops_are_those_of_the_manual() -> None:
    """auipc t0 is 0x297, jalr t0, 0(t0) is 0x282e7, nop is 0x13; a site is 4 bytes behind func."""
    text = sources_of(CATALOG["call-ops"], OpsLayout())["patching.c"]
    assert "word[0] = 0x00000297 | hi20(far);" in text
    assert "word[1] = on ? 0x000282e7 | lo12(far) : 0x00000013;" in text
    assert "return addr + 12;" in text
    assert "u64 func = rec->ip - 4;" in text
    enable = text[text.index("int ftrace_make_call") : text.index("int ftrace_modify_call")]
    assert enable.index("patch_text_nosync((void *)(func - 8), &site.ops, 8)") < enable.index(
        "patch_insn_write((void *)(func + 4), &site.word[1], 4)"
    )


@pytest.mark.parametrize("name", SAMPLES)
def test_tried_and_good(name: str) -> None:
    found = scheme_sources(name)
    assert found.passed
    assembled, executed, explored = found.verdict
    assert re.fullmatch(r"assembled: \w+ \d+ bytes(, \w+ \d+ bytes)?, the bytes that .*", assembled)
    assert re.search(r"14 sites pass in \d+ states, [\d,]{5,} instructions$", executed)
    assert re.search(r"are safe with .*, [\d,]+ states$", explored)


def test_what_is_not_safe_is_no_pass() -> None:
    """Fetching auipc and jalr at once does not help while both are still nops."""
    found = scheme_sources("pair-aligned8")
    assert not found.passed
    assert "enable is unsafe" in found.verdict[2]


def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> Path:
    for suffix in (".elf", ".toml"):
        shutil.copy(sample_root() / f"scheme-{name}{suffix}", tmp_path)
    monkeypatch.setattr("genpatch.samples.sample_root", lambda: tmp_path)
    return tmp_path / f"scheme-{name}.elf"


def test_another_trampoline_in_the_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sample = copied(tmp_path, monkeypatch, "call-ops")
    data = sample.read_bytes()
    kept = (0x0285_3283).to_bytes(4, "little")  # ld t0, 40(a0): nowhere in it
    assert kept not in data
    first = (0xF601_0113).to_bytes(4, "little")  # addi sp, sp, -160
    assert data.count(first) == 1
    sample.write_bytes(data.replace(first, (0xF501_0113).to_bytes(4, "little")))
    found = scheme_sources("call-ops")
    assert not found.passed
    assert found.verdict[0] == "ftrace_caller: assembled, but sample:scheme-call-ops has other bytes"
    assert "FAILED" in found.verdict[1]  # the frame is left at another height than it was made


def test_other_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = copied(tmp_path, monkeypatch, "call-ops").with_suffix(".toml")
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(re.sub(r'("patching.c" = ")....', r"\g<1>0000", text), encoding="utf-8")
    with pytest.raises(EmitError, match="was built from other sources"):
        scheme_sources("call-ops")
    manifest.unlink()
    with pytest.raises(EmitError, match="no sample"):
        scheme_sources("call-ops")


def test_names() -> None:
    assert scheme_name("jal-dispatch") == "jal-dispatch"
    assert scheme_name("bpf-sled") == "bpf-fentry"
    with pytest.raises(UsageError, match="no sources of its own"):
        scheme_name("hi20-check")
    with pytest.raises(UsageError, match="is it 'call-ops'"):
        scheme_name("cal-ops")


def test_assembly_is_complete() -> None:
    files = scheme_sources("jal-per-func").files
    assert sorted(files) == ["dispatcher.S", "ftrace_caller.S", "patching.c"]
    for name in ("dispatcher.S", "ftrace_caller.S"):
        assert "\t.option norvc\n" in files[name]
        assert f"\n{'ftrace_dispatcher' if name == 'dispatcher.S' else 'ftrace_caller'}:\n" in files[name]
