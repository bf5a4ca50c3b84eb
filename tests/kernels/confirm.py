# SPDX-License-Identifier: GPL-2.0-or-later
"""Confirm what genpatch says of a vmlinux by nm, readelf and objdump.

    python tests/kernels/confirm.py VMLINUX [JSON]

Counts everything again from the text that those tools print and compares it with ``genpatch audit --format
json`` (or with JSON, its saved output). Prints a table; exit 1 if a number differs. Takes about a minute.
Shares no code with genpatch.
"""

import json
import re
import shutil
import subprocess
import sys
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def tool(*names: str) -> str:
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        sys.exit(f"confirm: none of {', '.join(names)} is installed")
    return found


def lines(*command: str) -> Iterator[str]:
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        yield from process.stdout


def symbols(path: str) -> tuple[dict[str, int], list[int]]:
    """Names with their addresses from nm, and the addresses of function symbols from readelf."""
    names, functions = {}, set()
    for line in lines(tool("nm"), path):
        fields = line.split()
        if len(fields) == 3:
            names.setdefault(fields[2], int(fields[0], 16))
    for line in lines(tool("readelf"), "-sW", path):
        fields = line.split()
        if len(fields) >= 8 and fields[3] == "FUNC" and fields[6] != "UND":
            functions.add(int(fields[1], 16))
    return names, sorted(functions)


def table(path: str, start: int, stop: int) -> list[int]:
    """The words of the table: as readelf lists its relocations, or else as objdump dumps its section."""
    slots = dict.fromkeys(range(start, stop, 8), 0)
    relocated = 0
    for line in lines(tool("readelf"), "-rW", path):
        match = re.match(r"([0-9a-f]{16})\s+\S+\s+R_RISCV_RELATIVE\s+(-?[0-9a-f]+)", line)
        if match and start <= int(match[1], 16) < stop:
            slots[int(match[1], 16)] = int(match[2], 16) % (1 << 64)
            relocated += 1
    if relocated:
        return list(slots.values())
    dump = tool("riscv64-linux-gnu-objdump", "llvm-objdump-19", "llvm-objdump")
    raw = bytearray()
    for line in lines(dump, "-s", f"--start-address={start:#x}", f"--stop-address={stop:#x}", path):
        match = re.match(r" ([0-9a-f]{16}) ((?:[0-9a-f]{2,8} ){1,4})", line)
        if match and start <= int(match[1], 16) < stop:
            raw += bytes.fromhex(match[2].replace(" ", ""))
    raw = raw[: stop - start]
    return [int.from_bytes(raw[at : at + 8], "little") for at in range(0, len(raw), 8)]


def nops(path: str, wanted: set[int]) -> dict[int, int]:
    """Bytes of nops that objdump shows from each wanted address on, at most 16."""
    dump = tool("llvm-objdump-19", "llvm-objdump", "riscv64-linux-gnu-objdump")
    found: dict[int, int] = {}
    open_at: int | None = None
    for line in lines(dump, "-d", path):
        match = re.match(r"\s*([0-9a-f]+):\s+([0-9a-f]{4}(?:[0-9a-f]{4})?)\s+(\S+)", line)
        if not match:
            continue
        address, size, name = int(match[1], 16), len(match[2]) // 2, match[3]
        if address in wanted:
            open_at = address
            found[address] = 0
        if open_at is None:
            continue
        if name == "nop" and found[open_at] < 16:
            found[open_at] += size
        else:
            open_at = None
    return found


def count(path: str) -> dict[str, Any]:
    names, functions = symbols(path)
    entries = table(path, names["__start_mcount_loc"], names["__stop_mcount_loc"])
    sites = [entry for entry in entries if entry]
    before = Counter(
        functions[at] - entry
        for entry in sites
        if (at := bisect_left(functions, entry)) < len(functions) and functions[at] - entry <= 32
    ).most_common(1)[0][0]
    places = [entry + before for entry in sites]
    reach = [names["ftrace_caller"] - place for place in places]
    run = nops(path, set(places) | set(sites))
    usual = Counter(run[place] for place in places).most_common(1)[0][0]
    known = set(functions)
    return {
        "entries": len(entries),
        "zero": len(entries) - len(sites),
        "sites": len(sites),
        "sorted": entries == sorted(entries),
        "before": before,
        "after": usual,
        "nops in full": sum(
            run[place] >= usual and run[entry] >= before for place, entry in zip(places, sites, strict=True)
        ),
        **{f"on {size}": sum(place % size == 0 for place in places) for size in (2, 4, 8, 16)},
        "across a page": sum(place >> 12 != (place + 7) >> 12 for place in places),
        "across a line": sum(place >> 6 != (place + 7) >> 6 for place in places),
        "reach min": min(reach),
        "reach max": max(reach),
        "within jal": sum(-(1 << 20) <= distance < 1 << 20 for distance in reach),
        "without symbol": sum(place not in known for place in places),
    }


def claimed(path: str, saved: str | None) -> dict[str, Any]:
    if saved:
        document = json.loads(Path(saved).read_text(encoding="utf-8"))
    else:
        command = [
            sys.executable,
            "-m",
            "genpatch",
            "audit",
            "--format",
            "json",
            "--exit-zero",
            "--isolated",
            path,
        ]
        document = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    usual = max(document["sleds"], key=lambda sled: sled["sites"])
    weak = [each["sites"] for each in document["findings"] if each["rule"] == "GP115"]
    return {
        **{key: document["table"][key] for key in ("entries", "zero", "sites", "sorted")},
        "before": usual["before"],
        "after": usual["after"],
        "nops in full": usual["sites"],
        **{f"on {size}": document["alignment"][str(size)] for size in (2, 4, 8, 16)},
        "across a page": document["pair"]["across_page"],
        "across a line": document["pair"]["across_line"],
        "reach min": document["reach"]["min"],
        "reach max": document["reach"]["max"],
        "within jal": document["reach"]["within_jal"],
        "without symbol": sum(weak),
    }


def main() -> int:
    if not 2 <= len(sys.argv) <= 3:
        print(__doc__)
        return 2
    said, counted = claimed(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None), count(sys.argv[1])
    width = max(map(len, counted))
    for key, value in counted.items():
        print(f"{key:<{width}}  {said[key]!s:>12}  {value!s:>12}  {'same' if said[key] == value else 'DIFFERS'}")
    return int(said != counted)


if __name__ == "__main__":
    sys.exit(main())
