# SPDX-License-Identifier: GPL-2.0-or-later
"""Break a kernel on purpose, one bug at a time, and see what verification says of it.

    python tests/kernels/mutants.py SOURCE OUT [--only NAME...] [--keep DIRECTORY]

SOURCE is a kernel tree, OUT a finished build of it (make O=OUT). Neither is written to: each mutant is an edited
copy of one file or two, in a directory of its own. The object files that it concerns are compiled again by the
commands that the build left in its .cmd files, with the edited files in front of the others, and vmlinux is linked
again from what else is in OUT, as scripts/link-vmlinux.sh does, its tables are sorted. A mutant takes ten seconds.

The symbol table for the kernel's own use and the BTF are those of OUT; no mutant changes a type. To show that the
way of building adds nothing, the files are first built unedited: verification must say of that kernel what it says
of OUT/vmlinux. A mutant is detected by what is reported of it and not of that kernel.

Prints a table in markdown; exit 1 if a mutant is missed that should be detected, or the other way about.
"""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from genpatch.image.containers import open_content
from genpatch.image.read import read_image
from genpatch.verify.run import Verification, verify

DYN = "arch/riscv/kernel/mcount-dyn.S"
MCOUNT = "arch/riscv/kernel/mcount.S"
FTRACE = "arch/riscv/kernel/ftrace.c"
PATCH = "arch/riscv/kernel/patch.c"
HEADER = "arch/riscv/include/asm/ftrace.h"
RETHOOK = "arch/riscv/kernel/probes/rethook_trampoline.S"
HEADERS = "arch/riscv/include"


@dataclass(frozen=True, slots=True)
class Edit:
    """One change: all of what a regular expression matches, which must be so many places."""

    anchor: str
    new: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class Mutant:
    """One deliberate bug.

    Args:
        name: of the bug.
        tree: version of the kernel that it is for.
        file: what is edited, relative to the tree.
        edits: how.
        breaks: what it does, in a few words.
        expect: (state, promise, what) of some that must be reported; none if it cannot be detected.
        why_missed: the explanation for that.
    """

    name: str
    tree: str
    file: str
    edits: tuple[Edit, ...]
    breaks: str
    expect: tuple[tuple[str, str, str], ...] = ()
    why_missed: str = ""

    @property
    def object(self) -> str:
        """The object file that is compiled again."""
        return str(Path(FTRACE if self.file == HEADER else self.file).with_suffix(".o"))


def gone(anchor: str, count: int = 1) -> tuple[Edit]:
    """Drop whole lines."""
    return (Edit(rf"\n[ \t]*{anchor}[^\n]*(?=\n)", "", count),)


SEQUENCE = "on one hart all comes out the same; only `sequences` differs, and no promise is about it"
ON_PATH = "the host's callback stands in for the kernel's own, which is not run"

