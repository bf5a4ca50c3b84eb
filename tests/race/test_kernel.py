# SPDX-License-Identifier: GPL-2.0-or-later
"""Scenarios of kernels: toys by default, Debian's 7.2 and 6.12 where they are.

What real kernels store was worked out by hand from addresses of symbols: auipc t0 is hi20 << 12 | 0x297 with
hi20 = distance + 0x800 >> 12, jalr t0, lo12(t0) is lo12 << 20 | 0x282e7.
"""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from genpatch.audit.cases import SITES_AT, Fn, ToyTypes
from genpatch.errors import ImageError, UsageError
from genpatch.image.btf import FunctionType, Parameter
from genpatch.image.config import parse_config
from genpatch.image.containers import open_content
from genpatch.image.model import ImageKind
from genpatch.image.read import read_image
from genpatch.race.environment import Environment, Fetch, Preemption, RemoteFence
from genpatch.race.explore import explore
from genpatch.race.kernel import KernelRaces, functions_by_alignment, kernel_races, pair_of
from genpatch.race.model import Act, Event, Scenario
from tests.race.kernels import COMMON, POKE, call_ops, jit, pair, word_poke
from tests.race.test_observe import FLUSH, WRITE
from tests.verify.toys import edited

LIVE = ["lock", *WRITE, *WRITE, *FLUSH, "unlock"]
STOPPED = ["lock", "stop_machine", *WRITE, "fence", "end of stop_machine", "unlock"]
_RET = "jalr zero, 0(ra)"

_LISTED = """
    addi sp, sp, -32
    sd ra, 24(sp)
    sd s1, 16(sp)
    ld s1, 0(a0)
    addi a0, s1, 0
    la a1, LIST_OPS
    jal ra, ftrace_set_ops
    la a4, ftrace_caller
    sub a4, a4, s1
    addi a4, a4, 4
    slliw a4, a4, 20
    lui a3, 0x28
    addi a3, a3, 0x2e7
    add a4, a4, a3
    sw a4, 0(sp)
    addi a0, s1, 0
    addi a1, sp, 0
    addi a2, zero, 4
    jal ra, patch_insn_write
    ld ra, 24(sp)
    ld s1, 16(sp)
    addi sp, sp, 32
    jalr zero, 0(ra)
"""


@cache
def live() -> KernelRaces:
    return kernel_races(call_ops({"bpf_arch_text_poke": POKE}))


@cache
def stopped() -> KernelRaces:
    return kernel_races(pair())


def acts(scenario: Scenario, number: int = 0) -> list[str]:
    return [event.act.value for event in scenario.patchers[number]]


def stores(scenario: Scenario) -> list[Event]:
    return [event for event in scenario.patchers[0] if event.act is Act.STORE]


def verdict(scenario: Scenario, settings: Environment, **changes: object) -> str:
    return explore(scenario, replace(settings, **changes)).verdict  # type: ignore[arg-type]


# --- toys


def test_transitions_of_a_kernel_with_a_literal() -> None:
    races = live()
    names = [each.name for each in races.scenarios if not each.name.startswith(("bpf", "kprobe"))]
    assert names == ["enable", "change", "change to a direct call", "disable"]
    assert all(acts(races.scenario(name)) == LIVE for name in names)


def test_transitions_of_a_kernel_with_a_pair() -> None:
    races = stopped()
    assert [each.name for each in races.scenarios] == ["enable", "disable"]
    assert all(acts(each) == STOPPED for each in races.scenarios)
    assert any("no change from tracer to tracer" in note for note in races.notes)


def test_behaviours_follow_one_another() -> None:
    races = live()
    enable, change, direct, disable = (
        races.scenario(name) for name in ("enable", "change", "change to a direct call", "disable")
    )
    (first,), (second,), (third,) = enable.new, change.new, direct.new
    assert len({first, second, third}) == 3
    assert (enable.old, change.old, direct.old, disable.old, disable.new) == ((), (first,), (second,), (first,), ())
    assert list(direct.site.directs.values()) == [third]
    assert {first, second, third} <= enable.ops
    assert [enable.lines[each] for each in (first, second, third)] == ["ops A", "ops B", "ops of the direct call"]


def test_memory_is_as_before_the_transition() -> None:
    for name, first in (("enable", b"\x13\0\0\0"), ("disable", b"\xe7")):
        scenario = live().scenario(name)
        assert scenario.memory.read(live().func + 4, len(first)) == first
        assert scenario.pointers[0].start == live().func - 8
    enable = live().scenario("enable")
    assert int.from_bytes(enable.memory.read(live().func - 8, 8), "little") in enable.quiet


