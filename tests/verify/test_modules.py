# SPDX-License-Identifier: GPL-2.0-or-later
"""Modules beside toy kernels: many at once, each with results of its own; and how module text is written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from genpatch.audit.cases import SITES_AT, TEXT, Code, Fn, kernel, layout_of
from genpatch.audit.live import LIVE
from genpatch.errors import UsageError
from genpatch.image.containers import Content, Format, InputRef, list_inputs
from genpatch.image.model import KernelImage
from genpatch.image.read import read_image
from genpatch.samples import resolve
from genpatch.sites.discover import find_sites
from genpatch.units import MASK64
from genpatch.verify import modules as under_test
from genpatch.verify.contract import Promise
from genpatch.verify.modules import FailedSite, ModuleResult, verify_modules
from genpatch.verify.pages import ModuleText, find_module_text
from genpatch.verify.patcher import Guests, Patcher
from genpatch.verify.run import Verification
from genpatch.verify.scene import prepare_scene
from tests.elfwriter import ALLOC, ET_REL, EXEC, TABLE, Section, Symbol, elf, rela
from tests.toykernel import module

from .toys import call_ops, pair, ra16

RELEASE = "7.2.0-toy"
MODULE_PAGE = 0xFFFF_FFFF_0100_0000


def image_of(raw: bytes, path: str = "m.ko") -> KernelImage:
    return read_image(Content(path=path, format=Format.ELF, data=np.frombuffer(raw, np.uint8)))


def ran(kernel_image: KernelImage, *wanted: KernelImage | InputRef, jobs: int = 1) -> list[ModuleResult]:
    return list(verify_modules(kernel_image, prepare_scene(kernel_image), wanted, jobs=jobs))


def good(path: str, *names: str) -> KernelImage:
    return image_of(module(*names, release=RELEASE), path)


def bad(path: str) -> KernelImage:
    return image_of(module(before=b"", release=RELEASE), path)


def alien(path: str) -> KernelImage:
    """Return a module with a relocation that has no recipe."""
    return image_of(
        elf(
            Section(name=".text", data=bytes(8), flags=ALLOC | EXEC),
            rela((0, 1, 43, 6), name=".rela.text", info=".text"),
            Section(name=".modinfo", data=f"vermagic={RELEASE}\0".encode()),
            Section(name=".gnu.linkonce.this_module", data=bytes(64)),
            symbols=[Symbol(name="f")],
            type=ET_REL,
        ),
        path,
    )


STATES = {state.name for state in call_ops().states if not state.skipped}


def test_modules_of_a_kernel_that_does_it_right() -> None:
    results = ran(call_ops().image, good("a.ko"), good("b.ko", "f", "g", "h"))
    assert [(each.path, each.sites, each.failures, each.trouble, each.notes) for each in results] == [
        ("a.ko", 2, (), "", ()),
        ("b.ko", 3, (), "", ()),
    ]
    for each in results:
        assert {state.name for state in each.states if not state.skipped} == STATES
        assert {state.sites for state in each.states if not state.skipped} == {each.sites}
        assert all(not len(state.failed) for state in each.states)


@pytest.mark.parametrize(("toy", "after"), [(pair, 8), (ra16, 16)])
def test_older_schemes(toy: object, after: int) -> None:
    found = image_of(module(before=b"", after=b"\x01\x00" * (after // 2), release=RELEASE))
    (result,) = ran(toy().image, found)  # type: ignore[operator]
    assert (result.sites, result.failures, result.trouble, result.notes) == (2, (), "", ())
    assert {state.name for state in result.states if state.sites} >= {"boot", "enabled", "disabled"}


def test_a_mistake_of_the_kernel_shows_in_every_module() -> None:
    broken = call_ops("ftrace_make_call", ("lui a3, 0x28", "lui a3, 0x29")).image
    results = ran(broken, good("a.ko"), good("b.ko", "f"))
    for result in results:
        assert {failure.promise for failure in result.failures} >= {Promise.ARRIVES}
        assert {number for failure in result.failures for number in failure.lanes.tolist()} == set(range(result.sites))


def test_failures_are_those_of_the_module_that_has_them() -> None:
    before, middle, after = ran(call_ops().image, good("a.ko", "x"), bad("bad.ko"), good("c.ko"))
    assert (before.failures, after.failures) == ((), ())
    assert middle.failures
    assert {number for failure in middle.failures for number in failure.lanes.tolist()} == {0, 1}
    assert all(len(failure.expected) == len(failure.got) == len(failure.lanes) for failure in middle.failures)
    assert [(each.symbol, each.section, each.offset) for each in middle.where.values()] == [
        ("ext_open", ".text", 0),
        ("ext_read", ".text", 32),
    ]
    first, second = (each.address for each in middle.where.values())
    assert (first % 4096, second - first) == (0, 32)
    assert middle.notes == ("sleds of 0 bytes before and 8 from the function on, the kernel's scheme has 8 and 8",)
    assert isinstance(middle.where[0], FailedSite)


def test_a_module_that_cannot_be_loaded_is_no_harm_to_others() -> None:
    results = ran(call_ops().image, good("a.ko"), alien("alien.ko"), call_ops().image, good("b.ko"))
    assert [(each.sites, bool(each.trouble)) for each in results] == [(2, False), (0, True), (0, True), (2, False)]
    assert results[1].trouble == "alien.ko: relocation type 43 at 0x0 of section 1: " + (
        "expected a type that a module may have, got relocation type 43"
    )
    assert "a module is needed, this is vmlinux" in results[2].trouble


def test_a_module_without_sites() -> None:
    plain = elf(
        Section(name=".text", data=b"\x82\x80", flags=ALLOC | EXEC),
        Section(name=".modinfo", data=f"vermagic={RELEASE}\0".encode()),
        Section(name=".gnu.linkonce.this_module", data=bytes(64)),
        symbols=[Symbol(name="f")],
        type=ET_REL,
    )
    first, second = ran(call_ops().image, image_of(plain), good("a.ko"))
    assert (first.sites, first.states, first.notes, second.sites) == (0, (), ("no site table",), 2)
    assert ran(call_ops().image) == []


def test_samples_in_parallel_and_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "_CHUNK", 2)
    names = ("module", "module-sleds", "link-order", "lost-relocation", "module-release")
    refs = [ref for name in names for ref in list_inputs(resolve(f"sample:{name}"))]
    kernel = replace(call_ops().image, release=None)
    alone, together = (ran(kernel, *refs, jobs=jobs) for jobs in (1, 2))
    assert [each.path for each in alone] == [ref.path for ref in refs]

    def told(results: list[ModuleResult]) -> list[object]:
        return [
            (
                each.path,
                each.sites,
                each.notes,
                each.trouble,
                [(f.state, f.promise, f.lanes.tolist()) for f in each.failures],
            )
            for each in results
        ]

    assert told(alone) == told(together)
    assert [each.sites for each in alone] == [3, 3, 4, 3, 3]
    assert [bool(each.failures) for each in alone] == [False, True, False, False, False]
    assert "2 entries of the site table have no relocation" in alone[3].notes


def concluded(verification: Verification) -> tuple[str, list[int], list[tuple[str, list[int]]]]:
    """Return what a verification says, by the file's addresses."""
    terms = verification.terms
    assert terms is not None
    arrivals = [each for each in verification.failures if each.promise is Promise.ARRIVES]
    told = [(each.state, each.expected.tolist()) for each in arrivals if each.expected[0] in terms.body]
    return verification.image.path, terms.body.tolist(), told


