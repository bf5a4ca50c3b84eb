# SPDX-License-Identifier: GPL-2.0-or-later
"""Feed damaged inputs to every reader and judge whether genpatch stays calm.

    python -m tests.fuzz [--seconds N] [--seed N] [--target NAME] [SEED-FILE...]

Inputs are the bundled samples, some of them wrapped (gzip, xz, tar), and the files named; each round flips
bits, overwrites sizes and offsets, cuts, repeats and splices. Whatever happens must be a report or one of the
project's own errors. A traceback, a rule that breaks, more than 10 seconds or more than 1 GiB ends the run
with status 1 and leaves the input in the directory it names. Targets: audit, elf, boot, kallsyms,
btf, containers, text, program, call, arguments, race, compare, patches, verify, bpf, documents; all of them by default.
The same seed gives the same inputs, whatever the machine.
"""

import argparse
import gzip
import io
import json
import lzma
import random
import resource
import sys
import tarfile
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from genpatch.audit.registry import all_rules
from genpatch.check.patches import is_cover, read_message, read_patches
from genpatch.check.render import as_b4, as_b4_review, as_json, as_text, b4_findings
from genpatch.check.run import check_patches
from genpatch.cli.kernels import documents_of
from genpatch.compare.run import compare
from genpatch.emit.tree import Tree, open_tree
from genpatch.errors import GenpatchError
from genpatch.image.btf import Btf
from genpatch.image.containers import open_content, unwrap
from genpatch.image.elf import ElfFile
from genpatch.image.kallsyms import recover
from genpatch.image.model import KernelImage
from genpatch.image.program import read_program
from genpatch.image.read import read_image
from genpatch.image.system_map import read_system_map
from genpatch.isa.assemble import assemble
from genpatch.machine.outcome import Outcome, Status
from genpatch.race.kernel import kernel_races
from genpatch.race.run import explored
from genpatch.race.witness import two_columns
from genpatch.report.auditing import AuditOptions, audit_paths
from genpatch.report.checking import FORMATS, check_document, render_of
from genpatch.report.diff_text import diff_text
from genpatch.report.diffing import compare_sides, sides_of
from genpatch.report.documents import Document, read_document
from genpatch.report.formats import RenderOptions, formats
from genpatch.report.html import page_of
from genpatch.report.verifying import verify_document
from genpatch.run.arguments import changed, read_argument
from genpatch.run.kernel import KernelBench
from genpatch.run.listing import line_of, reason_of
from genpatch.run.program import Process, Setting
from genpatch.samples import resolve, sample_root
from genpatch.schemes import get_scheme
from genpatch.verify.bpf.trace import trace_bpf
from tests.check.trees import FILES, edited, mail, toy
from tests.elfwriter import Segment
from tests.elfwriter import elf as elf_of

SLOWEST = 10.0
MOST_MEMORY = 1 << 30
LIMIT = 64 << 20
BUDGET = 3000
INTERESTING = (
    0,
    1,
    2,
    7,
    8,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    1 << 63,
    (1 << 64) - 1,
)


def audit(data: bytes, folder: Path) -> None:
    """The whole program on one file, with every output format."""
    path = folder / "input"
    path.write_bytes(data)
    document = audit_paths([str(path)], AuditOptions(rules=tuple(all_rules().values()), keep_sites=True, limit=LIMIT))
    broken = [rule for image in document.images for rule in image.rules if rule.status == "error"]
    if broken:
        raise AssertionError(f"a rule broke: {broken[0].rule} {broken[0].reason}")
    for each in formats().values():
        "".join(each.render(document, RenderOptions())).encode()


def elf(data: bytes, folder: Path) -> None:
    """The ELF tables alone."""
    parsed = ElfFile.parse(np.frombuffer(data, np.uint8), "fuzz")
    symbols = parsed.symbols()
    symbols.find("linux_banner")
    symbols.named(range(min(len(symbols), 50)))
    parsed.address_space()


