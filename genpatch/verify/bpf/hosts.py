# SPDX-License-Identifier: GPL-2.0-or-later
"""What stands for BPF programs, for the functions around them and for the traced function's body.

Each notes what it gets, makes junk of every register that a C function may change and of the stack below its
own, and returns. What must happen in order is known before; where something else happens a lane is lost.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from ...isa.encoding import REG_NAMES
from ...machine.outcome import Trap
from ...run.kernel import A0, RA, SP
from ...units import BoolArray, I64Array, U64Array, as_hex
from ..patcher import Patcher
from ..trial import CALLER_SAVED, JUNK
from .cases import Flag
from .contract import ENTER, EXIT, ORIGINAL, PROGRAM, TRAMP_ENTER, TRAMP_EXIT, low_word
from .life import S0, Life
from .promises import BpfPromise

__all__ = ["Around", "find_around", "run"]

_A5 = 15
_BELOW = 8
_START = 0x5747_0000_0000_0000
_SESSION = 0x5E55_0000_0000_0000
_ENTERS, _EXITS, _SLEEPS = "__bpf_prog_enter", "__bpf_prog_exit", "sleepable"
_U64 = np.uint64
_EVEN, _ALIGNED = _U64(0xFFFF_FFFF_FFFF_FFFE), _U64(0xFFFF_FFFF_FFFF_FFF0)
_NOBODY = 999


@dataclass(frozen=True, slots=True)
class Around:
    """The kernel's functions around programs and around the traced function.

    Args:
        enters, exits: addresses of the functions before and after a program: number of the pair.
        sleepable: numbers of the pairs that are for programs which may sleep.
        tramp_enter, tramp_exit: addresses of those around the traced function, 0 without.
    """

    enters: dict[int, int]
    exits: dict[int, int]
    sleepable: frozenset[int]
    tramp_enter: int
    tramp_exit: int


def find_around(patcher: Patcher) -> Around:
    """Return the functions of a kernel that are the host's here."""
    image = patcher.scene.image
    symbols = image.symbols
    by_suffix: list[dict[str, int]] = []
    for prefix in (_ENTERS, _EXITS):
        found = symbols.with_prefix(prefix).tolist()
        names = symbols.named(found)
        by_suffix.append(
            {name.removeprefix(prefix): int(symbols.address[i]) for name, i in zip(names, found, strict=True)}
        )
    enters, exits = by_suffix
    numbers = {suffix: number for number, suffix in enumerate(sorted(enters.keys() & exits.keys()))}
    return Around(
        enters={enters[suffix]: number for suffix, number in numbers.items()},
        exits={exits[suffix]: number for suffix, number in numbers.items()},
        sleepable=frozenset(number for suffix, number in numbers.items() if _SLEEPS in suffix),
        tramp_enter=image.address_of("__bpf_tramp_enter") or 0,
        tramp_exit=image.address_of("__bpf_tramp_exit") or 0,
    )


def run(life: Life, around: Around, group: I64Array, by_site: BoolArray) -> None:
    """Run the trampolines of some lanes to their end, and compare all that happens.

    Args:
        life: the lanes.
        around: the kernel's functions that are the host's.
        group: int64[m], which lanes.
        by_site: bool[n], which are called through the site.
    """
    if len(group):
        hosts = _Hosts(life, around)
        life.prepare(group, by_site)
        for here in life.rounds(group, hosts.stops):
            hosts.look(here)
        life.judge(group)


