# SPDX-License-Identifier: GPL-2.0-or-later
"""A BPF program that the kernel's own JIT compiles: how it begins is the kernel's to say."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import ImageError, TypesError
from ..image.model import KernelImage
from ..units import Span
from ..verify.bpf.compile import JitBench, Source
from ..verify.scene import Scene

__all__ = ["Program", "compile_program"]

_SOURCE = Source("r0 = 0; exit")
_ALIGNMENT, _CHUNK, _WORD = 8, 64, 4


@dataclass(frozen=True, slots=True)
class Program:
    """A program.

    Args:
        image: addresses of all that the JIT has made for it, without the filler in front.
        entry: address that the program is called at.
        code: bytes of `image`.
    """

    image: Span
    entry: int
    code: bytes


def compile_program(image: KernelImage, scene: Scene, at: int) -> Program:
    """Let the kernel compile a small program, in a machine of its own.

    Args:
        image: the kernel.
        scene: prepared for it.
        at: address of the page that the program is put into, with 2 MiB of unmapped room behind.
    Raises:
        ImageError: the kernel's JIT cannot be run here; the text says why.
    """
    try:
        made = JitBench(image, scene, near=at + _CHUNK, random=_least_aligned).compile(_SOURCE)
    except TypesError as error:
        raise ImageError(image.path, expected="a JIT of BPF programs", got=str(error)) from None
    if not made.accepted:
        raise ImageError(image.path, expected="the JIT to compile a program", got=made.trouble or "that it does not")
    filler = _filler(made.code[: made.entry - made.span.start])
    return Program(Span(made.span.start + filler, made.span.end), made.entry, made.code[filler:])


def _filler(code: bytes) -> int:
    """Return how many bytes in front of a program are the zeros that the kernel fills its room with."""
    return (len(code) - len(code.lstrip(b"\0"))) // _WORD * _WORD


def _least_aligned(limit: int) -> int:
    """Return the number below a limit that puts a program far behind its header, and as little aligned as may be.

    The kernel cuts it down to a multiple of 4, and counts from the end of a header, which is a multiple of 8.
    """
    half = _ALIGNMENT // 2
    return (limit - 1 - half) // _ALIGNMENT * _ALIGNMENT + half if limit > half else 0