def btf(data: bytes, folder: Path) -> None:
    """Types out of whatever follows the BTF magic."""
    at = max(data.find(b"\x9f\xeb\x01"), 0)
    types = Btf.parse(data[at:])
    for name in ("ftrace_ops", "__arch_ftrace_regs", "pt_regs", "list_head"):
        types.struct(name)
    types.func_proto("ftrace_return_to_handler")


def kallsyms(data: bytes, folder: Path) -> None:
    """kallsyms out of flat bytes."""
    recover(np.frombuffer(data, np.uint8))


def boot(data: bytes, folder: Path) -> None:
    """A boot image: a header is put in front of whatever is there."""
    head = bytearray(data[:64].ljust(64, b"\0"))
    head[0x38:0x3C] = b"RSC\x05"
    content = open_content_of(bytes(head) + data[64:], folder)
    read_image(content)


def open_content_of(data: bytes, folder: Path):  # type: ignore[no-untyped-def]
    path = folder / "input"
    path.write_bytes(data)
    return open_content(path, limit=LIMIT)


def containers(data: bytes, folder: Path) -> None:
    """Wrappers alone."""
    unwrap(np.frombuffer(data, np.uint8), "fuzz", limit=LIMIT)


def text(data: bytes, folder: Path) -> None:
    """A System.map."""
    read_system_map(data, "fuzz")


def ended(outcome: Outcome, name_at: Callable[[int], str]) -> None:
    """Judge how a run ended."""
    if outcome.status == Status.RUNNING or not reason_of(outcome, name_at):
        raise AssertionError(f"it ended as {outcome}")


def program(data: bytes, folder: Path) -> None:
    """A program, run for a while and then traced."""
    loaded = read_program(open_content_of(data, folder))
    process = Process(loaded, lambda where, what: None, Setting(("one", "two")))
    ended(process.run(BUDGET), loaded.symbols.nearest)
    for each in process.hart.trace(20):
        if isinstance(each, Outcome):
            ended(each, loaded.symbols.nearest)
        else:
            line_of(each, loaded.symbols.nearest)


def call(data: bytes, folder: Path) -> None:
    """A few functions of a kernel."""
    image = read_image(open_content_of(data, folder))
    bench = KernelBench(image)
    for function in image.symbols.functions[::7][:8].tolist():
        ended(bench.call(int(image.symbols.address[function]), 1, 2, 3, budget=BUDGET), image.symbols.nearest)


def race(data: bytes, folder: Path) -> None:
    """What a kernel's own patching code does, and every interleaving of it, as far as some states go."""
    made = kernel_races(read_image(open_content_of(data, folder)), writers=True)
    for scenario in made.scenarios:
        row = explored(made.function, scenario.name, scenario, made.settings, max_states=500)
        if row.verdict == "safe" and not row.complete:
            raise AssertionError(f"{row.transition}: safe, and not everything was seen")
        for lines in row.witnesses.values():
            two_columns(list(lines))


def compared(data: bytes, folder: Path) -> None:
    """What each scheme would cost a kernel."""
    compare(read_image(open_content_of(data, folder)), schemes=map(get_scheme, ("call-ops", "pair-t0", "jal-dispatch")))


@cache
def sound_kernel() -> KernelImage:
    return read_image(open_content(resolve("sample:call-ops")))


def arguments(data: bytes, folder: Path) -> None:
    """Arguments of a function: whatever bytes a shell passes on."""
    bench = KernelBench(sound_kernel())
    for word in data.split(b"\0")[:20]:
        text = word[:200].decode(errors="surrogateescape")
        for each in (text, f"str:{text}", f"hex:{text}", f"buf:{text}", f"vfs_read+{text}"):
            try:
                found = read_argument(bench, each)
            except GenpatchError:
                continue
            if not 0 <= found.value < 1 << 64 or changed(bench, found) is not None:
                raise AssertionError(f"{each!r} was read as {found}")


