# SPDX-License-Identifier: GPL-2.0-or-later
"""Facts: everything a rule may look at, computed once and only when asked for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ..image.btf import StructLayout
from ..image.model import ImageKind, KernelImage
from ..schemes import CallScheme
from ..sites.discover import find_sites
from ..sites.infer import SchemeVerdict, infer_scheme
from ..sites.model import Sites
from ..sites.patching import PatchingCode
from ..units import BoolArray, I64Array, U64Array
from .model import Finding, Severity, Skip

if TYPE_CHECKING:
    from ..verify.bpf.run import BpfResult
    from ..verify.run import Verification
    from .raced import Races


@dataclass(frozen=True, slots=True, kw_only=True)
class Preemption:
    """Whether a task can be preempted in kernel code; None where nothing tells."""

    full: bool | None
    evidence: str


@dataclass(frozen=True, kw_only=True)
class Facts:
    """One image and, for a module, the kernel it is for.

    Args:
        image: what was read.
        kernel: facts of the module's kernel, or None.
        companions: other images of the same build, such as vmlinux.o.
        verification: what came of running the image, if it was run.
        races: what came of exploring how its patching interleaves with execution, if that was done.
    """

    image: KernelImage
    kernel: Facts | None = None
    companions: tuple[KernelImage, ...] = ()
    verification: Verification | None = None
    races: Races | None = None

    @cached_property
    def sites(self) -> Sites:
        """Every patch site."""
        return find_sites(self.image)

    @cached_property
    def code(self) -> PatchingCode:
        """The patching code of the kernel: this image, or the one a module is for."""
        if self.kernel is not None and not self.image.kind.is_kernel:
            return self.kernel.code
        return PatchingCode(image=self.image)

    @cached_property
    def verdict(self) -> SchemeVerdict:
        """Which scheme the image implements; a module has its kernel's."""
        if self.kernel is not None and not self.image.kind.is_kernel:
            return self.kernel.verdict
        return infer_scheme(self.image, self.sites, self.code)

    @property
    def scheme(self) -> CallScheme | None:
        """The scheme, None where it is not known."""
        return self.verdict.scheme

    def need_scheme(self) -> CallScheme:
        """Return the scheme, or skip the rule."""
        if self.scheme is None:
            raise Skip("the scheme could not be determined")
        return self.scheme

    def need_verification(self) -> Verification:
        """Return what came of running the image, or skip the rule."""
        if self.verification is None:
            raise Skip("only 'genpatch verify' runs the code")
        if self.verification.terms is None:
            raise Skip("; ".join(self.verification.notes) or "nothing was run")
        return self.verification

    def need_bpf(self) -> BpfResult:
        """Return what came of running the kernel's BPF JIT, or skip the rule."""
        if self.verification is None:
            raise Skip("only 'genpatch verify' runs the code")
        if self.verification.bpf is None:
            raise Skip("the BPF JIT was not run")
        if self.verification.bpf.trouble:
            raise Skip(self.verification.bpf.trouble)
        return self.verification.bpf

    def need_races(self) -> Races:
        """Return what came of exploring interleavings, or skip the rule."""
        if self.races is None:
            raise Skip("only 'genpatch race' explores interleavings")
        return self.races

    def need_sites(self) -> Sites:
        """Return the sites, or skip the rule where there are none."""
        if not len(self.sites):
            raise Skip("the image has no patch sites")
        return self.sites

    @cached_property
    def adjust(self) -> int | None:
        """ip - entry as the kernel computes it [bytes].

        ftrace_call_adjust where it can be read; where there is none and the scheme patches from func on,
        it is the inline function that returns its argument.
        """
        if self.code.call_adjust is not None:
            return self.code.call_adjust
        absent = self.code.image.address_of("ftrace_call_adjust") is None
        if absent and self.scheme is not None and self.scheme.ip_offset == 0:
            return 0
        return None

    @cached_property
    def ip(self) -> U64Array | None:
        """uint64[n]: where the kernel believes each site is; None where the adjustment is not known."""
        if self.adjust is None:
            return None
        ip: U64Array = self.sites.entry + np.uint64(self.adjust % (1 << 64))
        return ip

    @cached_property
    def call(self) -> U64Array:
        """uint64[n]: address of the first instruction of each call."""
        return self.sites.func

    def distances_to(self, target: int) -> I64Array:
        """Return target minus the address of each call's first instruction: int64[n] [bytes]."""
        return (np.uint64(target) - self.call).astype(np.int64)

    @cached_property
    def preemption(self) -> Preemption:
        """Full (or lazy) preemption, from the configuration or from what only such a kernel has."""
        image = self.code.image
        full = image.config.enabled("PREEMPTION")
        if full is not None:
            return Preemption(full=full, evidence=f"CONFIG_PREEMPTION in {image.config.source}")
        if image.address_of("preempt_schedule") is not None:
            return Preemption(full=True, evidence="preempt_schedule is in the image")
        if len(image.symbols):
            return Preemption(full=False, evidence="there is no preempt_schedule in the image")
        return Preemption(full=None, evidence="neither configuration nor symbols")

    @property
    def is_module(self) -> bool:
        """A module or an object: addresses are not final."""
        return self.image.kind in (ImageKind.MODULE, ImageKind.OBJECT)

    def struct(self, name: str) -> StructLayout | None:
        """Return a struct's layout from BTF, None where there are no types or no such struct."""
        types = self.code.image.types
        return None if types is None else types.struct(name)

    @cached_property
    def executable(self) -> BoolArray:
        """bool[r + 1]: which regions hold instructions; the last one stands for "outside"."""
        return np.array([region.executable for region in self.image.memory.regions] + [False], np.bool_)

    def symbol_at(self, address: int) -> str:
        """Return ``name+0xoffset`` for an address."""
        return self.image.symbols.nearest(address)

    def site_name(self, site: int) -> str:
        """Return the function name of a site, ``near name+0x10`` where none stands there."""
        index = int(self.sites.symbol[site])
        if index >= 0:
            return self.image.symbols.name(index)
        return self.image.symbols.nearest(int(self.sites.func[site]))

    def section_name(self, address: int) -> str:
        """Return the section that holds an address, empty if none."""
        region = self.image.memory.region_at(address)
        return region.name if region is not None else ""

    def section_counts(self, sites: I64Array, limit: int = 4) -> str:
        """Return ``.text 18,702, .init.text 159`` for some sites, the largest first."""
        numbers, counts = np.unique(self.sites.region[sites], return_counts=True)
        order = np.argsort(-counts)
        parts = []
        for position in order[:limit]:
            number = int(numbers[position])
            name = self.image.memory.regions[number].name if number >= 0 else "outside"
            parts.append(f"{name} {int(counts[position]):,}")
        if len(order) > limit:
            parts.append(f"{len(order) - limit} more sections")
        return ", ".join(parts)

    def about_sites(
        self, sites: I64Array, message: str, kind: str, *, level: Severity | None = None, subject: str = ""
    ) -> Finding:
        """Return a finding about some sites; the first gives its address and symbol."""
        first = int(sites[0])
        return Finding(
            message=message,
            kind=kind,
            level=level,
            address=int(self.sites.func[first]),
            symbol=self.site_name(first),
            sites=sites,
            subject=subject,
        )


def join_names(names: Iterable[str], limit: int = 3) -> str:
    """Return ``a, b, c and 5 more``."""
    listed = list(names)
    text = ", ".join(listed[:limit])
    return text + (f" and {len(listed) - limit} more" if len(listed) > limit else "")