def test_the_victim() -> None:
    site = live().scenario("enable").site
    assert (site.func, site.body, site.link, site.ops_register) == (live().func, live().func + 8, 5, 12)
    assert set(site.code) == {"sled", "ftrace_caller"}
    assert site.clobbers == frozenset({5, 6, 7, 28, 29, 30, 31})
    assert site.registers[2] in site.stack
    others = [value for number, value in enumerate(site.registers) if number not in (0, 3, 4)]
    assert len(set(others)) == len(others)


def test_a_scenario_can_be_explored() -> None:
    for races in (live(), stopped()):
        for name in ("enable", "disable"):
            assert verdict(races.scenario(name), races.settings, preemption=Preemption.VOLUNTARY) == "safe"
    assert verdict(live().scenario("change"), live().settings, preemption=Preemption.FULL) == "safe"
    assert verdict(stopped().scenario("enable"), stopped().settings, preemption=Preemption.FULL) == "unsafe"


def test_ops_are_freed_behind_a_wait() -> None:
    shutdown = "addi sp, sp, -16\n sd ra, 8(sp)\n jal ra, {}\n ld ra, 8(sp)\n addi sp, sp, 16\n jalr zero, 0(ra)"
    sources = {"synchronize_rcu_tasks": _RET, "something": _RET}
    for called, waits in (("synchronize_rcu_tasks", True), ("something", False)):
        races = kernel_races(call_ops({**sources, "ftrace_shutdown": shutdown.format(called)}))
        scenario = races.scenario("disable and free")
        assert acts(scenario) == [*LIVE, *(["synchronize_rcu_tasks"] if waits else []), "free"]
        assert races.settings.tasks_wait == waits
        expected = "safe" if waits else "unsafe"
        assert verdict(scenario, races.settings, preemption=Preemption.FULL) == expected


def test_without_ops_of_its_own_the_list_is_called() -> None:
    races = kernel_races(call_ops({"ftrace_find_unique_ops": None, "ftrace_make_call": _LISTED}))
    (ops,) = races.scenario("enable").new
    assert ops == races.image.address_of("ftrace_list_ops")
    assert not any(each.name.startswith("change") for each in races.scenarios)


# --- BPF programs and kprobes


def test_a_bpf_program() -> None:
    names = [each.name for each in live().scenarios if each.name.startswith("bpf")]
    assert names == [f"bpf text poke: {what}" for what in ("attach", "change", "detach")]
    attach, change, detach = (live().scenario(name) for name in names)
    (first,), (second,) = attach.new, change.new
    assert (attach.old, change.old, detach.old, detach.new) == ((), (first,), (second,), ())
    assert attach.site.body == attach.site.func + 8
    assert set(attach.site.directs) == {first, second}
    assert [store.what for each in (attach, detach) for store in stores(each)] == ["auipc and jalr", "nop and nop"]
    words = [stores(each)[0].data for each in (attach, change)]
    assert words[0][:4] != words[1][:4]  # another hi20
    assert words[0][4:] != words[1][4:]  # another lo12
    assert verdict(attach, live().settings, preemption=Preemption.FULL) == "unsafe"


_WRITES_WORD = """
    ld a0, 32(sp)
    addi a0, a0, {at}
    addi a1, sp, {source}
    addi a2, zero, 4
    jal ra, patch_insn_write
    jal ra, flush_icache_all
"""
_IN_STEPS = (
    POKE.replace("-32", "-48").replace(", 32", ", 48").replace("24(sp)", "40(sp)").replace("a5, 48", "a5, 32")
    .replace("a4, a4, 48", "a4, a4, 32").replace("a5, a4, 48", "a5, a4, 32")
)  # fmt: skip


def poke_in_steps(wait: str) -> str:
    """Return a poke that makes the first word a jump over both, waits, and writes the second word, then the first."""
    head, tail = _IN_STEPS.split("    addi a1, sp, 0\n    addi a2, zero, 8\n    jal ra, patch_insn_write\n")
    skip = "    sd a0, 32(sp)\n    lui a4, 0x800\n    addi a4, a4, 0x6f\n    sw a4, 16(sp)\n"  # jal zero, 8
    steps = [_WRITES_WORD.format(at=at, source=source) for at, source in ((0, 16), (4, 4), (0, 0))]
    return f"{head}{skip}{steps[0]}{wait}{steps[1]}{steps[2]}{tail}"


