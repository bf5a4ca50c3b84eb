# SPDX-License-Identifier: GPL-2.0-or-later
"""How fast ``genpatch verify`` is, beside unicorn that calls the same four patching functions for some of the sites.

python -m tests.bench.verify KERNELS [RUNS]            the rows
python -m tests.bench.verify unicorn VMLINUX [SITES]   one run of the peer: seconds, its sites, all sites
python -m tests.bench.verify calls VMLINUX             the same four calls in lanes, all sites: seconds

unicorn calls ftrace_init_nop, ftrace_make_call, ftrace_modify_call and ftrace_make_nop for every k-th site, with the
same functions stubbed, the same fixmap and each store to text noted; its time is extrapolated by the number of sites.
It runs no site, while genpatch runs each in every state. The second row has genpatch judge only the four states that
those calls make; the third extrapolates unicorn to as many calls as genpatch makes for all states.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from .measure import GENPATCH, Command, in_turn, row

SAMPLE = 2_000
_PAGE = 4096
_RETURN = 0x7FFF_0000
_HALF = "*[0-9a-m]"
"""About half of all functions: those whose names end so."""
_FOUR = ("boot", "enabled", "changed", "disabled")
_HAS_UNICORN = importlib.util.find_spec("unicorn") is not None


class _Peer:
    """The kernel under unicorn; text may be written through fixmap pages, which are the same memory of the host."""

    def __init__(self, path: str):
        import unicorn
        from unicorn import riscv_const

        from genpatch.image.containers import open_content
        from genpatch.image.read import read_image
        from genpatch.run.kernel import global_pointer
        from genpatch.verify.run import prepare_verification
        from genpatch.verify.scene import prepare_scene

        self.image = read_image(open_content(path))
        self.verification, _ = prepare_verification(self.image)
        self.scene = prepare_scene(self.image)
        assert self.scene.fixmap_top is not None
        self.uc: Any = unicorn.Uc(unicorn.UC_ARCH_RISCV, unicorn.UC_MODE_RISCV64)
        self.x = [riscv_const.UC_RISCV_REG_X0 + number for number in range(32)]
        self.buffers: list[tuple[int, int, Any]] = []
        self.mapped: dict[int, int] = {}
        self.stores: dict[int, int] = {}
        self.gp = global_pointer(self.image)
        self._load()
        self._hook()

    def _load(self) -> None:
        """Map the image and what goes with it; the pages between two sections belong to the first."""
        scene = self.scene
        low = min(place.span.start for place in scene.places) & -_PAGE
        high = -(-max(place.span.end for place in scene.places) // _PAGE) * _PAGE
        import numpy as np

        raw = np.zeros(high - low + _PAGE, np.uint8)
        start = -raw.ctypes.data % _PAGE  # the host's memory must begin with a page, too
        for place in scene.places:
            at = start + place.span.start - low
            raw[at : at + len(place.content)] = place.content
        self.buffers.append((low, raw.ctypes.data + start, raw))
        self.uc.mem_map_ptr(low, high - low, 7, ctypes.c_void_p(raw.ctypes.data + start))
        for span in (scene.stack, scene.scratch, scene.task):
            self.uc.mem_map(span.start, -(-span.size // _PAGE) * _PAGE)
        self.uc.mem_map(_RETURN, _PAGE)

    def _hook(self) -> None:
        import unicorn

        hooks = {address: self._stub(stub.value) for address, stub in self.scene.stubs.items()}
        unique, fixmap = (self.image.address_of(name) for name in ("ftrace_find_unique_ops", "__set_fixmap"))
        assert fixmap is not None
        hooks[fixmap] = self._map_text
        if unique is not None:
            hooks[unique] = self._stub(self.scene.scratch.start + _PAGE)
        for address, hook in hooks.items():
            self.uc.hook_add(unicorn.UC_HOOK_CODE, hook, begin=address, end=address)
        top = self.scene.fixmap_top or 0
        self.uc.hook_add(unicorn.UC_HOOK_MEM_WRITE, self._store, begin=top - (_PAGE << 12), end=top)

    def _store(self, uc: Any, kind: int, address: int, width: int, *_: object) -> None:
        self.stores[width] = self.stores.get(width, 0) + 1

    def _back(self, uc: Any) -> None:
        from unicorn import riscv_const

        uc.reg_write(riscv_const.UC_RISCV_REG_PC, uc.reg_read(self.x[1]))

    def _stub(self, value: int) -> Any:
        def hook(uc: Any, *_: object) -> None:
            uc.reg_write(self.x[10], value)
            self._back(uc)

        return hook

    def _map_text(self, uc: Any, *_: object) -> None:
        index, physical, protection = (uc.reg_read(self.x[number]) for number in (10, 11, 12))
        assert self.scene.fixmap_top is not None
        start, target = self.scene.fixmap_top - index * _PAGE, physical & -_PAGE
        if protection and self.mapped.get(start) != target:
            if start in self.mapped:
                uc.mem_unmap(start, _PAGE)
            low, memory, _raw = self.buffers[0]
            uc.mem_map_ptr(start, _PAGE, 3, ctypes.c_void_p(memory + target - low))
            self.mapped[start] = target  # stays until another page is wanted: that is cheaper for unicorn
        self._back(uc)

    def call(self, name: str, *arguments: int) -> int:
        """Call a function and return what it returns."""
        entry = self.image.address_of(name)
        uc, fixed = self.uc, {1: _RETURN, 2: self.scene.stack.end - 512, 3: self.gp, 4: self.scene.task.start}
        for number, value in (fixed | dict(enumerate(arguments, 10))).items():
            uc.reg_write(self.x[number], value)
        uc.emu_start(entry, _RETURN)
        return int(uc.reg_read(self.x[10]))

    def life(self, ip: int) -> None:
        """Bring one site through boot, enabled, changed and disabled."""
        record, ops, layouts = self.scene.scratch.start, self.scene.scratch.start + _PAGE, self.verification.layouts
        caller = self.image.address_of("ftrace_caller") or 0
        flag = self.image.types.enumerator("FTRACE_FL_CALL_OPS_EN") if self.image.types is not None else 0
        self.uc.mem_write(record + layouts.record_ip, ip.to_bytes(8, "little"))
        self.uc.mem_write(record + layouts.record_flags, bytes(8))
        self.uc.mem_write(ops + layouts.ops.func, self.scene.callback.to_bytes(8, "little"))
        wrong = self.call("ftrace_init_nop", 0, record) | self.call("ftrace_make_call", record, caller)
        self.uc.mem_write(record + layouts.record_flags, (flag or 0).to_bytes(8, "little"))
        wrong |= self.call("ftrace_modify_call", record, caller, caller)
        self.uc.mem_write(record + layouts.record_flags, bytes(8))
        wrong |= self.call("ftrace_make_nop", 0, record, caller)
        assert not wrong, f"a patching function failed at {ip:#x}"


def peer(path: str, count: int) -> tuple[float, int, int]:
    """Return (processor seconds, sites, all sites) of unicorn, without the time to start."""
    import numpy as np

    from genpatch.sites.patching import PatchingCode

    one = _Peer(path)
    sites = one.verification.sites
    adjust = PatchingCode(image=one.image).call_adjust or 0
    ips = (sites.entry[sites.in_text] + np.uint64(adjust)).tolist()
    chosen = ips[:: max(len(ips) // count, 1)][:count]
    for ip in chosen[:20]:  # what unicorn translates once
        one.life(ip)
    started = time.process_time()
    for ip in chosen:
        one.life(ip)
    seconds = time.process_time() - started
    _check(one, chosen)
    assert one.stores == {8: 5 * (len(chosen) + 20), 4: 3 * (len(chosen) + 20)}, one.stores
    return seconds, len(chosen), len(ips)


def own_calls(path: str) -> float:
    """Return the processor seconds that the first call of each of the four functions takes for all sites."""
    from genpatch.image.containers import open_content
    from genpatch.image.read import read_image
    from genpatch.verify.patcher import Patcher
    from genpatch.verify.run import verify

    plain, taken = Patcher.call, {}

    def timed(patcher: Patcher, name: str, *rest: Any, **named: Any) -> Any:
        started = time.process_time()
        call = plain(patcher, name, *rest, **named)
        taken.setdefault(name, time.process_time() - started)
        return call

    Patcher.call = timed  # type: ignore[method-assign]
    result = verify(read_image(open_content(path)), states=_FOUR)
    assert not result.failures
    assert len(taken) == 4, taken
    return sum(taken.values())


def _check(one: _Peer, ips: list[int]) -> None:
    """What was done is right: a disabled site is auipc and nop behind the address of ftrace_nop_ops."""
    nop_ops = one.image.address_of("ftrace_nop_ops")
    for ip in ips:
        data = bytes(one.uc.mem_read(ip - 12, 16))
        assert data[12:] == b"\x13\0\0\0", f"no nop at {ip:#x}"
        assert data[8] | data[9] << 8 & 0xFFF == 0x297, f"no auipc t0 before {ip:#x}"
        assert nop_ops is None or int.from_bytes(data[:8], "little") == nop_ops


def _calls_of_a_site(path: str) -> int:
    """Return how many calls of patching functions all states that a kernel has make for one site."""
    from genpatch.verify.life import STATES

    ran = subprocess.run((*GENPATCH, "verify", path, "--function", "vfs_read", "--format", "json"), capture_output=True)
    tried = {state["state"] for state in json.loads(ran.stdout)["states"] if state["sites"]}
    return sum(len(state.patches) for state in STATES if state.name in tried) + 2 * sum(
        name.startswith("direct:") for name in tried
    )


def _insns(command: Command) -> tuple[int, int, float]:
    """Return instructions, sites and seconds that a run says of itself."""
    ran = subprocess.run((*command, "--format", "json"), capture_output=True, text=True)
    told = json.loads(ran.stdout)
    return told["insns"], told["sites"], told["seconds"]


def print_rows(kernels: Path, runs: int) -> None:
    """Print the rows of verification on the newest kernel."""
    newest = sorted(path for path in kernels.iterdir() if (path / "vmlinux").is_file())[-1]
    path = str(newest / "vmlinux")
    whole = (*GENPATCH, "verify", "--no-bpf", path)
    four = (*whole, *(part for name in _FOUR for part in ("--state", name)))
    half = (*whole, "--function", _HALF)
    nothing = (*whole, "--function", "vfs_read")
    calls = _calls_of_a_site(path)
    costs = dict(zip(("whole", "four", "half", "one"), in_turn([whole, four, half, nothing], runs), strict=True))
    (insns, sites, _), (few, few_sites, _) = _insns(whole), _insns(half)
    rate = insns / costs["whole"].processor / 1e6
    shown = f"{costs['whole'].processor:.2f} s, {costs['whole'].megabytes} MB, {rate:.0f} M lane-instructions/s"
    theirs = 0.0
    if _HAS_UNICORN:
        said = [
            subprocess.run(
                (sys.executable, "-m", "tests.bench.verify", "unicorn", path), capture_output=True, text=True
            )
            for _ in range(runs)
        ]
        told = [tuple(map(float, each.stdout.split())) for each in said]
        theirs = statistics.median(seconds / count * total for seconds, count, total in told)
        name = f"unicorn, four calls a site, {int(told[0][1]):,} sites, extrapolated"
        row(
            f"verify {newest.name}, {sites:,} sites, all states", shown, name, f"{theirs:.1f} s",
            costs["whole"].processor / theirs,
        )  # fmt: skip
        said = [
            subprocess.run((sys.executable, "-m", "tests.bench.verify", "calls", path), capture_output=True, text=True)
            for _ in range(runs)
        ]
        calling = statistics.median(float(each.stdout) for each in said)
        row(
            f"the same four calls alone, {sites:,} sites", f"{calling:.2f} s", name, f"{theirs:.1f} s", calling / theirs
        )
        mine = costs["four"].processor
        row(f"verify, {len(_FOUR)} states", f"{mine:.2f} s", name, f"{theirs:.1f} s", mine / theirs)
        each, name = theirs * calls / 4, f"unicorn, {calls} calls a site and no site run, extrapolated by calls, too"
        row("verify, all states", shown, name, f"{each:.1f} s", costs["whole"].processor / each)
        print(f"\nunicorn takes {theirs / calling:.1f} times as long for the same calls, "
              f"{theirs / costs['whole'].processor:.1f} times as long as all states, "
              f"{theirs / mine:.1f} times as long as the four states,\n"
              f"for as many calls as all states make {each / costs['whole'].processor:.1f} times\n")  # fmt: skip
    else:
        row(f"verify {newest.name}, {sites:,} sites, all states", shown, "none is installed", "", None)
    fixed = costs["one"].processor
    ratio = (costs["half"].processor - fixed) / (costs["whole"].processor - fixed)
    print(
        f"{few_sites:,} of {sites:,} sites ({few_sites / sites:.0%}) take {ratio:.0%} of the time that all take beyond "
        f"the {fixed:.2f} s of one site; {few / few_sites:,.0f} and {insns / sites:,.0f} instructions a site"
    )


def main() -> int:
    """Run the peer once, or print the rows."""
    match sys.argv[1:]:
        case ["unicorn", path, *count]:
            print(*peer(path, int(count[0]) if count else SAMPLE))
            return 0
        case ["calls", path]:
            print(own_calls(path))
            return 0
        case [kernels, *runs]:
            print_rows(Path(kernels), int(runs[0]) if runs else 3)
            return 0
    print(__doc__)
    return 2


if __name__ == "__main__":
    sys.exit(main())
