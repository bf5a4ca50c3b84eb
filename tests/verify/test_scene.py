# SPDX-License-Identifier: GPL-2.0-or-later
"""What is made ready once: where text is written, what is stubbed, where the host stands."""

from __future__ import annotations

from dataclasses import replace

import pytest

from genpatch.audit.cases import Code, Fn, kernel, replaced
from genpatch.audit.live import LIVE, live
from genpatch.errors import ImageError
from genpatch.image.model import KernelImage
from genpatch.verify.run import verify
from genpatch.verify.scene import prepare_scene
from tests.elfwriter import ALLOC, NOBITS, WRITE, Section
from tests.run.toy import TEXT, image_of, toy_bytes

from .toys import DATA, GLOBAL_OPS, HANDLER, PAIR, broken, call_ops, edited, pair, without


def test_where_the_fixmap_is() -> None:
    """The toy writes to 0xffffffffc0000000 + offset through slot 5."""
    scene = prepare_scene(call_ops().image)
    assert scene.fixmap_top == 0xFFFF_FFFF_C000_0000 + 5 * 4096
    assert not [note for note in scene.notes if "fixmap" in note]


def test_no_fixmap() -> None:
    scene = prepare_scene(without(call_ops().image, "__set_fixmap"))
    assert scene.fixmap_top is None
    assert "no __set_fixmap: text is written where it is" in scene.notes
    text = next(place for place in scene.places if place.name == ".text")
    assert text.permissions == "rwx"


def test_text_is_not_writable_where_there_is_a_fixmap() -> None:
    assert {place.permissions for place in prepare_scene(call_ops().image).places if "x" in place.permissions} == {"rx"}


def test_nothing_that_writes() -> None:
    scene = prepare_scene(without(call_ops().image, "patch_insn_write"))
    assert scene.fixmap_top is None
    assert any(note.startswith("the fixmap was not found: nothing that writes to text") for note in scene.notes)


@pytest.mark.parametrize(
    ("edit", "note"),
    [
        (("lui a4, 0xc0000", "lui a4, 0xc0001"), ""),
        (("add a3, a3, a4", "add a3, a3, zero"), ""),
        (("addi a0, zero, 5\n    addi a2, zero, 1\n    jal ra, __set_fixmap", "addi a2, zero, 1"), "a trial write"),
        (("sd ra, 40(sp)", "again:\n    jal zero, again"), "a trial write ended with"),
        (("add a3, a3, a4", "add a3, a3, a4\n    addi a3, a3, 8"), "a trial write went to 0x"),
    ],
)
def test_a_writer_that_goes_wrong(edit: tuple[str, str], note: str) -> None:
    image = call_ops("patch_insn_write", edit).image
    notes = " ".join(prepare_scene(image).notes)
    assert note in notes
    assert verify(image).failures or not note


def test_what_is_missing() -> None:
    assert prepare_scene(without(call_ops().image, "ftrace_make_nop")).missing == (
        "ftrace_make_nop", "ftrace_update_ftrace_func",
    )  # fmt: skip


def test_stubs_are_those_that_the_image_has() -> None:
    facts = live()
    assert prepare_scene(facts.image).stubs == {}
    code = replaced((Code(name="mutex_lock", source="jalr zero, 0(ra)", at=0xFFFF_FFFF_8000_2E00),), "x", "c.nop")
    scene = prepare_scene(kernel(Fn(name="one"), code=code).image)
    assert {address: stub.name for address, stub in scene.stubs.items()} == {0xFFFF_FFFF_8000_2E00: "mutex_lock"}


def test_the_host_is_near_and_nowhere_in_the_image() -> None:
    scene = prepare_scene(call_ops().image)
    image: KernelImage = call_ops().image
    places = (scene.callback, scene.direct, scene.elsewhere, scene.parent)
    assert len(set(places)) == 4
    for address in places:
        assert address in scene.host
        assert image.memory.region_at(address) is None
        assert abs(address - image.memory.regions[0].span.start) < 1 << 31


