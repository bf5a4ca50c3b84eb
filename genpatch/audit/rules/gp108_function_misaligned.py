# SPDX-License-Identifier: GPL-2.0-or-later
"""GP108: functions stand where the scheme's stores are single."""

from __future__ import annotations

from collections.abc import Iterator

from ...image.model import ImageKind
from ...schemes.model import Need
from ...sites.harts import harts_of
from ..cases import CALL_OPS_CODE, PAIR_CODE, SITES_AT, Fn, clean, fires, kernel, replaced
from ..facts import Facts
from ..model import Finding, Severity, Skip, plural, where
from ..registry import rule

_STOPS = next(each.source for each in PAIR_CODE if each.name == "arch_ftrace_update_code")


@rule(
    "GP108",
    "function-misaligned",
    severity=Severity.ERROR,
    source='linux c41bf4326c7b ("riscv: ftrace: align patchable functions to 4 Byte boundary"), v6.16',
    cases=(
        clean(lambda: kernel(Fn(name="one"), Fn(name="two"))),
        clean(lambda: kernel(Fn(name="one", before=0, at=SITES_AT + 4), code=PAIR_CODE)),
        fires(
            lambda: kernel(Fn(name="one", before=0, at=SITES_AT + 2), code=PAIR_CODE),
            "not on a multiple of 4",
        ),
        fires(lambda: kernel(Fn(name="one", at=SITES_AT + 10)), "not stored at once$"),
        fires(
            lambda: kernel(
                Fn(name="one", at=SITES_AT + 10), code=replaced(CALL_OPS_CODE, "arch_ftrace_update_code", _STOPS)
            ),
            "which only stop_machine makes harmless",
        ),
        clean(lambda: kernel(Fn(name="one", at=SITES_AT + 10), config={"CONFIG_SMP": "n"})),
    ),
)
def function_misaligned(facts: Facts) -> Iterator[Finding]:
    """Functions start where a patched word cannot be stored or fetched at once.

    ## What it checks
    That each function symbol is a multiple of 4 (in a module: as far as its section's alignment guarantees
    it), so that the words the scheme rewrites are naturally aligned.

    ## Why it matters
    With compressed instructions a function may stand at 2 modulo 4. The kernel's copy routine then uses
    2-byte stores, and a hart that fetches meanwhile may see half an instruction. Under stop_machine nobody
    fetches meanwhile: there it is a latent fault, and the reason why stop_machine cannot be dropped.

    ## Remedy
    -fmin-function-alignment=4 (gcc 14, clang 17), which the kernel selects as FUNCTION_ALIGNMENT_4B.
    -falign-functions alone is not enough: gcc ignores it for cold and size-optimised functions.

    ## References
    arch/riscv/Kconfig; RISC-V Ziccif; mm/maccess.c (copy_to_kernel_nofault).
    """
    scheme, sites = facts.need_scheme(), facts.need_sites()
    if facts.image.kind is ImageKind.OBJECT:
        raise Skip("an object's functions are placed by the final link")
    hit = where(sites.alignment < 4)
    if not len(hit):
        return
    stops = facts.code.stops_machine
    stopped = Need.STOP_MACHINE in scheme.needs if stops is None else stops
    harts, evidence = harts_of(facts.image)
    if harts == 1 and not facts.is_module:
        raise Skip(f"nobody fetches while a word is stored; {evidence}")
    share = len(hit) / len(sites)
    cause = (
        "no alignment is asked for"
        if share > 0.25
        else "a few: such as cold functions, for which gcc ignores -falign-functions"
    )
    sure = "surely " if facts.is_module else ""
    yield facts.about_sites(
        hit,
        f"{plural(len(hit), 'function')} of {len(sites):,} not {sure}on a multiple of 4 ({facts.section_counts(hit)}; "
        f"{cause}): a patched word is not stored at once"
        + (", which only stop_machine makes harmless" if stopped else ""),
        "misaligned",
        level=Severity.WARNING if stopped else Severity.ERROR,
    )
