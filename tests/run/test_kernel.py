# SPDX-License-Identifier: GPL-2.0-or-later
"""What a bench makes around a function: registers, stack, stubs, room, and images that leave none."""

from __future__ import annotations

import random

import pytest

from genpatch.errors import GenpatchError, ImageError, UsageError
from genpatch.machine.outcome import Cause, Status
from genpatch.run.kernel import RETURN, SCRATCH, STACK, TASK, KernelBench, has_returned
from genpatch.samples import resolve, sample_names
from genpatch.units import Span
from tests.elfwriter import ABS, ALLOC, ET_REL, EXEC, NOBITS, NOTYPE, OBJECT, WRITE, Section, Symbol

from .toy import DATA, FUNCTIONS, TEXT, at, image_of, toy_bytes


@pytest.fixture
def bench() -> KernelBench:
    return KernelBench(image_of(toy_bytes()))


def test_a_call(bench: KernelBench) -> None:
    outcome = bench.call("add", 30, 12)
    assert has_returned(outcome)
    assert (outcome.status, outcome.pc, bench.hart.x[10], bench.hart.retired) == (Status.STOPPED, RETURN, 42, 2)


def test_a_call_by_address(bench: KernelBench) -> None:
    assert has_returned(bench.call(at("add"), 1, 2))
    assert bench.hart.x[10] == 3


@pytest.mark.parametrize("value", [-1, (1 << 64) - 1, (1 << 128) - 1])
def test_arguments_are_cut_to_registers(bench: KernelBench, value: int) -> None:
    bench.call("add", value, 1)
    assert bench.hart.x[10] == 0


def test_calls_see_what_earlier_ones_did(bench: KernelBench) -> None:
    values = []
    for _ in range(3):
        assert has_returned(bench.call("counter"))
        values.append(bench.hart.x[10])
    assert values == [42, 43, 44]
    assert bench.memory.read(DATA + 64, 8) == (44).to_bytes(8, "little")
    assert bench.image.memory.read(DATA + 64, 8) == (41).to_bytes(8, "little"), "the image itself is left alone"


def test_arguments_beyond_the_eighth_are_on_the_stack(bench: KernelBench) -> None:
    assert has_returned(bench.call("ninth", *range(100, 112)))
    assert bench.hart.x[10] == 108
    assert bench.memory.read(bench.hart.x[2], 32) == b"".join(n.to_bytes(8, "little") for n in (108, 109, 110, 111))
    assert bench.hart.x[2] % 16 == 0


@pytest.mark.parametrize("count", [0, 8, 9, 10, 4000])
def test_the_stack_has_room_around_sp(bench: KernelBench, count: int) -> None:
    bench.prepare(at("add"), [1] * count)
    sp = bench.hart.x[2]
    assert sp % 16 == 0
    assert STACK.start + 4096 < sp < STACK.end
    assert sp + 8 * max(count - 8, 0) <= STACK.end


def test_more_arguments_than_the_stack_holds(bench: KernelBench) -> None:
    with pytest.raises(UsageError, match="10000 arguments: a stack of 65536 bytes"):
        bench.call("add", *range(10_000))


def test_registers_of_an_image_without_symbols_for_them(bench: KernelBench) -> None:
    bench.call("pointers")
    assert bench.hart.x[10:12] == [0, TASK.start]
    assert not any(bench.memory.read(TASK.start, TASK.size))


@pytest.mark.parametrize(
    ("names", "gp"), [(["__global_pointer$"], 0x1000), (["__global_pointer$", "init_shadow_call_stack"], 0x1001)]
)
def test_registers_of_an_image_with_symbols_for_them(names: list[str], gp: int) -> None:
    more = [Symbol(name=name, value=0x1000 + number, section=ABS, kind=OBJECT) for number, name in enumerate(names)]
    more.append(Symbol(name="init_task", value=DATA, section=".data", kind=OBJECT))
    bench = KernelBench(image_of(toy_bytes(symbols=tuple(more))))
    bench.call("pointers")
    assert bench.hart.x[10:12] == [gp, DATA]


def test_saved_registers_start_as_zero(bench: KernelBench) -> None:
    bench.hart.x[8:28] = [7] * 20
    bench.prepare(at("add"), [1, 2])
    assert bench.hart.x[5:32] == [0] * 5 + [1, 2] + [0] * 20
    assert bench.hart.x[1] == RETURN


def test_a_stub(bench: KernelBench) -> None:
    bench.stubs[at("add")] = 21
    assert has_returned(bench.call("outer", 1, 2))
    assert bench.hart.x[10] == 42
    bench.stubs[at("add")] = -1
    assert has_returned(bench.call("outer", 1, 2))
    assert bench.hart.x[10] == (1 << 64) - 2


