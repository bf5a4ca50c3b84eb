# SPDX-License-Identifier: GPL-2.0-or-later
"""GP119: the image lists what its objects list."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ...image.model import ImageKind
from ..cases import Fn, clean, fires, kernel
from ..facts import Facts
from ..model import Finding, Severity, Skip
from ..registry import rule


def _with_object(names: int) -> Facts:
    """A kernel of two functions beside an object that lists `names` of them."""
    image = kernel(Fn(name="one"), Fn(name="two"))
    objects = kernel(*(Fn(name=f"f{n}") for n in range(names)), kind=ImageKind.OBJECT)
    return replace(image, companions=(objects.image,))


@rule(
    "GP119",
    "object-count-mismatch",
    severity=Severity.ERROR,
    applies="kernel",
    source="linux include/asm-generic/vmlinux.lds.h (MCOUNT_REC): the table is the objects' sections, merged",
    cases=(
        clean(lambda: _with_object(2)),
        fires(lambda: _with_object(3), "2 entries, its objects 3"),
    ),
)
def object_count_mismatch(facts: Facts) -> Iterator[Finding]:
    """The linked table has another number of entries than the objects it was linked from.

    ## What it checks
    Given the kernel and its vmlinux.o together (a build directory): the number of entries in the image, zeros
    included, against the number in the object.

    ## Why it matters
    Entries that the linker drops are functions that can be called but not traced, patched live or hooked by
    BPF, and nothing says so.

    ## Remedy
    Check KEEP() around __patchable_function_entries in the linker script, --gc-sections, and linkers older
    than 2.36, which cannot merge SHF_LINK_ORDER sections.

    ## References
    include/asm-generic/vmlinux.lds.h; arch/riscv/Kconfig (CLANG_SUPPORTS_DYNAMIC_FTRACE).
    """
    tables = [image.table for image in facts.companions if image.kind is ImageKind.OBJECT and image.table]
    if not tables or facts.image.table is None:
        raise Skip("no vmlinux.o was given along with the kernel")
    entries, in_objects = len(facts.image.table.entries), sum(len(table.entries) for table in tables)
    if entries != in_objects:
        yield Finding(
            message=f"the image has {entries:,} entries, its objects {in_objects:,}",
            kind="count",
            count=abs(entries - in_objects),
        )