MUTANTS = (
    # --- 7.2, call-ops: the trampoline
    Mutant(
        "a3-not-saved", "7.2", DYN, gone(r"REG_S\s+x13,"), "the fourth argument is lost",
        (("enabled", "frame-set", "a3"), ("enabled", "registers", "a3"), ("enabled", "initialised", "stack")),
    ),
    Mutant(
        "a3-not-restored", "7.2", DYN, gone(r"REG_L\s+x13,"), "the fourth argument is what the callback left",
        (("enabled", "registers", "a3"),),
    ),
    Mutant(
        "a2-a3-swapped", "7.2", DYN,
        (Edit(r"(REG_L\s+x12,\s+FREGS_)A2", r"\1A3"), Edit(r"(REG_L\s+x13,\s+FREGS_)A3", r"\1A2")),
        "two arguments are restored from each other's slots",
        (("enabled", "registers", "a2"), ("enabled", "registers", "a3")),
    ),
    Mutant(
        "frame-8-short", "7.2", DYN,
        (Edit(r"(addi\s+sp, sp, -?)(FREGS_SIZE_ON_STACK)", r"\1(\2 - 8)", 2),),
        "the stack pointer is no multiple of 16 in the callback", (("enabled", "stack", "sp"),),
    ),
    Mutant(
        "frame-16-short", "7.2", DYN,
        (Edit(r"(addi\s+(sp|a0), (sp|a0), -?)(FREGS_SIZE_ON_STACK)", r"\1(\4 - 16)", 3),),
        "the last field lies in the caller's stack", (("enabled", "stack", "frame end"),),
    ),
    Mutant(
        "stack-8-off-on-exit", "7.2", DYN, (Edit(r"(addi\s+sp, sp, )(FREGS_SIZE_ON_STACK)", r"\1(\2 + 8)"),),
        "the function gets another stack pointer", (("enabled", "registers", "sp"),),
    ),
    Mutant(
        "t0-from-ra", "7.2", DYN, (Edit(r"(REG_L\s+t0, FREGS_)EPC", r"\1RA"),),
        "the trampoline returns to the function's caller", (("enabled", "arrives", "body"),),
    ),
    Mutant(
        "t0-not-restored", "7.2", DYN, gone(r"REG_L\s+t0, FREGS_EPC"), "the trampoline returns to what is left in t0",
        (("enabled", "arrives", "body"), ("redirected", "arrives", "elsewhere")),
    ),
    Mutant(
        "ra-not-restored", "7.2", DYN, gone(r"REG_L\s+x1,"), "the function returns into the trampoline",
        (("enabled", "registers", "ra"), ("graph", "obeys", "ra")),
    ),
    Mutant(
        "s0-not-saved", "7.2", DYN, (Edit("HAVE_FUNCTION_GRAPH_FP_TEST", "NEVER", 2),),
        "the frame pointer in the frame is whatever was there", (("enabled", "frame-set", "s0"),),
    ),
    Mutant(
        "t2-t6-not-saved", "7.2", DYN, (Edit("CONFIG_CC_IS_CLANG", "NEVER", 2),),
        "arguments of functions that clang calls in its own way are lost",
        (("enabled", "registers", "t2"), ("enabled", "frame-set", "t6")),
    ),
    Mutant(
        "t1-not-saved", "7.2", DYN, gone(r"REG_S\s+x6,"), "whether a direct call follows is left to what was there",
        (("enabled", "arrives", "body"),),
    ),
    Mutant(
        "t1-not-restored", "7.2", DYN, gone(r"REG_L\s+x6,"), "whether a direct call follows is left to the callback",
        (("enabled", "arrives", "body"),),
    ),
    Mutant(
        "sp-without-frame", "7.2", DYN, gone(r"addi\s+a0, a0, FREGS_SIZE"), "the frame tells a wrong stack pointer",
        (("enabled", "frame", "sp"),),
    ),
    Mutant(
        "fregs-8-off", "7.2", DYN, (Edit(r"mv\s+a3, sp", "addi a3, sp, 8"),), "the callback gets another frame",
        (("enabled", "frame", "ra"), ("redirected", "arrives", "elsewhere")),
    ),
    Mutant(
        "ip-4-off", "7.2", DYN, (Edit(r"addi\s+a0, t0, -MCOUNT_JALR_SIZE", "mv a0, t0"),),
        "the callback gets the address behind the call", (("enabled", "arguments", "ip"),),
    ),
    Mutant(
        "ip-parent-swapped", "7.2", DYN, (Edit(r"mv\s+a1, ra(?=[^\n]*\n\s*REG_L)", "mv a1, a0; mv a0, ra"),),
        "the callback gets ip and parent_ip in each other's place",
        (("enabled", "arguments", "ip"), ("enabled", "arguments", "parent_ip")),
    ),
    Mutant(
        "literal-at-12", "7.2", DYN, (Edit(r"(REG_L\s+a2, )-16\(t0\)", r"\1-12(t0)"),),
        "ops are read four bytes behind the literal", (("enabled", "arrives", "body"),),
    ),
    Mutant(
        "literal-at-8", "7.2", DYN, (Edit(r"(REG_L\s+a2, )-16\(t0\)", r"\1-8(t0)"),),
        "the sled is taken for ops", (("enabled", "arrives", "body"),),
    ),
    # --- 7.2: direct calls
    Mutant(
        "direct-test-inverted", "7.2", DYN, (Edit(r"(FTRACE_OPS_DIRECT_CALL\(t1\)\s+)bnez", r"\1beqz"),),
        "a site without a direct call jumps to 0", (("enabled", "arrives", "body"),),
    ),
    Mutant(
        "direct-call-ignored", "7.2", DYN, (Edit(r"(FTRACE_OPS_DIRECT_CALL\(t1\)\s+)bnez\s+t1, \w+", r"\1nop"),),
        "the callback of an ops with a direct_call is called too", (("direct", "calls", "callback"),),
    ),
    Mutant(
        "direct-call-8-off", "7.2", DYN, (Edit(r"(FTRACE_OPS_DIRECT_CALL)(\(t1\))", r"\1 - 8\2"),),
        "another field of the ops is taken for direct_call", (("direct", "calls", "direct call"),),
    ),
    Mutant(
        "direct-in-frame-ignored", "7.2", DYN,
        (Edit(r"(?<=RESTORE_ABI_REGS\n)(#ifdef \w+\n\s+)bnez\s+t1, \w+", r"\1nop"),),
        "what the callback asked for is not called", (("direct-in-frame", "calls", "direct call"),),
    ),
    Mutant(
        "direct-not-through-caller", "7.2", FTRACE, (Edit(r"distance > JALR_RANGE", "0"),),
        "a call of something far has no auipc that fits", (("direct", "arrives", "body"),),
    ),
    # --- 7.2: what is written
    Mutant(
        "jalr-11-bits", "7.2", HEADER, (Edit(r"(JALR_OFFSET_MASK\s+\(0x00000)fff", r"\g<1>7ff"),),
        "the sign of the jalr's immediate is lost", (("enabled", "arrives", "body"),),
    ),
    Mutant(
        "jalr-links-ra", "7.2", HEADER, (Edit(r"(JALR_T0\s+\(0x0002)82e7", r"\g<1>80e7"),),
        "the call destroys the return address", (("enabled", "arrives", "body"),),
    ),
    Mutant(
        "auipc-without-carry", "7.2", HEADER, (Edit(r"(AUIPC_PAD\s+\(0x0000)1000", r"\g<1>0000"),),
        "the auipc does not round to the nearest page", (("enabled", "arrives", "body"),),
    ),
    Mutant(
        "half-a-jalr", "7.2", FTRACE, (Edit(r"call \+ 1, MCOUNT_JALR_SIZE", "call + 1, 2"),),
        "only the first half of the call is written", (("enabled", "arrives", "body"),),
    ),
    Mutant(
        "nop-4-off", "7.2", FTRACE, (Edit(r"\(void \*\)rec->ip, &nop4", "(void *)rec->ip + 4, &nop4"),),
        "disabling overwrites the function's first instruction",
        (("disabled", "patch-stays", "ftrace_make_nop"), ("disabled", "restores", "bytes")),
    ),
    Mutant(
        "init-nop-nop", "7.2", FTRACE, (Edit(r"nops\[0\] = to_auipc_t0\(offset\)", "nops[0] = RISCV_INSN_NOP4"),),
        "the sled starts with nop instead of auipc", (("enabled", "arrives", "body"),),
    ),
    Mutant(
        "call-adjust-4-off", "7.2", FTRACE, (Edit(r"return addr \+ 8 \+", "return addr + 4 +"),),
        "the kernel takes the sled's first instruction for the second", (("enabled", "arrives", "body"),),
    ),
    Mutant(
        "validate-wrong-word", "7.2", FTRACE, (Edit(r"call\[0\] = (to_auipc_t0\(offset\))", r"call[0] = \1 + 4096"),),
        "changing a site expects another auipc than stands there",
        (("changed", "patch-returns", "ftrace_modify_call"), ("changed-direct", "patch-returns", "ftrace_modify_call")),
    ),
    Mutant(
        "call-keeps-literal", "7.2", FTRACE,
        (Edit(r"(?s)(int ftrace_make_call\(.*?)ftrace_rec_update_ops\(rec\)", r"\1 0"),),
        "a site is enabled with the ops that do nothing", (("enabled", "calls", "callback"),),
    ),
    Mutant(
        "modify-keeps-literal", "7.2", FTRACE,
        (Edit(r"(?s)(int ftrace_modify_call\(.*?)ftrace_rec_update_ops\(rec\)", r"\1 0"),),
        "a site goes on with the ops that it had",
        (("changed", "arguments", "op"), ("changed-direct", "calls", "direct call")),
    ),
    Mutant(
        "nop-keeps-literal", "7.2", FTRACE,
        (Edit(r"(?s)(int ftrace_make_nop\(.*?)ftrace_rec_set_nop_ops\(rec\)", r"\1 0"),),
        "a disabled site keeps its ops, which may be freed", (("disabled", "restores", "bytes"),),
    ),
    Mutant(
        "literal-8-behind", "7.2", FTRACE, (Edit(r"ALIGN_DOWN\(rec->ip - 12, 8\)", "ALIGN_DOWN(rec->ip - 4, 8)"),),
        "ops are written over the sled", (("enabled", "arrives", "body"),),
    ),
    Mutant(
        "own-ops-inverted", "7.2", FTRACE, (Edit(r"(rec->flags & FTRACE_FL_CALL_OPS_EN)", r"!(\1)"),),
        "one tracer gets what is for several", (("enabled", "arguments", "op"), ("changed", "arguments", "op")),
    ),
    # --- 7.2: the way back
    Mutant(
        "return-loses-a0", "7.2", MCOUNT, gone(r"REG_L\s+a0, FREGS_A0"), "the function's result is lost",
        (("returned", "returns", "a0"),),
    ),
    Mutant(
        "return-loses-s0", "7.2", MCOUNT, gone(r"REG_L\s+s0, FREGS_S0"), "the caller's frame pointer is lost",
        (("returned", "returns", "s0"),),
    ),
    Mutant(
        "return-frame-short", "7.2", MCOUNT, (Edit(r"(addi\s+\w\w, sp, -?)FREGS_SIZE_ON_STACK", r"\g<1>48", 3),),
        "the frame of the returning function lies in its caller's stack", (("returned", "stack", "frame end"),),
    ),
    Mutant(
        "rethook-loses-a1", "7.2", RETHOOK, gone(r"REG_L\s+x11,"), "the second half of a result is lost",
        (("rethook", "returns", "a1"),),
    ),
    # --- 7.2: what the run of one site cannot see
    Mutant(
        "graph-wrong-field", "7.2", FTRACE,
        (Edit(r"(?s)(void ftrace_graph_func\(.*?&arch_ftrace_regs\(fregs\)->)ra", r"\1epc"),),
        "the function graph tracer replaces the way into the function", why_missed=ON_PATH,
    ),
    Mutant(
        "no-local-fence", "7.2", PATCH,
        (Edit(r"(?s)(copy_to_kernel_nofault\(waddr, insn, len\);.*?)local_flush_icache_range\([^;]*;", r"\1"),),
        "the patching hart may execute what was there before", why_missed=SEQUENCE,
    ),
    Mutant(
        "no-remote-fence", "7.2", FTRACE,
        (Edit(r"(ftrace_modify_all_code\(command\);\s+)flush_icache_all\(\);", r"\1"),),
        "other harts may execute what was there before", why_missed=SEQUENCE,
    ),
    Mutant(
        "init-nop-unlocked", "7.2", FTRACE, (Edit(r"guard\(mutex\)\(&text_mutex\);", ""),),
        "another writer may use the same fixmap slots", why_missed=SEQUENCE,
    ),
    # --- 6.12, pair-t0
    Mutant(
        "pair-reversed", "6.12", HEADER,
        (Edit(r"call\[0\] = (to_auipc_t0)", r"call[2 - 1] = \1"), Edit(r"call\[1\] = (to_jalr_t0)", r"call[0] = \1")),
        "jalr is written before auipc", (("enabled", "arrives", "body"),),
    ),
    Mutant(
        "modify-expects-new", "6.12", FTRACE, (Edit(r"(make_call_t0\(caller, )old_(addr, call\))", r"\1\2"),),
        "changing a site expects the call that is not there yet",
        (("changed-direct", "patch-returns", "ftrace_modify_call"),),
    ),
    Mutant(
        "nop-changes-a0", "6.12", HEADER, (Edit(r"(#define NOP4\s+\(0x00000)0", r"\g<1>5"),),
        "the first argument becomes 0 in every function", (("boot", "registers", "a0"),),
    ),
    Mutant(
        "half-a-nop-pair", "6.12", FTRACE,
        (Edit(r"(?s)(int ftrace_make_nop\(.*?rec->ip, nops, MCOUNT_INSN_SIZE)", r"\1 / 2"),),
        "disabling leaves the jalr", (("disabled", "arrives", "body"),),
    ),
    Mutant(
        "offset-from-jalr", "6.12", HEADER,
        (Edit(r"(?s)(define make_call_t0.*?\(unsigned long\) \(caller\))", r"\1 - 4"),),
        "the distance is counted from the jalr", (("enabled", "arrives", "body"),),
    ),
    Mutant(
        "pair-without-carry", "6.12", HEADER, (Edit(r"(AUIPC_PAD\s+\(0x0000)1000", r"\g<1>0000"),),
        "the auipc does not round to the nearest page", (("enabled", "arrives", "body"),),
    ),
    Mutant(
        "t1-not-cleared", "6.12", DYN, gone(r"mv\s+t1, zero"), "what was in t1 is called directly",
        (("enabled", "arrives", "body"),),
    ),
    Mutant(
        "sp-behind-frame", "6.12", DYN, (Edit(r"REG_S\s+t4,", "REG_S sp,"),), "the frame tells a wrong stack pointer",
        (("enabled", "frame", "sp"),),
    ),
    Mutant(
        "fentry-4-off", "6.12", DYN, (Edit(r"(FENTRY_RA_OFFSET\s+)8", r"\g<1>4"),), "the callback gets a wrong ip",
        (("enabled", "arguments", "ip"),),
    ),
    Mutant(
        "callback-through-t0", "6.12", FTRACE, (Edit(r"(\(unsigned long\)func, true, )true", r"\1false"),),
        "the trampoline's call does not set ra", (("enabled", "arrives", "body"),),
    ),
    Mutant(
        "second-page-not-mapped", "6.12", PATCH,
        (Edit(r"(?s)(int __patch_insn_write\(.*?patch_map\(addr) \+ PAGE_SIZE", r"\1"),),
        "a pair across pages is half written to the wrong page", (("enabled", "arrives", "body"),),
    ),
    Mutant(
        "two-pages-never", "6.12", PATCH,
        (Edit(r"(?s)(int __patch_insn_write\(.*?bool across_pages = )[^;]*", r"\1false"),),
        "a pair across pages is written where nothing is mapped", (("enabled", "patch-returns", "ftrace_make_call"),),
    ),
    Mutant(
        "machine-not-stopped", "6.12", FTRACE,
        (Edit(r"stop_machine\(__ftrace_modify_code,[^;]*", "ftrace_modify_all_code(command)"),),
        "others execute half a pair", why_missed=SEQUENCE,
    ),
)  # fmt: skip


