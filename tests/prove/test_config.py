# SPDX-License-Identifier: GPL-2.0-or-later
"""Configurations: read, merged, and what a tree keeps of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from genpatch.errors import UsageError
from genpatch.prove.config import bundled, lost, merged, options_of, read_wanted


def test_the_bundled_configuration_asks_for_what_is_proved() -> None:
    found = bundled()
    wanted = {f"CONFIG_{name}" for name in ("FUNCTION_TRACER", "FTRACE_STARTUP_TEST", "BPF_JIT", "KPROBES", "MODULES")}
    assert wanted <= set(found)
    assert {found[name] for name in wanted} == {"y"}


def test_lines() -> None:
    text = 'CONFIG_A=y\n# CONFIG_B is not set\n# CONFIG_B=y in words\nCONFIG_S="a=b"\nCONFIG_A=m\n'
    assert options_of(text) == {"CONFIG_A": "m", "CONFIG_B": "n", "CONFIG_S": '"a=b"'}


def test_what_is_asked_for_comes_last_and_alone(tmp_path: Path) -> None:
    fragment = tmp_path / "more.config"
    fragment.write_text("# a comment\nCONFIG_PREEMPT=y\n# CONFIG_SMP is not set\n")
    wanted = read_wanted("small", [str(fragment), "CONFIG_HZ=250"])
    text = merged("CONFIG_SMP=y\nCONFIG_KEPT=y\n# CONFIG_HZ is not set\n", wanted)
    lines = text.splitlines()
    assert lines[0] == "CONFIG_KEPT=y"
    assert lines[-2:] == ["CONFIG_PREEMPT=y", "CONFIG_HZ=250"]
    assert [line for line in lines if "CONFIG_SMP " in line or "CONFIG_SMP=" in line] == ["# CONFIG_SMP is not set"]
    assert wanted.what == (
        f"tinyconfig, {len(bundled())} lines of genpatch's own, CONFIG_PREEMPT=y CONFIG_SMP=n CONFIG_HZ=250"
    )


def test_what_is_lost() -> None:
    made = "CONFIG_A=y\nCONFIG_B=m\n# CONFIG_C is not set\n"
    assert lost({"CONFIG_A": "y", "CONFIG_C": "n", "CONFIG_D": "n"}, made) == {}
    assert lost({"CONFIG_B": "y", "CONFIG_C": "y", "CONFIG_E": "m"}, made) == {
        "CONFIG_B": "m", "CONFIG_C": "n", "CONFIG_E": "n",
    }  # fmt: skip


@pytest.mark.parametrize(("base", "target"), [("tinyconfig", "tinyconfig"), ("defconfig", "defconfig")])
def test_a_base_by_name_has_no_lines_of_our_own(base: str, target: str) -> None:
    wanted = read_wanted(base, [])
    assert (wanted.base, wanted.own, wanted.asked, wanted.what) == (target, {}, {}, target)


def test_a_whole_configuration_as_base(tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text("CONFIG_DEBUG_INFO_BTF=y\n# CONFIG_B is not set\n")
    wanted = read_wanted(str(file), [])
    assert (wanted.base, wanted.what) == ("", "a configuration of 2 lines")
    assert wanted.has("CONFIG_DEBUG_INFO_BTF")
    assert not read_wanted(str(file), ["CONFIG_DEBUG_INFO_BTF=n"]).has("CONFIG_DEBUG_INFO_BTF")
    assert wanted.digest != read_wanted(str(file), ["CONFIG_B=y"]).digest


@pytest.mark.parametrize(
    ("base", "given", "message"),
    [
        ("small", "empty", "--config '{}/empty': no line of a kernel configuration in it"),
        ("small", "prose", "--config '{}/prose': line 2: expected CONFIG_X=..., got 'PREEMPT=y'"),
        ("small", "bytes", "--config '{}/bytes': not UTF-8, expected lines of a kernel configuration"),
        ("small", "none", "--config '{}/none': No such file or directory"),
        ("small", "CONFIG_X", "--config 'CONFIG_X': neither a file nor a line as CONFIG_X=y"),
        ("small", "PREEMPT=y", "--config 'PREEMPT=y': neither a file nor a line as CONFIG_X=y"),
        ("empty", "", "--base '{}/empty': no line of a kernel configuration in it"),
    ],
)
def test_mistakes(tmp_path: Path, base: str, given: str, message: str) -> None:
    (tmp_path / "empty").write_text("")
    (tmp_path / "bytes").write_bytes(b"\x7fELF\xff\xfe\n")
    (tmp_path / "prose").write_text("CONFIG_A=y\nPREEMPT=y\n")
    base = base if base == "small" else str(tmp_path / base)
    given = str(tmp_path / given) if given in ("empty", "prose", "bytes", "none") else given
    with pytest.raises(UsageError) as caught:
        read_wanted(base, [given] if given else [])
    assert str(caught.value) == message.format(tmp_path)