def test_a_stub_of_the_function_that_is_called(bench: KernelBench) -> None:
    bench.stubs[at("add")] = -5
    assert has_returned(bench.call("add"))
    assert (bench.hart.x[10], bench.hart.retired) == ((1 << 64) - 5, 0)


@pytest.mark.parametrize(
    ("name", "status", "cause", "pc", "tval"),
    [
        ("bug", Status.FAULT, Cause.BREAKPOINT, at("bug"), at("bug")),
        ("wild", Status.FAULT, Cause.LOAD_FAULT, at("wild") + 4, 0x10),
        ("odd", Status.FAULT, Cause.ILLEGAL, at("odd"), 0xFFFFFFFF),
        ("spin", Status.STUCK, None, at("spin"), 0),
    ],
)
def test_calls_that_do_not_return(
    bench: KernelBench, name: str, status: Status, cause: Cause | None, pc: int, tval: int
) -> None:
    outcome = bench.call(name)
    assert (outcome.status, outcome.cause, outcome.pc, outcome.tval) == (status, cause, pc, tval)
    assert not has_returned(outcome)


def test_a_budget(bench: KernelBench) -> None:
    outcome = bench.call("busy", budget=1001)
    assert (outcome.status, bench.hart.retired, bench.hart.x[10]) == (Status.BUDGET, 1001, 501)


@pytest.mark.parametrize(("budget", "returned"), [(0, False), (1, False), (2, True), (3, True)])
def test_a_budget_that_is_just_enough(bench: KernelBench, budget: int, returned: bool) -> None:
    assert has_returned(bench.call("add", 1, 2, budget=budget)) == returned


def test_text_is_not_writable(bench: KernelBench) -> None:
    outcome = bench.call("fill", TEXT, 1, 1)
    assert (outcome.cause, outcome.tval) == (Cause.STORE_FAULT, TEXT)


def test_data_is_not_executable(bench: KernelBench) -> None:
    assert bench.call(DATA).cause == Cause.FETCH_FAULT


@pytest.mark.parametrize("address", [-2, 0, 1, (1 << 64) - 1, (1 << 64) - 2, 1 << 64, 1 << 70])
def test_addresses_without_a_function(bench: KernelBench, address: int) -> None:
    outcome = bench.call(address)
    assert outcome.status == Status.FAULT
    assert outcome.cause in (Cause.FETCH_FAULT, Cause.FETCH_MISALIGNED)


@pytest.mark.parametrize("name", ["", "nothing", "ad", "\udcff", "\0"])
def test_names_without_a_function(bench: KernelBench, name: str) -> None:
    with pytest.raises(UsageError, match="no symbol"):
        bench.call(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("minus", "toy: no symbol 'minus'; is it minus_one?"), ("nothing", "toy: no symbol 'nothing'"),
        ("grow", "toy: no symbol 'grow'; is it grow.isra.0 or grow.part.0?"), ("mi", "toy: no symbol 'mi'"),
    ],
)  # fmt: skip
def test_names_that_are_nearly_there(name: str, message: str) -> None:
    names = ("grow_fast", "grow.isra.0", "grow.part.0")
    bench = KernelBench(image_of(toy_bytes(symbols=tuple(Symbol(name=each, value=TEXT) for each in names))))
    with pytest.raises(UsageError) as caught:
        bench.call(name)
    assert str(caught.value) == message


def test_the_name_of_a_section_symbol_is_no_name() -> None:
    bench = KernelBench(image_of(toy_bytes(symbols=(Symbol(name="", value=TEXT),))))
    with pytest.raises(UsageError, match="no symbol ''"):
        bench.call("")


# --- room


def test_place(bench: KernelBench) -> None:
    one, two, three = bench.place(b"abc"), bench.place(b""), bench.place(bytes(range(32)))
    assert (one, two, three) == (SCRATCH.start, SCRATCH.start + 16, SCRATCH.start + 32)
    assert bench.memory.read(one, 16) == b"abc".ljust(16, b"\0")
    assert bench.memory.read(three, 32) == bytes(range(32))


def test_place_until_there_is_no_room(bench: KernelBench) -> None:
    bench.place(bytes(SCRATCH.size - 16))
    with pytest.raises(UsageError, match="an argument of 1 bytes: there is room for 0"):
        bench.place(b"x")
    with pytest.raises(UsageError, match="there is room for"):
        KernelBench(bench.image).place(bytes(SCRATCH.size))


