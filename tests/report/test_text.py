# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import re
from dataclasses import replace

import pytest
from rich.cells import cell_len

from genpatch.report.document import AuditDocument, Example, TableRecord
from genpatch.report.formats import RenderOptions, get_format

from .builders import (
    DOCUMENTS,
    baselined,
    clean,
    faulty,
    finding,
    hostile,
    image,
    modules,
    rule,
    several,
    single,
)

FAULTY = """\
vmlinux
  kernel    Linux 7.2.13+deb14-riscv64, ELF executable, build-id 09be08f3a1c2
  read      symbols: .symtab (258,905); types: BTF; config: none
  scheme    call-ops (direct)
            8+8 bytes of sled; ftrace_caller loads an ops pointer from func - 8
  sites     43,709 of 43,957 entries, 248 zero, __start_mcount_loc, sorted
  sleds     43,709 with 8 bytes before, 8 after, nop
  aligned   on a multiple of 2: all, 4: all, 8: all, 16: 21,565 (49%)
  reach     ftrace_caller is -14,957,504 .. 133,600 bytes away; jal reaches it
            from 3,896 sites
  pairs     0 across a page, 0 across a cache line
  multiples 2 ██████████  4 ██████████  8 ██████████  16 ████▉

3 errors, 1 warning, 1 note; 3 rules not run, 1 failed

error GP104 function-alignment: 18,861 sites              genpatch explain GP104
  18,861 functions stand on 2 bytes, 4 are needed for one store a word
    0xffffffff80002002  set_reset_devices
    ... 18,860 more

error GP205 frozen-hi20: 2 findings, 1,023 sites          genpatch explain GP205
  ftrace_stub_direct_tramp needs another auipc immediate than ftrace_caller in
  1,020 sites, but only the jalr is written when a call is changed
    0xffffffff8004bc60  vfs_read
    0xffffffff8004bd00  vfs_write
    0xffffffff8004c1a8  do_sys_openat2.isra.0
    ... 1,017 more
  ftrace_regs_caller is out of a frozen auipc's page in 3 sites
    0xffffffff80051000  fput
    ... 2 more

warning GP208 table-order                                 genpatch explain GP208
  the table is not sorted, and this kernel does not sort it while it boots
    0xffffffff81a00000  __start_mcount_loc

note GP107 call-pair-layout: 3,759 sites                  genpatch explain GP107
  52 call pairs straddle a 4 KiB page and 3,707 a 64-byte cache line

failed to run
  GP901 relocations: relocation type 77 is not known

not run
  GP301 frame-offsets, GP302 frame-readers: no type information (.BTF) in the
  image
  GP310 landing-pads: the configuration is not known

3 errors, 1 warning, 1 note; 3 rules not run, 1 failed
"""

MODULES = """\
1 error, 0 warnings, 2 notes; 3 rules not run, 1 failed

  image                                      sites    errors  warnings     notes
  fs/ext4/ext4.ko                           43,709         1         0         1
  fs/xfs/xfs.ko                             43,709         0         0         1
  2 images without findings

error GP205 frozen-hi20                                   genpatch explain GP205
  something is wrong
    in fs/ext4/ext4.ko
    0xffffffff8004bc60  ext4_sync_file

note GP107 call-pair-layout: 2 findings, 2 sites          genpatch explain GP107
  a call pair straddles a cache line
    in fs/xfs/xfs.ko, fs/ext4/ext4.ko
"""


def text(document: AuditDocument, **options: object) -> str:
    return "".join(get_format("text").render(document, RenderOptions(**options)))  # type: ignore[arg-type]


def test_the_whole_page() -> None:
    assert text(faulty()) == FAULTY


def test_several_images() -> None:
    assert MODULES in text(modules())


def test_a_clean_image_ends_with_the_verdict() -> None:
    assert text(clean()).endswith("\n\n0 errors, 0 warnings, 0 notes; 0 rules not run\n")


def test_what_the_baseline_knows_is_only_counted() -> None:
    page = text(baselined())
    assert page.endswith("\n1 error, 0 warnings, 0 notes; 3 rules not run, 1 failed; 4 known findings\n")
    assert "GP104" in page
    assert "GP205" not in page


@pytest.mark.parametrize("width", [60, 72, 80, 100, 200])
@pytest.mark.parametrize("name", DOCUMENTS)
def test_no_line_is_wider_than_the_terminal(name: str, width: int) -> None:
    page = text(DOCUMENTS[name](), width=width)
    assert max(cell_len(line) for line in page.splitlines()) <= width
    assert not any(line != line.rstrip() for line in page.splitlines())


def test_the_hint_goes_below_a_heading_that_leaves_no_room() -> None:
    name = "a-name-that-takes-a-lot-of-room"
    page = text(single(image(findings=(finding(name=name, sites=7),))), width=60)
    assert f"\nerror GP205 {name}: 7 sites\n  genpatch explain GP205\n  something is wrong\n" in page


def test_without_explain_there_is_no_hint() -> None:
    page = text(faulty(), explain=False)
    assert "genpatch explain" not in page
    assert "\nerror GP205 frozen-hi20: 2 findings, 1,023 sites\n  ftrace_stub" in page