def verified(data: bytes, folder: Path) -> None:
    """Every site of a kernel in every state, in every format."""
    image = read_image(open_content_of(data, folder))
    document = verify_document(image, tuple(all_rules().values()), keep_sites=True, keep_sleds=True, with_bpf=False)
    broken = [rule for each in document.images for rule in each.rules if rule.status == "error"]
    if broken:
        raise AssertionError(f"a rule broke: {broken[0].rule} {broken[0].reason}")
    for each in formats().values():
        "".join(each.render(document, RenderOptions())).encode()


@cache
def trampoline_maker() -> bytes:
    return Path(resolve("sample:bpf")).read_bytes()


TRACED = ("bpf_fentry_test1", "eight_arguments")


def bpf(data: bytes, folder: Path) -> None:
    """One life of a trampoline, made by a damaged kernel; what damages it is drawn by the input."""
    rng = random.Random(data)
    image = read_image(open_content_of(mutate(rng, [trampoline_maker()]), folder))
    kinds = rng.choice((["fentry"], ["fexit"], ["fentry", "fmod_ret", "fexit"], ["struct_ops"]))
    trace_bpf(image, rng.choice(TRACED), kinds, [])


WRITTEN = (("audit", "call-ops-broken"), ("verify", "call-ops-broken"), ("race", "call-ops"), ("compare", "call-ops"))


@cache
def written() -> list[Document]:
    """Documents of each verb, as they are written."""
    made = [documents_of(f"sample:{name}", [verb], lambda _: None)[0] for verb, name in WRITTEN]
    mail_of = mail(edited("arch/riscv/kernel/ftrace.c", ("// toy", "// a toy"))).encode()
    with tempfile.TemporaryDirectory() as folder:
        checked = check_patches(read_patches(mail_of, "fuzz"), open_tree(toy(Path(folder) / "linux")))
        made.append(json.loads(json.dumps(check_document(checked).as_json())))
    return [json.loads(json.dumps(each)) for each in made]


ODD = (
    None,
    True,
    -1,
    0,
    1,
    1 << 63,
    1 << 70,
    0.5,
    float("nan"),
    "",
    "x" * 300,
    "</script><img src=x>",
    "\x1b[2J\u202e",
    [],
    {},
)


def damage(rng: random.Random, node: Any, depth: int = 0) -> Any:
    """Return a document with something in it replaced, removed or doubled."""
    if not isinstance(node, dict | list) or not node or (depth > 1 and rng.random() < 0.15):
        return rng.choice(ODD)
    key = rng.choice(list(node) if isinstance(node, dict) else range(len(node)))
    kind = rng.randrange(8)
    made = dict(node) if isinstance(node, dict) else list(node)
    if kind == 0:
        del made[key]
    elif kind == 1 and isinstance(made, list):
        made.insert(key, made[key])
    else:
        made[key] = damage(rng, made[key], depth + 1)
    return made


def documents(data: bytes, folder: Path) -> None:
    """A document that somebody has changed, read, compared with what it was, and shown as a page."""
    rng = random.Random(data)
    whole = rng.choice(written())
    path = folder / "input.json"
    path.write_text(json.dumps(damage(rng, whole)), encoding="utf-8")
    document = read_document(path)
    "".join(page_of([document])).encode()
    for old, new in ((whole, document), (document, whole)):
        sides = sides_of([old]), sides_of([new])
        changes = compare_sides(*sides)
        json.dumps(changes.as_json())
        "".join(diff_text(changes)).encode()
        "".join(page_of([old, new])).encode()


@cache
def small_tree(folder: Path) -> Tree:
    return open_tree(toy(folder / "linux"))


