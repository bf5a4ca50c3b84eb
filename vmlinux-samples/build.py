#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Build the sample images from ``src/`` by ``recipe.toml``.

Usage: build.py [--check] [--toolchain gcc|gcc+pahole|clang|clang+pahole] [NAME...]

Without ``--check`` the samples are written beside this file, and the toolchain and digest in their manifests are
brought up to date; what must be found in them is written by hand. With it they are built in a temporary directory
and compared. Exit status: 0 done, 1 a difference, 2 a mistake, 3 a tool is missing or another version than the
manifest names.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import kallsyms

if TYPE_CHECKING:
    from genpatch.schemes import CallScheme

HERE = Path(__file__).resolve().parent
SOURCES = HERE / "src"
HEADERS = ("sample.h", "frame.h")
TRACED = ("sites.c", "init.c")
PLAIN = ("patch.c", "kernel.c", "lib.c")
SUFFIX = {"kernel": ".elf", "relocatable": ".elf", "module": ".ko", "boot": ".image"}
OK, DIFFERENT, MISTAKE, NO_TOOLCHAIN = range(4)


class BuildError(Exception):
    """A tool failed or a record of the recipe is wrong; the text says which and how."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolchain:
    """The programs that build a sample, and their fixed options."""

    name: str
    compiler: tuple[str, ...]
    linker: str
    objcopy: str
    options: tuple[str, ...]
    link: tuple[str, ...] = ()


_OPTIONS = (
    "-O2", "-std=gnu11", "-Wall", "-Wextra", "-Wno-unused-parameter", "-ffreestanding", "-mcmodel=medany",
    "-mabi=lp64", "-mno-relax", "-fno-common", "-fno-asynchronous-unwind-tables", "-fno-stack-protector",
)  # fmt: skip
_GCC_OPTIONS = ("-fno-ipa-icf", "-fno-tree-loop-distribute-patterns")

GCC = Toolchain(
    name="gcc",
    compiler=("riscv64-linux-gnu-gcc",),
    linker="riscv64-linux-gnu-ld",
    objcopy="riscv64-linux-gnu-objcopy",
    options=(*_OPTIONS, *_GCC_OPTIONS),
    link=("--no-warn-rwx-segments",),
)
CLANG = Toolchain(
    name="clang",
    compiler=("clang-19", "--target=riscv64-linux-gnu"),
    linker="ld.lld-19",
    objcopy="llvm-objcopy-19",
    options=(*_OPTIONS, "-Wno-unused-command-line-argument"),
)
TOOLCHAINS = {each.name: each for each in (GCC, CLANG)}
_TABLE = "__patchable_function_entries"
NM = "riscv64-linux-gnu-nm"
PAHOLE = "pahole"
_LINK = ("-m", "elf64lriscv", "-z", "max-page-size=64", "-z", "noexecstack", "--build-id=none", "--no-relax")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """What a call scheme means for a build: -fpatchable-function-entry, -falign-functions and switches."""

    sled: str
    align: int
    define: tuple[str, ...]
    trampoline: str


SCHEMES = {
    "call-ops": Scheme(sled="8,4", align=8, define=("CALL_OPS",), trampoline="trampoline-call-ops.S"),
    "auipc-fixed": Scheme(sled="4", align=8, define=("FIXED",), trampoline="trampoline-fixed.S"),
    "pair-t0": Scheme(sled="4", align=16, define=("PAIR",), trampoline="trampoline-pair.S"),
    "mcount-ra16": Scheme(sled="8", align=16, define=("RA16",), trampoline="trampoline-ra16.S"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One record of the recipe; the fields are described in ``recipe.toml``."""

    name: str
    scheme: str = ""
    record: str = ""
    bpf: str = ""
    kind: str = "kernel"
    toolchain: str = "gcc"
    define: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    traced: tuple[str, ...] = TRACED
    plain: tuple[str, ...] = PLAIN
    sled: str | None = None
    align: int | None = None
    march: str = "rv64imac_zicsr_zifencei"
    driver: dict[str, str] = field(default_factory=dict)
    types: str = "none"
    config: bool = False
    partial: bool = False
    objects: bool = False

    @property
    def file(self) -> str:
        """The name of the file."""
        return self.name + SUFFIX[self.kind]

    @property
    def tools(self) -> Toolchain:
        """The toolchain that builds it."""
        return TOOLCHAINS[self.toolchain]

    @property
    def toolchain_label(self) -> str:
        """The toolchain, with pahole where it is needed."""
        return f"{self.toolchain}+pahole" if self.types == "btf" else self.toolchain


