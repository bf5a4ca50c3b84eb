# SPDX-License-Identifier: GPL-2.0-or-later
"""What a kernel's functions do, seen from outside: stores, fences, locks, other harts."""

from __future__ import annotations

import pytest

from genpatch.audit.cases import DATA, Fn
from genpatch.errors import ImageError
from genpatch.image.model import KernelImage
from genpatch.race.kernel_site import FtraceSite, Kernel, prepare_kernel
from genpatch.race.model import Act
from genpatch.race.observe import Call, KernelObserver, Observed, fence_sets
from genpatch.units import Span
from genpatch.verify.scene import prepare_scene
from tests.race.kernels import COMMON, LIVE_UPDATE, MASK, PATCH_ALL, STOPPED_UPDATE, call_ops, pair
from tests.verify.toys import edited

WRITE = ["map", "store", "fence.i", "unmap"]
FLUSH = ["fence.i", "fence", "fence.i", "remote fence.i"]


def acts(seen: Observed) -> list[str]:
    return [event.act.value for event in seen.events]


def site_of(image: KernelImage, number: int = 0) -> FtraceSite:
    site = FtraceSite(prepare_kernel(image), number)
    site.initialise()
    return site


def enabled(image: KernelImage) -> Observed:
    site = site_of(image)
    caller = image.address_of("ftrace_caller") or 0
    return site.update("ftrace_make_call", site.record, caller, ops=site.ops_a)


def observed(image: KernelImage, function: str) -> Observed:
    observer = KernelObserver(image, prepare_scene(image))
    return observer.observe([Call(function)], Span(0, 0), Span(0, 0))


# --- fences


@pytest.mark.parametrize(
    ("operands", "sets"),
    [(0x14, ("w", "o")), (0x31, ("rw", "w")), (0xFF, ("iorw", "iorw")), (0x833, ("rw", "rw")), (0x10, ("w", ""))],
)
def test_sets_of_a_fence(operands: int, sets: tuple[str, str]) -> None:
    assert fence_sets(operands) == sets


@pytest.mark.parametrize(
    ("source", "events"),
    [
        ("fence w, o", ["fence"]), ("fence rw, w", ["fence"]), ("fence", ["fence"]), ("fence r, rw", []),
        ("pause", []), ("fence.i", ["fence.i"]), ("fence o, w\n fence.i\n fence w, w", ["fence.i", "fence"]),
    ],
)  # fmt: skip
def test_only_fences_behind_stores_count(source: str, events: list[str]) -> None:
    image = call_ops({"flush_icache_all": f"{source}\n jalr zero, 0(ra)"})
    assert acts(observed(image, "flush_icache_all")) == events


# --- other harts


def test_a_flush_is_executed_on_a_machine_of_two_harts() -> None:
    seen = observed(call_ops(), "flush_icache_all")
    assert acts(seen) == FLUSH
    assert [event.what for event in seen.events] == ["", "fence w,o", "", "ipi_remote_fence_i"]


def test_a_cross_call_of_something_else_is_no_remote_fence() -> None:
    source = edited(COMMON["flush_icache_all"], ("ipi_remote_fence_i", "ipi_sync"))
    seen = observed(call_ops({"flush_icache_all": source}), "flush_icache_all")
    assert acts(seen) == ["fence.i", "fence"]


def test_a_remote_fence_that_nobody_waits_for_is_none() -> None:
    source = edited(COMMON["flush_icache_all"], ("addi a3, zero, 1", "addi a3, zero, 0"))
    seen = observed(call_ops({"flush_icache_all": source}), "flush_icache_all")
    assert acts(seen) == ["fence.i", "fence"]
    assert "nobody waits" in seen.notes[0]


def test_a_remote_fence_by_firmware() -> None:
    source = edited(COMMON["flush_icache_all"], ("on_each_cpu_cond_mask", "sbi_remote_fence_i"))
    image = call_ops({"flush_icache_all": source, "sbi_remote_fence_i": "ebreak"})
    assert acts(observed(image, "flush_icache_all")) == ["fence.i", "fence", "remote fence.i"]


@pytest.mark.parametrize("name", ["smp_call_function_many", "smp_call_function_many_cond"])
def test_a_remote_fence_by_another_cross_call(name: str) -> None:
    """They have the function, its argument and whether to wait where on_each_cpu_cond_mask has them."""
    source = edited(COMMON["flush_icache_all"], ("on_each_cpu_cond_mask", name))
    image = call_ops({"flush_icache_all": source, name: "ebreak"})
    assert acts(observed(image, "flush_icache_all")) == ["fence.i", "fence", "remote fence.i"]


# --- updates


def test_a_live_update() -> None:
    assert acts(enabled(call_ops())) == ["lock", *WRITE, *WRITE, *FLUSH, "unlock"]


def test_a_stopped_update() -> None:
    seen = enabled(pair())
    assert acts(seen) == ["lock", "stop_machine", *WRITE, "fence", "end of stop_machine", "unlock"]
    assert seen.notes == ()


def test_an_update_without_a_frame() -> None:
    seen = enabled(call_ops({"arch_ftrace_update_code": None}))
    assert acts(seen) == [*WRITE, *WRITE]
    assert "no arch_ftrace_update_code" in seen.notes[0]


def test_an_update_without_locks() -> None:
    missing = dict.fromkeys(("ftrace_arch_code_modify_prepare", "ftrace_arch_code_modify_post_process"))
    assert acts(enabled(call_ops(missing))) == [*WRITE, *WRITE, *FLUSH]


