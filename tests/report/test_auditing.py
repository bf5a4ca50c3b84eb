# SPDX-License-Identifier: GPL-2.0-or-later
"""Files, directories and archives, audited as a user names them."""

from __future__ import annotations

import io
import lzma
import tarfile
from pathlib import Path
from typing import Any

import pytest

from genpatch.audit.registry import all_rules
from genpatch.errors import ImageError, InputError
from genpatch.image.config import parse_config
from genpatch.report.auditing import AuditOptions, audit_paths
from genpatch.report.document import AuditDocument
from tests.elfwriter import Section, Symbol, elf, text
from tests.toykernel import PAIR_CODE, TEXT, module, vmlinux


def audit(*paths: Path, **options: Any) -> AuditDocument:
    values: dict[str, Any] = {"rules": tuple(all_rules().values())} | options
    return audit_paths([str(path) for path in paths], AuditOptions(**values))


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def names(document: AuditDocument) -> list[str]:
    return [Path(image.input.path).name for image in document.images]


def no_table() -> bytes:
    return elf(text(bytes(16), TEXT), symbols=[Symbol(name="start_kernel", value=TEXT)], entry=TEXT)


def kernel_file(**more: Any) -> bytes:
    return vmlinux(entry=TEXT, **more)


# --- one file


def test_a_kernel(tmp_path: Path) -> None:
    path = write(tmp_path / "vmlinux", kernel_file())
    document = audit(path)
    assert document.title == str(path)
    assert document.total.input.path == str(path)
    assert document.total.scheme == "call-ops"
    assert document.trouble == ()
    assert document.summary.worst == "none"


def test_names_do_not_matter(tmp_path: Path) -> None:
    assert audit(write(tmp_path / "notes.txt", vmlinux())).total.scheme == "call-ops"
    assert audit(write(tmp_path / "x.ko", kernel_file())).total.input.kind == "vmlinux ET_EXEC"