class MutantError(Exception):
    """A mutant cannot be made; the text says why."""


def mutate(text: str, mutant: Mutant) -> str:
    """Return a file's text with a mutant's bug."""
    for edit in mutant.edits:
        found = len(re.findall(edit.anchor, text))
        if found != edit.count:
            raise MutantError(
                f"{mutant.name}: {edit.anchor!r} matches {found} places of {mutant.file}, not {edit.count}"
            )
        text = re.sub(edit.anchor, edit.new, text)
    return text


def version_of(source: Path) -> str:
    """Return "VERSION.PATCHLEVEL" of a tree."""
    makefile = (source / "Makefile").read_text(encoding="utf-8")
    parts = [re.search(rf"(?m)^{name} = (\d+)", makefile) for name in ("VERSION", "PATCHLEVEL")]
    return ".".join(part[1] if part else "?" for part in parts)


def saved_command(path: Path) -> str:
    """Return the command that a .cmd file keeps."""
    match = re.match(r"savedcmd_\S+ := (.*)", path.read_text(encoding="utf-8"))
    if match is None:
        raise MutantError(f"{path}: no command")
    return match[1].replace("$$", "$").replace("\\#", "#").strip()


class Build:
    """A finished build, from which kernels are linked that differ in some objects."""

    def __init__(self, source: Path, out: Path):
        self.source, self.out = source.resolve(), out.resolve()
        commands = [self.out / f".{name}.cmd" for name in ("vmlinux.unstripped", "vmlinux")]
        link = shlex.split(saved_command(next(path for path in commands if path.exists())).partition(";")[0])
        self.linker, flags = link[1], f"{link[2]} {link[3]}"
        whole = saved_command(self.out / ".vmlinux.o.cmd")
        libraries = re.search(r"--start-group (.*) --end-group", whole)
        tables = sorted(self.out.glob(".tmp_vmlinux[123].kallsyms.o"))
        self.head = [*flags.split(), "--script=arch/riscv/kernel/vmlinux.lds", "--strip-debug", "--whole-archive"]
        self.tail = ["--no-whole-archive", "--start-group", *(libraries[1].split() if libraries else ()), "--end-group"]
        self.tail += [path.name for path in (*tables[-1:], *self.out.glob(".tmp_vmlinux1.btf.o"))]
        self.objects = [*self._members(), *self._others()]

    def _members(self) -> list[str]:
        """Return the object files of vmlinux.a, a thin archive, in order."""
        listed = subprocess.run(["ar", "t", "vmlinux.a"], cwd=self.out, capture_output=True, text=True, check=True)
        return [str(Path(name)) for name in listed.stdout.split()]

    def _others(self) -> list[str]:
        names = (".builtin-dtbs.o", ".vmlinux.export.o", "init/version-timestamp.o")
        return [name for name in names if (self.out / name).exists()]

    def compile(self, name: str, mirror: Path) -> Path:
        """Compile an object as it was, but with the files under a directory instead of those in the tree."""
        path = self.out / name
        record = path.with_name(f".{path.name}.cmd")
        command = saved_command(record).partition(";")[0]
        origin = re.search(r"(?m)^source_\S+ := (\S+)", record.read_text(encoding="utf-8"))
        if origin is None:
            raise MutantError(f"{record}: no source")
        relative = (self.out / origin[1]).resolve().relative_to(self.source)
        target = mirror / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (edited := mirror / relative).exists():
            command = command.replace(f" {origin[1]}", f" {edited}")
        command = re.sub(r"-Wp,-MMD,\S+", "", command).replace(f"-o {name}", f"-o {target}")
        command = command.replace(" -I", f" -I{mirror / HEADERS} -I", 1)
        self._run(["sh", "-c", command])
        return target

    def link(self, target: Path, changed: dict[str, Path]) -> None:
        """Link a vmlinux with some objects in the place of others."""
        missing = changed.keys() - set(self.objects)
        if missing:
            raise MutantError(f"not in vmlinux.a: {', '.join(sorted(missing))}")
        listing = target.with_suffix(".rsp")
        listing.write_text("\n".join(str(changed.get(name, name)) for name in self.objects), encoding="utf-8")
        self._run([self.linker, *self.head, f"@{listing}", *self.tail, "-o", str(target)])
        self._sort_tables(target)

    def _sort_tables(self, target: Path) -> None:
        """Sort what is sorted at build time; newer kernels' sorttable drops sites of no function with it."""
        if not (self.out / "scripts/sorttable").exists():
            return
        options = []
        if "nm-sort" in (self.source / "scripts/link-vmlinux.sh").read_text(encoding="utf-8"):
            names = target.with_suffix(".nm")
            names.write_text(self._run([self._nm, "-S", str(target)]), encoding="utf-8")
            options = ["-s", str(names)]
        self._run(["scripts/sorttable", *options, str(target)])

    @property
    def _nm(self) -> str:
        """The toolchain's nm: its name is the linker's but for a part."""
        return self.linker.replace("ld.lld", "llvm-nm") if "lld" in self.linker else re.sub("ld$", "nm", self.linker)

    def _run(self, command: list[str]) -> str:
        done = subprocess.run(command, cwd=self.out, capture_output=True, text=True, check=False)
        if done.returncode:
            raise MutantError(f"{command[0]}: {done.stderr.strip()[-2000:]}")
        return done.stdout


Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Findings:
    """What verification said of one kernel.

    Args:
        failures: (state, promise, what) to how many sites.
        sequences: what was done in which order.
        tried: how many states were.
        notes: what else was said.
        seconds: how long it took.
    """

    failures: dict[Key, int]
    sequences: dict[str, tuple[str, ...]]
    tried: int
    notes: tuple[str, ...]
    seconds: float = 0.0