def test_the_callback_is_what_the_trampoline_calls() -> None:
    """The kernel's own ftrace_update_ftrace_func wrote it into a word of .data."""
    scene = prepare_scene(pair().image)
    data = next(place for place in scene.places if place.name == ".data")
    at = 0x300
    assert int.from_bytes(data.content[at : at + 8].tobytes(), "little") == scene.callback


def test_the_ops_that_the_callback_was_put_into() -> None:
    """A trampoline that calls one ops for all: its func is what ftrace_update_ftrace_func wrote."""
    handed = pair("ftrace_caller", ("ld a2, 0(a2)", f"addi a2, a2, {HANDLER - GLOBAL_OPS}"))
    assert prepare_scene(handed.image).handed == HANDLER
    assert not handed.failures
    assert prepare_scene(pair().image).handed == DATA + 0x500  # function_trace_op's; no callback is in it
    assert ("arguments", "op") in broken(pair("ftrace_caller", ("ld a2, 0(a2)", "addi a2, a2, 0"))), "its address"


@pytest.mark.parametrize(
    ("edit", "note"),
    [
        (("addi a0, zero, 0\n", "addi a0, zero, 5\n"), "ftrace_update_ftrace_func returned 0x5"),
        (("sd a0, 0(a5)", "sd a0, 0(zero)"), "ftrace_update_ftrace_func did not return: "),
    ],
)
def test_an_update_that_fails(edit: tuple[str, str], note: str) -> None:
    assert edited(PAIR["ftrace_update_ftrace_func"], edit)
    assert any(each.startswith(note) for each in pair("ftrace_update_ftrace_func", edit).notes)


def test_the_image_is_left_alone() -> None:
    image = pair().image
    before = [region.data.tobytes() for region in image.memory.regions]
    prepare_scene(image)
    assert [region.data.tobytes() for region in image.memory.regions] == before


def test_a_name_that_stands_nowhere() -> None:
    """A count of processors whose address is not mapped is no reason to give up."""
    image = kernel(
        Fn(name="one"),
        code=(
            Code(name="arch_ftrace_update_code", source="jalr zero, 0(ra)", at=0xFFFF_FFFF_8000_2000),
            Code(name="ftrace_modify_all_code", source="jalr zero, 0(ra)", at=0xFFFF_FFFF_8000_2100),
        ),
        symbols={"__num_online_cpus": 0x1234_5678},
    ).image
    assert prepare_scene(replace(image, path="odd")).places
    assert LIVE


@pytest.mark.parametrize(("end", "fits"), [(0x5000_0000, True), (0xC001_0000, False)])
def test_an_image_beyond_what_a_kernel_may_take(end: int, fits: bool) -> None:
    """2 GiB at the end of the address space are the kernel's own; a section that claims more takes no memory here."""
    hole = Section(name=".hole", type=NOBITS, addr=0x4000_0000, size=end - 0x4000_0000, flags=ALLOC | WRITE)
    image = image_of(toy_bytes(hole))
    if fits:
        assert prepare_scene(image).places
    else:
        with pytest.raises(ImageError, match="regions: expected at most 0x80000000 bytes in all, got 0x8001"):
            prepare_scene(image)


@pytest.mark.parametrize(
    ("start", "end", "host"),
    [
        (0xFFFF_FFFF_9000_0000, 0xFFFF_FFFF_9000_1000, 0xFFFF_FFFF_9010_1000),  # behind the highest region
        (0xFFFF_FFFF_FFE0_0000, 0xFFFF_FFFF_FFF0_0000, TEXT - 0x10_1000),  # no room behind
    ],
)
def test_where_host_functions_are(start: int, end: int, host: int) -> None:
    hole = Section(name=".hole", type=NOBITS, addr=start, size=end - start, flags=ALLOC | WRITE)
    assert prepare_scene(image_of(toy_bytes(hole))).host.start == host
