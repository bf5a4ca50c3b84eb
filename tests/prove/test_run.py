# SPDX-License-Identifier: GPL-2.0-or-later
"""Whole proofs with programs that only pretend: stages, what is repeated, what fails and what follows from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from genpatch.emit.tree import open_tree
from genpatch.prove.config import Wanted
from genpatch.prove.errors import ProveError
from genpatch.prove.model import Proof, StageResult, Status
from genpatch.prove.run import Order, prove
from genpatch.prove.series import read_series
from genpatch.prove.tools import toolchain_of
from genpatch.prove.work import open_work
from genpatch.report.proving import changes_of, proof_text
from tests.emit.trees import BPF_C, FTRACE_C
from tests.prove.fakes import CONFIG, CONSOLE, Judges, diff, program, programs, tree
from tests.prove.test_scratch import state

FTRACE, BPF = "arch/riscv/kernel/ftrace.c", "arch/riscv/net/bpf_jit_comp64.c"
ALL = ["apply", "check", "configure", "objects", "build", "audit", "verify", "race", "boot"]
WANTED = Wanted("tinyconfig", "", {"CONFIG_FTRACE": "y"}, {"CONFIG_PREEMPT": "y"}, "tinyconfig and more")


@dataclass
class Place:
    """A tree, a series and a work directory below one directory."""

    root: Path
    judges: Judges

    def order(self, **changes: object) -> Order:
        return replace(Order(WANTED, toolchain_of("clang-19"), boot_timeout=20), **changes)  # type: ignore[arg-type]

    def series(self, *changes: tuple[str, str, str]) -> list[str]:
        """Write one patch for each (path, old text, new text)."""
        folder = self.root / "series"
        folder.mkdir(exist_ok=True)
        for old in folder.iterdir():
            old.unlink()
        for number, (path, before, after) in enumerate(changes, 1):
            text = diff(path, before, after, f"riscv: patch {number}")
            (folder / f"{number:04}-patch.patch").write_text(text)
        return [str(folder)]

    def prove(self, names: list[str], *, said: Callable[[str], None] = lambda text: None, **changes: object) -> Proof:
        with open_work(self.root / "w", self.root / "t") as work:
            return prove(
                self.order(**changes), open_tree(self.root / "t"), read_series(names), work, self.judges.all(), said
            )

    def asked(self, folder: str = "out") -> list[str]:
        """Return what make was asked for, without what every call has, and forget it."""
        file = self.root / "w" / folder / "asked"
        lines = (
            [line for line in file.read_text().splitlines() if not line.startswith("ARCH in")] if file.exists() else []
        )
        file.unlink(missing_ok=True)
        return [" ".join(word for word in line.split() if "=" not in word and word != "-j1") for line in lines]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    programs(tmp_path / "bin", monkeypatch)
    (tmp_path / "console").write_text(CONSOLE)
    monkeypatch.setenv("FAKE_CONSOLE", str(tmp_path / "console"))
    monkeypatch.setenv("FAKE_HANG", "")
    monkeypatch.setenv("ARCH", "x86")
    tree(tmp_path / "t")
    return Place(tmp_path, Judges())


def statuses(stages: tuple[StageResult, ...]) -> dict[str, str]:
    return {stage.name: stage.status.value for stage in stages}


def stage(proof: Proof, name: str) -> StageResult:
    return next(stage for stage in proof.stages if stage.name == name)


GOOD = (FTRACE, FTRACE_C, FTRACE_C.replace("// toy", "// good"))


def test_a_good_series_goes_through_every_stage(place: Place) -> None:
    before = state(place.root / "t")
    proof = place.prove(place.series(GOOD), boot=True)
    assert proof.is_proved, proof.stages
    assert [stage.name for stage in proof.stages] == ALL
    assert set(statuses(proof.stages).values()) == {"ok"}
    assert stage(proof, "apply").evidence == "1 patch, 1 file, 1 hunk"
    assert stage(proof, "configure").evidence == "all 2 lines kept"
    assert stage(proof, "objects").evidence == "arch/riscv/kernel/ftrace.o, no warning"
    size = len(FTRACE_C) + 1 + len(BPF_C)
    assert stage(proof, "build").evidence == f"vmlinux {size} bytes, Image {size} bytes, 1 module, no warning".replace(
        f"{size}", f"{size:,}"
    )
    assert stage(proof, "boot").evidence == "6 start-up tests passed; 2 event tests in order; no complaint"
    assert place.judges.asked == [f"{name} out ['one.ko']" for name in ("audit", "verify", "race")]
    assert place.asked() == [
        "make -j1 tinyconfig".removeprefix("make -j1 "), "olddefconfig", "-k arch/riscv/kernel/ftrace.o",
        "vmlinux Image modules",
    ]  # fmt: skip
    assert state(place.root / "t") == before
    built = place.root / "w" / "out" / "arch/riscv/kernel/ftrace.o"
    assert built.read_text() == GOOD[2]


def test_nothing_of_the_environment_and_nothing_of_this_machine(place: Place) -> None:
    place.prove(place.series(GOOD), boot=True)
    asked = (place.root / "w" / "out" / "asked").read_text()
    assert "ARCH in the environment: none" in asked
    assert "ARCH=riscv LLVM=-19 O=" in asked
    qemu = (place.root / "w" / "logs" / "asked-qemu").read_text()
    assert qemu.startswith("-M virt -smp 2 -m 512M -nographic -no-reboot -nic none -kernel ")


def test_what_is_done_is_not_done_again(place: Place) -> None:
    names = place.series(GOOD)
    first = place.prove(names, boot=True)
    place.asked()
    place.judges.asked.clear()
    second = place.prove(names, boot=True)
    assert second.is_proved
    assert {each.name for each in second.stages if each.kept} == set(ALL[2:])
    assert (place.asked(), place.judges.asked) == ([], [])
    assert [replace(each, kept=False, seconds=0) for each in second.stages] == [
        replace(each, seconds=0) for each in first.stages
    ]


@pytest.mark.parametrize(
    ("what", "again"),
    [
        ("series", ALL[2:]),
        ("tree", ALL[2:]),
        ("config", ALL[2:]),
        ("compiler", ALL[2:5]),  # it makes the same kernel, byte by byte
        ("vmlinux", ALL[4:5]),
        (".config", ALL[2:3]),
        ("qemu", ["boot"]),
        ("timeout", ["boot"]),
    ],
)
def test_what_is_different_is_done_again(place: Place, what: str, again: list[str]) -> None:
    place.prove(place.series(GOOD), boot=True)
    changes: dict[str, object] = {}
    if what == "series":
        place.series((FTRACE, FTRACE_C, FTRACE_C.replace("// toy", "// better")))
    elif what == "tree":
        (place.root / "t" / BPF).write_text(BPF_C + "/* more */\n")
    elif what == "config":
        changes["wanted"] = replace(WANTED, asked={"CONFIG_PREEMPT": "n"})
    elif what == "compiler":
        program(place.root / "bin", "clang-19", "#!/bin/sh\necho clang 19.1.8\n")
    elif what in ("vmlinux", ".config"):
        (place.root / "w" / "out" / what).write_text("another\n")
    elif what == "qemu":
        program(
            place.root / "bin", "qemu-system-riscv64", "#!/bin/sh\n[ $1 = --version ] && echo 9 || cat $FAKE_CONSOLE\n"
        )
    else:
        changes["boot_timeout"] = 30.0
    proof = place.prove([str(place.root / "series")], boot=True, **changes)
    assert proof.is_proved
    assert [each.name for each in proof.stages if not each.kept] == ["apply", "check", *again]
    assert ("the tree has changed" in " ".join(proof.notes)) == (what == "tree")


def test_the_same_kernel_need_not_be_judged_again(place: Place) -> None:
    place.prove(place.series(GOOD))
    (place.root / "w/out/arch/riscv/boot/Image").unlink()
    proof = place.prove([str(place.root / "series")])
    assert [each.name for each in proof.stages if each.kept] == ["configure", "objects", "audit", "verify", "race"]


def test_a_series_that_does_not_apply(place: Place) -> None:
    proof = place.prove(place.series(GOOD, (BPF, BPF_C.replace("NINSNS 2", "NINSNS 4"), BPF_C)))
    assert statuses(proof.stages) == {"apply": "failed"} | dict.fromkeys(ALL[1:], "skipped")
    assert stage(proof, "apply").evidence == "patch 2 of 2 does not apply: 1 part of it"
    assert stage(proof, "apply").lines[0].startswith(f"patch 2: {BPF}:")
    assert not (place.root / "w" / "src").exists(), "nothing was copied for it"


def test_an_option_that_is_not_kept(place: Place) -> None:
    wanted = Wanted("tinyconfig", "", {"CONFIG_OURS": "y"}, {"CONFIG_THEIRS": "y"}, "x")
    proof = place.prove(place.series(GOOD), wanted=wanted)
    found = stage(proof, "configure")
    assert found.status is Status.FAILED
    assert found.evidence == "0 of 2 lines kept; not kept of those asked for: CONFIG_THEIRS"
    assert found.lines == (
        "not kept: CONFIG_THEIRS=y: it is n", "not in this tree, or not so: CONFIG_OURS=y: it is n",
    )  # fmt: skip
    assert statuses(proof.stages)["build"] == "skipped"
    kept = place.prove([str(place.root / "series")], wanted=replace(wanted, asked={}))
    assert stage(kept, "configure").status is Status.OK, "what our own lines ask for, not every tree has"


def test_an_object_that_does_not_build(place: Place) -> None:
    names = place.series((FTRACE, FTRACE_C, FTRACE_C.replace("// toy", "// BROKEN")))
    proof = place.prove(names, boot=True)
    found = stage(proof, "objects")
    assert found.status is Status.FAILED
    assert (
        found.evidence == "patch 1 of 1: arch/riscv/kernel/ftrace.c:1:1: error: use of undeclared identifier 'BROKEN'"
    )
    assert [statuses(proof.stages)[name] for name in ALL[4:]] == ["skipped"] * 5
    assert stage(proof, "boot").evidence == "objects could not be built"
    place.series(GOOD)
    assert place.prove(names, boot=True).is_proved


def test_a_failed_stage_is_tried_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    names = place.series(GOOD)
    monkeypatch.setenv("FAKE_HANG", "yes")
    (place.root / "console").write_text("Linux version 6.12\nTesting dynamic ftrace: ")
    proof = place.prove(names, boot=True, boot_timeout=0.3)
    found = stage(proof, "boot")
    assert found.status is Status.FAILED
    assert found.evidence.startswith("ended after 0 seconds; 0 start-up tests passed; no complaint; it did not come")
    monkeypatch.setenv("FAKE_HANG", "")
    (place.root / "console").write_text(CONSOLE)
    again = place.prove(names, boot=True, boot_timeout=0.3)
    assert again.is_proved
    assert [each.name for each in again.stages if not each.kept] == ["apply", "check", "boot"]


def test_qemu_is_ended_once_the_end_is_seen(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_HANG", "yes")
    proof = place.prove(place.series(GOOD), boot=True)
    assert proof.is_proved
    assert stage(proof, "boot").seconds < 15


def test_a_kernel_that_does_not_link(place: Place) -> None:
    (place.root / "t" / BPF).write_text(BPF_C + "/* BROKEN */\n")
    proof = place.prove(place.series(GOOD))
    assert stage(proof, "build").evidence == "ld.lld: error: undefined symbol: BROKEN"
    assert statuses(proof.stages)["audit"] == "skipped"
    assert (place.root / "w" / stage(proof, "build").log).read_text().count("BROKEN") == 2


def test_only_objects(place: Place) -> None:
    proof = place.prove(place.series(GOOD), objects_only=True, boot=True, baseline=True)
    assert proof.is_proved
    assert statuses(proof.stages) == dict.fromkeys(ALL[:4], "ok") | dict.fromkeys(ALL[4:], "skipped")
    assert stage(proof, "boot").evidence == "only objects were asked for"
    assert "vmlinux Image modules" not in place.asked()


def test_each_patch_is_built_alone(place: Place) -> None:
    middle = FTRACE_C.replace("// toy", "// BROKEN")
    proof = place.prove(place.series((FTRACE, FTRACE_C, middle), (FTRACE, middle, GOOD[2])), each=True)
    assert stage(proof, "objects").evidence.startswith("patch 1 of 2: arch/riscv/kernel/ftrace.c:1:1: error: ")
    assert statuses(proof.stages)["build"] == "skipped"
    assert place.prove([str(place.root / "series")]).is_proved, "as a whole it builds"
    named = place.series(GOOD, (BPF, BPF_C, f"/* more */\n{BPF_C}"))
    place.asked()
    proof = place.prove(named, each=True)
    assert proof.is_proved
    assert stage(proof, "objects").evidence == (
        "arch/riscv/kernel/ftrace.o, arch/riscv/net/bpf_jit_comp64.o after each of 2 patches, no warning"
    )
    assert [line for line in place.asked() if ".o" in line] == [
        "-k arch/riscv/kernel/ftrace.o arch/riscv/net/bpf_jit_comp64.o"
    ] * 2


def test_warnings_and_files_that_are_no_objects_here(place: Place) -> None:
    old = (place.root / "t" / "arch/riscv/include/asm/ftrace.h").read_text()
    names = place.series(
        (FTRACE, FTRACE_C, FTRACE_C.replace("// toy", "// WARNED")),
        ("arch/riscv/include/asm/ftrace.h", old, old.replace("4", "8", 1)),
        ("Documentation/x.rst", "", "text\n"),
    )
    found = stage(place.prove(names), "objects")
    assert found.evidence == "arch/riscv/kernel/, arch/riscv/kernel/ftrace.o, 1 warning"
    assert found.lines == ("arch/riscv/kernel/ftrace.c:3:1: warning: WARNED is odd",)


BAD = "// FINDING old error 532\n// FINDING other error 7\n"


def test_findings_fail(place: Place) -> None:
    proof = place.prove(place.series((FTRACE, FTRACE_C, BAD + FTRACE_C)))
    assert {name: text for name, text in statuses(proof.stages).items() if text == "failed"} == {
        "audit": "failed", "verify": "failed", "race": "failed",
    }  # fmt: skip
    assert stage(proof, "audit").findings[0].message == "vmlinux: old is wrong", "no directory of this machine"
    for level in ("warning", "note"):
        text = BAD.replace("error", level)
        assert place.prove(place.series((FTRACE, FTRACE_C, text + FTRACE_C))).is_proved
    assert not place.prove([str(place.root / "series")], fail_on="note").is_proved


def test_with_a_baseline_only_what_the_series_brings_fails(place: Place) -> None:
    (place.root / "t" / FTRACE).write_text(BAD + FTRACE_C)
    names = place.series((FTRACE, BAD + FTRACE_C, BAD.replace("old", "new").replace("7", "9") + FTRACE_C))
    proof = place.prove(names, baseline=True)
    changes = changes_of(proof)
    assert changes is not None
    assert [found.key for found in changes.new] == ["audit:new", "verify:new", "race:new"]
    assert [found.key for found in changes.mended] == ["audit:old", "verify:old", "race:old"]
    assert [(before.sites, after.sites) for before, after in changes.same] == [(7, 9)] * 3
    assert statuses(proof.baseline) == {
        "configure": "ok", "build": "ok", "audit": "ok", "verify": "ok", "race": "ok",
    }  # fmt: skip
    assert statuses(proof.stages)["audit"] == "failed"
    assert (place.root / "w/base/vmlinux").read_text().startswith(BAD)
    assert not proof.is_proved
    mended = place.prove(place.series((FTRACE, BAD + FTRACE_C, BAD.split("\n")[1] + "\n" + FTRACE_C)), baseline=True)
    assert mended.is_proved
    assert all(each.kept for each in mended.baseline), "without the series nothing is different"


def test_an_option_that_the_series_brings(place: Place) -> None:
    new = CONFIG + "\nconfig NEW\n\tbool\n"
    names = place.series(("arch/riscv/Kconfig", CONFIG, new))
    wanted = replace(WANTED, asked={"CONFIG_NEW": "y"})
    proof = place.prove(names, baseline=True, wanted=wanted)
    assert proof.is_proved
    assert proof.baseline[0].status is Status.OK
    assert proof.baseline[0].evidence == "1 of 2 lines kept; not kept of those asked for: CONFIG_NEW"
    assert stage(proof, "configure").evidence == "all 2 lines kept"


def test_a_tree_that_does_not_build_without_the_series(place: Place) -> None:
    (place.root / "t" / FTRACE).write_text("// BROKEN\n" + FTRACE_C)
    proof = place.prove(place.series((FTRACE, "// BROKEN\n" + FTRACE_C, FTRACE_C)), baseline=True)
    assert proof.is_proved
    assert statuses(proof.baseline) == {"configure": "ok", "build": "failed"} | dict.fromkeys(ALL[5:8], "skipped")
    assert changes_of(proof) is None
    note = "note: build failed without the series, so what it mends is not known\n"
    assert note in "".join(proof_text(proof))


def test_no_verdict_is_no_pass_and_is_not_remembered(place: Place) -> None:
    place.judges.trouble = "nothing was run"
    names = place.series(GOOD)
    proof = place.prove(names)
    assert not proof.is_proved
    assert stage(proof, "verify").trouble == "nothing was run"
    place.judges.trouble = ""
    assert place.prove(names).is_proved


def test_an_interrupted_proof_goes_on_where_it_was(place: Place) -> None:
    def stop(text: str) -> None:
        if text == "verify":
            raise KeyboardInterrupt

    names = place.series(GOOD)
    with pytest.raises(KeyboardInterrupt):
        place.prove(names, said=stop)
    proof = place.prove(names)
    assert [each.name for each in proof.stages if each.kept] == ["configure", "objects", "build", "audit"]
    assert proof.is_proved


def test_a_build_that_is_interrupted_leaves_no_vmlinux_that_counts(place: Place) -> None:
    def stop(text: str) -> None:
        if text.startswith("1 built: vmlinux"):
            raise KeyboardInterrupt

    names = place.series(GOOD)
    with pytest.raises(KeyboardInterrupt):
        place.prove(names, said=stop)
    assert "build" not in [each.name for each in place.prove(names).stages if each.kept]


def test_a_tree_that_changes_meanwhile(place: Place) -> None:
    def edit(text: str) -> None:
        if text == "verify":
            (place.root / "t" / FTRACE).write_text("// edited\n")

    with pytest.raises(ProveError, match="its files changed while the series was proved: nothing is proved"):
        place.prove(place.series(GOOD), said=edit)


def test_what_a_build_writes_into_its_source_does_not_reach_the_tree(place: Place) -> None:
    text = (place.root / "bin" / "make").read_text()
    evil = "for file in Makefile arch/riscv/kernel/ftrace.c; do echo evil >>$file; done\n"
    program(place.root / "bin", "make", text.replace("status=0\n", f"{evil}status=0\n", 1))
    before = state(place.root / "t")
    place.prove(place.series(GOOD))
    assert "evil" in (place.root / "w" / "src" / "Makefile").read_text()
    assert state(place.root / "t") == before


def test_no_room(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1 << 30))
    with pytest.raises(ProveError, match=r"1\.0 GiB are free, 3\.0 GiB are needed for a copy and its builds"):
        place.prove(place.series(GOOD))


def test_ccache_is_used_when_asked(place: Place) -> None:
    with pytest.raises(ProveError, match="not on this machine: ccache; in Debian: apt install ccache"):
        place.prove(place.series(GOOD), ccache=True)
    program(place.root / "bin", "ccache", "#!/bin/sh\necho ccache version 4.7.5\n")
    proof = place.prove(place.series(GOOD), ccache=True)
    assert proof.programs["ccache"] == "ccache version 4.7.5"
    assert "CC=ccache clang-19" in (place.root / "w/out/asked").read_text()


@pytest.mark.parametrize(
    ("said", "status", "evidence", "lines"),
    [
        ("", "ok", "no findings", ()),
        ("-:5: WARNING:TYPO: 'teh'", "ok", "1 finding", ("CP-TYPO warning: 'teh'",)),
        ("-:13: ERROR:SPACING: no", "failed", "1 finding", (f"CP-SPACING error: {FTRACE}:1: no",)),
        ("Can't open perl script", "failed", "scripts/checkpatch.pl: status 0: Can't open perl script", ()),
    ],
)
def test_the_trees_checkpatch(
    place: Place, monkeypatch: pytest.MonkeyPatch, said: str, status: str, evidence: str, lines: tuple[str, ...]
) -> None:
    (place.root / "t" / "scripts").mkdir()
    (place.root / "t" / "scripts" / "checkpatch.pl").write_text("# run by the fake perl\n")
    monkeypatch.setenv("FAKE_CHECKPATCH", said)
    found = stage(place.prove(place.series(GOOD), checkpatch=True, objects_only=True), "checkpatch")
    assert (found.status.value, found.evidence, found.lines) == (status, evidence, lines)


def test_a_tree_without_checkpatch(place: Place) -> None:
    found = stage(place.prove(place.series(GOOD), checkpatch=True, objects_only=True), "checkpatch")
    assert (found.status, found.evidence) == (Status.FAILED, "--checkpatch: src has no scripts/checkpatch.pl")
