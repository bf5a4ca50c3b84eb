# SPDX-License-Identifier: GPL-2.0-or-later
"""One site of a real kernel, brought from state to state by the kernel's own functions; each step is a scenario."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property

from ..errors import ImageError
from ..image.model import KernelImage
from ..machine.memory import Memory
from ..machine.outcome import Trap
from ..run.kernel import GP, RA, SP, TP, global_pointer
from ..run.module import module_window
from ..schemes import CallScheme
from ..sites.patching import PatchingCode
from ..units import Span, as_hex
from ..verify.contract import Terms
from ..verify.own_ops import own_ops_flag
from ..verify.pages import ModuleText, find_module_text
from ..verify.run import Verification, prepare_verification, terms_of
from ..verify.scene import Scene, prepare_scene
from ..verify.trial import ROOM, first_values
from .model import Act, Behaviour, Event, Scenario, Site
from .observe import Call, KernelObserver, Observed
from .victim import undisturbed

__all__ = ["FtraceSite", "Kernel", "prepare_kernel"]

_WALKERS = ("arch_ftrace_ops_list_func", "ftrace_ops_list_func")
_KERNEL_OPS = ("ftrace_nop_ops", "ftrace_list_ops")
_WORD = 4
_AROUND = 16
"""Bytes around a site that are watched too, for stores that miss it."""
_RECORD_ROOM = 64
_PROGRAM_GAP = 1 << 24
"""How far below the kernel a BPF program is put [bytes]."""
_SHUTDOWN = "ftrace_shutdown"
_WAITS = "synchronize_rcu_tasks"
"""Its rude variant waits for harts to switch tasks: that is enough where tasks are not preempted."""


@dataclass(frozen=True)
class Kernel:
    """A kernel, as far as it is the same for all sites.

    Args:
        image: the kernel.
        scheme: that its sites are patched by.
        result: its sites and the layouts of its structures.
        code: its patching code.
        scene: what it is run in.
        terms: where sites begin and end, and what registers they may change.
    """

    image: KernelImage
    scheme: CallScheme
    result: Verification
    code: PatchingCode
    scene: Scene
    terms: Terms

    @cached_property
    def program_page(self) -> int:
        """Address of a page for a BPF program, in reach of the kernel's text."""
        return module_window(self.image).end - _PROGRAM_GAP

    @cached_property
    def foreign_text(self) -> ModuleText:
        """How it writes to text that is not its own."""
        return find_module_text(self.scene, self.program_page)

    def observer(self) -> KernelObserver:
        """Return a new machine with this kernel, whose trampolines call the host's callback."""
        observer = KernelObserver(self.image, self.scene)
        if "ftrace_update_ftrace_func" not in self.scene.missing:
            nowhere = Span(0, 0)
            observer.observe([Call("ftrace_update_ftrace_func", (self.scene.callback,))], nowhere, nowhere)
        return observer

    def nearest(self, address: int) -> str:
        """Return ``symbol+0x12`` for an address in the image, for any other its number."""
        inside = any(address in region.span for region in self.image.memory.regions)
        return self.image.symbols.nearest(address) if inside else as_hex(address)

    def name_of(self, number: int) -> str:
        """Return the name of a site's function."""
        symbol = int(self.result.sites.symbol[number])
        func = int(self.terms.func[number])
        return self.image.symbols.name(symbol) if symbol >= 0 else self.image.symbols.nearest(func)

    @cached_property
    def waits_for_tasks(self) -> bool | None:
        """Whether unregistering waits for tasks; None where that is not known."""
        names, pending, complete = set[str](), [_SHUTDOWN], True
        while pending:
            routine = self.code.routine(pending.pop())
            complete = complete and routine is not None and routine.complete
            calls = routine.calls() if routine is not None else ()
            found = {self.image.symbols.nearest(call.target) for call in calls if call.target is not None} - names
            names |= found
            pending += [name for name in found if name.startswith(f"{_SHUTDOWN}.")]  # what was split off
        preempts = self.image.address_of("preempt_schedule") is not None
        if _WAITS in names or (not preempts and any(name.startswith(_WAITS) for name in names)):
            return True
        return False if complete else None

    def registers(self, observer: KernelObserver) -> tuple[int, ...]:
        """Return what a victim's registers hold when it calls, no two alike."""
        values: list[int] = first_values(1)[:, 0].tolist()
        values[SP], values[RA] = observer.bench.stack.end - ROOM, self.scene.parent
        values[GP] = global_pointer(self.image)
        values[TP] = self.image.address_of("init_task") or observer.bench.task.start
        return tuple(values)


