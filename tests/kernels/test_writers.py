# SPDX-License-Identifier: GPL-2.0-or-later
"""What whoever writes text has to keep to, of toys; mutants.py has the same of real kernels."""

from __future__ import annotations

import pytest

from genpatch.audit.cases import Fn
from genpatch.audit.live import LIVE
from genpatch.image.model import KernelImage
from genpatch.race.environment import Preemption
from genpatch.race.kernel import KernelRaces, kernel_races
from genpatch.race.model import Act, Scenario
from genpatch.race.rows import RaceRow
from genpatch.race.run import explored
from tests.race.kernels import MUTEX, call_ops, pair
from tests.race.test_observe import FLUSH, WRITE

INIT, ENABLE, TOLD = "init beside another writer", "enable beside another writer", "patch_text_nosync"
CALL, BACK = "addi sp, sp, -16\n sd ra, 8(sp)\n", "ld ra, 8(sp)\n addi sp, sp, 16\n jalr zero, 0(ra)"
LOCKED = f"""
    addi sp, sp, -32
    sd ra, 24(sp)
    sd a1, 16(sp)
    la a0, {MUTEX:#x}
    jal ra, mutex_lock
    addi a0, zero, 0
    ld a1, 16(sp)
    jal ra, written
    la a0, {MUTEX:#x}
    jal ra, mutex_unlock
    addi a0, zero, 0
    ld ra, 24(sp)
    addi sp, sp, 32
    jalr zero, 0(ra)
"""
NOSYNC = f"{CALL} jal ra, patch_insn_write\n jal ra, flush_icache_all\n {BACK}"
SOUND = {"written": LIVE["ftrace_init_nop"], "ftrace_init_nop": LOCKED, "patch_text_nosync": NOSYNC}


def races_of(image: KernelImage) -> KernelRaces:
    return kernel_races(image, writers=True)


def explore(races: KernelRaces, name: str) -> RaceRow:
    return explored(races.function, name, races.scenario(name), races.settings, max_states=20_000)


def acts(scenario: Scenario, number: int) -> list[str]:
    return [event.act.value for event in scenario.patchers[number]]


def test_they_are_made_only_when_asked_for() -> None:
    image = call_ops(dict(SOUND))
    names = [scenario.name for scenario in kernel_races(image).scenarios]
    assert [scenario.name for scenario in races_of(image).scenarios] == [*names, INIT, ENABLE, TOLD]


def test_writers_that_lock_take_turns() -> None:
    races = races_of(call_ops(dict(SOUND), config={"CONFIG_SMP": "y", "CONFIG_PREEMPTION": "y"}))
    assert races.settings.preemption is Preemption.FULL
    assert acts(races.scenario(INIT), 0) == ["lock", *WRITE, *WRITE, "unlock"]
    assert acts(races.scenario(INIT), 1) == ["lock", *WRITE, "unlock"]
    assert [explore(races, name).verdict for name in (INIT, ENABLE, TOLD)] == ["safe"] * 3


def test_what_the_other_writes_is_elsewhere() -> None:
    functions = (Fn(name="one"), Fn(name="two"), Fn(name="far", at=call_ops().address_of("one") + 0x2000))  # type: ignore[operator]
    races = races_of(call_ops(dict(SOUND), functions=functions))
    first, second = ([event for event in events if event.act is Act.STORE] for events in races.scenario(INIT).patchers)
    assert first[0].at >> 12 != second[0].at >> 12
    assert races.scenario(INIT).lines[second[0].at] == "far"


@pytest.mark.parametrize("image", [call_ops(), pair()], ids=["call-ops", "pair"])
def test_initialising_without_the_lock_loses_stores(image: KernelImage) -> None:
    races = races_of(image)
    row = explore(races, INIT)
    assert row.kinds == ("lost",)
    assert "goes through" in row.witnesses["lost"][-1].text


def test_the_lock_behind_the_first_store_is_too_late() -> None:
    """init writes unlocked, and once more under the lock."""
    late = f"{CALL} sd a1, 0(sp)\n jal ra, written\n ld a1, 0(sp)\n addi a0, zero, 0\n jal ra, locked\n {BACK}"
    races = races_of(call_ops({**SOUND, "locked": LOCKED, "ftrace_init_nop": late}))
    assert acts(races.scenario(INIT), 0)[:2] == ["map", "store"]
    assert explore(races, INIT).kinds == ("lost",)


def test_updating_without_the_lock_loses_stores() -> None:
    nothing = {"ftrace_arch_code_modify_prepare": None, "ftrace_arch_code_modify_post_process": None}
    assert explore(races_of(call_ops({**SOUND, **nothing})), ENABLE).kinds == ("lost",)


def test_a_writer_that_stops_the_machine_is_left_out() -> None:
    races = races_of(pair())
    assert ENABLE not in [scenario.name for scenario in races.scenarios]
    assert any(note.startswith(f"no {ENABLE}") and "take turns" in note for note in races.notes)


def test_new_text_reaches_every_hart() -> None:
    races = races_of(call_ops(dict(SOUND)))
    assert acts(races.scenario(TOLD), 0) == ["lock", *WRITE, *FLUSH, "unlock"]
    untold = races_of(call_ops({**SOUND, "patch_text_nosync": "jal zero, patch_insn_write"}))
    row = explore(untold, TOLD)
    assert row.kinds == ("stale",)
    assert row.witnesses["stale"][-1].text.endswith("it must be traced by the new instruction")


def test_what_is_not_there_is_said() -> None:
    assert f"no {TOLD} in the image" in races_of(call_ops()).notes
    alone = races_of(call_ops(dict(SOUND), functions=(Fn(name="one"),)))
    assert "no two writers: one traced function" in alone.notes
    without = races_of(call_ops({"ftrace_init_nop": None}))
    assert any(note.startswith(f"no {INIT}") and "no ftrace_init_nop" in note for note in without.notes)