def find(vmlinux: Path) -> Findings:
    """Verify a kernel."""
    result: Verification = verify(read_image(open_content(str(vmlinux))))
    failures: dict[Key, int] = {}
    for failure in result.failures:
        key = (str(failure.state), str(failure.promise), str(failure.what))
        failures[key] = failures.get(key, 0) + len(failure.lanes)
    sequences = {name: tuple(_shape(step) for step in steps) for name, steps in result.sequences.items()}
    tried = sum(not state.skipped for state in result.states)
    return Findings(failures, sequences, tried, tuple(result.notes), result.seconds)


def _shape(step: str) -> str:
    """A step without the value that it stores: addresses change with every link."""
    return step.partition(": 0x")[0]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one mutant."""

    mutant: Mutant
    new: dict[Key, int]
    sequences: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def detected(self) -> bool:
        """Whether anything was reported that is not of the kernel without it."""
        return bool(self.new)

    @property
    def as_expected(self) -> bool:
        """Whether what had to be reported was, and nothing where nothing can be."""
        wanted = set(self.mutant.expect)
        return wanted <= self.new.keys() if wanted else not self.new


def compare(mutant: Mutant, found: Findings, base: Findings) -> Verdict:
    """Return what is reported of a mutant and not of the kernel without it.

    A state in which that kernel fails is left out: how it fails depends on where its code happens to lie.
    """
    failing = {state for state, _, _ in base.failures}
    new = {key: count for key, count in found.failures.items() if key[0] not in failing}
    names = base.sequences.keys() | found.sequences.keys()
    changed = tuple(sorted(name for name in names if found.sequences.get(name) != base.sequences.get(name)))
    return Verdict(mutant, new, changed, tuple(note for note in found.notes if note not in base.notes))


def row(verdict: Verdict) -> str:
    """Return a mutant's line of the table."""
    mutant, most = verdict.mutant, 4
    wanted = sorted(verdict.new, key=lambda key: key not in mutant.expect)
    told = [f"{state}: {promise} {what} ({verdict.new[state, promise, what]})" for state, promise, what in wanted]
    text = "; ".join(told[:most]) + (f"; {len(told) - most} more" if len(told) > most else "")
    if not told:
        text = f"**missed**: {mutant.why_missed or 'why is not known'}"
        text += "".join(f"; {name} differs" for name in verdict.sequences[:2])
    text += "".join(f"; note: {note}" for note in verdict.notes[:2])
    mark = "" if verdict.as_expected else " **(not as expected)**"
    return f"| {mutant.tree} | {mutant.name} | {mutant.breaks} | {text}{mark} |"


