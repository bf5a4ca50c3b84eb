# SPDX-License-Identifier: GPL-2.0-or-later
"""Small scenarios: a function, a literal below it, two callees, a few stores; by hand and at random."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from genpatch.isa.assemble import assemble
from genpatch.machine.memory import Memory
from genpatch.race.environment import ENVIRONMENTS, Environment, Fetch, Fused, Patching, Preemption
from genpatch.race.model import Act, Behaviour, Event, Scenario, Site
from genpatch.units import Span

FUNC = 0xFFFF_FFFF_8000_0100
NEAR_A, NEAR_B = FUNC + 0x280, FUNC + 0x700
"""Where the host stands in for callees that return through t0, within the reach of a jal."""
FAR_A, FAR_B = 0xFFFF_FFFF_8020_0840, 0xFFFF_FFFF_8040_0040
"""The same out of that reach; both halves of the distances differ."""
TRAMPOLINE, OTHER = 0xFFFF_FFFF_8030_0840, 0xFFFF_FFFF_8050_0040
CALLBACK = 0xFFFF_FFFF_8100_0000
OPS_A, OPS_B = 0xFFFF_AF80_0140_2080, 0xFFFF_AF81_0250_3140
EXTRA = 0xFFFF_FFFF_8060_0000
OLD_WORD, NEW_WORD = EXTRA + 64, EXTRA + 72
NEIGHBOUR = 0xFFFF_FFFF_7000_0000
STACK = Span(0xFFFF_FFFF_9000_0000, 0xFFFF_FFFF_9000_1000)
PARENT = 0xFFFF_FFFF_A000_0000
CLOBBERS = frozenset({5, 6, 7, 18, 19, *range(10, 18), *range(28, 32)})
CALLER = """
    addi s2, ra, 0
    addi s3, t0, 0
    auipc a2, 0
    ld a2, {distance}(a2)
    ld t1, 0(a2)
    jalr ra, 0(t1)
    addi ra, s2, 0
    jalr zero, 0(s3)