def test_a_compressed_kernel(tmp_path: Path) -> None:
    document = audit(write(tmp_path / "vmlinux.xz", lzma.compress(kernel_file())))
    assert document.total.input.kind == "vmlinux ET_EXEC, xz"
    assert document.total.table.sites == 3


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"hello\n", "expected a RISC-V kernel image or module"),
        (elf(machine=62), "EM_X86_64"),
        (elf(text(bytes(16), TEXT), symbols=[Symbol(name="main", value=TEXT)]), "expected a Linux kernel"),
        (no_table(), "patch-site table: expected __start_mcount_loc, got none: built without dynamic ftrace?"),
        (kernel_file()[:-70], "expected"),
    ],
    ids=["empty", "text", "x86", "program", "no-table", "truncated"],
)
def test_one_bad_file_is_an_error(tmp_path: Path, data: bytes, message: str) -> None:
    path = write(tmp_path / "vmlinux", data)
    with pytest.raises(InputError, match=message) as caught:
        audit(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone: No such file or directory$"):
        audit(tmp_path / "gone")


def test_a_module_alone(tmp_path: Path) -> None:
    document = audit(write(tmp_path / "ext.ko", module()))
    assert document.total.input.kind == "module"
    assert document.total.table.sites == 2
    reasons = {rule.rule: rule.reason for rule in document.total.rules if rule.status == "skipped"}
    assert reasons["GP131"] == "the module's kernel was not given"


def test_a_module_without_a_table_alone(tmp_path: Path) -> None:
    raw = elf(
        text(bytes(16)),
        Section(name=".modinfo", data=b"license=GPL\0"),
        Section(name=".gnu.linkonce.this_module", data=bytes(8)),
        symbols=[Symbol(name="f")],
        type=1,
    )
    with pytest.raises(InputError, match="patch-site table: expected __patchable_function_entries, got none"):
        audit(write(tmp_path / "data.ko", raw))
    document = audit(write(tmp_path / "more.ko", module()), tmp_path / "data.ko")
    assert [image.scheme for image in document.images] == ["call-ops", "none"]
    assert document.trouble == ()


# --- several


def test_a_kernel_with_its_modules(tmp_path: Path) -> None:
    kernel = write(tmp_path / "vmlinux", kernel_file())
    good, bad = write(tmp_path / "a.ko", module()), write(tmp_path / "b.ko", module("f", before=b""))
    document = audit(bad, good, kernel)
    assert names(document) == ["vmlinux", "b.ko", "a.ko"]
    assert document.title == "3 inputs"
    assert document.total.table.sites == 3 + 2 + 1
    assert [(each.rule, Path(each.image).name) for each in document.total.findings if each.rule == "GP131"] == [
        ("GP131", "b.ko")
    ]


def test_the_kernel_of_the_modules_release(tmp_path: Path) -> None:
    kernel = write(tmp_path / "vmlinux", kernel_file())
    pair = kernel_file(code=PAIR_CODE, before=b"").replace(b"7.2.13-toy", b"6.12.9-toy")
    write(tmp_path / "vmlinux-6.12", pair)
    old = write(tmp_path / "old.ko", module("f", before=b"", release="6.12.9-toy"))
    document = audit(kernel, tmp_path / "vmlinux-6.12", old)
    assert [image.scheme for image in document.images] == ["call-ops", "pair-t0", "pair-t0"]
    assert [each.rule for each in document.total.findings if each.rule in ("GP131", "GP132")] == []


def test_the_kernel_option(tmp_path: Path) -> None:
    kernel = write(tmp_path / "vmlinux", kernel_file())
    document = audit(write(tmp_path / "m.ko", module("f", before=b"")), kernel=str(kernel))
    assert names(document) == ["m.ko"]
    assert "GP131" in [each.rule for each in document.total.findings]


def test_the_kernel_option_may_be_a_directory(tmp_path: Path) -> None:
    write(tmp_path / "build" / ".config", b"CONFIG_RISCV=y\n")
    write(tmp_path / "build" / "vmlinux", kernel_file())
    document = audit(write(tmp_path / "m.ko", module()), kernel=str(tmp_path / "build"))
    assert document.total.scheme == "call-ops"


def test_of_several_the_unreadable_is_trouble(tmp_path: Path) -> None:
    kernel = write(tmp_path / "vmlinux", kernel_file())
    other = write(tmp_path / "other", elf(machine=62))
    broken = write(tmp_path / "broken.ko", module()[:-100])
    document = audit(kernel, other, broken)
    assert names(document) == ["vmlinux"]
    assert [line.split(":")[0] for line in document.trouble] == [str(other), str(broken)]


def test_nothing_but_trouble(tmp_path: Path) -> None:
    first, other = write(tmp_path / "a", elf(machine=62)), write(tmp_path / "b", b"text\n")
    with pytest.raises(InputError, match="EM_X86_64"):
        audit(first, other)


def test_one_path_named_twice(tmp_path: Path) -> None:
    path = write(tmp_path / "vmlinux", kernel_file())
    assert names(audit(path, path)) == ["vmlinux"]


# --- directories and archives


def test_a_directory(tmp_path: Path) -> None:
    write(tmp_path / "vmlinux", kernel_file())
    write(tmp_path / "modules" / "a.ko", module())
    write(tmp_path / "modules" / "b.ko.xz", lzma.compress(module()))
    write(tmp_path / "Makefile", b"all:\n")
    document = audit(tmp_path)
    assert sorted(names(document)) == ["a.ko", "b.ko.xz", "vmlinux"]
    assert document.trouble == ()


def test_many_modules_in_parallel(tmp_path: Path) -> None:
    write(tmp_path / "vmlinux", kernel_file())
    for number in range(40):
        write(tmp_path / f"m{number:02d}.ko", module(f"f{number}", "g"))
    write(tmp_path / "m40.ko", module()[:-8])
    told: list[tuple[int, int | None, str]] = []
    document = audit(tmp_path, jobs=2, progress=lambda *args: told.append(args))
    assert names(document) == ["vmlinux", *(f"m{number:02d}.ko" for number in range(40))]
    assert document.total.table.sites == 83
    assert [line.split(":")[0] for line in document.trouble] == [str(tmp_path / "m40.ko")]
    assert audit(tmp_path, jobs=1).as_json() | {"seconds": 0} == document.as_json() | {"seconds": 0}
    assert {total for _, total, _ in told} == {42}


@pytest.mark.parametrize("files", [{}, {"README": b"hello\n"}, {"data.bin": bytes(100)}], ids=["empty", "text", "data"])
def test_a_directory_without_kernels(tmp_path: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        write(tmp_path / name, data)
    with pytest.raises(InputError, match=f"^{tmp_path}: no kernel image or module in this directory$"):
        audit(tmp_path)


def test_a_configuration_beside_the_kernel(tmp_path: Path) -> None:
    write(tmp_path / "vmlinux", kernel_file())
    write(tmp_path / ".config", b"#\n# Linux/riscv 7.2.13 Kernel Configuration\n#\nCONFIG_RISCV=y\n")
    assert audit(tmp_path).total.input.config == ".config"
    mine = parse_config(b"CONFIG_RISCV=y\n", "mine")
    assert audit(tmp_path, config=mine).total.input.config == "mine"


def test_a_directory_like_boot(tmp_path: Path) -> None:
    """Each kernel has the configuration of its own release, or none."""
    for release, preemption in (("6.12.9-toy", b"n"), ("7.2.13-toy", b"y")):
        write(tmp_path / f"vmlinux-{release}", kernel_file().replace(b"7.2.13-toy", release.encode()))
        text_of = f"#\n# Linux/riscv {release} Kernel Configuration\n#\nCONFIG_RISCV=y\nCONFIG_PREEMPTION=".encode()
        write(tmp_path / f"config-{release}", text_of + preemption + b"\n")
    found = {image.input.kernel_release: image.input.config for image in audit(tmp_path).images}
    assert found["6.12.9-toy"] in ("config-6.12.9-toy", "none")
    assert found["7.2.13-toy"] in ("config-7.2.13-toy", "none")


def test_a_tar(tmp_path: Path) -> None:
    path = tmp_path / "modules.tar.xz"
    with tarfile.open(path, "w:xz") as archive:
        for name, data in (("boot/vmlinux", kernel_file()), ("lib/a.ko", module()), ("lib/b.ko", module("g"))):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    document = audit(path)
    assert document.total.table.sites == 6
    assert [Path(image.input.path).name for image in document.images] == ["vmlinux", "a.ko", "b.ko"]
    assert all(image.input.path.startswith(str(path)) for image in document.images)


def test_a_tar_without_kernels(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as archive:
        archive.addfile(tarfile.TarInfo("README"), io.BytesIO(b""))
    with pytest.raises(InputError, match="no kernel image or module"):
        audit(path)


def test_a_kernel_with_its_object(tmp_path: Path) -> None:
    kernel = write(tmp_path / "vmlinux", kernel_file())
    whole = write(tmp_path / "vmlinux.o", module("a", "b", "c", is_module=False))
    document = audit(kernel, whole)
    assert [each.rule for each in document.total.findings if each.rule == "GP119"] == []
    fewer = write(tmp_path / "fewer.o", module("a", "b", is_module=False))
    document = audit(kernel, fewer)
    (finding,) = [each for each in document.total.findings if each.rule == "GP119"]
    assert finding.message == "the image has 3 entries, its objects 2"


def test_a_limit_on_decompression(tmp_path: Path) -> None:
    path = write(tmp_path / "bomb.xz", lzma.compress(bytes(8 << 20)))
    with pytest.raises(ImageError, match=r"bomb.xz"):
        audit(path, limit=1 << 20)


def test_rows_are_kept_on_demand(tmp_path: Path) -> None:
    path = write(tmp_path / "vmlinux", kernel_file())
    assert audit(path).total.site_rows is None
    rows = audit(path, keep_sites=True).total.site_rows
    assert rows is not None
    assert rows.symbols == ("start_kernel", "vfs_read", "vfs_write")


def test_only_the_chosen_rules_run(tmp_path: Path) -> None:
    path = write(tmp_path / "vmlinux", kernel_file())
    document = audit(path, rules=(all_rules()["GP108"],))
    assert [rule.rule for rule in document.total.rules] == ["GP108"]


def test_time_is_told(tmp_path: Path) -> None:
    assert 0 < audit(write(tmp_path / "vmlinux", kernel_file())).seconds < 60