@pytest.mark.parametrize(("wait", "safe"), [("    jal ra, synchronize_rcu_tasks\n", True), ("", False)])
def test_a_poke_that_waits_for_tasks(wait: str, safe: bool) -> None:
    poke = poke_in_steps(wait)
    races = kernel_races(call_ops({"bpf_arch_text_poke": poke, "synchronize_rcu_tasks": "ebreak"}))
    attach = races.scenario("bpf text poke: attach")
    assert next(store.data[:4] for store in stores(attach)) == (0x0080006F).to_bytes(4, "little")
    assert acts(attach).count("synchronize_rcu_tasks") == safe
    assert verdict(attach, races.settings, preemption=Preemption.FULL) == ("safe" if safe else "unsafe")


def one_word(monkeypatch: pytest.MonkeyPatch, **poke: str) -> KernelRaces:
    """A kernel whose programs are its own JIT's and are traced by one instruction."""
    proto = FunctionType(
        name="bpf_int_jit_compile",
        returns="struct bpf_prog *",
        parameters=(Parameter(name="prog", type_name="struct bpf_prog *", size=8),),
        variadic=False,
    )
    protos = {proto.name: proto}
    monkeypatch.setattr(ToyTypes, "func_proto", lambda _, name: protos.get(name))
    return kernel_races(call_ops({**jit(), "bpf_arch_text_poke": word_poke(**poke)}))


def test_a_program_of_the_kernels_own_jit(monkeypatch: pytest.MonkeyPatch) -> None:
    races = one_word(monkeypatch)
    assert not any("of a program of nops" in note for note in races.notes)
    names = [each.name for each in races.scenarios if each.name.startswith("bpf")]
    assert names == [f"bpf text poke: {what}" for what in ("attach", "change", "detach", "attach again")]
    attach, change, detach, again = (races.scenario(name) for name in names)
    func = attach.site.func
    assert func % 16 == 8  # an image of which no more is asked than a multiple of 8
    assert attach.site.body == func + 8
    assert [(span.start - func, span.end - func) for span in attach.site.code.values()] == [(0, 8), (-16, 0)]
    told = [(store.at - func, store.what) for each in (attach, change, detach) for store in stores(each)]
    assert told == [(-8, "the trampoline's address"), (4, "jalr"), (-8, "the trampoline's address"), (4, "addi")]
    assert [store.at for store in stores(again)] == [store.at for store in stores(attach)]
    for scenario in (attach, change, detach, again):
        for fetch in Fetch:
            settings = {"preemption": Preemption.FULL, "fetch": fetch}
            assert verdict(scenario, races.settings, **settings) == "safe", (scenario.name, fetch)


def test_a_call_that_is_made_before_its_address_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    races = one_word(monkeypatch, first="insn")
    first, again = (races.scenario(f"bpf text poke: {what}") for what in ("attach", "attach again"))
    assert verdict(first, races.settings, preemption=Preemption.FULL) == "safe"  # the address was the body's
    assert verdict(again, races.settings, preemption=Preemption.FULL) == "unsafe"  # it is the last trampoline's


def test_a_kprobe_at_a_function_that_is_not_its_site() -> None:
    arm, disarm = live().scenario("kprobe: arm"), live().scenario("kprobe: disarm")
    func = live().func
    ((address, (probe, original)),) = arm.site.breakpoints.items()
    assert (address, arm.new, disarm.old) == (func, (probe,), (probe,))
    assert [store.data for store in stores(arm)] == [b"\x73\x00\x10\x00"]
    assert [store.data for store in stores(disarm)] == [original]
    assert arm.memory.read(func, 4) == original
    assert arm.site.body == func + 8


def test_a_kprobe_where_there_is_no_such_type() -> None:
    assert "no kprobe: struct kprobe: no type" in stopped().notes
    races = kernel_races(call_ops({"arch_arm_kprobe": None}))
    assert "no kprobe: no arch_arm_kprobe" in races.notes


@pytest.mark.parametrize(
    ("poke", "why"),
    [
        (None, "no bpf_arch_text_poke"),
        (f"addi a0, zero, -14\n {_RET}", "got it returns -14"),
        (f"addi a0, zero, 0\n {_RET}", "got it changes nothing"),
        ("ebreak", "does not return"),
    ],
)
def test_a_bpf_program_that_cannot_be_patched(poke: str | None, why: str) -> None:
    races = kernel_races(call_ops({"bpf_arch_text_poke": poke}))
    assert any(note.startswith("no bpf text poke") and why in note for note in races.notes)