"""
"""Loads ops from a word and calls the function that they begin with."""


def quad(value: int) -> bytes:
    return value.to_bytes(8, "little")


def word(text: str, at: int) -> bytes:
    """Return instructions as they stand at an address."""
    return assemble(text, at)


def call_words(target: int, pc: int) -> bytes:
    """auipc t0 + jalr t0."""
    distance = target - pc
    high = (distance + 0x800) >> 12 & 0xFFFFF
    return assemble(f"auipc t0, {high:#x}\n jalr t0, {((distance & 0xFFF) ^ 0x800) - 0x800}(t0)", pc)


def registers() -> tuple[int, ...]:
    """What a call comes with; s4 points to the literal, s5 and s6 to two words."""
    values = [0x1000_0000_0000 * number + number for number in range(32)]
    values[1], values[2], values[20] = PARENT, STACK.end - 0x200, FUNC - 8
    values[21], values[22] = NEW_WORD, OLD_WORD
    return tuple(values)


def trampoline(at: int, literal: int) -> bytes:
    """A trampoline of 32 bytes that hands on the ops of a literal, and its own word for them at +40."""
    code = assemble(CALLER.format(distance=literal - at - 8), at)
    return code.ljust(40, b"\0")


def scenario(
    *stores: Event,
    sled: str | bytes = "nop\n nop",
    at: int = FUNC,
    literal: int | bytes = 0,
    old: Behaviour = (),
    new: Behaviour = (OPS_A,),
    patchers: tuple[tuple[Event, ...], ...] = (),
    extra: dict[str, str] | None = None,
    func_of_a: int = CALLBACK,
    breakpoints: dict[int, tuple[int, bytes]] | None = None,
    clobbers: frozenset[int] = CLOBBERS,
    **more: object,
) -> Scenario:
    """A function with a sled, and 8 bytes below it that hold a literal.

    Calls to NEAR_A, FAR_A, NEAR_B and FAR_B count as calls of the callback with ops A and B. TRAMPOLINE hands on its
    own ops, A; OTHER hands on what the literal points to.

    Args:
        stores: what the only patcher does.
        sled: its first content, text or bytes; the body is behind it.
        at: where the function is.
        literal: its first value.
        old, new: as in Scenario.
        patchers: instead of `stores`.
        extra: name and text of more code, each in a page of its own from EXTRA on.
        func_of_a: first value of what ops A call.
        breakpoints: as in Site.
    """
    memory = Memory()
    sled = assemble(sled, at) if isinstance(sled, str) else sled
    body = assemble("addi a0, a0, 1\n ret", at + len(sled))
    low = literal if isinstance(literal, bytes) else quad(literal)
    page = at & -4096
    text = bytearray(4096)
    text[at - 8 - page : at - page + len(sled) + len(body)] = low + sled + body
    memory.map(page, bytes(text), permissions="rx", name="text")
    memory.map(TRAMPOLINE, trampoline(TRAMPOLINE, TRAMPOLINE + 40) + quad(OPS_A), permissions="rx", name="trampoline")
    memory.map(OTHER, assemble(_OTHER, OTHER), permissions="rx", name="other")
    memory.map(NEIGHBOUR, assemble("nop\n nop", 0), permissions="rx", name="neighbour")
    for ops, func in ((OPS_A, func_of_a), (OPS_B, CALLBACK)):
        memory.map(ops, quad(func), size=64, name="ops")
    memory.map(STACK.start, size=STACK.size, name="stack")
    code = {
        "func": Span(at, at + len(sled)),
        "trampoline": Span(TRAMPOLINE, TRAMPOLINE + 32),
        "other": Span(OTHER, OTHER + 32),
    }
    for number, (name, source) in enumerate((extra or {}).items()):
        start = EXTRA + 0x1000 * number
        data = assemble(source, start)
        memory.map(start, data, permissions="rx", name=name)
        code[name] = Span(start, start + len(data))
    site = Site(
        func=at,
        body=at + len(sled),
        code=code,
        callbacks=frozenset({CALLBACK}),
        directs={NEAR_A: OPS_A, FAR_A: OPS_A, NEAR_B: OPS_B, FAR_B: OPS_B},
        clobbers=clobbers,
        registers=registers(),
        stack=STACK,
        breakpoints=breakpoints or {},
    )
    return Scenario(
        name="litmus",
        memory=memory,
        site=site,
        patchers=patchers or (stores,),
        old=old,
        new=new,
        ops=frozenset({OPS_A, OPS_B}),
        lines={OPS_A: "ops A", OPS_B: "ops B", NEAR_A: "near A", NEAR_B: "near B", FAR_A: "far A", FAR_B: "far B"},
        **more,  # type: ignore[arg-type]
    )


_OTHER = CALLER.replace("auipc a2, 0", "addi a2, s3, 0").replace("{distance}", "-16")
"""Finds the literal from where it was called: 8 bytes behind the function's first, so at t0 - 16."""


def store(at: int, data: bytes, what: str = "", slot: str = "") -> Event:
    return Event(act=Act.STORE, at=at, data=data, what=what, slot=slot)


def free(at: int, size: int, what: str) -> Event:
    return Event(act=Act.FREE, at=at, size=size, what=what)


FENCE, FENCE_I, REMOTE = Event(act=Act.FENCE), Event(act=Act.FENCE_I), Event(act=Act.REMOTE_FENCE_I)
STOP, RESUME, WAIT = Event(act=Act.STOP), Event(act=Act.RESUME), Event(act=Act.WAIT_TASKS)
LOCK, UNLOCK = Event(act=Act.LOCK), Event(act=Act.UNLOCK)
PUBLISH = (FENCE_I, FENCE, REMOTE)


def mapped(at: int, data: bytes, what: str = "") -> tuple[Event, Event, Event]:
    """A store through the fixmap slot that patchers share."""
    slot = "slot"
    return (
        Event(act=Act.MAP, at=at & -4096, slot=slot),
        store(at, data, what, slot),
        Event(act=Act.UNMAP, slot=slot),
    )


# -- at random

