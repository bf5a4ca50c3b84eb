# SPDX-License-Identifier: GPL-2.0-or-later
"""How trampolines are asked for, found in types: those of the sample, of several kernels by hand, and broken ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from genpatch.errors import TypesError
from genpatch.image.btf import Btf
from genpatch.image.containers import open_content
from genpatch.image.model import KernelImage
from genpatch.image.read import read_image
from genpatch.samples import resolve
from genpatch.verify.bpf.interface import COPY, PREPARE, SIZE, find_interface
from genpatch.verify.bpf.run import verify_bpf

from ...image.test_btf import ARRAY, CONST, ENUM, FUNC, FUNC_PROTO, INT, PTR, STRUCT, Blob
from .toys import SAMPLE, sound_image

# -- types as a compiler writes them


@dataclass
class Types:
    """Writes types by their names in C, each once."""

    blob: Blob = field(default_factory=Blob)
    ids: dict[str, int] = field(default_factory=dict)

    def add(self, text: str, *record: object, **more: int) -> int:
        self.blob.add(*record, **more)  # type: ignore[arg-type]
        self.ids[text] = len(self.ids) + 1
        return self.ids[text]

    def of(self, text: str) -> int:
        """Return the number of a type, which is written if it was not yet."""
        if text in self.ids or text == "void":
            return self.ids.get(text, 0)
        if text.endswith("]"):
            element, _, count = text[:-1].rpartition("[")
            below, index = self.of(element.strip()), self.of("u32")
            return self.add(text, 0, ARRAY, 0, below, index, int(count))
        if text.endswith("*"):
            return self.add(text, 0, PTR, self.of(text[:-1].strip()))
        if text.startswith("const "):
            return self.add(text, 0, CONST, self.of(text.removeprefix("const ")))
        sizes = {"u8": 1, "u16": 2, "u32": 4, "int": 4, "u64": 8}
        return self.add(text, text, INT, sizes[text], 8 * sizes[text])

    def struct(self, name: str, size: int, **members: tuple[int, str]) -> None:
        """Add a struct: (offset [bytes], type) of each member."""
        kinds = [self.of(kind) for _, kind in members.values()]
        words: list[int] = []
        for (member, (offset, _)), kind in zip(members.items(), kinds, strict=True):
            words += [self.blob.name(member), kind, 8 * offset]
        self.add(f"struct {name}", name, STRUCT, size, *words, vlen=len(members))

    def enum(self, name: str, *names: str) -> None:
        """Add an enum that counts from 0."""
        words = [word for value, each in enumerate(names) for word in (self.blob.name(each), value)]
        self.add(f"enum {name}", name, ENUM, 4, *words, vlen=len(names))

    def function(self, name: str, *parameters: tuple[str, str]) -> None:
        """Add a function that returns an int: (type, name) of each parameter."""
        kinds = [self.of(kind) for kind, _ in parameters]
        words = [
            word for (_, each), kind in zip(parameters, kinds, strict=True) for word in (self.blob.name(each), kind)
        ]
        proto = self.add(f"{name}()", 0, FUNC_PROTO, self.of("int"), *words, vlen=len(parameters))
        self.add(name, name, FUNC, proto, vlen=1)


@dataclass(frozen=True)
class Kernel:
    """What `find_interface` asks a kernel."""

    types: Btf | None
    functions: Sequence[str] = (PREPARE, SIZE, COPY)
    path: str = "vmlinux"

    def address_of(self, name: str) -> int | None:
        return 0xFFFF_FFFF_8000_1000 if name in self.functions else None


IM, MODEL, FLAGS = ("struct bpf_tramp_image *", "im"), ("const struct btf_func_model *", "m"), ("u32", "flags")
RO, RO_END, FUNC_ADDR = ("void *", "ro_image"), ("void *", "ro_image_end"), ("void *", "func_addr")
LINKS = ("struct bpf_tramp_links *", "tlinks")
NEW = (IM, RO, RO_END, MODEL, FLAGS, LINKS, FUNC_ADDR)
KINDS = ("BPF_TRAMP_FENTRY", "BPF_TRAMP_FEXIT", "BPF_TRAMP_MODIFY_RETURN", "BPF_TRAMP_MAX")
BASE = ("aux", "link", "image", "model", "run_ctx", "kinds")


def write_base(types: Types, leave_out: str = "") -> None:
    """Write what all kernels have, in other places than the sample, but for one thing."""
    writers = {
        "aux": lambda: types.struct("bpf_prog_aux", 16, sleepable=(9, "u8")),
        "prog": lambda: types.struct("bpf_prog", 64, jited=(2, "u16"), aux=(24, "struct bpf_prog_aux *")),
        "link": lambda: types.struct("bpf_link", 40, prog=(32, "struct bpf_prog *")),
        "image": lambda: types.struct("bpf_tramp_image", 24, image=(0, "void *")),
        "model": lambda: types.struct(
            "btf_func_model", 14, ret_size=(0, "u8"), nr_args=(1, "u8"), arg_size=(2, "u8[12]")
        ),
        "run_ctx": lambda: types.struct("bpf_tramp_run_ctx", 24, bpf_cookie=(8, "u64")),
        "kinds": lambda: types.enum("bpf_tramp_prog_type", *KINDS),
    }
    for name, write in writers.items():
        if name != leave_out:
            write()


def write_links(types: Types) -> None:
    """Write lists of links that hold their programs, as since 5.19."""
    types.struct("bpf_tramp_link", 64, link=(0, "struct bpf_link"), cookie=(56, "u64"))
    types.struct("bpf_tramp_links", 312, links=(0, "struct bpf_tramp_link *[38]"), nr_links=(304, "int"))


def parsed(types: Types) -> Btf:
    return types.blob.parse()


def kernel_with(*parameters: tuple[str, str], leave_out: str = "") -> Kernel:
    """Return a kernel with lists of links, whose maker takes these parameters."""
    types = Types()
    write_base(types, leave_out)
    write_links(types)
    types.function(PREPARE, *parameters)
    return Kernel(parsed(types), (PREPARE, COPY))


def found_in(kernel: Kernel) -> object:
    return find_interface(kernel)  # type: ignore[arg-type]


# -- the sample


def test_the_interface_of_the_sample() -> None:
    """As jit.h has it."""
    found = find_interface(sound_image())
    assert found.prepare == ("im", "image", "end", "model", "flags", "nodes", "func")
    assert found.size == ("model", "flags", "nodes", "func")
    assert (found.kinds, found.im.size, found.run_ctx, found.copies) == (3, 32, (16, 0), True)
    model, chain = found.model, found.chain
    assert (model.size, model.ret_size, model.ret_flags, model.nr_args) == (27, 0, 1, 2)
    assert (model.arg_size, model.arg_flags, model.most) == (3, 15, 12)
    assert (chain.size, chain.pointers, chain.count, chain.most) == (312, 0, 304, 38)
    assert (chain.node.name, chain.prog, chain.link, chain.cookie) == ("bpf_tramp_link", 8, None, 24)
    assert (found.prog.size, found.aux.size, found.session) == (32, 16, None)


# -- other kernels


def test_links_before_there_was_a_dry_run() -> None:
    found = find_interface(kernel_with(*NEW[:-1], ("void *", "orig_call")))  # type: ignore[arg-type]
    assert found.prepare == ("im", "image", "end", "model", "flags", "nodes", "func")
    assert found.size == ()
    assert (found.model.ret_flags, found.model.arg_flags) == (None, None)
    assert (found.chain.prog, found.chain.link, found.chain.cookie) == (32, None, 56)
    assert found.run_ctx == (24, 8)


@pytest.mark.parametrize(
    ("parameters", "roles"),
    [
        ((MODEL, FLAGS, LINKS, RO, RO_END, FUNC_ADDR), ("model", "flags", "nodes", "image", "end", "func")),
        ((FUNC_ADDR, FLAGS, MODEL, LINKS), ("func", "flags", "model", "nodes")),
        ((IM, RO, MODEL, FLAGS, LINKS, FUNC_ADDR), ("im", "image", "model", "flags", "nodes", "func")),
    ],
)
def test_types_say_what_a_parameter_is(parameters: tuple[tuple[str, str], ...], roles: tuple[str, ...]) -> None:
    found = find_interface(kernel_with(*parameters))  # type: ignore[arg-type]
    assert found.prepare == roles


def test_programs_without_links() -> None:
    """As before 5.19: no cookie, and a list of the programs themselves."""
    types = Types()
    write_base(types)
    types.struct("bpf_tramp_progs", 308, progs=(0, "struct bpf_prog *[38]"), nr_progs=(304, "int"))
    types.function(PREPARE, *NEW[:5], ("struct bpf_tramp_progs *", "tprogs"), FUNC_ADDR)
    found = find_interface(Kernel(parsed(types), (PREPARE,)))  # type: ignore[arg-type]
    chain = found.chain
    assert (chain.node.name, chain.prog, chain.link, chain.cookie, chain.most) == ("bpf_prog", None, None, None, 38)
    assert found.copies is False


def test_nodes_that_lead_to_links() -> None:
    """A node that belongs to a link instead of being in it; the number in front of the list."""
    types = Types()
    write_base(types)
    types.struct("bpf_tramp_node", 40, link=(24, "struct bpf_link *"), cookie=(32, "u64"))
    types.struct("bpf_tramp_nodes", 312, nr_nodes=(0, "int"), nodes=(8, "struct bpf_tramp_node *[38]"))
    parameters = (*NEW[:5], ("struct bpf_tramp_nodes *", "tnodes"), FUNC_ADDR)
    types.function(PREPARE, *parameters)
    types.function(SIZE, *parameters[3:])
    types.enum("bpf_attach_type", "BPF_CGROUP_INET_INGRESS", "BPF_TRACE_FSESSION")
    found = find_interface(Kernel(parsed(types)))  # type: ignore[arg-type]
    chain = found.chain
    assert (chain.pointers, chain.count) == (8, 0)
    assert (chain.prog, chain.link, chain.cookie) == (32, 24, 32)
    assert found.size == ("model", "flags", "nodes", "func")
    assert found.session == 1


# -- what is not understood


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ((*NEW, ("u64", "cookie")), "expected a parameter whose role is known, got u64 cookie"),
        ((IM, RO, RO_END, MODEL, ("u32", "mode"), LINKS, FUNC_ADDR), "a parameter whose role is known, got u32 mode"),
        (NEW[:5], "expected model, flags, programs and function once each, got im, image, func, model, flags"),
        ((*NEW, FLAGS), "once each, got im, image, end, model, flags, nodes, func, flags"),
        ((RO, *NEW), "once each, got image, im, end, image, model, flags, nodes, func"),
        ((MODEL, FLAGS, LINKS), "once each, got model, flags, nodes"),
    ],
)
def test_parameters_that_nobody_knows(parameters: tuple[tuple[str, str], ...], message: str) -> None:
    with pytest.raises(TypesError) as caught:
        found_in(kernel_with(*parameters))
    assert PREPARE in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("left_out", "message"),
    [
        ("aux", "struct bpf_prog_aux: expected its members, got no type"),
        ("link", "struct bpf_link"),
        ("image", "struct bpf_tramp_image: expected its members, got no type"),
        ("model", "struct btf_func_model"),
        ("run_ctx", "struct bpf_tramp_run_ctx: expected its members, got no type"),
        ("kinds", "enum bpf_tramp_prog_type: expected three kinds of programs, got []"),
    ],
)
def test_types_that_are_missing(left_out: str, message: str) -> None:
    """A struct that is missing although something points to it is written without members."""
    types = Types()
    for name in BASE:
        if name == left_out and name in ("aux", "link", "image", "model"):
            tag = {"aux": "bpf_prog_aux", "link": "bpf_link", "image": "bpf_tramp_image", "model": "btf_func_model"}
            types.struct(tag[name], 8)
    write_base(types, left_out)
    write_links(types)
    types.function(PREPARE, *NEW)
    with pytest.raises(TypesError) as caught:
        found_in(Kernel(parsed(types), (PREPARE, COPY)))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_more_arguments_than_anybody_wants() -> None:
    types = Types()
    write_base(types, "model")
    types.struct("btf_func_model", 99, ret_size=(0, "u8"), nr_args=(1, "u8"), arg_size=(2, "u8[65]"))
    write_links(types)
    types.function(PREPARE, *NEW)
    with pytest.raises(TypesError, match="struct btf_func_model: expected up to 64 arguments, got 65"):
        found_in(Kernel(parsed(types), (PREPARE,)))


@pytest.mark.parametrize("members", [{"nr_links": (0, "int")}, {"links": (0, "struct bpf_link *[65]")}])
def test_lists_that_are_none(members: dict[str, tuple[int, str]]) -> None:
    types = Types()
    write_base(types)
    types.struct("bpf_tramp_links", 600, **members)
    types.function(PREPARE, *NEW)
    with pytest.raises(TypesError, match="struct bpf_tramp_links: expected an array of pointers and a number"):
        found_in(Kernel(parsed(types), (PREPARE,)))


# -- said in one line, and the rest goes on


def trouble_of(image: KernelImage) -> str:
    """Return why trampolines of an image were not run: one line, and nothing else is told."""
    result = verify_bpf(image)
    assert (result.accepted, result.cases, result.ran, result.failures) == (0, 0, 0, [])
    assert result.trouble
    assert "\n" not in result.trouble
    return result.trouble


def test_an_image_without_bpf() -> None:
    image = read_image(open_content(resolve("sample:verify-call-ops")))
    assert trouble_of(image).endswith(f"BPF: expected the function {PREPARE}, got none")


def test_an_image_without_types() -> None:
    image = replace(sound_image(), types=None)
    assert trouble_of(image).endswith("BPF: expected types (BTF), got none")


def test_types_that_do_not_know_the_function() -> None:
    image = replace(sound_image(), types=Btf.parse(Blob().pack()))
    assert trouble_of(image).endswith(f"BPF: expected a prototype of {PREPARE} (BTF), got none")


def renamed(old: str, new: str) -> KernelImage:
    """Return the sample with one name of its types changed to another of the same length."""
    assert len(old) == len(new)
    whole = SAMPLE.read_bytes()
    start, end = _types_of(whole)
    types = whole[start:end]
    before = b"\0%s\0" % old.encode()
    assert types.count(before) == 1
    return replace(sound_image(), types=Btf.parse(types.replace(before, b"\0%s\0" % new.encode())))


def _types_of(whole: bytes) -> tuple[int, int]:
    from io import BytesIO

    from elftools.elf.elffile import ELFFile

    section = ELFFile(BytesIO(whole)).get_section_by_name(".BTF")
    return section["sh_offset"], section["sh_offset"] + section["sh_size"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("flags", "modes", f"{PREPARE}: expected a parameter whose role is known, got u32 modes"),
        ("bpf_tramp_run_ctx", "bpf_tramp_new_ctx", "struct bpf_tramp_run_ctx: expected its members, got no type"),
        ("bpf_cookie", "bpf_kookie", "struct bpf_tramp_run_ctx: expected member 'bpf_cookie', got none of that name"),
        ("arg_size", "arg_sort", "struct btf_func_model: expected member 'arg_size', got none of that name"),
        ("BPF_TRAMP_FEXIT", "BPF_TRAMP_FEXUT", "expected three kinds of programs, got [0, 2]"),
    ],
)
def test_a_sample_whose_types_changed(old: str, new: str, message: str) -> None:
    assert message in trouble_of(renamed(old, new))