def scheme_of(sample: Sample) -> Scheme:
    """Return what a sample's scheme means for its build: as written down here, or as its record in the catalog says."""
    if not sample.record:
        return SCHEMES[sample.scheme]
    record, nop = record_of(sample.record), 2 if "c" in sample.march.partition("_")[0] else 4
    from genpatch.schemes.sources import frame_of

    return Scheme(
        sled=f"{(record.before + record.after) // nop},{record.before // nop}",
        align=record.alignment,
        define=(
            "FRAME_REGS" if frame_of(record) == "regs" else "FRAME_ARGS",
            *(("ADJUST",) if adjusts(record) else ()),
        ),
        trampoline="trampolines.S",
    )


def read_recipe() -> dict[str, Sample]:
    """Return the samples by name."""
    records = tomllib.loads((HERE / "recipe.toml").read_text(encoding="utf-8"))
    return {name: _sample(name, record) for name, record in records.items()}


def _sample(name: str, record: dict[str, object]) -> Sample:
    """Return one record; lists become tuples. TypeError for a key that is not known."""
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in record.items()}
    try:
        return Sample(name=name, **values)  # type: ignore[arg-type]
    except TypeError as error:
        raise BuildError(f"recipe.toml, {name}: {error}") from error


# --- tools


def run(command: Sequence[str | Path], cwd: Path = SOURCES) -> str:
    """Run a tool and return what it printed; a warning counts as a failure."""
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False,
        env={**os.environ, "LC_ALL": "C", "SOURCE_DATE_EPOCH": "0"},
    )  # fmt: skip
    if done.returncode or done.stderr.strip():
        raise BuildError(f"{' '.join(map(str, command))}\n{done.stderr.strip() or done.returncode}")
    return done.stdout


@cache
def version(tool: str) -> str | None:
    """Return a tool's name and the first line of what it says of itself, None if it is not installed."""
    if shutil.which(tool) is None:
        return None
    lines = subprocess.run([tool, "--version"], capture_output=True, text=True, check=False).stdout.splitlines()
    return f"{tool} {lines[0].removeprefix(tool).strip()}" if lines else None


def tools_of(sample: Sample) -> tuple[str, ...]:
    """Return the tools whose versions decide what a sample's bytes are."""
    tools = (sample.tools.compiler[0], sample.tools.linker)
    return (*tools, PAHOLE) if sample.types == "btf" else tools


# --- what is rendered from the catalog


def record_of(name: str) -> CallScheme:
    """Return a scheme of the catalog; BuildError without what its package needs."""
    if str(HERE.parent) not in sys.path:
        sys.path.insert(0, str(HERE.parent))
    try:
        from genpatch.schemes import CATALOG
    except ImportError as error:
        raise BuildError(f"the catalog of schemes cannot be read: {error}") from error
    if name not in CATALOG:
        raise BuildError(f"no scheme {name} in the catalog")
    return CATALOG[name]


def adjusts(record: CallScheme) -> bool:
    """Tell whether a site is elsewhere than where a compiler's nops begin."""
    from genpatch.schemes.patching import entry_offset

    return entry_offset(record) != record.ip_offset


def sources_for(record: CallScheme) -> dict[str, str]:
    """Return what is rendered from a scheme's record, by file name."""
    try:
        from genpatch.schemes.sources import sources_of
        from genpatch.schemes.trampoline import OpsLayout

        return sources_of(record, OpsLayout(direct_call=_DIRECT_CALL))
    except ImportError as error:
        raise BuildError(f"templates cannot be rendered: {error}") from error


def render(record: CallScheme, target: Path) -> None:
    """Write scheme.h, the patching and the assembly of a scheme into a new directory."""
    target.mkdir(parents=True)
    for name, text in {"scheme.h": scheme_header(record), **sources_for(record)}.items():
        (target / name).write_text(text, encoding="utf-8")


