# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import pytest

from genpatch.errors import InputError
from genpatch.image.config import config_label, parse_config
from genpatch.image.model import ConfigFacts

TEXT = b"""# Automatically generated
CONFIG_RISCV=y
CONFIG_EXT4_FS=m
# CONFIG_PREEMPT is not set
CONFIG_HZ=250
CONFIG_CC_VERSION_TEXT="gcc (Debian 14.2.0) = 14"
  CONFIG_INDENTED=y
NOT_CONFIG_X=y
CONFIG_LAST=y"""


def test_options() -> None:
    config = parse_config(TEXT, "config-7.2")
    assert config.source == "config-7.2"
    assert config.options == {
        "CONFIG_RISCV": "y",
        "CONFIG_EXT4_FS": "m",
        "CONFIG_HZ": "250",
        "CONFIG_CC_VERSION_TEXT": '"gcc (Debian 14.2.0) = 14"',
        "CONFIG_LAST": "y",
    }


@pytest.mark.parametrize(
    ("name", "answer"),
    [("RISCV", True), ("EXT4_FS", True), ("PREEMPT", False), ("HZ", False), ("NEVER_HEARD_OF", False)],
)
def test_enabled(name: str, answer: bool) -> None:
    assert parse_config(TEXT, "c").enabled(name) is answer


def test_nothing_is_known_without_a_configuration() -> None:
    assert ConfigFacts().enabled("RISCV") is None
    assert not ConfigFacts().known
    assert parse_config(TEXT, "c").known


def test_carriage_returns() -> None:
    assert parse_config(b"CONFIG_A=y\r\nCONFIG_B=m\r\n", "c").options == {"CONFIG_A": "y", "CONFIG_B": "m"}


def test_bytes_that_are_no_text() -> None:
    assert parse_config(b"CONFIG_A=\xff\n\0\nCONFIG_B=y", "c").options == {"CONFIG_A": "�", "CONFIG_B": "y"}


@pytest.mark.parametrize("text", [b"", b"hello\n", b"# CONFIG_A is not set\n", b"config_a=y\n", b"CONFIG_=y\n"])
def test_no_configuration(text: bytes) -> None:
    with pytest.raises(InputError, match=r"^c: expected lines such as CONFIG_RISCV=y, got none$"):
        parse_config(text, "c")


@pytest.mark.parametrize(("path", "label"), [("/boot/config-7.2", "config-7.2"), (".config", ".config")])
def test_label(path: str, label: str) -> None:
    assert config_label(path) == label