def area(start: int, size: int, name: str = ".area", **more: int) -> Section:
    return Section(name=name, type=NOBITS, addr=start, size=size, flags=ALLOC | WRITE, claim=more)


@pytest.mark.parametrize("span", [STACK, SCRATCH, TASK])
@pytest.mark.parametrize("shift", [0, -4096, 4096, 8])
def test_an_image_that_is_linked_where_the_bench_wants_to_be(span: Span, shift: int) -> None:
    start = span.start + shift
    bench = KernelBench(image_of(toy_bytes(area(start, 0x3000))))
    assert has_returned(bench.call("outer", 20, 1))
    assert bench.hart.x[10] == 42
    assert bench.memory.read(bench.place(b"hello"), 5) == b"hello"
    mine = [bench.stack, bench.scratch, bench.task]
    assert [each.size for each in mine] == [STACK.size, SCRATCH.size, TASK.size]
    assert all(each.end <= start or start + 0x3000 <= each.start for each in mine)
    assert all(each.start % 4096 == 0 for each in mine)


def test_an_image_that_takes_most_of_the_address_space() -> None:
    bench = KernelBench(image_of(toy_bytes(area(0x4000_0000, 0xFFFF_FFFF_0000_0000 - 0x4000_0000))))
    assert bench.stack.end <= 0x4000_0000
    assert has_returned(bench.call("outer", 20, 1))


def test_an_image_that_leaves_no_room() -> None:
    with pytest.raises(ImageError, match="free bytes for a scratch, got none"):
        KernelBench(image_of(toy_bytes(area(0x10_0000, 0xFFFF_FFFF_0000_0000))))


def test_a_relocatable_file_is_no_kernel() -> None:
    image = image_of(toy_bytes(type=ET_REL))
    with pytest.raises(ImageError, match="expected a linked kernel, got object, not relocated"):
        KernelBench(image)


# --- hostile images


def wild_symbol(rng: random.Random, number: int) -> Symbol:
    value = rng.choice((0, 1, (1 << 64) - 1, 1 << 63, rng.getrandbits(64), TEXT + rng.randrange(4096)))
    names = (
        "init_task",
        "__global_pointer$",
        "init_shadow_call_stack",
        "__rela_dyn_start",
        "__rela_dyn_end",
        "\x1b[31m",
        "",
    )
    return Symbol(
        name=rng.choice(names), value=value, section=ABS, kind=rng.choice((NOTYPE, OBJECT)), size=rng.getrandbits(64)
    )


def wild_section(rng: random.Random, number: int) -> Section:
    addresses = (
        0,
        1,
        TEXT,
        TEXT + 100,
        DATA - 8,
        STACK.start,
        SCRATCH.end - 1,
        TASK.start,
        rng.getrandbits(64),
        (1 << 64) - 4096,
    )
    sizes = (0, 1, 16, 4096, 1 << 20, 1 << 40, (1 << 64) - 1, rng.getrandbits(64))
    kind, data = rng.choice(((NOBITS, b""), (1, rng.randbytes(rng.randrange(100)))))
    return Section(
        name=rng.choice((f".s{number}", ".rela.dyn", ".dynsym")), type=kind, data=data, addr=rng.choice(addresses),
        size=rng.choice(sizes) if kind == NOBITS else None, flags=ALLOC | rng.choice((0, WRITE, EXEC)),
    )  # fmt: skip


def test_wild_images_end_in_our_own_errors() -> None:
    rng = random.Random(5)
    ran = 0
    for _ in range(300):
        sections = [wild_section(rng, number) for number in range(rng.randrange(6))]
        symbols = tuple(wild_symbol(rng, number) for number in range(rng.randrange(5)))
        data = bytearray(toy_bytes(*sections, symbols=symbols))
        for _ in range(rng.choice((0, 0, 1, 3))):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            bench = KernelBench(image_of(bytes(data)))
            for name in rng.sample(sorted(FUNCTIONS), 4):
                bench.call(name, rng.getrandbits(64), 2, 3, budget=1000)
                ran += 1
        except GenpatchError:
            continue
    assert ran > 300


@pytest.mark.parametrize("name", sample_names())
def test_every_sample_is_run_or_refused(name: str) -> None:
    from genpatch.image.containers import open_content
    from genpatch.image.read import read_image

    image = read_image(open_content(resolve(f"sample:{name}")))
    try:
        bench = KernelBench(image)
    except ImageError:
        assert not image.kind.is_kernel
        return
    for number in image.symbols.functions[:30].tolist():
        outcome = bench.call(int(image.symbols.address[number]), budget=2000)
        assert outcome.status != Status.RUNNING