# --- what the kernel is


def test_settings_of_a_configuration() -> None:
    config = {"CONFIG_SMP": "y", "CONFIG_PREEMPTION": "y", "CONFIG_PREEMPT_LAZY": "y"}
    settings = kernel_races(call_ops(config=config)).settings
    assert (settings.harts, settings.preemption, settings.alignment) == (2, Preemption.FULL, 8)
    assert (settings.stop_machine, settings.remote_fence) == (False, RemoteFence.PRESENT)


@pytest.mark.parametrize(
    ("config", "harts", "preemption"),
    [
        ({}, 1, Preemption.NONE),
        ({"CONFIG_SMP": "y"}, 2, Preemption.NONE),
        ({"CONFIG_PREEMPT_VOLUNTARY": "y"}, 1, Preemption.VOLUNTARY),
        ({"CONFIG_PREEMPTION": "y", "CONFIG_PREEMPT": "y"}, 1, Preemption.FULL),
    ],
)
def test_harts_and_preemption(config: dict[str, str], harts: int, preemption: Preemption) -> None:
    races = kernel_races(pair(config=config))
    assert (races.settings.harts, races.settings.preemption) == (harts, preemption)
    assert races.settings.stop_machine


def test_settings_of_symbols() -> None:
    assert stopped().settings.preemption is Preemption.VOLUNTARY
    assert stopped().settings.harts == 2
    full = kernel_races(pair({"preempt_schedule": _RET}))
    assert full.settings.preemption is Preemption.FULL
    assert any("preempt_schedule" in line for line in full.evidence)


@pytest.mark.parametrize(
    ("changes", "fence"),
    [
        ({"flush_icache_all": _RET}, RemoteFence.MISSING),
        ({"flush_icache_all": edited(COMMON["flush_icache_all"], ("fence w, o", "nop"))}, RemoteFence.UNORDERED),
        (
            {"arch_ftrace_update_code": "addi sp, sp, -16\n sd ra, 8(sp)\n jal ra, flush_icache_all\n"
             "jal ra, ftrace_modify_all_code\n ld ra, 8(sp)\n addi sp, sp, 16\n jalr zero, 0(ra)"},
            RemoteFence.EARLY,
        ),
    ],
)  # fmt: skip
def test_where_the_remote_fence_is(changes: dict[str, str], fence: RemoteFence) -> None:
    races = kernel_races(call_ops(dict(changes)))
    assert races.settings.remote_fence is fence
    if fence is not RemoteFence.UNORDERED:
        assert verdict(races.scenario("enable"), races.settings, preemption=Preemption.FULL, harts=2) == "unsafe"


# --- which function


SPREAD = tuple(Fn(name=f"at{n}", before=0, at=SITES_AT + 0x40 * n + n) for n in (0, 2, 4, 6))


def test_the_worst_alignment_is_the_default() -> None:
    races = kernel_races(pair(functions=SPREAD))
    assert (races.function, races.settings.alignment) == ("at6", 2)
    assert kernel_races(pair(functions=SPREAD[:1] + SPREAD[2:3])).function == "at4"


def test_a_function_of_each_alignment() -> None:
    assert functions_by_alignment(pair(functions=SPREAD)) == {0: "at0", 2: "at2", 4: "at4", 6: "at6"}


def test_a_function_by_name() -> None:
    races = kernel_races(call_ops(), function="two")
    assert (races.function, races.func) == ("two", races.image.address_of("two"))
    lines: list[str] = []
    kernel_races(call_ops(), function="two", progress=lines.append)
    assert lines[1:] == ["patching two", "patching a BPF program", "probing two"]


@pytest.mark.parametrize(("name", "near"), [("tw", "is it two"), ("onee", "is it one"), ("", ""), ("é", "")])
def test_a_function_that_is_not_traced(name: str, near: str) -> None:
    with pytest.raises(UsageError, match="is no traced function") as error:
        kernel_races(call_ops(), function=name)
    assert near in str(error.value)