def test_without_summary_there_are_findings_only() -> None:
    page = text(faulty(), summary=False)
    assert page == FAULTY[FAULTY.index("\nerror GP104") : FAULTY.index("\nfailed to run")]
    assert text(clean(), summary=False) == ""


def test_without_color_there_is_no_escape() -> None:
    assert "\x1b" not in text(faulty())


def test_color_changes_nothing_but_color() -> None:
    colored = text(faulty(), color=True)
    assert "\x1b[1;31merror\x1b[0m" in colored
    assert re.sub(r"\x1b\[[0-9;]*m", "", colored) == FAULTY


def test_a_hostile_name_stays_text_in_color() -> None:
    colored = text(hostile(), color=True)
    rest = re.sub(r"\x1b\[[0-9;]*m", "", colored)
    assert rest.replace("\n", "").isprintable()
    assert "[bold]x[/bold] :smile:" in rest


def test_the_environment_has_no_say(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"FORCE_COLOR": "1", "COLUMNS": "50", "TERM": "dumb", "NO_COLOR": "1"}.items():
        monkeypatch.setenv(name, value)
    assert text(faulty()) == FAULTY
    assert "\x1b[" in text(faulty(), color=True)


def test_ascii_when_the_stream_takes_no_more() -> None:
    page = text(hostile(), encoding="ascii")
    assert page.isascii()
    assert r"na\xefve_\u51fd\u6570_\U0001f600" in page


def test_the_cap_is_shared_and_the_rest_is_counted() -> None:
    many = [finding("GP101", "sled-size", message=f"one {n}", examples=()) for n in range(30)]
    few = [finding("GP205", "frozen-hi20", "note", message=f"two {n}") for n in range(3)]
    page = text(single(image(findings=(*few, *many))), max_findings=10)
    assert page.count("  one ") == 7
    assert page.count("  two ") == 3
    assert "  ... 23 more findings\n" in page


def test_a_rule_beyond_the_cap_still_has_its_heading() -> None:
    findings = tuple(finding(f"GP{code}", f"rule-{code}", message=f"message {code}") for code in range(101, 131))
    page = text(single(image(findings=findings)), max_findings=5)
    assert page.count("\nerror GP") == 30
    assert page.count("  message ") == 5
    assert page.count("  ... 1 more finding\n") == 25


def test_a_milder_finding_of_a_rule_says_its_level() -> None:
    findings = (finding(message="mild", level="note"), finding(message="bad"))
    page = text(single(image(findings=findings)))
    assert page.index("\n  bad\n") < page.index("\n  note: mild\n")
    assert "\nerror GP205 frozen-hi20: 2 findings, 2 sites" in page


def test_many_images_are_capped_worst_first() -> None:
    mild = [image(f"m{n}.ko", findings=(finding(level="note", image=f"m{n}.ko"),)) for n in range(40)]
    bad = image("bad.ko", findings=(finding(image="bad.ko"),))
    page = text(several(*mild, bad, image("good.ko"), rules=()))
    table = page[page.index("  image") : page.index("error GP205")].splitlines()
    assert table[1].startswith("  bad.ko")
    assert len(table) == 1 + 12 + 2 + 1
    assert table[13:15] == ["  ... 29 more images with findings", "  1 image without findings"]
    assert "    in m0.ko, m1.ko, m2.ko and 37 more images\n" in page


def test_a_long_path_keeps_its_end() -> None:
    path = "drivers/" + "very_long_name/" * 10 + "the_module.ko"
    page = text(several(image(path, findings=(finding(image=path),)), image("a.ko"), rules=()))
    row = next(line for line in page.splitlines() if "43,709         1" in line)
    assert row.startswith("  ...")
    assert "the_module.ko  " in row
    assert len(row) == 80


def test_a_long_symbol_is_cut() -> None:
    places = (Example(address="0x10", symbol="x" * 100_000),)
    page = text(single(image(findings=(finding(address=None, examples=places),))))
    assert len(page) < 2000


def test_facts_that_are_missing_have_no_line() -> None:
    bare = image(
        table=TableRecord(entries=1, zero=1, sites=0, source="nothing", sorted=None),
        scheme="none",
        scheme_variant=None,
        scheme_evidence=(),
        sleds=(),
        alignment={},
        reach=None,
        pair=None,
        notes=("a remark",),
    )
    bare = replace(bare, input=replace(bare.input, kernel_release=None, build_id=None))
    assert text(single(bare)).splitlines()[1:7] == [
        "  kernel    release unknown, ELF executable",
        "  read      symbols: .symtab (258,905); types: BTF; config: none",
        "  scheme    none",
        "  sites     0 of 1 entry, 1 zero, nothing",
        "  remarks   a remark",
        "",
    ]


def test_more_kinds_of_sled_than_lines() -> None:
    sleds = tuple(replace(image().sleds[0], before=0, after=2 * size, sites=1000 // size) for size in range(1, 8))
    page = text(single(image(sleds=sleds)))
    assert "  sleds     1,000 with 0 bytes before, 2 after, nop\n" in page
    assert "              508 of 3 other kinds\n" in page


def test_rules_that_failed_are_told_from_those_not_run() -> None:
    rules = (rule("GP101", "sled-size", "error", reason="oops"),)
    page = text(single(image(rules=rules)))
    assert "\nfailed to run\n  GP101 sled-size: oops\n" in page
    assert "\nnot run\n" not in page