_DIRECT_CALL = 32  # as struct ftrace_ops of sample.h


def scheme_header(record: CallScheme) -> str:
    """Return what the sources around a scheme's patching need to know of it."""
    flags = {
        "OWN": record.ops_in.value == "own",
        "IN_SLOT": record.ops_in.value == "slot",
        "OWN_OPS_FLAG": record.literal is not None,
        "ALLOCATED": any(store.place.value == "trampoline" for store in record.enable),
        "LINK_RA": record.link.value == "ra",
        "DISPATCHER": record.dispatcher is not None,
    }
    values = {"AFTER": record.after, "LITERAL": record.literal or 0} | {
        name: 1 for name, is_set in flags.items() if is_set
    }
    return "".join(f"#define {name} {value}\n" for name, value in values.items())


# --- building


class Workshop:
    """Compiles into one directory; the same compilation is done once, whoever asks for it."""

    def __init__(self, directory: Path, pool: ThreadPoolExecutor) -> None:
        self.directory = directory
        self._pool = pool
        self._lock = Lock()
        self._objects: dict[tuple[str, ...], Future[Path]] = {}
        self._rendered: set[Path] = set()
        config = (SOURCES / "config").read_bytes()
        (directory / "config.gz").write_bytes(gzip.compress(config, compresslevel=0, mtime=0))

    def compile(self, sample: Sample, source: str, flags: Iterable[str]) -> Future[Path]:
        """Start compiling one source, unless that was done."""
        tools = sample.tools
        command = (*tools.compiler, *tools.options, f"-march={sample.march}", *flags, "-c", source)
        with self._lock:
            if command not in self._objects:
                target = self.directory / f"{Path(source).stem}-{len(self._objects)}.o"
                self._objects[command] = self._pool.submit(self._compile, command, target)
            return self._objects[command]

    def rendered(self, name: str) -> Path:
        """Return the directory of what is rendered for a scheme of the catalog."""
        target = self.directory / "schemes" / name
        with self._lock:
            if target not in self._rendered:
                render(record_of(name), target)
                self._rendered.add(target)
        return target

    def _compile(self, command: tuple[str, ...], target: Path) -> Path:
        places = (f"-I{self.directory}", f"-Wa,-I{self.directory}", f"-ffile-prefix-map={self.directory}=.")
        run([*command, *places, "-o", target])
        return target


def defines_for(source: str, names: Iterable[str]) -> list[str]:
    """Return the -D options that a source (or a header of ours) mentions: fewer of them, fewer compilations."""
    text = "".join(_text(name) for name in (source, *HEADERS))
    return [f"-D{name}" for name in names if re.search(rf"\b{name.partition('=')[0]}\b", text)]


@cache
def _text(name: str) -> str:
    return (SOURCES / name).read_text(encoding="utf-8")


def objects_of(sample: Sample, workshop: Workshop) -> list[Path]:
    """Compile all sources of a sample, in the order they are linked."""
    scheme = scheme_of(sample)
    untraced = () if sample.kind == "module" else ("head.S", scheme.trampoline, *sample.plain)
    extra = ("config.S",) if sample.config else ()
    pending = [
        workshop.compile(
            sample,
            source,
            (*_places(sample, source, workshop), *_flags(sample, scheme, source, source in sample.traced)),
        )
        for source in (*untraced, *extra, *sample.traced)
    ]
    return [each.result() for each in pending]


def _places(sample: Sample, source: str, workshop: Workshop) -> tuple[str, ...]:
    """Return where a source finds what is rendered for it."""
    if not {'"scheme.h"', '"patching.c"'} & set(re.findall(r'#include ("[^"]*")', _text(source))):
        return ()
    name = sample.bpf if source.startswith("bpf.") else sample.record
    place = workshop.rendered(name)
    return (f"-I{place}", f"-Wa,-I{place}") if source.endswith(".S") else (f"-I{place}",)