class _Hosts:
    def __init__(self, life: Life, around: Around):
        self.life, self.around = life, around
        self.engine, self.memory, self.contract = life.engine, life.memory, life.contract
        traced, parent = life.traced, life.scene.parent
        self.program_at = {program.code: program.number for program in life.programs.all}
        elsewhere = {traced.func, *range(traced.body + 2, traced.end, 2)} - {traced.body}
        self.astray = frozenset(elsewhere if not life.real else ())
        self.stops = {*around.enters, *around.exits, *self.program_at, *self.astray, traced.body, parent}
        self.stops |= {at for at in (around.tramp_enter, around.tramp_exit) if at}
        self.starts = np.array([program.at for program in life.programs.all], _U64)
        self.insns = np.array([program.insns for program in life.programs.all], _U64)
        self.enters, self.exits = (np.array(each, _U64) for each in (life.programs.enters, life.programs.exits))
        self.back = 0
        n = len(life.cases)
        self.run_ctx, self.started = np.zeros(n, _U64), np.zeros(n, _U64)
        self.pair: I64Array = np.zeros(n, np.int64)
        self.keeps: BoolArray = np.zeros(n, np.bool_)

    # -- who stands where

    def look(self, here: I64Array) -> None:
        """Do what is to be done for all lanes that stand before something of the host's."""
        pc = self.engine.pc[here]
        for addresses, act in (
            (self.around.enters, self._enter),
            (self.program_at, self._program),
            (self.around.exits, self._exit),
            ((self.around.tramp_enter,), self._tramp_enter),
            ((self.around.tramp_exit,), self._tramp_exit),
            ((self.life.traced.body,), self._original),
            (self.astray, self._astray),
            ((self.back,), self._returned),
        ):
            some = here[np.isin(pc, np.fromiter(addresses, _U64, len(addresses)))]
            if len(some):
                act(some)

    def _say(self, lanes: I64Array, text: str, **registers: int) -> None:
        if self.life.tell is not None and len(lanes):
            values = ", ".join(f"{name}={int(self.engine.x[n, lanes[0]]):#x}" for name, n in registers.items())
            self.life.tell(f"-- {text}({values})")

    def _expect(self, lanes: I64Array, event: I64Array) -> I64Array:
        """Compare what happens with what must; return the lanes where it does."""
        life = self.life
        wanted = self.contract.event(lanes, life.cursor[lanes])
        wrong = wanted != event
        for first, second in set(zip(wanted[wrong].tolist(), event[wrong].tolist(), strict=True)):
            these = wrong & (wanted == first) & (event == second)
            names = [self.contract.spell(each, life.programs) for each in (second, first)]
            what = f"{names[0]} instead of {names[1]}"
            pc = self.engine.pc[lanes]
            life.breach(BpfPromise.SEQUENCE, what, lanes, these, pc, pc)
        life.lose(lanes[wrong])
        life.cursor[lanes] += 1
        kept: I64Array = lanes[~wrong]
        return kept

    def _return(self, lanes: I64Array, **results: U64Array) -> None:
        """Spoil what a C function may change, put results into registers and go back."""
        engine, stack = self.engine, self.life.scene.stack
        for number in CALLER_SAVED:
            engine.x[number, lanes] = _U64(JUNK + number)
        sp = engine.x[SP, lanes]
        sound = (sp > _U64(stack.start + 8 * _BELOW)) & (sp <= _U64(stack.end))
        for word in range(1, _BELOW + 1):
            self.memory.write_u64(lanes[sound], sp[sound] - _U64(8 * word), JUNK + word)
        for name, value in results.items():
            engine.x[{"a0": A0, "a5": _A5}[name], lanes] = value
        engine.start(engine.x[RA, lanes] & _EVEN, lanes)

    # -- the stack at a call

    def _frames(self, lanes: I64Array, who: str) -> None:
        """Check sp and the chain of frames where something is called, as an unwinder goes through it."""
        life, x = self.life, self.engine.x
        sp = x[SP, lanes]
        life.breach(
            BpfPromise.STACK, f"sp at {who}", lanes, sp != sp & _ALIGNED, sp & _ALIGNED, sp, "sp is no multiple of 16"
        )
        indirect = self.contract.flag(Flag.INDIRECT)[lanes]
        parent, body = _U64(life.scene.parent), _U64(life.traced.body)
        up = self._frame(lanes, x[S0, lanes], np.where(indirect, parent, body), who)
        direct, outer = lanes[~indirect], up[~indirect]
        up[~indirect] = self._frame(direct, outer, np.full(len(direct), parent, _U64), f"the frame above that at {who}")
        wanted = life.first[S0, lanes]
        life.breach(
            BpfPromise.STACK, f"the caller's frame pointer at {who}", lanes, up != wanted, wanted, up,
            "an unwinder goes astray",
        )  # fmt: skip

    def _frame(self, lanes: I64Array, fp: U64Array, wanted: U64Array, who: str) -> U64Array:
        """Check the return address in a frame; return the frame pointer in it."""
        life, stack = self.life, self.life.scene.stack
        inside = (fp > _U64(stack.start + 16)) & (fp <= _U64(stack.end)) & (fp & _U64(7) == 0)
        life.breach(
            BpfPromise.STACK, f"the frame pointer at {who}", lanes, ~inside, life.first[SP, lanes], fp,
            "it points to no frame",
        )  # fmt: skip
        ra: U64Array = wanted.copy()
        up: U64Array = life.first[S0, lanes].copy()
        ra[inside] = self.memory.read_u64(lanes[inside], fp[inside] - _U64(8))
        up[inside] = self.memory.read_u64(lanes[inside], fp[inside] - _U64(16))
        what, note = f"the return address in the frame at {who}", "an unwinder goes astray"
        life.breach(BpfPromise.STACK, what, lanes, ra != wanted, wanted, ra, note)
        return up

    # -- before and after programs

    def _numbers(self, progs: U64Array) -> I64Array:
        """Return the number of each program by its address, int64[m]."""
        found = np.minimum(np.searchsorted(self.starts, progs), len(self.starts) - 1)
        numbers: I64Array = np.where(self.starts[found] == progs, found, _NOBODY).astype(np.int64)
        return numbers

    def _enter(self, lanes: I64Array) -> None:
        """__bpf_prog_enter*(prog, run_ctx): 0 if the program is not to be run."""
        life, x = self.life, self.engine.x
        self._say(lanes, "__bpf_prog_enter", prog=A0, run_ctx=A0 + 1)
        numbers = self._numbers(x[A0, lanes])
        keep = numbers != _NOBODY
        going = self._expect(lanes, ENTER + numbers)
        numbers = numbers[keep & ~life.lost[lanes]]
        self._frames(going, "a program's enter function")
        self.pair[going] = self._pair(self.around.enters, going)
        sleeps, pc = np.isin(self.pair[going], list(self.around.sleepable)), self.engine.pc[going]
        wrong = sleeps != self.contract.sleepable[numbers]
        note = "it is that of programs that may sleep, or of those that may not"
        life.breach(BpfPromise.ARGUMENTS, "the enter function", going, wrong, pc, pc, note)
        self._is_chosen(going, numbers, self.enters, ~wrong, "the enter function")
        self.run_ctx[going] = x[A0 + 1, going]
        self._use_run_ctx(going, numbers)
        cursor = life.cursor[going].astype(_U64)
        start = np.where(cursor & _U64(1) != 0, _U64(_START) + (cursor << _U64(32)), cursor)  # a low or a high half
        self.started[going] = np.where(self.contract.skipped[going, numbers], _U64(0), start)
        self._return(going, a0=self.started[going])

    def _is_chosen(self, lanes: I64Array, numbers: I64Array, chosen: U64Array, others: BoolArray, what: str) -> None:
        """Check that a function before or behind a program is that which the kernel chooses for it."""
        if len(chosen):
            pc, wanted = self.engine.pc[lanes], chosen[numbers]
            note = "the kernel chooses another for this program"
            self.life.breach(BpfPromise.ARGUMENTS, what, lanes, others & (pc != wanted), wanted, pc, note)

    def _pair(self, functions: dict[int, int], lanes: I64Array) -> I64Array:
        """Return the number of each lane's function, int64[m]."""
        addresses = np.array(sorted(functions), _U64)
        numbers = np.array([functions[address] for address in sorted(functions)], np.int64)
        found: I64Array = numbers[np.searchsorted(addresses, self.engine.pc[lanes])]
        return found

    def _use_run_ctx(self, lanes: I64Array, numbers: I64Array) -> None:
        """Check the cookie in struct bpf_tramp_run_ctx, and write the rest of it as the kernel does."""
        life, (size, at) = self.life, self.life.interface.run_ctx
        context, sp = self.run_ctx[lanes], self.engine.x[SP, lanes]
        inside = (context >= sp) & (context + _U64(size) <= life.first[SP, lanes])
        note = "it points to nothing on the trampoline's stack"
        life.breach(BpfPromise.ARGUMENTS, "run_ctx", lanes, ~inside, sp, context, note)
        some, where = lanes[inside], context[inside]
        got, wanted = self.memory.read_u64(some, where + _U64(at)), self.contract.cookies[numbers[inside]]
        life.breach(BpfPromise.ARGUMENTS, "the cookie", some, got != wanted, wanted, got)
        for offset in range(0, size - 7, 8):
            if offset != at:
                self.memory.write_u64(some, where + _U64(offset), JUNK + 0x100 + offset)
        self.keeps[lanes] = inside

    def _look_at_run_ctx(self, lanes: I64Array, numbers: I64Array) -> None:
        """Check that what __bpf_prog_enter() has saved, and the cookie, are still there for __bpf_prog_exit()."""
        life, (size, at) = self.life, self.life.interface.run_ctx
        some, whose = lanes[self.keeps[lanes]], numbers[self.keeps[lanes]]
        note = "it is written to between the enter and the exit function"
        for offset in range(0, size - 7, 8):
            got = self.memory.read_u64(some, self.run_ctx[some] + _U64(offset))
            junk = np.full(len(some), JUNK + 0x100 + offset, _U64)
            wanted = self.contract.cookies[whose] if offset == at else junk
            what = "the cookie behind a program" if offset == at else "what is saved in run_ctx"
            life.breach(BpfPromise.ARGUMENTS, what, some, got != wanted, wanted, got, note)

    def _exit(self, lanes: I64Array) -> None:
        """__bpf_prog_exit*(prog, start, run_ctx)."""
        life, x = self.life, self.engine.x
        self._say(lanes, "__bpf_prog_exit", prog=A0, start=A0 + 1, run_ctx=A0 + 2)
        numbers = self._numbers(x[A0, lanes])
        going = self._expect(lanes, EXIT + numbers)
        numbers = numbers[~life.lost[lanes]]
        self._frames(going, "a program's exit function")
        for what, register, wanted in (("start time", A0 + 1, self.started), ("run_ctx", A0 + 2, self.run_ctx)):
            got = x[register, going]
            what = f"the {what} at a program's exit function"
            life.breach(BpfPromise.ARGUMENTS, what, going, got != wanted[going], wanted[going], got)
        pair, pc = self._pair(self.around.exits, going), self.engine.pc[going]
        note = "it does not belong to the enter function"
        wrong = pair != self.pair[going]
        life.breach(BpfPromise.ARGUMENTS, "the exit function", going, wrong, pc, pc, note)
        self._is_chosen(going, numbers, self.exits, ~wrong, "the exit function")
        self._look_at_run_ctx(going, numbers)
        self._return(going)

    # -- programs

    def _program(self, lanes: I64Array) -> None:
        """A BPF program: sees its context, and returns 64 bits in a5, of them 32 in a0, as JITed code does."""
        life = self.life
        codes = np.array(list(self.program_at), _U64)
        numbers = (np.searchsorted(codes, self.engine.pc[lanes])).astype(np.int64)
        self._say_program(lanes, numbers)
        going = self._expect(lanes, PROGRAM + numbers)
        numbers = numbers[~life.lost[lanes]]
        self._frames(going, "a program")
        inside = self._has_context(going)
        going, numbers = going[inside], numbers[inside]
        self._look_at_context(going, numbers)
        whole = self.insns[numbers]
        got, note = self.engine.x[A0 + 1, going], "it is not JITed: the interpreter is to be told what it runs"
        what = "the instructions of a program"
        life.breach(BpfPromise.ARGUMENTS, what, going, (whole != 0) & (got != whole), whole, got, note)
        value = life.values.of_program(self.contract, going, numbers)
        kept = self.contract.keeps_value(going, numbers)
        life.values.slot[going[kept]] = low_word(value[kept])
        life.values.full[going[kept]] = value[kept]
        life.values.known[going[kept]] = True
        self._return(going, a0=low_word(value), a5=value)

    def _say_program(self, lanes: I64Array, numbers: I64Array) -> None:
        """Tell what the first lane's program sees."""
        life, lane = self.life, lanes[:1]
        if life.tell is None:
            return
        name = life.programs.all[int(numbers[0])].name
        if self.contract.flag(Flag.INDIRECT)[lane[0]]:
            name = name.replace("fentry", "struct_ops")
        self._say(lanes, f"BPF program {name}", ctx=A0)
        at, slots = int(self.engine.x[A0, lane[0]]), int(self.contract.slots[lane[0]])
        with suppress(Trap):
            words = self.memory.read(lane, at, 8 * (slots + 1))[0].view("<u8").tolist()
            seen = ", ".join(as_hex(word) for word in words[:slots])
            value = f", return value {as_hex(words[slots])}" if self.contract.sees_value(lane, numbers[:1])[0] else ""
            life.tell(f"   it sees {slots} argument slot{'s' * (slots != 1)}{': ' * bool(seen)}{seen}{value}")

    def _has_context(self, lanes: I64Array) -> BoolArray:
        """Tell where ctx points into the trampoline's frame: bool[m]; the others are lost."""
        life, at, sp = self.life, self.engine.x[A0, lanes], self.engine.x[SP, lanes]
        room = (self.contract.slots[lanes].astype(_U64) + _U64(1)) * _U64(8)
        inside: BoolArray = (at >= sp + _U64(16)) & (at + room <= life.first[SP, lanes] + _U64(8)) & (at & _U64(7) == 0)
        note = "it points to nothing on the trampoline's stack"
        life.breach(BpfPromise.ARGUMENTS, "ctx of a program", lanes, ~inside, sp, at, note)
        life.lose(lanes[~inside])
        return inside

    def _look_at_context(self, lanes: I64Array, numbers: I64Array) -> None:
        """A program sees the arguments, their number, and where there is one the value that is returned."""
        life, contract, memory = self.life, self.contract, self.memory
        at, slots = self.engine.x[A0, lanes], contract.slots[lanes]
        for number in range(int(slots.max(initial=0))):
            has = slots > number
            got, wanted = memory.read_u64(lanes[has], at[has] + _U64(8 * number)), life.values.slots[lanes[has], number]
            life.breach(BpfPromise.ARGUMENTS, f"argument slot {number} of ctx", lanes[has], got != wanted, wanted, got)
        meta, count = memory.read_u64(lanes, at - _U64(8)), slots.astype(_U64)
        what = "the number of argument slots below ctx"
        found = meta & _U64(0xFF) if life.interface.session is not None else meta  # sessions share the word
        life.breach(BpfPromise.ARGUMENTS, what, lanes, found != count, count, found)
        ip = contract.flag(Flag.IP_ARG)[lanes]
        got = memory.read_u64(lanes[ip], at[ip] - _U64(16))
        func = _U64(life.traced.func)
        life.breach(BpfPromise.ARGUMENTS, "the ip below ctx", lanes[ip], got != func, np.full(len(got), func), got)
        self._look_at_session(lanes, numbers, at, meta)
        sees = contract.sees_value(lanes, numbers) & life.values.known[lanes]
        whose, wanted = lanes[sees], life.values.slot[lanes[sees]]
        got = memory.read_u64(whose, at[sees] + slots[sees].astype(_U64) * _U64(8))
        life.breach(BpfPromise.VALUE, "the return value that a program sees", whose, got != wanted, wanted, got)

    def _look_at_session(self, lanes: I64Array, numbers: I64Array, at: U64Array, meta: U64Array) -> None:
        """Programs that run twice are told which time it is, and have 8 bytes of their own between the two."""
        life, contract = self.life, self.contract
        late = contract.is_late(lanes, life.cursor[lanes] - 1)
        some = contract.is_session[numbers]
        wanted, got = late.astype(_U64)[some], (meta >> _U64(63))[some]
        life.breach(BpfPromise.ARGUMENTS, "is_return of a session", lanes[some], got != wanted, wanted, got)
        own = contract.has_session_cookie[numbers]
        where = at - _U64(8) * (meta >> _U64(8) & _U64(0xFF))
        own &= (where >= self.engine.x[SP, lanes]) & (where < at)
        whose, where, who, late = lanes[own], where[own], numbers[own], late[own]
        mine = _U64(_SESSION) + who.astype(_U64)
        wanted = np.where(late, mine, _U64(0))
        got = self.memory.read_u64(whose, where)
        life.breach(BpfPromise.ARGUMENTS, "the cookie of a session", whose, got != wanted, wanted, got)
        self.memory.write_u64(whose[~late], where[~late], mine[~late])

    # -- around the traced function, and itself

    def _tramp_enter(self, lanes: I64Array) -> None:
        """__bpf_tramp_enter(im)."""
        self._say(lanes, "__bpf_tramp_enter", im=A0)
        going = self._expect(lanes, np.full(len(lanes), TRAMP_ENTER))
        self._frames(going, "__bpf_tramp_enter")
        self._look_at_im(going, "__bpf_tramp_enter")
        self._return(going)

    def _tramp_exit(self, lanes: I64Array) -> None:
        """__bpf_tramp_exit(im)."""
        self._say(lanes, "__bpf_tramp_exit", im=A0)
        going = self._expect(lanes, np.full(len(lanes), TRAMP_EXIT))
        self._frames(going, "__bpf_tramp_exit")
        self._look_at_im(going, "__bpf_tramp_exit")
        self._return(going)

    def _look_at_im(self, lanes: I64Array, who: str) -> None:
        """Check what the functions around the traced one are told: which trampoline it is."""
        got, wanted = self.engine.x[A0, lanes], self.life.built.im
        if wanted:
            self.life.breach(BpfPromise.ARGUMENTS, f"im at {who}", lanes, got != _U64(wanted), wanted, got)

    def _original(self, lanes: I64Array) -> None:
        """The traced function from behind its sled on, if it is called; else the trampoline was left to it."""
        life, x = self.life, self.engine.x
        wanted = self.contract.event(lanes, life.cursor[lanes])
        called = lanes[(wanted == ORIGINAL) | (x[RA, lanes] != life.first[RA, lanes])]
        how = "" if life.real else ", stood in for"
        self._say(called, f"{life.traced.name} behind its sled{how}", ra=RA, a0=A0)
        going = self._expect(called, np.full(len(called), ORIGINAL))
        self._frames(going, "the traced function")
        slots = self.contract.slots[going]
        for number in range(int(slots.max(initial=0))):
            has = going[slots > number]
            wanted_slot = life.values.slots[has, number]
            if number < 8:
                what, got = REG_NAMES[A0 + number], x[A0 + number, has]
            else:
                what, got = f"argument {number - 7} on the stack", self._stacked(has, number - 8)
            what = f"{what} of the traced function"
            life.breach(BpfPromise.PASSED, what, has, got != wanted_slot, wanted_slot, got)
        if life.real:
            self.back = int(x[RA, going[0]]) & ~1 if len(going) else 0
            self.stops.add(self.back)
            self.engine.start(life.traced.body, going)
            return
        self._change_arguments(going)
        life.values.slot[going], life.values.known[going] = life.values.returned[going], True
        if life.amid is not None:
            life.amid(going)
        self._return(going, a0=life.values.returned[going])

    def _change_arguments(self, lanes: I64Array) -> None:
        """A function may write to its arguments on the stack, which are its own; not where its caller's frame is."""
        slots, sp = self.contract.slots[lanes], self.engine.x[SP, lanes]
        for number in range(8, int(slots.max(initial=0))):
            at = sp + _U64(8 * (number - 8))
            some = (slots > number) & (at >= _U64(self.life.scene.stack.start)) & (at < _U64(self.life.stack_top))
            self.memory.write_u64(lanes[some], at[some], JUNK + 0x200 + number)

    def _returned(self, lanes: I64Array) -> None:
        """The traced function, which was let run, comes back to its trampoline."""
        life, x = self.life, self.engine.x
        self.stops.discard(self.back)
        self.back = 0
        self._say(lanes, f"{life.traced.name} returns", a0=A0)
        life.values.slot[lanes], life.values.known[lanes] = x[A0, lanes], True
        self.engine.start(self.engine.pc[lanes], lanes)

    def _stacked(self, lanes: I64Array, number: int) -> U64Array:
        """Return an argument on the stack: uint64[m]."""
        sp, stack = self.engine.x[SP, lanes], self.life.scene.stack
        inside = (sp >= _U64(stack.start)) & (sp + _U64(8 * number + 8) <= _U64(stack.end))
        found: U64Array = np.zeros(len(lanes), _U64)
        found[inside] = self.memory.read_u64(lanes[inside], sp[inside] + _U64(8 * number))
        return found

    def _astray(self, lanes: I64Array) -> None:
        """Somewhere else in the traced function."""
        note = "it is entered beside the first instruction behind its sled"
        got = self.engine.pc[lanes]
        everywhere, body = np.ones(len(lanes), np.bool_), self.life.traced.body
        self.life.breach(BpfPromise.ORIGINAL, "the traced function", lanes, everywhere, body, got, note)
        self.life.lose(lanes)
