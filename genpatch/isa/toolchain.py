# SPDX-License-Identifier: GPL-2.0-or-later
"""A real compiler, assembler and linker for RV64, if the machine has one: GCC, clang, or Zig's package of clang.

Sources are texts and results are bytes. What runs in between sees a private directory, an environment with
nothing of the user's but the path, and a time limit.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import GenpatchError

__all__ = ["Toolchain", "ToolchainError", "find_toolchain"]

VARIABLE = "GENPATCH_CC"
"""The environment variable that names a compiler, with its options if it needs some."""

TIMEOUT = 60.0
"""What one run of a tool may take [seconds]."""

_PROBE_TIMEOUT = 20.0
_MOST_OUTPUT = 64 << 20
_MOST_MESSAGES = 64 << 10
_LONGEST_MESSAGE = 300
_MARCH = "rv64imac_zicsr_zifencei"

_GCC = "riscv64-linux-gnu-gcc"
_CLANG_TARGET = "--target=riscv64-unknown-linux-gnu"
_ZIG_TARGET = ("-target", "riscv64-freestanding-none")

_ALWAYS = ("-ffreestanding", "-fno-pic")
_LINKING = (
    "-nostdlib", "-static", "-no-pie", "-mcmodel=medany", "-fno-stack-protector", "-fno-asynchronous-unwind-tables",
    "-Wl,--build-id=none",
)  # fmt: skip
_OWN = {
    "clang": ("-Wno-unused-command-line-argument",),
    "zig": ("-Wno-unused-command-line-argument", "-fno-sanitize=undefined", "-g0"),
}

_SCRIPT = """
SECTIONS {{
  . = {address:#x};
  .text : {{ *(.text .text.*) }}
  .rodata : {{ *(.rodata .rodata.* .srodata .srodata.*) }}
  .data : {{ *(.data .data.* .sdata .sdata.*) }}
  .bss : {{ *(.sbss .sbss.* .bss .bss.* COMMON) }}
}}
"""

_FILE_NAME = re.compile(r"\w[\w.+-]*\.[Sc]", re.ASCII)
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_ISA = re.compile(r"(rv64)([a-z]+)((?:_[a-z0-9]+)*)")
_ERROR = re.compile(r"\berror\b|undefined reference", re.IGNORECASE)


class ToolchainError(GenpatchError):
    """A compiler, assembler or linker refused its input, or cannot be run."""


@dataclass(frozen=True)
class Toolchain:
    """A compiler driver that assembles, compiles and links for RV64.

    Args:
        name: ``gcc``, ``clang`` or ``zig``.
        command: what to run, with the options that every run needs.
        version: the first line of what it says about itself.
    """

    name: str
    command: tuple[str, ...]
    version: str

    def assemble(self, source: str, *, march: str = _MARCH, defines: Mapping[str, str] | None = None) -> bytes:
        """Assemble a preprocessed source (.S).

        Args:
            source: the text.
            march: the ISA, as GCC's -march has it.
            defines: macros of the preprocessor and their values.
        Returns:
            A relocatable ELF object.
        Raises:
            ToolchainError: the source is wrong, or the tool failed.
        """
        options = ("-c", "-nostdinc", *self._isa(march), *_defined(defines or {}), "-o", "out", "source.S")
        return self._made({"source.S": source}, options)

    def link(
        self,
        sources: Mapping[str, str],
        *,
        entry: str = "_start",
        address: int | None = None,
        march: str = _MARCH,
        defines: Mapping[str, str] | None = None,
        flags: Sequence[str] = ("-O2",),
    ) -> bytes:
        """Compile and link sources without any library.

        Args:
            sources: texts by file name, .S or .c; of headers they find the compiler's own.
            entry: the symbol where execution starts.
            address: of the first section, .text; None for wherever the linker puts executables.
            march: the ISA, as GCC's -march has it.
            defines: macros of the preprocessor and their values.
            flags: more options, for the compiler or the linker.
        Returns:
            A static ELF executable.
        Raises:
            ToolchainError: a source is wrong, a symbol is missing, or the tool failed.
        """
        if not _IDENTIFIER.fullmatch(entry):
            raise ToolchainError(f"{entry!r} is no symbol to start at")
        wrong = [name for name in sources if not _FILE_NAME.fullmatch(name)]
        if wrong or not sources:
            raise ToolchainError(f"{wrong[0]!r} is no name of a .S or .c file" if wrong else "no sources")
        options = (*self._isa(march), *_LINKING, f"-Wl,-e,{entry}", *_defined(defines or {}), *flags)
        if address is None:
            return self._made(sources, (*options, "-o", "out", *sources))
        script = {"link.lds": _SCRIPT.format(address=address)}
        return self._made({**sources, **script}, (*options, "-Wl,-T,link.lds", "-o", "out", *sources))

    def _isa(self, march: str) -> tuple[str, ...]:
        match = _ISA.fullmatch(march)
        if match is None:
            raise ToolchainError(f"{march!r} is no ISA such as {_MARCH}")
        letters, longer = match[2].replace("g", "imafd"), match[3].split("_")[1:]
        abi = next((f"lp64{letter}" for letter in "df" if letter in letters), "lp64")
        if self.name != "zig":
            return f"-march={march}", f"-mabi={abi}"
        longer += ["zicsr", "zifencei"] if "g" in match[2] else []
        features = "+".join(dict.fromkeys(["generic_rv64", *letters.replace("i", ""), *longer]))
        return f"-mcpu={features}", f"-mabi={abi}"

    def _made(self, files: Mapping[str, str], options: Sequence[str]) -> bytes:
        """Return the file ``out`` that the tool makes of files."""
        with tempfile.TemporaryDirectory(prefix="genpatch-") as name:
            folder = Path(name)
            for each, text in files.items():
                (folder / each).write_text(text, encoding="utf-8", errors="surrogatepass", newline="")
            common = (*_OWN.get(self.name, ()), *_ALWAYS)
            _run(self.name, (*self.command, *common, *options), folder, TIMEOUT)
            return _read_result(folder / "out", self.name)


def find_toolchain(prefer: str = "") -> Toolchain | None:
    """Return the first toolchain that the machine has: Debian's cross GCC, clang with lld, Zig's Python package.

    Args:
        prefer: ``gcc``, ``clang`` or ``zig``, to be tried first. The environment variable GENPATCH_CC goes
            before it: a compiler, with its options if it needs some.
    Returns:
        None if there is none.
    Raises:
        ToolchainError: what GENPATCH_CC names cannot be run or is not for riscv64, or prefer is no kind.
    """
    if named := os.environ.get(VARIABLE, "").strip():
        return _named(named)
    if prefer and prefer not in _CANDIDATES:
        raise ToolchainError(f"no kind of toolchain is called {prefer!r}, but {', '.join(_CANDIDATES)}")
    for kind in sorted(_CANDIDATES, key=lambda kind: kind != prefer):
        for candidate in _CANDIDATES[kind]():
            try:
                return _probed(Toolchain(kind, candidate, ""))
            except ToolchainError:
                continue
    return None


def _named(text: str) -> Toolchain:
    """Return the toolchain of GENPATCH_CC."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ToolchainError(f"{VARIABLE}={text!r}: {error}") from error
    path = _which(words[0]) if words else None
    if path is None:
        raise ToolchainError(f"{VARIABLE}={text!r}: no such program")
    command = (path, *words[1:])
    try:
        return _probed(Toolchain(_kind_of(command), command, ""))
    except ToolchainError as error:
        raise ToolchainError(f"{VARIABLE}={text!r}: {error}") from error


def _kind_of(command: tuple[str, ...]) -> str:
    if any(Path(word).name in ("zig", "ziglang") for word in command):
        return "zig"
    return "clang" if "clang" in _said(command, "--version") else "gcc"


def _probed(toolchain: Toolchain) -> Toolchain:
    """Return a toolchain with its version and target, if it is one for riscv64."""
    if toolchain.name == "zig":
        return _probed_zig(toolchain)
    if toolchain.name == "clang":
        if "riscv64" not in _said(toolchain.command, "--print-targets"):
            raise ToolchainError("this clang does not know riscv64")
        linker = _linker_for(toolchain.command[0])
        toolchain = replace(toolchain, command=_with_target(toolchain.command, _CLANG_TARGET, f"--ld-path={linker}"))
    elif not (target := _said(toolchain.command, "-dumpmachine").strip()).startswith("riscv64"):
        raise ToolchainError(f"it is for {_printable(target)}")
    return replace(toolchain, version=_first_line(_said(toolchain.command, "--version")))


def _probed_zig(toolchain: Toolchain) -> Toolchain:
    zig, cc, options = _split_at("cc", toolchain.command)
    if not cc:
        raise ToolchainError("of zig, cc is needed")
    version = f"zig {_first_line(_said(zig, 'version'))}"
    return replace(toolchain, command=(*zig, *cc, *_with_target(options, *_ZIG_TARGET)), version=version)


def _split_at(word: str, words: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    at = words.index(word) if word in words else len(words)
    return words[:at], words[at : at + 1], words[at + 1 :]


def _with_target(command: tuple[str, ...], *options: str) -> tuple[str, ...]:
    has_one = any(word.startswith(("--target", "-target")) for word in command)
    return command if has_one else (*command, *options)


def _linker_for(clang: str) -> str:
    """Return the path of the lld of clang's version, or of another one."""
    suffix = _suffix(Path(clang).name, "clang")
    found = _which(f"ld.lld{suffix}") or next(_versions_of("ld.lld"), None)
    if found is None:
        raise ToolchainError("there is no ld.lld for clang")
    return found


def _gcc_commands() -> Iterator[tuple[str, ...]]:
    yield from ((path,) for path in _versions_of(_GCC))


def _clang_commands() -> Iterator[tuple[str, ...]]:
    yield from ((path,) for path in _versions_of("clang"))


def _zig_commands() -> Iterator[tuple[str, ...]]:
    if importlib.util.find_spec("ziglang") is not None:
        yield sys.executable, "-m", "ziglang", "cc"


_CANDIDATES = {"gcc": _gcc_commands, "clang": _clang_commands, "zig": _zig_commands}


def _versions_of(name: str) -> Iterator[str]:
    """Yield the paths of a program on PATH: under its own name, then with version suffixes, newest first."""
    if path := _which(name):
        yield path
    folders = [Path(each) for each in os.environ.get("PATH", os.defpath).split(os.pathsep) if each]
    found = {path.name for folder in folders for path in folder.glob(f"{name}-*") if _suffix(path.name, name)}
    for each in sorted(found, key=lambda each: -int(_suffix(each, name)[1:])):
        if path := _which(each):
            yield path


def _which(name: str) -> str | None:
    # absolute, for the tools run in another directory
    path = shutil.which(name)
    return None if path is None else os.path.abspath(path)  # noqa: PTH100 - a link must not be resolved


def _suffix(program: str, name: str) -> str:
    """Return the version that a program's name ends with, ``-19``, or nothing."""
    match = re.fullmatch(re.escape(name) + r"(-[0-9]{1,4})", program)
    return match[1] if match else ""


def _defined(defines: Mapping[str, str]) -> tuple[str, ...]:
    wrong = [name for name in defines if not _IDENTIFIER.fullmatch(name)]
    if wrong:
        raise ToolchainError(f"{wrong[0]!r} is no name of a macro")
    return tuple(f"-D{name}={value}" for name, value in defines.items())


# Running


def _said(command: Sequence[str], question: str) -> str:
    """Return what a tool answers to an option such as ``--version``."""
    with tempfile.TemporaryDirectory(prefix="genpatch-") as name:
        return _run(Path(command[0]).name, (*command, question), Path(name), _PROBE_TIMEOUT)


def _run(tool: str, command: Sequence[str], folder: Path, timeout: float) -> str:
    """Run a tool in a directory, and return what it printed.

    Raises:
        ToolchainError: it cannot be started, takes too long or fails.
    """
    said = folder / ".said"
    with said.open("wb") as output:
        try:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=_environment(folder),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise ToolchainError(f"{_printable(tool)} cannot be run: {reason}") from error
        status = _awaited(process, tool, timeout)
    with said.open("rb") as file:
        text = file.read(_MOST_MESSAGES).decode("utf-8", errors="replace").replace(f"{folder}/", "")
    if status:
        raise ToolchainError(f"{_printable(tool)}: {_first_error(text) or f'exit status {status}'}")
    return text


def _awaited(process: subprocess.Popen[bytes], tool: str, timeout: float) -> int:
    """Return a process's exit status; its whole session ends if it takes too long."""
    _limit_files(process.pid)
    try:
        return process.wait(timeout)
    except subprocess.TimeoutExpired as error:
        raise ToolchainError(f"{_printable(tool)} took more than {timeout:g} seconds") from error
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _limit_files(pid: int) -> None:
    """Keep a process, and what it starts from now on, from writing files larger than the result may be."""
    if sys.platform == "linux":
        import resource

        try:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (_MOST_OUTPUT, _MOST_OUTPUT))
        except (OSError, ValueError):  # it has ended already, or has a tighter limit
            return


def _environment(folder: Path) -> dict[str, str]:
    """Return the environment of a tool: no include paths or options of the user's, every cache in the folder."""
    mine = str(folder)
    caches = dict.fromkeys(("HOME", "TMPDIR", "XDG_CACHE_HOME", "ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR"), mine)
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, **caches, "LC_ALL": "C", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def _read_result(path: Path, tool: str) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_OUTPUT + 1)
    except OSError as error:
        raise ToolchainError(f"{tool} succeeded and left no file") from error
    if len(content) > _MOST_OUTPUT:
        raise ToolchainError(f"{tool} made more than {_MOST_OUTPUT >> 20} MiB")
    return content


def _first_error(text: str) -> str:
    """Return the first line of messages that speaks of an error, else the first that says anything."""
    lines = [line for line in text.splitlines() if line.strip()]
    return _printable(next((line for line in lines if _ERROR.search(line)), lines[0] if lines else ""))


def _first_line(text: str) -> str:
    return _printable(text.strip().partition("\n")[0])


def _printable(text: str) -> str:
    line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text.strip())
    return line if len(line) <= _LONGEST_MESSAGE else f"{line[: _LONGEST_MESSAGE - 3]}..."