def test_locks_of_something_else_are_not_seen() -> None:
    prepare = f"la a0, {DATA + 0x900:#x}\n jal zero, mutex_lock"
    assert "lock" not in acts(enabled(call_ops({"ftrace_arch_code_modify_prepare": prepare})))


def test_a_hart_that_waits_without_fence_i_is_told_of() -> None:
    seen = enabled(pair({"patch_all": edited(PATCH_ALL, ("fence.i", "nop"))}))
    assert seen.notes == ("stop_machine: the harts that wait execute no fence.i",)


def test_a_hart_that_waits_for_ever_is_told_of() -> None:
    seen = enabled(pair({"patch_all": edited(PATCH_ALL, ("bgeu a3, a5, wait", "jal zero, wait"))}))
    assert seen.notes == ("stop_machine: a hart that waits for the patcher does not come back",)


def test_stop_machine_that_calls_one_hart() -> None:
    update = edited(STOPPED_UPDATE, (f"la a2, {MASK:#x}", "addi a2, zero, 0"))
    patch_all = "jal zero, ftrace_modify_all_code"
    seen = enabled(pair({"arch_ftrace_update_code": update, "patch_all": patch_all}))
    assert acts(seen) == ["lock", "stop_machine", *WRITE, "end of stop_machine", "unlock"]
    assert "one hart is called" in seen.notes[0]


def test_the_first_hart_may_be_the_one_that_patches() -> None:
    first = edited(PATCH_ALL, ("bne a5, a3, wait", "addi a3, zero, 1\n bne a5, a3, wait"))
    seen = enabled(pair({"patch_all": first}))
    assert acts(seen) == [
        "lock",
        "stop_machine",
        "map",
        "store",
        "unmap",
        "fence",
        "fence.i",
        "end of stop_machine",
        "unlock",
    ]


# --- stores


def test_stores_are_seen_where_they_land() -> None:
    image = call_ops()
    site = site_of(image)
    seen = site.update("ftrace_make_call", site.record, image.address_of("ftrace_caller") or 0, ops=site.ops_a)
    literal, jalr = seen.stores
    # jalr t0, lo12(t0) is lo12 << 20 | 0x282e7
    low = ((image.address_of("ftrace_caller") or 0) - site.func) & 0xFFF
    assert (literal.at, literal.data) == (site.func - 8, site.ops_a.to_bytes(8, "little"))
    assert (jalr.at, jalr.data) == (site.func + 4, (low << 20 | 0x282E7).to_bytes(4, "little"))
    assert [store.what for store in seen.stores] == ["the ops pointer", "jalr"]
    assert {event.slot for event in seen.events if event.act in (Act.MAP, Act.STORE, Act.UNMAP)} == {"slot 5"}
    assert {event.at for event in seen.events if event.act is Act.MAP} == {site.func & -4096}


def test_text_that_is_written_where_it_is() -> None:
    image = call_ops({
        "__set_fixmap": None,
        "patch_insn_write": "addi a4, zero, 8\n bne a2, a4, word\n ld a4, 0(a1)\n sd a4, 0(a0)\n jal zero, done\n"
        "word:\n lw a4, 0(a1)\n sw a4, 0(a0)\ndone:\n addi a0, zero, 0\n jalr zero, 0(ra)",
    })  # fmt: skip
    seen = enabled(image)
    assert acts(seen) == ["lock", "store", "store", *FLUSH, "unlock"]
    assert {store.slot for store in seen.stores} == {""}


def test_stores_elsewhere_are_not_seen() -> None:
    image = call_ops()
    site = site_of(image)
    other = FtraceSite(
        Kernel(image, site.kernel.scheme, site.kernel.result, site.kernel.code, site.scene, site.kernel.terms), 1
    )
    seen = other.observer.observe([Call("ftrace_init_nop", (0, other.record))], site.sled, site.sled)
    assert "store" not in acts(seen)


# --- what goes wrong


def test_a_function_that_does_not_return() -> None:
    with pytest.raises(ImageError, match=r"does not return: breakpoint .* at ftrace_make_call"):
        enabled(call_ops({"ftrace_make_call": "ebreak"}))


def test_a_function_that_refuses() -> None:
    with pytest.raises(ImageError, match="ftrace_make_call refuses one: it returns -22"):
        enabled(call_ops({"ftrace_make_call": "addi a0, zero, -22\n jalr zero, 0(ra)"}))


def test_a_function_that_stores_nothing() -> None:
    with pytest.raises(ImageError, match="expected ftrace_make_call to store to one, got no store"):
        enabled(call_ops({"ftrace_make_call": "addi a0, zero, 0\n jalr zero, 0(ra)"}))


def test_a_kernel_whose_fixmap_is_not_found() -> None:
    image = call_ops({"patch_insn_write": "addi a0, zero, 0\n jalr zero, 0(ra)"})
    with pytest.raises(ImageError, match="the fixmap was not found"):
        KernelObserver(image, prepare_scene(image))


def test_an_update_that_never_comes_to_patching() -> None:
    update = edited(LIVE_UPDATE, ("jal ra, ftrace_modify_all_code", "nop"))
    with pytest.raises(ImageError, match="got no store"):
        enabled(call_ops({"arch_ftrace_update_code": update}))


def test_a_sled_at_any_address() -> None:
    """Our toy stores a pair at once wherever it is; what it is stored to is a pair still."""
    image = pair(functions=(Fn(name="odd", before=0, at=0xFFFF_FFFF_8000_3006),))
    (store,) = enabled(image).stores
    assert (store.at % 8, len(store.data), store.what) == (6, 8, "auipc and jalr")