def test_a_conclusion_is_drawn_from_each_modules_verification() -> None:
    images = [good("a.ko"), bad("b.ko"), alien("c.ko")]
    kernel_image = call_ops().image
    scene = prepare_scene(kernel_image)
    for jobs in (1, 2):
        found = [each.conclusion for each in verify_modules(kernel_image, scene, images, jobs=jobs, conclude=concluded)]
        bodies = [[int(func) + 8 for func in find_sites(image).func] for image in images[:2]]
        assert found[0] == ("a.ko", bodies[0], [])
        path, body, told = found[1]
        assert (path, body) == ("b.ko", bodies[1])
        assert ("enabled", bodies[1]) in told
        assert found[2] is None


def test_some_states_only() -> None:
    image = call_ops().image
    found = verify_modules(image, prepare_scene(image), [good("a.ko"), bad("b.ko")], jobs=1, states=("enabled",))
    assert [[state.name for state in each.states] for each in found] == [["enabled"], ["enabled"]]


def test_a_module_of_another_kernel() -> None:
    (result,) = ran(replace(call_ops().image, release="7.2.1-other"), good("a.ko"))
    assert result.trouble == "built for 7.2.0-toy, the kernel is 7.2.1-other"
    assert not result.sites


def test_progress() -> None:
    told: list[tuple[int, int, str]] = []
    image = call_ops().image
    wanted = [good("a.ko"), alien("b.ko")]
    list(verify_modules(image, prepare_scene(image), wanted, lambda *step: told.append(step), jobs=1))
    assert told == [(1, 2, "a.ko"), (2, 2, "b.ko")]