def test_a_kernel_that_leaves_the_site_alone() -> None:
    with pytest.raises(ImageError, match="expected ftrace_make_call to store to one, got no store"):
        kernel_races(call_ops({"ftrace_make_call": f"addi a0, zero, 0\n {_RET}"}))
    with pytest.raises(ImageError, match="a function ftrace_make_call"):
        kernel_races(call_ops({"ftrace_make_call": None, "ftrace_modify_call": None}))
    with pytest.raises(ImageError, match="expected a call scheme of the catalog"):
        kernel_races(pair({"ftrace_make_call": None, "ftrace_modify_call": None}))


def test_a_change_that_the_kernel_refuses_is_told_of() -> None:
    races = kernel_races(call_ops({"ftrace_modify_call": f"addi a0, zero, -1\n {_RET}"}))
    assert [each.name for each in races.scenarios][:2] == ["enable", "disable"]
    assert "no change: ftrace_modify_call refuses one: it returns -1" in races.notes


def test_a_module_is_no_kernel() -> None:
    with pytest.raises(ImageError, match="expected a linked kernel, got module"):
        kernel_races(replace(call_ops(), kind=ImageKind.MODULE))


def test_no_scenario_of_that_name() -> None:
    with pytest.raises(UsageError, match="no scenario 'enabled'; known: enable, disable"):
        stopped().scenario("enabled")


# --- two patchers


def test_two_patchers() -> None:
    enable, disable = live().scenario("enable"), live().scenario("disable")
    both = pair_of(enable, disable)
    assert both.name == "enable against disable"
    assert [acts(both, number) for number in (0, 1)] == [LIVE, LIVE]
    assert (both.old, both.new, both.other) == ((), enable.new, ())
    assert both.memory is enable.memory
    bare = pair_of(enable, disable, lock=False)
    assert acts(bare) == [act for act in LIVE if act not in ("lock", "unlock")]
    assert bare.name.endswith("without a lock")
    with pytest.raises(UsageError, match="one patcher each"):
        pair_of(both, enable)


def test_two_patchers_of_two_functions() -> None:
    """Whatever the second does to its own function, the first one's does what the first patcher makes it do."""
    image = call_ops()
    one, two = (kernel_races(image, function=name).scenario("enable") for name in ("one", "two"))
    both = pair_of(one, two, lock=False)
    assert (both.site.func, both.new, both.other) == (one.site.func, one.new, one.new)
    assert {event.slot for events in both.patchers for event in events if event.act is Act.MAP} == {"slot 5"}


# --- real kernels


@cache
def races_of(version: str, kind: str, function: str | None) -> KernelRaces:
    folder = os.environ.get("GENPATCH_KERNELS")
    if not folder:
        pytest.skip("GENPATCH_KERNELS names no directory of kernels")
    path, config = Path(folder, version, kind), Path(folder, version, "config")
    if not path.exists() or not config.exists():
        pytest.skip(f"GENPATCH_KERNELS holds no {version}/{kind}")
    image = replace(read_image(open_content(str(path))), config=parse_config(config.read_bytes(), "config"))
    return kernel_races(image, function=function)


REAL_7_2 = ["lock", *WRITE, *FLUSH, *WRITE, *FLUSH, "unlock"]
KINDS = pytest.mark.parametrize("kind", ["vmlinux", "boot"])


@pytest.mark.kernels
@KINDS
def test_schedule_of_7_2(kind: str) -> None:
    """schedule is at 0xffffffff80dc7320, ftrace_caller 0xda4938 below it: lo12 is 0x6c8."""
    races = races_of("7.2", kind, "schedule")
    func = 0xFFFF_FFFF_80DC_7320
    assert races.func == func
    for name in ("enable", "change", "disable"):
        scenario = races.scenario(name)
        assert acts(scenario) == REAL_7_2
        literal, code = stores(scenario)
        assert (literal.at, len(literal.data), literal.slot) == (func - 8, 8, "FIX_TEXT_POKE0")
        word = 0x13 if name == "disable" else 0x6C82_82E7
        assert (code.at, code.data, code.slot) == (func + 4, word.to_bytes(4, "little"), "FIX_TEXT_POKE0")
        pointer = scenario.new[0] if scenario.new else 0xFFFF_FFFF_8121_8860  # ftrace_nop_ops
        assert literal.data == pointer.to_bytes(8, "little") or kind == "boot"
    assert acts(races.scenario("disable and free")) == [*REAL_7_2, "synchronize_rcu_tasks", "free"]
    assert [event.at for event in races.scenario("enable").patchers[0] if event.act is Act.MAP] == [func & -4096] * 2