def patches(data: bytes, folder: Path) -> None:
    """Patches, read, applied to a small tree in memory, judged, and shown in every format."""
    is_cover(data)
    with suppress(GenpatchError):
        read_message(data, "fuzz", ";")
    checked = check_patches(read_patches(data, "fuzz"), small_tree(folder))
    broken = [each for part in checked.parts for each in part.outcomes if each.status == "error"]
    if broken:
        raise AssertionError(f"a rule broke: {broken[0].reason}")
    told = "".join(as_b4(b4_findings(checked, strict=True))).splitlines()
    if any(not line.isprintable() for line in told) or len(told) > len(checked.findings) + len(checked.skipped):
        raise AssertionError(f"b4 would not understand this: {told[:3]}")
    "".join([*as_text(checked), as_json(checked), as_b4_review(checked, strict=False)]).encode()
    for name in FORMATS:
        "".join(render_of(name)(check_document(checked), RenderOptions())).encode()


TARGETS: dict[str, Callable[[bytes, Path], None]] = {
    "audit": audit, "elf": elf, "btf": btf, "kallsyms": kallsyms, "boot": boot, "containers": containers, "text": text,
    "program": program, "call": call, "arguments": arguments, "race": race, "compare": compared,
    "patches": patches, "verify": verified, "bpf": bpf, "documents": documents,
}  # fmt: skip


def corpus(named: list[str]) -> list[bytes]:
    """The samples, some of them wrapped, and the files that were named."""
    files = [path for path in sorted(sample_root().glob("*")) if path.suffix in (".elf", ".ko", ".image")]
    seeds = [path.read_bytes() for path in [*files, *map(Path, named)]]
    seeds = seeds or [b"\x7fELF\x02\x01\x01" + bytes(512)]
    wrapped = [gzip.compress(seeds[0]), lzma.compress(seeds[-1])]
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for number, seed in enumerate(seeds[:4]):
            info = tarfile.TarInfo(f"m{number}.ko")
            info.size = len(seed)
            tar.addfile(info, io.BytesIO(seed))
    lines = b"".join(b"ffffffff8000%04x T name%d\n" % (n * 4, n) for n in range(200))
    typed = b"\0".join((b"12", b"-0x80", b"0xffffffffffffffff", b"vfs_read+0x10", b"00 ff", b"16777216", b"hello", b""))
    return [*seeds, *wrapped, archive.getvalue(), lines, typed, small_program()]


def mails() -> list[bytes]:
    """Patches to the small tree in the forms that people send them in."""
    diffs = [edited(path, (text.split("\n")[0], f"{text.split(chr(10))[0]} x")) for path, text in FILES.items()]
    taken = [edited(path, (f"{line}\n", "")) for path, text in FILES.items() for line in set(text.split("\n"))
             if line and text.count(f"{line}\n") == 1]  # fmt: skip
    moved = "diff --git a/Kconfig b/Kconfig.x\nsimilarity index 100%\nrename from Kconfig\nrename to Kconfig.x\n"
    shown = f"commit {'1' * 40}\nAuthor: A <a@example.org>\n\n    riscv: x\n\n{diffs[3]}"
    coded = mail(diffs[0]).replace("\n\n", "\nContent-Transfer-Encoding: quoted-printable\n\n", 1)
    texts = [*map(mail, [*diffs, *taken, moved]), "".join(map(mail, diffs)), "".join(diffs), shown, coded]
    return [each.encode() for each in texts]


def small_program() -> bytes:
    """A program that stores, loops, writes and exits."""
    source = "li t0, 0x20000\nli t1, 9\n1: sd t1, 8(t0)\namoadd.d t2, t1, (t0)\naddi t1, t1, -1\nbnez t1, 1b\n"
    source += "li a0, 1\nmv a1, t0\nli a2, 16\nli a7, 64\necall\nli a0, 0\nli a7, 93\necall\n"
    code, data = Segment(vaddr=0x10000, data=assemble(source, 0x10000)), Segment(vaddr=0x20000, data=bytes(64), flags=6)
    return elf_of(segments=[code, data], entry=0x10000)