def _flags(sample: Sample, scheme: Scheme, source: str, traced: bool) -> Iterator[str]:
    own = sample.driver if source == "driver.c" else {}
    define = (*scheme.define, *sample.define)
    yield from defines_for(source, define)
    if source.endswith(".S"):
        return
    yield "-fPIE" if sample.kind == "relocatable" else "-fno-pic"
    if sample.types == "btf":
        yield "-gdwarf-4"
    yield from sample.options
    align = own.get("align", sample.align if sample.align is not None else scheme.align)
    if int(align):
        yield f"-falign-functions={align}"
    if traced:
        yield f"-fpatchable-function-entry={own.get('sled', sample.sled or scheme.sled)}"


def build(sample: Sample, workshop: Workshop, target: Path) -> list[Path]:
    """Build one sample into a directory; returns the files, the sample itself first."""
    objects = objects_of(sample, workshop)
    scratch = workshop.directory / sample.name
    scratch.mkdir()
    linked, output = scratch / "linked", target / sample.file
    if sample.partial:
        run([sample.tools.linker, "-r", "-o", scratch / "partial", *objects])
        objects = [scratch / "partial"]
    if sample.kind == "module":
        run([sample.tools.linker, "-r", f"--unique={_TABLE}", "-o", linked, *objects])
    else:
        _link(sample, objects, scratch, linked)
    _add_types(sample, linked, scratch)
    run([sample.tools.objcopy, "--strip-debug", *_labels_too(sample), linked])
    if sample.kind == "boot":
        output.write_bytes(boot_image(sample, linked, scratch / "flat"))
    else:
        output.write_bytes(linked.read_bytes())
    return [output, *_companion(sample, objects, target)]


def _labels_too(sample: Sample) -> tuple[str, ...]:
    """Return how to drop the labels that clang's debugging information leaves in the symbol table, if it does."""
    return ("--discard-locals",) if sample.toolchain == "clang" and sample.types == "btf" else ()


def _link(sample: Sample, objects: list[Path], scratch: Path, linked: Path) -> None:
    script = scratch / "kernel.lds"
    relocatable = sample.kind == "relocatable"
    define = defines_for("kernel.lds", (*sample.define, *(("RELOCATABLE",) if relocatable else ())))
    run([*sample.tools.compiler, "-E", "-P", "-x", "c", *define, "kernel.lds", "-o", script])
    how = ("-shared", "-Bsymbolic", "-z", "notext") if relocatable else ("-static",)
    run([sample.tools.linker, *_LINK, *sample.tools.link, *how, "-T", script, "-o", linked, *objects])


def _add_types(sample: Sample, linked: Path, scratch: Path) -> None:
    types = scratch / "types"
    if sample.types == "btf":
        run([PAHOLE, "-J", "-j1", f"--btf_encode_detached={types}", linked])
    elif sample.types == "broken":
        types.write_bytes(b"this is no BTF, whatever its section is called\n")
    else:
        return
    run([sample.tools.objcopy, "--add-section", f".BTF={types}", linked])


def _companion(sample: Sample, objects: list[Path], target: Path) -> list[Path]:
    """Link the traced objects into one, as a build's vmlinux.o is, if the record asks for it."""
    if not sample.objects:
        return []
    together = target / f"{sample.name}.o"
    run([sample.tools.linker, "-r", "-o", together, *objects])
    run([sample.tools.objcopy, "--strip-debug", together])
    return [together]


