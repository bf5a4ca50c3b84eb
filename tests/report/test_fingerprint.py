# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import pytest

from genpatch.report.fingerprint import artefact_name, fingerprint, plain_symbol, unique


def test_the_value_is_fixed() -> None:
    # printf '1\0GP101\0vmlinux\0vfs_read\0short' | sha256sum | cut -c1-16
    assert fingerprint("GP101", "vmlinux", "vfs_read", "short") == "8048069e3fcfc6bc"


@pytest.mark.parametrize(
    ("symbol", "plain"),
    [
        ("vfs_read", "vfs_read"),
        ("do_open.constprop.0", "do_open"),
        ("do_open.isra.12", "do_open"),
        ("do_open.part.3", "do_open"),
        ("do_open.llvm.1234567890", "do_open"),
        ("do_open.cold", "do_open"),
        ("do_open.cold.1", "do_open"),
        ("do_open.constprop.0.isra.0.cold", "do_open"),
        (".LPFE12", ".LPFE12"),
        ("my.part", "my.part"),
        ("a.isra.0.b", "a.isra.0.b"),
        ("x.cold\n", "x.cold\n"),
        ("", ""),
    ],
)
def test_clones_lose_their_suffixes(symbol: str, plain: str) -> None:
    assert plain_symbol(symbol) == plain
    assert fingerprint("GP101", "vmlinux", symbol, "k") == fingerprint("GP101", "vmlinux", plain, "k")


def test_each_part_counts() -> None:
    values = {
        fingerprint("GP101", "vmlinux", "a", "k"),
        fingerprint("GP102", "vmlinux", "a", "k"),
        fingerprint("GP101", "ext4.ko", "a", "k"),
        fingerprint("GP101", "vmlinux", "b", "k"),
        fingerprint("GP101", "vmlinux", "a", "l"),
        fingerprint("GP101", "vmlinux", "ak", ""),
    }
    assert len(values) == 6


def test_odd_names_have_fingerprints() -> None:
    assert len(fingerprint("GP101", "vmlinux", "lone\udce9", "k")) == 16


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("vmlinux", "vmlinux"),
        ("./build/vmlinux", "build/vmlinux"),
        ("/boot/vmlinux-6.12", "vmlinux-6.12"),
        ("../linux/vmlinux", "vmlinux"),
        ("vmlinux.xz", "vmlinux"),
        ("/lib/modules/7.2.13+deb14/kernel/fs/ext4/ext4.ko.xz", "fs/ext4/ext4.ko"),
        ("root/usr/lib/modules/7.2/extra/foo.ko", "extra/foo.ko"),
        ("fs/ext4/ext4.ko", "fs/ext4/ext4.ko"),
        ("modules.tar/lib/modules/7.2/kernel/lib/crc8.ko.zst", "lib/crc8.ko"),
    ],
)
def test_artefact_name(path: str, name: str) -> None:
    assert artefact_name(path) == name


def test_ordinals_make_fingerprints_unique() -> None:
    assert list(unique(["aa", "bb", "aa", "aa"])) == ["aa:1", "bb:1", "aa:2", "aa:3"]


def test_an_ordinal_is_kept_unless_it_is_taken() -> None:
    assert list(unique(["aa:2", "aa:1", "bb:1", "aa:2"])) == ["aa:2", "aa:1", "bb:1", "aa:3"]
    assert list(unique(["aa:2", "aa", "aa"])) == ["aa:2", "aa:1", "aa:3"]


def test_many_alike_take_linear_time() -> None:
    values = list(unique(["aa"] * 100_000))
    assert values[-1] == "aa:100000"
    assert len(set(values)) == 100_000