_LINES = {
    "nop": "nop",
    "c.nop": "c.nop",
    "jal A": f"jal t0, {NEAR_A}",
    "jal B": f"jal t0, {NEAR_B}",
    "skip": "jal zero, {body}",
    "auipc A": None,
    "jalr A": None,
    "auipc B": None,
    "jalr B": None,
    "auipc": "auipc t0, 0",
    "ld": "ld t1, {literal}(t0)",
    "lw": "lwu t2, {literal}(t0)",
    "lw high": "lwu t2, {high}(t0)",
    "jalr": "jalr t0, 0(t1)",
    "c.jalr": "c.mv t0, t1",
    "fence": "fence",
    "fence w": "fence w, w",
    "fence.i": "fence.i",
}
_OFTEN = (
    ("nop", "nop"),
    ("auipc A", "jalr A"),
    ("auipc B", "jalr B"),
    ("auipc A", "nop"),
    ("jal A",),
    ("jal B",),
    ("nop",),
    ("c.nop", "c.nop"),
    ("auipc", "ld", "jalr"),
    ("auipc", "ld", "nop"),
    ("skip", "ld", "jalr"),
    ("c.nop", "nop", "c.nop"),
    ("c.nop", "jal A", "c.nop"),
)


def sled_bytes(names: tuple[str, ...], at: int, size: int) -> bytes:
    """Return a sled of some size; what is too long is cut, what is too short is filled with c.nop."""
    data = b""
    pair_at = at
    for name in names:
        pc = at + len(data)
        if name.startswith(("auipc ", "jalr ")):
            if name.startswith("auipc"):
                pair_at = pc
            pair = call_words(FAR_A if name.endswith("A") else FAR_B, pair_at)
            data += pair[:4] if name.startswith("auipc") else pair[4:]
            continue
        if name == "auipc":
            pair_at = pc
        text = _LINES[name].format(body=at + size, func=at, literal=at - 8 - pair_at, high=at - 4 - pair_at)
        data += assemble(text, pc)
    data = data[:size]
    return data + assemble("c.nop", 0) * ((size - len(data)) // 2)


@st.composite
def environments(draw: st.DrawFn, patchers: int = 1) -> Environment:
    """Every setting that the explorer honours; the rest is the patcher's and part of its events."""
    environment = replace(
        ENVIRONMENTS["smp"],
        name="random",
        harts=draw(st.sampled_from((2, 2, 2, 1))),
        preemption=draw(st.sampled_from(Preemption)),
        fetch=draw(st.sampled_from(Fetch)),
        fused=draw(st.sampled_from((Fused.NO, Fused.NO, *Fused))),
        patcher=draw(st.sampled_from((Patching.ELSEWHERE, *Patching))),
        migration=draw(st.booleans()),
        patchers=patchers,
    )
    if patchers == 1:
        return environment
    preemption = draw(st.sampled_from((Preemption.NONE, Preemption.NONE, Preemption.FULL)))
    return replace(environment, harts=2, patcher=Patching.ELSEWHERE, preemption=preemption)


@st.composite
def _patcher(draw: st.DrawFn, base: int, image: bytes, is_alone: bool, is_sharing: bool) -> tuple[Event, ...]:
    """Stores that make an image, with fences and the like between; of two patchers each does less."""
    between = st.sampled_from((FENCE, FENCE_I, REMOTE, None, None)) if is_alone else st.sampled_from((FENCE, None))
    events: list[Event | None] = []
    stops = draw(st.sampled_from((False, False, True)))
    for _ in range(draw(st.integers(1, 3 if is_alone else 2))):
        width = draw(st.sampled_from((8, 4, 4, 2)))
        if width > len(image):
            continue
        at = draw(st.integers(0, (len(image) - width) // 2)) * 2
        data = image[at : at + width]
        if draw(st.integers(0, 9)) == 0:
            data = draw(st.sampled_from((quad(FAR_A), quad(FAR_B))))[:width]
        events += mapped(base + at, data) if is_sharing else (store(base + at, data),)
        events.append(draw(between))
    if is_alone:
        events += draw(st.sampled_from((PUBLISH, PUBLISH, (), (FENCE,), (FENCE_I, REMOTE), (REMOTE, FENCE))))
    else:
        events += draw(st.sampled_from(((), (), (REMOTE,))))
    if stops:
        events = [STOP, *events, RESUME]
    ending = draw(st.integers(0, 5)) if is_alone else 5
    if ending == 0:
        events += [WAIT, free(OPS_A, 8, "ops A")]
    elif ending == 1:
        events.append(free(OPS_A, 8, "ops A"))
    return tuple(event for event in events if event is not None)


@st.composite
def scenarios(draw: st.DrawFn, patchers: int = 1) -> Scenario:
    """A sled of one to three instructions, old and new, and patchers that go some way from one to the other."""
    size = draw(st.sampled_from((4, 8, 8, 8, 12)))
    at = FUNC + draw(st.sampled_from((0, 0, 4, 2)))
    names = st.one_of(
        st.sampled_from(_OFTEN),
        st.sampled_from(_OFTEN),
        st.lists(st.sampled_from(sorted(_LINES)), min_size=1, max_size=3).map(tuple),
    )
    old, new, other = (sled_bytes(draw(names), at, size) for _ in range(3))
    values = st.sampled_from((FAR_A, FAR_B, NEAR_A, OPS_A))
    before, after = draw(values), draw(values)
    has_lock = draw(st.booleans())
    programs = []
    for k in range(patchers):
        image = quad(after) + (new if k == 0 else other)
        is_sharing = patchers > 1 and draw(st.integers(0, 2)) == 0
        events = draw(_patcher(at - 8, image, patchers == 1, is_sharing))
        programs.append((LOCK, *events, UNLOCK) if patchers > 1 and has_lock else events)
    return scenario(
        sled=old,
        at=at,
        literal=before,
        patchers=tuple(programs),
        old=draw(st.sampled_from(((), (OPS_A,)))),
        new=draw(st.sampled_from(((), (OPS_A,), (OPS_B,)))),
        other=draw(st.sampled_from(((), (OPS_B,)))) if patchers > 1 else None,
    )


_ORDERS = ("nop", "fence", "fence r, r", "fence w, w", "pause", "fence.i")
_READERS = (
    "ld t1, -16(t0)\n {order}",
    "ld t1, -16(t0)\n ld t2, -16(t0)\n bgeu t2, t1, . + 8\n ebreak",
    "lwu t3, -16(t0)\n ld t1, -16(t0)\n slli t4, t1, 32\n srli t4, t4, 32\n bgeu t4, t3, . + 8\n ebreak",
    "ld t1, -16(t0)\n lwu t3, -12(t0)\n srli t4, t1, 32\n bgeu t3, t4, . + 8\n ebreak",
    "lwu t3, -12(t0)\n ld t1, -16(t0)\n srli t4, t1, 32\n bgeu t4, t3, . + 8\n ebreak",
    "ld t2, -16(t0)\n {order}\n addi t1, s6, 0\n beq t2, s6, . + 8\n addi t1, s5, 0",
    "addi t1, s5, 0\n ld t2, 0(s5)\n {order}\n ld t3, -16(t0)\n beq t2, zero, . + 8\n addi t1, t3, 0",
)
"""Ways to an address in t1; what is older than what was loaded before is an ebreak, the last two follow a flag."""


@st.composite
def messages(draw: st.DrawFn) -> Scenario:
    """A word is made ready, then the literal points to it, perhaps then a jalr is made that leads to who reads both."""
    at = FUNC + draw(st.sampled_from((0, 0, 4)))
    pause = st.sampled_from(((), (), (FENCE,), (FENCE,), (FENCE_I,), (REMOTE,), PUBLISH, (WAIT,)))
    ready = store(NEW_WORD, quad(NEAR_A))
    told = store(at - 8, quad(NEW_WORD))
    stores = [ready, told] if draw(st.integers(0, 4)) else [told, ready]
    if draw(st.integers(0, 3)) == 0:
        extra = draw(st.sampled_from((store(OLD_WORD, quad(NEAR_A)), store(at - 8, quad(OLD_WORD)), told, ready)))
        stores.insert(draw(st.integers(0, 2)), extra)
    call = call_words(EXTRA, at)
    sled = call
    if draw(st.booleans()):
        sled = call[:4] + assemble("nop", 0)
        stores.append(store(at + 4, call[4:]))
    events = [event for each in stores for event in (each, *draw(pause))]
    reader = draw(st.sampled_from((*_READERS, *_READERS[-2:]))).format(order=draw(st.sampled_from(_ORDERS)))
    text = assemble(f"{reader}\n ld t1, 0(t1)\n jalr zero, 0(t1)", EXTRA).ljust(64, b"\0")
    words = "\n".join(f".byte {byte}" for byte in text)
    return scenario(
        *events,
        sled=sled,
        at=at,
        literal=OLD_WORD,
        extra={"reader": f"{words}\n.dword {NEAR_B}, 0"},
        old=draw(st.sampled_from(((), B, B))),
        new=draw(st.sampled_from((A, A, B))),
    )


A, B = (OPS_A,), (OPS_B,)