def boot_image(sample: Sample, linked: Path, flat: Path) -> bytes:
    """Return the flat bytes of a linked kernel with its kallsyms behind its end."""
    run([sample.tools.objcopy, "-O", "binary", linked, flat])
    symbols = kallsyms.parse_nm(run([NM, "-n", linked]))
    start = next(symbol.address for symbol in symbols if symbol.name == "_start")
    end = max(symbol.address for symbol in symbols)
    data = flat.read_bytes().ljust(-(-(end - start) // 8) * 8, b"\0")
    return data + kallsyms.encode(symbols, start + len(data))


# --- manifests


def manifest_path(name: str) -> Path:
    """Return where a sample's manifest is."""
    return HERE / f"{name}.toml"


def update_manifest(sample: Sample, files: list[Path]) -> None:
    """Write toolchain and digests into the manifest, and leave all else as it is."""
    path = manifest_path(sample.name)
    if not path.is_file():
        raise BuildError(f"{path.name}: write it first, with `toolchain = []` and a `[sha256]` table")
    text = path.read_text(encoding="utf-8")
    versions = ", ".join(f'"{version(tool)}"' for tool in tools_of(sample))
    digests = "".join(f'"{file.name}" = "{digest(file.read_bytes())}"\n' for file in files)
    text = re.sub(r"^toolchain = .*$", f"toolchain = [{versions}]", text, count=1, flags=re.MULTILINE)
    if sample.record:
        sources = sources_for(record_of(sample.bpf or sample.record))
        listed = "".join(f'"{name}" = "{digest(source.encode())}"\n' for name, source in sources.items())
        text = re.sub(r"^\[sources\]\n(?:\".*\n)*\n?", "", text, flags=re.MULTILINE)
        text = text.replace("[sha256]\n", f"[sources]\n{listed}\n[sha256]\n", 1)
    text = re.sub(r"^\[sha256\]\n(?:\".*\n)*", f"[sha256]\n{digests}", text, count=1, flags=re.MULTILINE)
    path.write_text(text, encoding="utf-8")


def digest(data: bytes) -> str:
    """Return the SHA-256 in hex."""
    return hashlib.sha256(data).hexdigest()


def why_not(sample: Sample) -> str | None:
    """Return why a sample cannot be rebuilt to the same bytes here, None if it can."""
    recorded = tomllib.loads(manifest_path(sample.name).read_text(encoding="utf-8"))["toolchain"]
    for tool, wanted in zip(tools_of(sample), recorded, strict=True):
        if version(tool) != wanted:
            return f"expected {wanted}, got {version(tool) or 'no ' + tool}"
    return None


# --- the command line


def main(arguments: Sequence[str]) -> int:
    """Build or check what the command line names."""
    parser = argparse.ArgumentParser(description="Build the sample images, or check them against the recipe.")
    parser.add_argument("--check", action="store_true", help="build elsewhere and compare")
    parser.add_argument(
        "--toolchain", choices=("gcc", "gcc+pahole", "clang", "clang+pahole"), help="only what this one builds"
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="samples; all of them by default")
    options = parser.parse_args(arguments)
    try:
        samples = _chosen(options.names, options.toolchain)
        return check(samples) if options.check else rebuild(samples)
    except BuildError as error:
        print(f"build.py: {error}", file=sys.stderr)
        return MISTAKE


def _chosen(names: Sequence[str], toolchain: str | None) -> list[Sample]:
    samples = read_recipe()
    unknown = sorted(set(names) - set(samples))
    if unknown:
        raise BuildError(f"no such sample: {', '.join(unknown)}")
    chosen = [samples[name] for name in names or samples]
    return [each for each in chosen if toolchain in (None, each.toolchain_label)]


def rebuild(samples: list[Sample]) -> int:
    """Build samples in place."""
    for sample, files in _build_all(samples, HERE):
        update_manifest(sample, files)
    return OK


def check(samples: list[Sample]) -> int:
    """Build samples elsewhere and compare them with those that are here."""
    reasons = {sample.name: why_not(sample) for sample in samples}
    for reason, count in Counter(filter(None, reasons.values())).items():
        print(f"build.py: {count} samples not rebuilt: {reason}", file=sys.stderr)
    able = [sample for sample in samples if reasons[sample.name] is None]
    with tempfile.TemporaryDirectory() as directory:
        different = [
            file.name
            for _, files in _build_all(able, Path(directory))
            for file in files
            if not (HERE / file.name).is_file() or file.read_bytes() != (HERE / file.name).read_bytes()
        ]
    for name in different:
        print(f"build.py: {name} is not what the recipe makes", file=sys.stderr)
    if different:
        return DIFFERENT
    return OK if len(able) == len(samples) else NO_TOOLCHAIN


def _build_all(samples: list[Sample], target: Path) -> list[tuple[Sample, list[Path]]]:
    """Build samples at the same time; returns them with their files."""
    jobs = os.cpu_count() or 1
    with (
        tempfile.TemporaryDirectory() as directory,
        ThreadPoolExecutor(jobs) as compilers,
        ThreadPoolExecutor(jobs) as builders,
    ):
        workshop = Workshop(Path(directory), compilers)
        pending = [(sample, builders.submit(build, sample, workshop, target)) for sample in samples]
        return [(sample, each.result()) for sample, each in pending]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