@pytest.mark.kernels
@KINDS
def test_schedule_of_6_12(kind: str) -> None:
    """schedule is at 0xffffffff80a6e232, ftrace_caller 0xa612d2 below it: hi20 0xff59f, lo12 0xd2e."""
    races = races_of("6.12", kind, "schedule")
    func = 0xFFFF_FFFF_80A6_E232
    enable, disable = races.scenario("enable"), races.scenario("disable")
    expected = [
        "lock",
        "stop_machine",
        "map",
        *["store"] * 4,
        "fence.i",
        "unmap",
        "fence",
        "end of stop_machine",
        "unlock",
    ]
    assert acts(enable) == acts(disable) == expected
    assert b"".join(store.data for store in stores(enable)) == bytes.fromhex("97f259ffe782e2d2")
    assert b"".join(store.data for store in stores(disable)) == bytes.fromhex("1300000013000000")
    assert [store.at - func for store in stores(enable)] == [0, 2, 4, 6]


@pytest.mark.kernels
@pytest.mark.parametrize(("residue", "widths"), [(0, [8]), (2, [2] * 4), (4, [4, 4]), (6, [2] * 4)])
def test_stores_of_6_12_follow_alignment(residue: int, widths: list[int]) -> None:
    image = races_of("6.12", "vmlinux", "schedule").image
    function = functions_by_alignment(image)[residue]
    races = kernel_races(image, function=function)
    assert races.func % 8 == residue
    assert [len(store.data) for store in stores(races.scenario("enable"))] == widths


@pytest.mark.kernels
def test_settings_of_real_kernels() -> None:
    new, old = races_of("7.2", "vmlinux", None).settings, races_of("6.12", "vmlinux", None).settings
    assert (new.harts, new.preemption, new.alignment, new.stop_machine) == (2, Preemption.FULL, 8, False)
    assert (old.harts, old.preemption, old.alignment, old.stop_machine) == (2, Preemption.VOLUNTARY, 2, True)
    assert (new.remote_fence, old.remote_fence) == (RemoteFence.PRESENT, RemoteFence.PRESENT)


@pytest.mark.kernels
@pytest.mark.parametrize("version", ["7.2", "6.12"])
def test_bpf_programs_of_real_kernels(version: str) -> None:
    races = races_of(version, "vmlinux", None)
    expected = [
        "lock",
        "stop_machine",
        "map",
        "store",
        "store",
        "fence.i",
        "unmap",
        "fence",
        "end of stop_machine",
        "unlock",
    ]
    for what in ("attach", "change", "detach"):
        scenario = races.scenario(f"bpf text poke: {what}")
        assert acts(scenario) == expected
        assert scenario.site.body - scenario.site.func == 8
        assert [len(store.data) for store in stores(scenario)] == [4, 4]


@pytest.mark.kernels
def test_kprobes_of_real_kernels() -> None:
    new, old = (races_of(version, "vmlinux", "schedule") for version in ("7.2", "6.12"))
    expected = ["stop_machine", *WRITE, "fence", "end of stop_machine"]
    assert acts(new.scenario("kprobe: arm")) == acts(old.scenario("kprobe: arm")) == expected
    assert list(new.scenario("kprobe: arm").site.breakpoints) == [new.func]
    assert list(old.scenario("kprobe: arm").site.breakpoints) == [old.func + 8]


@pytest.mark.kernels
@pytest.mark.parametrize(
    ("version", "preemption", "name", "expected"),
    [
        ("7.2", "full", "enable", "safe"),
        ("7.2", "full", "change", "safe"),
        ("7.2", "full", "change to a direct call", "safe"),
        ("7.2", "full", "disable", "safe"),
        ("7.2", "full", "disable and free", "safe"),
        ("7.2", "full", "bpf text poke: attach", "unsafe"),
        ("7.2", "full", "bpf text poke: change", "unsafe"),
        ("7.2", "voluntary", "bpf text poke: attach", "safe"),
        ("6.12", "voluntary", "enable", "safe"),
        ("6.12", "voluntary", "disable", "safe"),
        ("6.12", "voluntary", "change to a direct call", "safe"),
        ("6.12", "full", "enable", "unsafe"),
        ("6.12", "full", "change to a direct call", "unsafe"),
    ],
)
def test_verdicts_on_real_kernels(version: str, preemption: str, name: str, expected: str) -> None:
    races = races_of(version, "vmlinux", None)
    assert verdict(races.scenario(name), races.settings, preemption=Preemption(preemption)) == expected