def test_a_batch_that_fails_is_tried_module_by_module(monkeypatch: pytest.MonkeyPatch) -> None:
    run_states = under_test.run_states

    def fragile(result: object, scene: object, code: object, chosen: object, **more: object) -> None:
        guests = more["guests"]
        assert isinstance(guests, Guests)
        if any(b"\x5a" * 10 in place.content.tobytes() for place in guests.places):
            raise ZeroDivisionError("a mistake of ours")
        run_states(result, scene, code, chosen, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(under_test, "run_states", fragile)
    odd = image_of(_with_marker(), "odd.ko")
    results = ran(call_ops().image, good("a.ko"), odd, good("b.ko"))
    assert [(each.sites, each.trouble) for each in results] == [
        (2, ""),
        (0, "internal error: ZeroDivisionError: a mistake of ours"),
        (2, ""),
    ]
    assert not results[2].failures


def _with_marker() -> bytes:
    return elf(
        Section(name=".text", data=b"\x5a" * 32, flags=ALLOC | EXEC),
        Section(name=TABLE, data=bytes(8), flags=ALLOC, align=8),
        rela((0, 1, 2, 8), name=f".rela{TABLE}", info=TABLE),
        Section(name=".modinfo", data=f"vermagic={RELEASE}\0".encode()),
        Section(name=".gnu.linkonce.this_module", data=bytes(64)),
        symbols=[Symbol(name="f")],
        type=ET_REL,
    )


def test_more_modules_than_fit_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[int] = []
    run = under_test._Batch.run

    def counted(batch: under_test._Batch) -> dict[int, ModuleResult]:
        batches.append(len(batch._members))
        return run(batch)

    monkeypatch.setattr(under_test._Batch, "run", counted)
    large = elf(
        Section(name=".text", data=b"\x82\x80", flags=ALLOC | EXEC),
        Section(name=".bss", type=8, size=(1 << 29) - (1 << 24), flags=ALLOC | 2),
        Section(name=".modinfo", data=f"vermagic={RELEASE}\0".encode()),
        Section(name=".gnu.linkonce.this_module", data=bytes(64)),
        symbols=[Symbol(name="f")],
        type=ET_REL,
    )
    huge = large.replace(((1 << 29) - (1 << 24)).to_bytes(8, "little"), (1 << 62).to_bytes(8, "little"))
    monkeypatch.setattr(under_test._Batch, "_run", lambda batch, members: _sizes(members))
    results = ran(call_ops().image, good("a.ko"), image_of(large), image_of(large), image_of(huge), good("b.ko"))
    assert batches == [2, 1, 1]
    assert results[3].trouble.startswith("larger than [")


def _sizes(members: object) -> dict[int, ModuleResult]:
    return {member.number: ModuleResult(path="") for member in members}  # type: ignore[attr-defined]


def test_a_kernel_whose_scheme_is_not_known() -> None:
    image = kernel(Fn(name="one", before=0, after=4), code=()).image
    with pytest.raises(UsageError, match="the scheme is not known: modules cannot be run"):
        list(verify_modules(image, prepare_scene(image), [good("a.ko")]))


# -- how module text is written


_PAGES = 0xFF60_0000_1234_5000

_THROUGH_PAGES = """
    addi sp, sp, -48
    sd ra, 40(sp)
    sd a0, 0(sp)
    sd a1, 8(sp)
    jal ra, vmalloc_to_page
    li a4, {pages}
    sub a0, a0, a4
    {divide}
    slli a0, a0, 12
    ld a1, 0(sp)
    slli a1, a1, 52
    srli a1, a1, 52
    add a1, a1, a0
    addi a0, zero, 7
    addi a2, zero, 1
    jal ra, __set_fixmap
    ld a3, 0(sp)
    slli a3, a3, 52
    srli a3, a3, 52
    lui a4, 0xc0000
    add a3, a3, a4
    ld a1, 8(sp)
    lw a4, 0(a1)
    sw a4, 0(a3)
    ld ra, 40(sp)
    addi sp, sp, 48
    addi a0, zero, 0
    jalr zero, 0(ra)
"""
_BY_64 = "srai a0, a0, 6"
_BY_80 = f"srai a0, a0, 4\n li a4, {pow(5, -1, 1 << 64)}\n mul a0, a0, a4"
_DIRECT = "lw a4, 0(a1)\n sw a4, 0(a0)\n addi a0, zero, 0\n jalr zero, 0(ra)"
_RET = "jalr zero, 0(ra)"


def writing(write: str, *, size: int | None = None, with_pages: bool = True) -> KernelImage:
    """Return a kernel that can only write to text."""
    sources = {"patch_insn_write": write, "__set_fixmap": _RET, "ftrace_caller": _RET}
    sources |= {"vmalloc_to_page": _RET} if with_pages else {}
    code = tuple(Code(name=name, source=text, at=TEXT + 0x100 * n) for n, (name, text) in enumerate(sources.items()))
    structs = None if size is None else (layout_of("page", size, flags=0),)
    return kernel(Fn(name="one"), code=code, structs=structs, symbols={"start_kernel": SITES_AT + 0x9000}).image


def text_of(image: KernelImage) -> ModuleText:
    return find_module_text(prepare_scene(image), MODULE_PAGE)


@pytest.mark.parametrize(("divide", "size", "known"), [(_BY_64, 64, None), (_BY_64, 64, 64), (_BY_80, 80, 80)])
def test_struct_pages_are_made_for_each_address(divide: str, size: int, known: int | None) -> None:
    image = writing(_THROUGH_PAGES.format(pages=f"{_PAGES:#x}", divide=divide), size=known)
    text = text_of(image)
    assert (text.page_size, text.writable, text.note) == (size, False, "")
    for address in (MODULE_PAGE, 0xFFFF_FFFF_7FFF_F000, 0xFFFF_FFFF_0000_0000):
        page = text.page_of(address)
        number = (page - _PAGES & MASK64) // size if size == 64 else (page - _PAGES) // 16 * pow(5, -1, 1 << 64)
        assert (number << 12) & MASK64 == address
    patcher = Patcher(prepare_scene(image), np.zeros(2, np.uint64), call_ops().layouts, Guests(text=text))
    addresses = np.array([MODULE_PAGE + 0x123, 0xFFFF_FFFF_7FFF_F000], np.uint64)
    patcher.lanes.x[10] = addresses
    page_of = image.address_of("vmalloc_to_page")
    assert page_of is not None
    patcher.hooks[page_of](patcher.lanes, patcher.all)
    assert patcher.lanes.x[10].tolist() == [text.page_of(each) for each in addresses.tolist()]


def test_text_that_is_written_where_it_is() -> None:
    assert text_of(writing(_DIRECT)) == ModuleText(writable=True)


def test_text_that_is_written_through_the_fixmap_without_a_page() -> None:
    assert text_of(call_ops().image) == ModuleText()
    assert LIVE["__set_fixmap"] == _RET


def reasons() -> Iterator[tuple[str, KernelImage, str]]:
    yield "no writer", kernel(Fn(name="one"), code=()).image, "no function that writes to text"
    yield (
        "another division",
        writing(_THROUGH_PAGES.format(pages="0x0", divide="srai a0, a0, 40")),
        "size of struct page",
    )
    yield "a wrong type", writing(_THROUGH_PAGES.format(pages="0x0", divide=_BY_64), size=72), "were not understood"
    yield "no write", writing("addi a0, zero, 0\n jalr zero, 0(ra)"), "a trial ended with"


@pytest.mark.parametrize(("image", "reason"), [each[1:] for each in reasons()], ids=[each[0] for each in reasons()])
def test_what_is_not_known_is_said(image: KernelImage, reason: str) -> None:
    text = text_of(image)
    assert reason in text.note
    assert (text.pages, text.writable) == (None, False)
