# SPDX-License-Identifier: GPL-2.0-or-later
"""How a kernel's BPF trampolines are asked for: found in its types, never by its version.

The parameters of arch_prepare_bpf_trampoline() changed names and order, and what holds the programs changed
twice; what each parameter is follows from its type, and where two are alike from their order.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import TypesError
from ...image.btf import Btf, FunctionType, Member, StructLayout
from ...image.model import KernelImage

__all__ = ["COPY", "PREPARE", "SIZE", "Chain", "Interface", "Model", "find_interface"]

PREPARE, SIZE = "arch_prepare_bpf_trampoline", "arch_bpf_trampoline_size"
COPY = "bpf_arch_text_copy"
KINDS = ("BPF_TRAMP_FENTRY", "BPF_TRAMP_FEXIT", "BPF_TRAMP_MODIFY_RETURN")
_MOST_NODES = 64
_MOST_ARGUMENTS = 64


@dataclass(frozen=True, slots=True)
class Chain:
    """What holds the programs of one kind: an array of pointers and their number.

    Args:
        size: of the whole [bytes].
        pointers, count: offsets [bytes].
        most: pointers at most.
        node: what a pointer leads to, `struct bpf_tramp_link`, `struct bpf_tramp_node` or the program itself.
        prog: offset of the pointer to the program in a node [bytes]; None where the node is the program.
        link: offset of a pointer to a struct bpf_link in the node, through which the program is found; else None.
        cookie: offset of the cookie in a node [bytes]; None without one.
    """

    size: int
    pointers: int
    count: int
    most: int
    node: StructLayout
    prog: int | None
    link: int | None
    cookie: int | None


@dataclass(frozen=True, slots=True)
class Model:
    """struct btf_func_model: offsets [bytes], and how many arguments it describes at most."""

    size: int
    ret_size: int
    ret_flags: int | None
    nr_args: int
    arg_size: int
    arg_flags: int | None
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """What is called and with what.

    Args:
        prepare: the role of each parameter of arch_prepare_bpf_trampoline(): ``im``, ``image``, ``end``,
            ``model``, ``flags``, ``nodes``, ``func``.
        size: the same of arch_bpf_trampoline_size(); empty for a kernel without it.
        model: of the traced function's arguments.
        chain: of the programs; there is one for each kind.
        kinds: number of chains.
        im: struct bpf_tramp_image.
        skip: what its `skips` point to; None in a kernel without them.
        run_ctx: struct bpf_tramp_run_ctx: (size, offset of the cookie) [bytes].
        copies: the JIT writes elsewhere and has the image copied, so that the image itself is not written to.
        prog, aux, link: the layouts of struct bpf_prog, struct bpf_prog_aux and struct bpf_link.
        session: the attach type of programs that run at entry and at exit; None in a kernel without them.
    """

    prepare: tuple[str, ...]
    size: tuple[str, ...]
    model: Model
    chain: Chain
    kinds: int
    im: StructLayout
    skip: StructLayout | None
    run_ctx: tuple[int, int]
    copies: bool
    prog: StructLayout
    aux: StructLayout
    link: StructLayout | None
    session: int | None


def find_interface(image: KernelImage) -> Interface:
    """Return the interface of a kernel's BPF trampolines.

    Raises:
        TypesError: the image has none, or it is not understood; the text says what is missing.
    """
    if image.address_of(PREPARE) is None:
        raise TypesError(image.path, "BPF", expected=f"the function {PREPARE}", got="none")
    types = image.types
    if types is None:
        raise TypesError(image.path, "BPF", expected="types (BTF)", got="none")
    proto = types.func_proto(PREPARE)
    if proto is None:
        raise TypesError(image.path, "BPF", expected=f"a prototype of {PREPARE} (BTF)", got="none")
    roles, holder = _roles(image.path, proto)
    sizing = types.func_proto(SIZE) if image.address_of(SIZE) is not None else None
    run_ctx = _struct(types, "bpf_tramp_run_ctx")
    kinds = [value for name in KINDS if (value := types.enumerator(name)) is not None]
    if len(kinds) != len(KINDS) or max(kinds) >= len(KINDS):
        raise TypesError(types.where, "enum bpf_tramp_prog_type", expected="three kinds of programs", got=f"{kinds}")
    return Interface(
        prepare=roles,
        size=_roles(image.path, sizing)[0] if sizing is not None else (),
        model=_model(types),
        chain=_chain(types, holder),
        kinds=len(kinds),
        im=_struct(types, "bpf_tramp_image"),
        skip=types.struct("bpf_tramp_skip"),
        run_ctx=(run_ctx.size, run_ctx.offset("bpf_cookie")),
        copies=image.address_of(COPY) is not None,
        prog=_struct(types, "bpf_prog"),
        aux=_struct(types, "bpf_prog_aux"),
        link=types.struct("bpf_link"),
        session=types.enumerator("BPF_TRACE_FSESSION"),
    )


def _struct(types: Btf, name: str) -> StructLayout:
    found = types.struct(name)
    if found is None or not found.members:
        raise TypesError(types.where, f"struct {name}", expected="its members", got="no type")
    return found


def _roles(path: str, proto: FunctionType) -> tuple[tuple[str, ...], str]:
    """Return the role of each parameter, and the name of the struct that holds the programs."""
    roles: list[str] = []
    holder, addresses = "", 0
    pointers = sum(parameter.type_name == "void *" for parameter in proto.parameters)
    for parameter in proto.parameters:
        kind = parameter.type_name.removeprefix("const ")
        if kind == "struct bpf_tramp_image *":
            roles.append("im")
        elif kind == "struct btf_func_model *":
            roles.append("model")
        elif kind.startswith("struct bpf_tramp_") and kind.endswith(" *"):
            holder = kind.removeprefix("struct ").removesuffix(" *")
            roles.append("nodes")
        elif kind == "void *":
            addresses += 1
            roles.append("func" if addresses == pointers else "end" if addresses == 2 else "image")
        elif parameter.size == 4 and parameter.name == "flags":
            roles.append("flags")
        else:
            expected = "a parameter whose role is known"
            raise TypesError(path, proto.name, expected=expected, got=f"{parameter.type_name} {parameter.name}")
    missing = {"model", "flags", "nodes", "func"}.difference(roles)
    if missing or len(set(roles)) != len(roles):
        expected = "model, flags, programs and function once each"
        raise TypesError(path, proto.name, expected=expected, got=", ".join(roles))
    return tuple(roles), holder


def _model(types: Btf) -> Model:
    layout = _struct(types, "btf_func_model")
    sizes = layout.member("arg_size")
    if sizes.size > _MOST_ARGUMENTS:
        raise TypesError(types.where, "struct btf_func_model", expected=f"up to {_MOST_ARGUMENTS} arguments",
                         got=f"{sizes.size}")  # fmt: skip
    return Model(
        size=layout.size,
        ret_size=layout.offset("ret_size"),
        ret_flags=_offset(layout, "ret_flags"),
        nr_args=layout.offset("nr_args"),
        arg_size=sizes.offset,
        arg_flags=_offset(layout, "arg_flags"),
        most=sizes.size,
    )


def _offset(layout: StructLayout, name: str) -> int | None:
    found = layout.find(name)
    return None if found is None else found.offset


def _chain(types: Btf, name: str) -> Chain:
    holder = _struct(types, name)
    pointers = next((each for each in holder.members if " *[" in each.type_name), None)
    count = next((each for each in holder.members if each.size == 4), None)
    if pointers is None or count is None or pointers.size > 8 * _MOST_NODES:
        raise TypesError(types.where, f"struct {name}", expected="an array of pointers and a number", got="others")
    target = pointers.type_name.partition(" *[")[0].removeprefix("struct ")
    node = _struct(types, target)
    prog, link = (None, None) if target == "bpf_prog" else _way_to_prog(types, node)
    return Chain(
        holder.size, pointers.offset, count.offset, pointers.size // 8, node, prog, link, _offset(node, "cookie")
    )


def _way_to_prog(types: Btf, node: StructLayout) -> tuple[int, int | None]:
    """Return where a node's program is: offset of the pointer, and of the pointer to its link where it is there."""
    link: Member = node.member("link")
    behind = _struct(types, "bpf_link").offset("prog")
    if link.type_name == "struct bpf_link *":
        return behind, link.offset
    return link.offset + behind, None