def _copy(source: Path, mirror: Path, file: str, text: str) -> None:
    (mirror / file).parent.mkdir(parents=True, exist_ok=True)
    (mirror / file).write_text(text, encoding="utf-8")


def _control(build: Build, mutants: list[Mutant], directory: Path) -> Findings:
    """Build everything that a mutant concerns unedited, and check that nothing comes of it."""
    mirror = directory / "control"
    for file in sorted({mutant.file for mutant in mutants}):
        _copy(build.source, mirror, file, (build.source / file).read_text(encoding="utf-8"))
    changed = {name: build.compile(name, mirror) for name in sorted({mutant.object for mutant in mutants})}
    build.link(mirror / "vmlinux", changed)
    found, genuine = find(mirror / "vmlinux"), find(build.out / "vmlinux")
    (mirror / "vmlinux").unlink()
    if (found.failures, found.sequences) != (genuine.failures, genuine.sequences):
        raise MutantError(f"the kernel linked again is not that of OUT: {_first_difference(found, genuine)}")
    return found


def _first_difference(found: Findings, genuine: Findings) -> str:
    return f"{found.failures} and not {genuine.failures}" if found.failures != genuine.failures else "other stores"


def run(source: Path, out: Path, only: list[str], keep: Path | None) -> int:
    """Make the mutants of a tree, print what came of each, and return an exit status."""
    build, version = Build(source, out), version_of(source)
    mutants = [each for each in MUTANTS if each.tree == version and (not only or each.name in only)]
    if not mutants:
        raise MutantError(f"no mutants for {version}")
    unexpected = 0
    with tempfile.TemporaryDirectory() as temporary:
        directory = keep.resolve() if keep is not None else Path(temporary)
        base = _control(build, mutants, directory)
        print("| tree | mutant | what it breaks | detected by state: promise what (sites) |\n| --- | --- | --- | --- |")
        for mutant in mutants:
            began, mirror = time.monotonic(), directory / mutant.name
            text = (build.source / mutant.file).read_text(encoding="utf-8")
            _copy(build.source, mirror, mutant.file, mutate(text, mutant))
            build.link(mirror / "vmlinux", {mutant.object: build.compile(mutant.object, mirror)})
            verdict = compare(mutant, find(mirror / "vmlinux"), base)
            if keep is None:
                (mirror / "vmlinux").unlink()
            unexpected += not verdict.as_expected
            print(row(verdict), flush=True)
            print(f"{mutant.name}: {time.monotonic() - began:.1f} s", file=sys.stderr)
    told = ", ".join(f"{' '.join(key)} ({count})" for key, count in base.failures.items())
    print(f"\nOf the kernel without any of them is reported: {told or 'nothing'}.")
    return 1 if unexpected else 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Break a kernel on purpose and see what verification says of it.")
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--keep", type=Path, metavar="DIRECTORY")
    given = parser.parse_args()
    try:
        return run(given.source, given.out, given.only, given.keep)
    except MutantError as error:
        print(f"mutants: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