def mutate(rng: random.Random, seeds: list[bytes]) -> bytes:
    """Return a seed with a few things wrong."""
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        if not data:
            break
        at = rng.randrange(len(data)) if rng.random() < 0.6 else rng.randrange(min(len(data), 512))
        kind = rng.randrange(7)
        if kind == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif kind in (1, 2):
            size = rng.choice((1, 2, 4, 8))
            data[at : at + size] = (rng.choice(INTERESTING) & ((1 << 8 * size) - 1)).to_bytes(size, "little")
        elif kind == 3:
            del data[rng.randrange(len(data)) :]
        elif kind == 4:
            length = rng.randrange(1, 256)
            data[at:at] = data[at : at + length]
        elif kind == 5:
            del data[at : at + rng.randrange(1, 64)]
        else:
            other = rng.choice(seeds)
            if other:
                start = rng.randrange(len(other))
                piece = other[start : start + rng.randrange(1, 512)]
                data[at : at + len(piece)] = piece
    return bytes(data)


def rewrite(rng: random.Random, letters: list[bytes]) -> bytes:
    """Return a mail with a few lines wrong; it stays text, so that readers get further."""
    lines = rng.choice(letters).decode().split("\n")
    others = rng.choice(letters).decode().split("\n")
    for _ in range(rng.choice((1, 2, 4))):
        at = rng.randrange(len(lines))
        kind = rng.randrange(6)
        if kind == 0:
            del lines[at : at + rng.choice((1, 1, 3))]
        elif kind == 1:
            lines[at:at] = lines[at : at + rng.randrange(1, 9)] * rng.choice((1, 1, 50))
        elif kind == 2:
            start = rng.randrange(len(others))
            lines[at:at] = others[start : start + rng.randrange(1, 20)]
        elif kind == 3:
            lines[at] = "".join(rng.choice(("0", "-1", "99999999", d)) if d.isdigit() else d for d in lines[at])
        elif kind == 4:
            place = rng.randrange(len(lines[at]) + 1)
            lines[at] = lines[at][:place] + rng.choice("+- @\\/.\"'{}();\t\r\u202e=?:#") + lines[at][place:]
        else:
            lines[at] = rng.choice("+- ") + lines[at][1:]
        lines = lines or [""]
    return "\n".join(lines).encode()


def main() -> int:
    """Run until the time is over or something breaks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--target", choices=sorted(TARGETS), default=None)
    parser.add_argument("files", nargs="*")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else time.time_ns() & 0xFFFFFFFF
    rng = random.Random(seed)
    targets = [options.target] if options.target else [*TARGETS, "audit", "audit", "audit"]
    seeds, letters = corpus(options.files), mails()
    written()  # made once; no input is blamed for the time
    np.seterr(over="ignore")
    folder = Path(tempfile.mkdtemp(prefix="genpatch-fuzz-"))
    deadline = time.monotonic() + options.seconds
    counts = dict.fromkeys(TARGETS, 0)
    refused = 0
    worst = 0.0
    while time.monotonic() < deadline:
        target = rng.choice(targets)
        data = mutate(rng, seeds) if target != "patches" else rng.choice((mutate, rewrite))(rng, letters)
        started = time.monotonic()
        problem = ""
        try:
            TARGETS[target](data, folder)
        except GenpatchError as error:
            refused += 1
            if "\n" in str(error):
                problem = f"an error of several lines: {error}"
        except BaseException:
            problem = traceback.format_exc()
        took = time.monotonic() - started
        worst = max(worst, took)
        counts[target] += 1
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
        if took > SLOWEST:
            problem = problem or f"it took {took:.1f} s"
        if memory > MOST_MEMORY:
            problem = problem or f"it took {memory >> 20} MB"
        if problem:
            (folder / "failing").write_bytes(data)
            print(f"seed {seed}, target {target}, input kept in {folder}/failing\n{problem}", flush=True)
            return 1
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    total = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    print(
        f"seed {seed}: {sum(counts.values()):,} inputs ({total}), {refused:,} refused, slowest {worst:.2f} s, {peak} MB"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
