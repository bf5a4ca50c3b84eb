# SPDX-License-Identifier: GPL-2.0-or-later
"""Audit documents, written out: what the renderers are tested on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from genpatch.report.document import (
    AuditDocument,
    Example,
    FindingRecord,
    ImageRecord,
    InputRecord,
    PairRecord,
    ReachRecord,
    RuleRecord,
    SiteRows,
    SledRecord,
    Summary,
    TableRecord,
)

SCRIPT = "</script><img src=x onerror=alert(1)>"
ESCAPES = "\x1b[31mred\x1b]0;title\x07\x9b2J\x00\x7f"
LINES = "a\nb\r\nc\u2028d\u0085e"
COMMANDS = "::error file=x::boo ##[error]boo"
MARKUP = "[bold]x[/bold] :smile: `tick` | *star* _under_ $x$ @user &amp; %0A"
BIDI = "evil\u202egnp.exe\u200b"
UNICODE = "naïve_函数_\U0001f600"
LONE = "lone\udce9surrogate\ufffd"
KTAP = "ok 1 - fine # SKIP no"
HOSTILE = (SCRIPT, ESCAPES, LINES, COMMANDS, MARKUP, BIDI, UNICODE, LONE, KTAP, "]]>", "", "\n::error::x")


def rule(code: str, name: str, status: str = "pass", level: str = "error", **more: Any) -> RuleRecord:
    values: dict[str, Any] = {"findings": 0, "reason": ""} | more
    return RuleRecord(rule=code, name=name, level=level, status=status, **values)


RULES = (
    rule("GP101", "sled-size"),
    rule("GP104", "function-alignment", "fail", findings=1),
    rule("GP107", "call-pair-layout", "fail", "note", findings=1),
    rule("GP203", "call-out-of-reach"),
    rule("GP205", "frozen-hi20", "fail", findings=2),
    rule("GP208", "table-order", "fail", "warning", findings=1),
    rule("GP301", "frame-offsets", "skipped", reason="no type information (.BTF) in the image"),
    rule("GP302", "frame-readers", "skipped", reason="no type information (.BTF) in the image"),
    rule("GP310", "landing-pads", "skipped", reason="the configuration is not known"),
    rule("GP901", "relocations", "error", reason="relocation type 77 is not known"),
)


def finding(code: str = "GP205", name: str = "frozen-hi20", level: str = "error", **more: Any) -> FindingRecord:
    values: dict[str, Any] = {
        "image": "vmlinux",
        "address": "0xffffffff8004bc60",
        "symbol": "vfs_read",
        "section": ".text",
        "message": "something is wrong",
        "sites": 1,
        "examples": (),
        "fingerprint": "00112233445566aa:1",
    } | more
    return FindingRecord(rule=code, name=name, level=level, **values)


FINDINGS = (
    finding(
        "GP107",
        "call-pair-layout",
        "note",
        address=None,
        symbol="",
        section="",
        message="52 call pairs straddle a 4 KiB page and 3,707 a 64-byte cache line",
        sites=3759,
        fingerprint="1070000000000000:1",
    ),
    finding(
        "GP208",
        "table-order",
        "warning",
        address="0xffffffff81a00000",
        symbol="__start_mcount_loc",
        section=".init.data",
        message="the table is not sorted, and this kernel does not sort it while it boots",
        sites=0,
        fingerprint="2080000000000000:1",
    ),
    finding(
        message=(
            "ftrace_stub_direct_tramp needs another auipc immediate than ftrace_caller in 1,020 sites, "
            "but only the jalr is written when a call is changed"
        ),
        sites=1020,
        examples=(
            Example(address="0xffffffff8004bc60", symbol="vfs_read"),
            Example(address="0xffffffff8004bd00", symbol="vfs_write"),
            Example(address="0xffffffff8004c1a8", symbol="do_sys_openat2.isra.0"),
            Example(address="0xffffffff8004c200", symbol="ksys_read"),
        ),
        fingerprint="2050000000000000:1",
    ),
    finding(
        message="ftrace_regs_caller is out of a frozen auipc's page in 3 sites",
        address="0xffffffff80051000",
        symbol="fput",
        sites=3,
        fingerprint="2050000000000000:2",
    ),
    finding(
        "GP104",
        "function-alignment",
        message="18,861 functions stand on 2 bytes, 4 are needed for one store a word",
        address="0xffffffff80002002",
        symbol="set_reset_devices",
        section=".init.text",
        sites=18861,
        fingerprint="1040000000000000:1",
    ),
)


def source(path: str = "vmlinux", **more: Any) -> InputRecord:
    values: dict[str, Any] = {
        "kind": "ELF executable",
        "kernel_release": "7.2.13+deb14-riscv64",
        "build_id": "09be08f3a1c2d4e5f60718293a4b5c6d7e8f9001",
        "symbols": ".symtab (258,905)",
        "types": "BTF",
        "config": "none",
    } | more
    return InputRecord(path=path, **values)


def image(path: str = "vmlinux", **more: Any) -> ImageRecord:
    values: dict[str, Any] = {
        "input": source(path),
        "table": TableRecord(entries=43957, zero=248, sites=43709, source="__start_mcount_loc", sorted=True),
        "scheme": "call-ops",
        "scheme_variant": "direct",
        "scheme_evidence": ("8+8 bytes of sled", "ftrace_caller loads an ops pointer from func - 8"),
        "sleds": (SledRecord(before=8, after=8, nop="nop", sites=43709),),
        "alignment": {"2": 43709, "4": 43709, "8": 43709, "16": 21565},
        "reach": ReachRecord(target="ftrace_caller", min=-14957504, max=133600, within_jal=3896),
        "pair": PairRecord(across_page=0, across_line=0),
        "rules": (rule("GP101", "sled-size"), rule("GP203", "call-out-of-reach")),
        "findings": (),
    } | more
    return ImageRecord(**values)


def summary(images: int, findings: tuple[FindingRecord, ...], rules: tuple[RuleRecord, ...]) -> Summary:
    levels = [each.level for each in findings]
    return Summary(
        images=images,
        errors=levels.count("error"),
        warnings=levels.count("warning"),
        notes=levels.count("note"),
        skipped_rules=sum(each.status == "skipped" for each in rules),
        failed_rules=sum(each.status == "error" for each in rules),
        worst=next((level for level in ("error", "warning", "note") if level in levels), "none"),
    )


def single(record: ImageRecord) -> AuditDocument:
    return AuditDocument(
        title=record.input.path,
        images=(record,),
        total=record,
        summary=summary(1, record.findings, record.rules),
        seconds=0.3456,
    )


def several(*records: ImageRecord, rules: tuple[RuleRecord, ...] = RULES) -> AuditDocument:
    findings = tuple(each for record in records for each in record.findings)
    total = replace(
        records[0],
        input=source("modules", kind=f"{len(records)} images"),
        findings=findings,
        rules=rules,
    )
    return AuditDocument(
        title=f"modules: {len(records)} images",
        images=records,
        total=total,
        summary=summary(len(records), findings, rules),
        seconds=4.0,
    )


def clean() -> AuditDocument:
    """A kernel without a finding, on which every rule ran."""
    return single(image())


def faulty() -> AuditDocument:
    """A kernel with 3 errors, 1 warning and 1 note; 3 rules were skipped and 1 failed."""
    return single(image(rules=RULES, findings=FINDINGS))


def modules() -> AuditDocument:
    """Four modules, two of them with findings."""
    ext4 = finding(image="/lib/modules/7.2/kernel/fs/ext4/ext4.ko.xz", symbol="ext4_sync_file")
    records = (
        image("/lib/modules/7.2/kernel/drivers/net/dummy.ko.xz", rules=RULES[:4]),
        image("/lib/modules/7.2/kernel/fs/xfs/xfs.ko.xz", rules=RULES, findings=_notes("xfs")),
        image("/lib/modules/7.2/kernel/fs/ext4/ext4.ko.xz", rules=RULES, findings=(ext4, *_notes("ext4"))),
        image("/lib/modules/7.2/kernel/lib/crc8.ko.xz", rules=RULES[:4]),
    )
    return several(*records)


def _notes(name: str) -> tuple[FindingRecord, ...]:
    return (
        finding(
            "GP107",
            "call-pair-layout",
            "note",
            image=f"/lib/modules/7.2/kernel/fs/{name}/{name}.ko.xz",
            address=None,
            symbol="",
            message="a call pair straddles a cache line",
            fingerprint="1070000000000001:1" if name == "xfs" else "1070000000000002:1",
        ),
    )


def hostile() -> AuditDocument:
    """An image whose every name, path and message is out to break a report."""
    findings = tuple(
        finding(
            image="dir/" + SCRIPT + ESCAPES,
            symbol=text,
            section=text,
            message=f"the symbol {text} is odd",
            examples=(Example(address="0xffffffff80000000", symbol=text),),
            fingerprint=f"{number:016x}:1",
        )
        for number, text in enumerate(HOSTILE)
    )
    bad = " ".join(HOSTILE)
    rules = (
        *(rule(f"GP{number}", "frame-offsets", "skipped", reason=text) for number, text in enumerate(HOSTILE, 301)),
        rule("GP205", "frozen-hi20", "fail", findings=len(findings)),
        rule("GP901", "relocations", "error", reason=bad),
    )
    record = image("dir/" + SCRIPT + ESCAPES, rules=rules, findings=findings, scheme_evidence=(bad,), notes=(bad,))
    named = source(record.input.path, kind=bad, kernel_release=bad, build_id=bad, symbols=bad)
    table = replace(record.table, source=bad)
    return single(replace(record, input=named, table=table))


def baselined() -> AuditDocument:
    """The faulty kernel with all but one finding in the baseline."""
    document = faulty()
    findings = tuple(replace(each, baseline="new" if each.rule == "GP104" else "unchanged") for each in FINDINGS)
    record = replace(document.total, findings=findings)
    return replace(single(record), summary=summary(1, findings[-1:], RULES))


def site_rows(count: int = 3) -> SiteRows:
    """`count` sites 32 bytes apart; the second is named by two rules."""
    func = np.uint64(0xFFFFFFFF80002000) + np.arange(count, dtype=np.uint64) * np.uint64(32)
    return SiteRows(
        entry=func - np.uint64(8),
        func=func,
        ip=func + np.uint64(4),
        before=np.full(count, 8, np.int64),
        after=np.full(count, 8, np.int64),
        alignment=np.full(count, 32, np.int64),
        nop=np.arange(count, dtype=np.uint8) % 2 + 1,
        nop_names=("none", "c.nop", "nop"),
        symbols=tuple(f"f{number}" for number in range(count)),
        sections=(".text",) * count,
        hits=(("GP205", np.array([1], np.int64)), ("GP104", np.array([0, 1], np.int64))),
    )


DOCUMENTS = {
    "clean": clean,
    "faulty": faulty,
    "modules": modules,
    "hostile": hostile,
    "baselined": baselined,
}