def prepare_kernel(image: KernelImage) -> Kernel:
    """Return a kernel ready to be watched.

    Raises:
        ImageError: it is no kernel, has no sites, or its scheme is not known.
    """
    if not image.kind.is_kernel:
        raise ImageError(image.path, expected="a linked kernel", got=str(image.kind))
    result, code = prepare_verification(image)
    scheme = result.verdict.variant or result.verdict.scheme
    if scheme is None:
        raise ImageError(image.path, expected="a call scheme of the catalog", got="none that fits")
    scene = prepare_scene(image)
    return Kernel(image, scheme, result, code, scene, terms_of(result, scene, code))


class FtraceSite:
    """One patch site in a machine of its own.

    Args:
        kernel: whose it is.
        number: of the site.

    Attributes:
        name: of its function.
        scenarios: what was made so far.
        notes: what was not, and why.
    """

    def __init__(self, kernel: Kernel, number: int):
        self.kernel, self.image, self.scene = kernel, kernel.image, kernel.scene
        self.name = kernel.name_of(number)
        terms = kernel.terms
        self.func, self.ip, self.body = (int(each[number]) for each in (terms.func, terms.ip, terms.body))
        self.observer = kernel.observer()
        self.scenarios: list[Scenario] = []
        self.notes: list[str] = []
        self.sled = Span(self.func, self.body)
        self._watched = Span(self.func - max(kernel.scheme.before, 8) - _AROUND, self.body + _AROUND)
        layouts, bench = kernel.result.layouts, self.observer.bench
        self.record = bench.place(bytes(max(_RECORD_ROOM, layouts.record_size)))
        bench.memory.write(self.record + layouts.record_ip, self.ip.to_bytes(8, "little"))
        self.ops_a, self.ops_b = self._place_ops(0), self._place_ops(0)
        self.ops_direct = self._place_ops(self.scene.direct)
        self.literal = self._literal_at()
        self.unique = self._unique_flag()
        self.callbacks = self._callbacks()
        self.common_ops = 0
        self.passed: dict[str, Span] = {}
        trace_op = self.image.address_of("function_trace_op") if self.literal is None else None
        self.trace_op = Span(trace_op, trace_op + 8) if trace_op is not None else None
        self.observer.also = (self.trace_op,) if self.trace_op is not None else ()

    # -- what is in memory

    def _write(self, address: int, value: int) -> None:
        with suppress(Trap):  # a symbol that stands nowhere
            self.observer.bench.memory.write(address, value.to_bytes(8, "little"))

    def _word(self, address: int) -> int:
        try:
            return int.from_bytes(self.observer.bench.memory.read(address, 8), "little")
        except Trap:
            return 0

    def _place_ops(self, direct: int) -> int:
        ops, bench = self.kernel.result.layouts.ops, self.observer.bench
        address = bench.place(bytes(ops.size))
        self._write(address + ops.func, self.scene.callback)
        if direct and ops.direct_call is not None:
            self._write(address + ops.direct_call, direct)
        return address

    def _literal_at(self) -> int | None:
        """Return where the trampoline loads the ops pointer of this site, None if it does not."""
        if self.kernel.scheme.literal is None:
            return None
        caller = self.kernel.code.caller
        distance = caller.literal if caller is not None else None
        return self.func + self.kernel.scheme.literal if distance is None else self.body + distance

    def _unique_flag(self) -> int:
        """Return the flag that gives a site an ops of its own, 0 where there is none."""
        if self.literal is None or self.image.address_of("ftrace_find_unique_ops") is None:
            return 0
        return own_ops_flag(self.scene, self.kernel.result.layouts, self.ip)

    def _own(self, name: str) -> int:
        return self.image.address_of(name) or 0

    def _callbacks(self) -> frozenset[int]:
        """Return where the host stands in: its own callback, and those of the kernel's own ops."""
        found = {self.scene.callback, *(self._own(name) for name in _WALKERS)}
        func = self.kernel.result.layouts.ops.func
        if self.literal is not None:
            found |= {self._word(ops + func) for name in _KERNEL_OPS if (ops := self._own(name))}
        return frozenset(found - {0})

    @property
    def enabled_ops(self) -> int:
        """The ops of a site that is traced by one tracer."""
        if self.literal is None:
            return self.common_ops or self.ops_a
        return self.ops_a if self.unique else self._own("ftrace_list_ops")

    def _given(self, *trampolines: str) -> int:
        """Return which ops a trampoline gives to every callback, 0 if what it gives is none or a tracer's own."""
        if self.literal is not None:
            return 0
        site = self.site(*trampolines)
        now = Scenario(name="", memory=self.observer.fresh_memory(), site=site, patchers=((),), old=(), new=())
        passage = undisturbed(now)
        given = passage.behaviour[0] if passage is not None and passage.behaviour else 0
        func = self.kernel.result.layouts.ops.func
        return given if given != self.ops_a and given and self._word(given + func) in self.callbacks else 0

    # -- the victim

    def site(self, *trampolines: str, directs: Mapping[int, int] | None = None) -> Site:
        """Return the victim's side, which may go through some of the kernel's trampolines."""
        code = {"sled": self.sled}
        if self.kernel.scheme.dispatcher is not None:
            code["dispatcher"] = Span(self.func + self.kernel.scheme.dispatcher, self.func)
        for name in trampolines:
            span = self.kernel.code.span(name)
            if span is not None:
                code[name] = span
        site = self._site(code, directs or {})
        self.passed |= self._passed(site)
        return replace(site, code=code | self.passed)

    def _passed(self, site: Site) -> dict[str, Span]:
        """Return where else an undisturbed call leads as the site is now: trampolines made elsewhere."""
        anywhere = replace(site, code={"memory": Span(0, 1 << 64)})
        now = Scenario(name="", memory=self.observer.fresh_memory(), site=anywhere, patchers=((),), old=(), new=())
        passage = undisturbed(now)
        known = site.code.values()
        pcs = sorted(pc for pc in passage.pcs if not any(pc in span for span in known)) if passage is not None else []
        found: dict[str, Span] = {}
        for pc in pcs:
            name = next((name for name, span in found.items() if pc - span.end < _AROUND), f"{pc:#x}")
            found[name] = Span(found[name].start if name in found else pc, pc + _WORD)
        return found

    def _site(self, code: Mapping[str, Span], directs: Mapping[int, int]) -> Site:
        terms, observer = self.kernel.terms, self.observer
        return Site(
            func=self.func,
            body=self.body,
            code=code,
            callbacks=self.callbacks,
            directs=dict(directs),
            link=terms.link,
            clobbers=frozenset(range(1, 32)) - frozenset(terms.preserved),
            registers=self.kernel.registers(observer),
            stack=observer.bench.stack,
        )

    def _lines(self, site: Site) -> dict[int, str]:
        named = {
            self.func: self.name, self.body: f"{self.name}+{self.body - self.func:#x}",
            self.ops_a: "ops A", self.ops_b: "ops B", self.ops_direct: "ops of the direct call",
            self.scene.parent: "the caller",
        }  # fmt: skip
        named |= dict.fromkeys(site.directs, "the direct trampoline")
        named |= {address: self.image.symbols.nearest(address) for address in self.callbacks}
        named |= {self._own(name): name for name in (*_KERNEL_OPS, *_WALKERS)}
        named.pop(0, None)
        named[self.scene.callback] = "the callback"
        named |= {span.start: name for name, span in site.code.items() if name != "sled"}
        if self.literal is not None:
            named[self.literal] = f"{self.name}-{self.func - self.literal:#x}"
        return named

    def add(
        self, name: str, memory: Memory, events: Iterable[Event], site: Site, old: Behaviour, new: Behaviour
    ) -> None:
        """Keep a scenario."""
        self.scenarios.append(self.scenario(name, memory, events, site, old, new))

    def scenario(
        self, name: str, memory: Memory, events: Iterable[Event], site: Site, old: Behaviour, new: Behaviour
    ) -> Scenario:
        """Return a scenario of this site."""
        known = {self.ops_a, self.ops_b, self.ops_direct, *old, *new}
        quiet = frozenset({self._own("ftrace_nop_ops")} - {0})
        known |= quiet | ({self._own("ftrace_list_ops")} - {0})
        pointers: tuple[Span, ...] = ()
        if self.literal is not None:
            pointers = (Span(self.literal, self.literal + 8),)
        known |= {ops for ops, _ in site.breakpoints.values()}
        return Scenario(
            name=name, memory=memory, site=site, patchers=(tuple(events),), old=old, new=new, quiet=quiet,
            ops=frozenset(known), pointers=pointers, lines=self._lines(site), nearest=self.kernel.nearest,
        )  # fmt: skip

    # -- the kernel's functions

    def update(self, function: str, *arguments: int, ops: int) -> Observed:
        """Let the kernel patch this site.

        Args:
            function: which of its functions.
            arguments: its arguments.
            ops: what the site's own ops is from now on.
        Raises:
            ImageError: it does not return, or refuses.
        """
        flags = self.unique if self.unique and ops else 0
        layouts, observer = self.kernel.result.layouts, self.observer
        self._write(self.record + layouts.record_flags, flags)
        observer.unique_ops = ops
        seen = observer.update(Call(function, arguments), self._watched, self.sled)
        self._accept(function, seen)
        return seen

    def _accept(self, function: str, seen: Observed) -> None:
        self.notes += [note for note in seen.notes if note not in self.notes]
        if seen.value:
            raise ImageError(self.image.path, got=f"{function} refuses {self.name}: it returns {seen.value}")
        if not seen.stores:
            raise ImageError(self.image.path, expected=f"{function} to store to {self.name}", got="no store")

    def initialise(self) -> None:
        """Bring the site into the state that boot leaves it in."""
        if "ftrace_init_nop" in self.scene.missing:
            self.notes.append("no ftrace_init_nop: the site is first what the compiler left")
            return
        seen = self.observer.observe([Call("ftrace_init_nop", (0, self.record))], self._watched, self.sled)
        self._accept("ftrace_init_nop", seen)

    def go_through(self) -> None:
        """Make a scenario of each transition that the kernel has.

        Raises:
            ImageError: the kernel does not patch the site.
        """
        for name in ("ftrace_make_call", "ftrace_caller"):
            if self.image.address_of(name) is None:
                raise ImageError(self.image.path, expected=f"a function {name}", got="none")
        self.initialise()
        caller = self._own("ftrace_caller")
        memory = self.observer.fresh_memory()
        seen = self.update("ftrace_make_call", self.record, caller, ops=self.ops_a)
        if self.trace_op is not None and not any(event.at in self.trace_op for event in seen.events):
            for each in (memory, self.observer.bench.memory):  # generic code has set it long before
                with suppress(Trap):  # a symbol that stands nowhere
                    each.write(self.trace_op.start, self.ops_a.to_bytes(8, "little"))
        self.common_ops = self._given("ftrace_caller")
        ops = self.enabled_ops
        self.add("enable", memory, seen.events, self.site("ftrace_caller"), (), (ops,))
        self._change()
        if "ftrace_make_nop" in self.scene.missing:
            self.notes.append("no disable: no ftrace_make_nop")
            return
        memory = self.observer.fresh_memory()
        seen = self.update("ftrace_make_nop", 0, self.record, caller, ops=0)
        self.add("disable", memory, seen.events, self.site("ftrace_caller"), (ops,), ())
        if ops == self.ops_a:
            self._free(memory, seen)

    def _free(self, memory: Memory, seen: Observed) -> None:
        """Add what unregistering does behind the update, to an ops that somebody allocated."""
        waits = self.kernel.waits_for_tasks
        if waits is None:
            self.notes.append(f"no freeing of ops: whether {_SHUTDOWN} waits for tasks is not known")
            return
        free = Event(act=Act.FREE, at=self.ops_a, size=self.kernel.result.layouts.ops.size, what="ops A")
        wait = (Event(act=Act.WAIT_TASKS),) if waits else ()
        site = self.site("ftrace_caller")
        self.add("disable and free", memory, (*seen.events, *wait, free), site, (self.ops_a,), ())

    def _change(self) -> None:
        """Make scenarios of what ftrace_modify_call is for here, and bring the site back."""
        if "ftrace_modify_call" in self.scene.missing:
            self.notes.append("no change: no ftrace_modify_call")
            return
        caller, regs = self._own("ftrace_caller"), self._own("ftrace_regs_caller")
        steps: list[tuple[str, int, int, int, tuple[str, ...]]] = []
        if self.unique:
            steps.append(("change", caller, self.ops_b, self.ops_b, ("ftrace_caller",)))
        elif regs:
            steps.append(("change", regs, self.ops_a, self.enabled_ops, ("ftrace_caller", "ftrace_regs_caller")))
        else:
            what = "ops of a site's own" if self.literal is not None else "second trampoline"
            self.notes.append(f"no change from tracer to tracer: there is no {what}")
        if self._own("register_ftrace_direct") and (self.unique or self.literal is None):
            steps.append(
                ("change to a direct call", self.scene.direct, self.ops_direct, self.ops_direct, ("ftrace_caller",))
            )
        target, behaviour = caller, self.enabled_ops
        for name, to, ops, value, trampolines in steps:
            memory = self.observer.fresh_memory()
            try:
                seen = self.update("ftrace_modify_call", self.record, target, to, ops=ops)
            except ImageError as error:
                self.notes.append(f"no {name}: {error.got}")
                continue
            directs = {self.scene.direct: self.ops_direct} if to == self.scene.direct else {}
            if not directs:
                value = self._given(*trampolines) or value
            self.add(name, memory, seen.events, self.site(*trampolines, directs=directs), (behaviour,), (value,))
            target, behaviour = to, value
            if target != caller and to == regs:
                self.update("ftrace_modify_call", self.record, target, caller, ops=self.ops_a)
                target, behaviour = caller, self.enabled_ops
        if (target, behaviour) != (caller, self.enabled_ops):
            self.update("ftrace_modify_call", self.record, target, caller, ops=self.ops_a)
