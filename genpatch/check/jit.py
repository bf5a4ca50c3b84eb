# SPDX-License-Identifier: GPL-2.0-or-later
"""The BPF JIT of a tree, run: what its trampolines and programs emit, as events, and how long that is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from .cexec import Host, Interpreter, NotRun, Obj, signed
from .ctree import FunctionTree, expression, trees_of
from .source import calls, macros_of

__all__ = [
    "COOKIE_SHIFT",
    "IMAGE_ARGUMENT",
    "ORIGINAL",
    "PREPARE",
    "PROGRAM",
    "STRUCT",
    "Event",
    "Setting",
    "Texts",
    "Trace",
    "entry_of",
    "register_names",
    "run_jit",
    "texts_of",
    "value_of",
]

PREPARE = "__arch_prepare_bpf_trampoline"
_IMAGE = 1 << 40
PROGRAM = _IMAGE + 0x3000_0000
"""Address of the program that a trampoline runs."""
ORIGINAL = _IMAGE + 0x6000_0000
"""Address of the function that a trampoline is for."""
IMAGE_ARGUMENT = signed(0xFF60_0A5B_1C6D_2E7F)
"""Address of the struct that describes the trampoline's image; a dry run has another one."""
_RW_IMAGE = 1 << 41
_NUMBERS = {"STACK_ALIGN": 16, "MAX_BPF_FUNC_ARGS": 12, "MAX_TAIL_CALL_CNT": 33, "NULL": 0, "GFP_KERNEL": 1}
COOKIE_SHIFT = 8
_NUMBERS |= {"BPF_TRAMP_COOKIE_INDEX_SHIFT": COOKIE_SHIFT, "BPF_TRAMP_IS_RETURN_SHIFT": 63}
_SIZES = {"u8": 1, "u16": 2, "u32": 4, "int": 4, "unsigned int": 4, "u64": 8, "s64": 8}
_HALFWORDS, _WORD = 2, 4
_ENTRY = re.compile(r"->bpf_func = \(void \*\)ctx->ro_insns \+ ([^;\n]{1,100});")
_MOST_AHEAD = 4096
STRUCT = 40
"""Bytes that a struct of the kernel's headers is taken to have."""
_FIXED = {
    f"BPF_{name}": number << 4
    for number, name in enumerate(
        ("JA", "JEQ", "JGT", "JGE", "JSET", "JNE", "JSGT", "JSGE", "CALL", "EXIT", "JLT", "JLE", "JSLT", "JSLE")
    )
}
"""Conditions, as include/uapi/linux/bpf.h numbers them."""
_ANY = re.compile(r"E[A-Z0-9]{2,12}|(?:GFP|BPF|BTF)_[A-Z0-9_]+")
"""Names whose values make no difference as long as they differ."""
_IS_SHORT = re.compile(r"is_(\d{1,2})b_(?:int|check)")
_TABLES = ("BPF_TRAMP_FENTRY", "BPF_TRAMP_FEXIT", "BPF_TRAMP_MODIFY_RETURN")


class Setting(NamedTuple):
    """What a run takes for granted.

    Args:
        flags: of the trampoline, as ``CALL_ORIG``.
        arguments: how many the traced function has.
        dry: there is no image yet.
        near: addresses that the image is called with or calls are near to it.
        other: what is not known is not 0.
        cfi: CONFIG_CFI, under whatever name, is on.
        pair: the first two of the arguments are one of the traced function's, of two words.
    """

    flags: frozenset[str] = frozenset()
    arguments: int = 3
    dry: bool = False
    near: bool = False
    other: bool = False
    cfi: bool = False
    pair: bool = False


class Event(NamedTuple):
    """An instruction, or several that do one thing.

    Args:
        op: ``sd ld addi mv imm call jalr jal auipc nop data`` or the name of what emitted it.
        args: numbers, in the order of what emitted it.
        at: halfwords before it.
        line: of the call, in the text; 0 if it is not of the function that was run.
    """

    op: str
    args: tuple[Any, ...]
    at: int
    line: int


@dataclass
class Trace:
    """What a run emitted.

    Args:
        events: in order.
        halfwords: their length.
        context: fields of the JIT's context, afterwards.
        spoilt: lines of instructions, no placeholders, that were written over later.
    """

    events: list[Event] = field(default_factory=list)
    halfwords: int = 0
    context: dict[Any, Any] = field(default_factory=dict)
    spoilt: list[int] = field(default_factory=list)


@lru_cache(maxsize=32)
def _memory(source: str, header: str, setting: Setting) -> dict[tuple[Any, ...] | None, tuple[Any, int]]:
    """Return what runs of pure functions gave and how much they emitted; it is filled in as they are run."""
    return {}


@lru_cache(maxsize=32)
def _is_pure(source: str, name: str) -> bool:
    """Tell whether a function, and all it calls, emits the same for the same numbers: no field is read in them."""
    trees = trees_of(source)
    waiting, seen = [name], set[str]()
    while waiting:
        each = waiting.pop()
        if each not in seen and each in trees:
            seen.add(each)
            waiting += [callee for callee, _ in calls(trees.text_of(each))]
    return not any("->" in trees.text_of(each) or "static " in trees.text_of(each).partition("{")[2] for each in seen)


@lru_cache(maxsize=16)
def _enumerated(text: str) -> Mapping[str, int]:
    found: dict[str, int] = {}
    for name, value in re.findall(r"^\t([A-Z][A-Z0-9_]{2,40})\s*=\s*([A-Z0-9_]{1,40}),", text, re.M):
        if value in found or value.isdecimal():
            found[name] = found[value] if value in found else int(value)
    return found


def register_names(header: str) -> dict[int, str]:
    """Return the names of registers by number, as bpf_jit.h has them, in small letters."""
    found = {name: number for name, number in _enumerated(header).items() if name.startswith("RV_REG_")}
    return {number: name.removeprefix("RV_REG_").lower() for name, number in found.items()}


def run_jit(
    source: str,
    header: str,
    name: str,
    args: Mapping[str, Any],
    setting: Setting,
    context: Mapping[Any, Any] | None = None,
) -> Trace:
    """Run a function of the JIT.

    Args:
        source: of bpf_jit_comp64.c.
        header: bpf_jit.h, for the numbers of registers.
        name: of the function.
        args: by the names of its parameters; others are taken as addresses.
        setting: what to take for granted.
        context: fields of the JIT's context that another run left.
    Raises:
        NotRun: it does something that is not understood.
    """
    jit = _Jit(source, header, setting)
    jit.ctx.fields |= {key: value for key, value in (context or {}).items() if key not in jit.ctx.fields}
    return jit.start(name, args)


def value_of(source: str, header: str, name: str) -> int:
    """Return what a name stands for in every run of these texts.

    Raises:
        NotRun: it is no number.
    """
    value = _FIXED.get(name)
    if value is None:
        raise NotRun(f"the value of {name} is not known")
    return value


def entry_of(source: str, header: str, core: str, setting: Setting) -> int:
    """Return the bytes of a program's image in front of where it is entered.

    Args:
        source: of bpf_jit_comp64.c.
        header: bpf_jit.h.
        core: bpf_jit_core.c; of an empty one, nothing is in front.
        setting: what to take for granted.
    Raises:
        NotRun: they are not known.
    """
    found = set(_ENTRY.findall(core))
    if len(found) > 1:
        raise NotRun("where programs are entered")
    text = found.pop() if found else ""
    value = _Jit(source, header, setting).interpreter.value(expression(text)) if text else 0
    if not isinstance(value, int) or not 0 <= value < _MOST_AHEAD:
        raise NotRun("where programs are entered")
    return value


@lru_cache(maxsize=16)
def _struct_sizes(text: str) -> Mapping[str, int]:
    """Return the bytes of structs that have plain numbers in them only."""
    found = {}
    for name, body in re.findall(r"^struct (\w+) \{([^{}]*)\};", text, re.M):
        members = re.findall(r"^\s*(\w+) \w+(?:\[(\d{1,4})\])?;", body, re.M)
        if members and len(members) == body.count(";") and all(kind in _SIZES for kind, _ in members):
            end = 0
            for kind, count in members:
                size = _SIZES[kind]
                end = -(-end // size) * size + size * int(count or 1)
            widest = max(_SIZES[kind] for kind, _ in members)
            found[name] = -(-end // widest) * widest
    return found


class _Functions(Mapping[str, FunctionTree]):
    """The functions of bpf_jit_comp64.c, and those of bpf_jit.h that take nothing and emit nothing."""

    def __init__(self, source: str, header: str) -> None:
        self._own, self._trees = trees_of(header), trees_of(source)
        names = (name for name in self._own if not name.startswith(("rv_", "emit")))
        self.names = frozenset((*self._trees, *(name for name in names if not self._own.parameters_of(name))))

    def __getitem__(self, name: str) -> FunctionTree:
        if name not in self.names:
            raise KeyError(name)
        return self._trees[name] if name in self._trees else self._own[name]

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


class Texts:
    """What the JIT's two texts define, whatever it is run for."""

    offset = 16
    """Taken for where a member is in its struct."""

    def __init__(self, source: str, header: str) -> None:
        self.header = header
        self.functions = _Functions(source, header)
        self.structs = _struct_sizes(header)
        self.registers = _enumerated(header + source)
        self.macros = {**macros_of(header), **macros_of(source)}
        self.regmap = re.findall(r"\[(BPF_REG_\w+)\]\s*=\s*(RV_REG_\w+)", source)


texts_of = lru_cache(maxsize=8)(Texts)


class _Jit(Host):
    """What the JIT's functions ask for."""

    def __init__(self, source: str, header: str, setting: Setting) -> None:
        self.setting = setting
        self.texts = texts_of(source, header)
        self.functions = self.texts.functions
        self.interpreter = Interpreter(self.functions, self)
        self.source = source
        self.trace = Trace()
        self.quiet = 0
        self.later: dict[int, Obj] = {}
        self.numbers: dict[str, int] = {}
        self.known: dict[str, Any] = {}
        self.emitted = _memory(source, header, setting._replace(flags=frozenset(), arguments=0))
        self.ctx = Obj("ctx")
        image, rw = (0, 0) if setting.dry else (_IMAGE, _RW_IMAGE)
        self.ctx.fields |= {"ninsns": 0, "insns": rw, "ro_insns": image}

    def start(self, name: str, args: Mapping[str, Any]) -> Trace:
        tree = self.functions.get(name)
        if tree is None:
            raise NotRun(f"{name}() is not there")
        im = 0x100 if self.setting.dry else IMAGE_ARGUMENT
        flags = sum(self._flag(f"BPF_TRAMP_F_{flag}") for flag in self.setting.flags)
        known = {"ctx": self.ctx, "im": im, "func_addr": ORIGINAL, "flags": flags, **args}
        values = [known[each] if each in known else self._address(each) for each in tree.parameters]
        self.interpreter.run(name, values)
        self.trace.halfwords = self.ctx.fields["ninsns"]
        self.trace.context = self.ctx.fields
        self._fill_in()
        return self.trace

    def store(self, base: int, value: Any) -> None:
        if isinstance(value, Obj) and self.ctx.fields["insns"]:
            self.later[base - self.ctx.fields["insns"]] = value

    def _fill_in(self) -> None:
        """Put instructions that were written later where their placeholders are."""
        for i, event in enumerate(self.trace.events):
            insn = self.later.pop(event.at, None)
            if insn is not None and event.op == "nop":
                values = tuple(insn.fields[key] for key in range(len(insn.fields)))
                self.trace.events[i] = Event(insn.kind, values, event.at, event.line)
            elif insn is not None:
                self.trace.spoilt.append(event.line)
        if self.later:
            self.trace.spoilt.append(0)

    def _flag(self, name: str) -> int:
        return 1 << self.numbers.setdefault(name, len(self.numbers))

    def _address(self, name: str) -> int:
        number = self.numbers.setdefault(name, len(self.numbers))
        return _IMAGE + (0x8000 if self.setting.near else 0x4000_0000) + 0x100 * number

    def ident(self, name: str) -> Any:
        if name not in self.known:
            self.known[name] = self._ident(name)
        return self.known[name]

    def _ident(self, name: str) -> Any:
        if name in self.texts.registers:
            return self.texts.registers[name]
        if name in self.texts.macros:
            outer, self.interpreter.names = self.interpreter.names, {}
            try:
                return self.interpreter.value(expression(self.texts.macros[name][0]))
            finally:
                self.interpreter.names = outer
        if name.startswith("CONFIG_"):
            return int(name == "CONFIG_64BIT" or (self.setting.cfi and name.startswith("CONFIG_CFI")))
        if name.startswith("BPF_TRAMP_F_"):
            return self._flag(name)
        if name in _TABLES:
            return _TABLES.index(name)
        if name == "regmap":
            return self._regmap()
        if name in _NUMBERS:
            return _NUMBERS[name]
        if name in _FIXED:
            return _FIXED[name]
        if name.isupper():
            if not _ANY.fullmatch(name):
                raise NotRun(f"the value of {name} is not known")
            return 3 + self.numbers.setdefault(name, len(self.numbers))
        return self._address(name)

    def _regmap(self) -> Obj:
        obj = Obj("regmap")
        for index, register in self.texts.regmap:
            obj.fields[self.ident(index)] = self.texts.registers.get(register, 0)
        return obj

    def field(self, base: Any, name: str) -> Any:
        if name == "nr_args":
            return self.setting.arguments - self.setting.pair
        if name.startswith("nr_"):
            is_call = "CALL_ORIG" in self.setting.flags
            return 1 + self.setting.other if not isinstance(base, Obj) or base.kind == "[0]" or is_call else 0
        if name == "arg_size":
            return Obj("sizes")
        if isinstance(base, Obj) and base.kind == "sizes":
            return 16 if self.setting.pair and name == "0" else 8
        if name in ("ret_size", "size"):
            return 8
        if name == "stack_depth":
            return 64
        if isinstance(base, Obj) and base.kind == "heap":
            return 0
        if name in ("[0]", "[1]", "[2]"):
            return Obj(name)
        if name == "bpf_func":
            return PROGRAM
        if name in ("insns", "prog", "link", "aux", "links", "nodes"):
            return self._address(name)
        return int(self.setting.other)

    def call(self, name: str, args: Sequence[Any], line: int) -> Any:
        if name in self.functions.names and name not in ("emit_imm", "emit_call"):
            return NotImplemented
        if name in ("emit_imm", "emit_call"):
            return self._whole(name, args, line)
        if name == "emit" or name.startswith(("emit_", "emitc")):
            return self._emit(name, args, line)
        if name.startswith("rv_"):
            obj = Obj(name.removeprefix("rv_"))
            obj.fields |= dict(enumerate(args))
            return obj
        if name == "cfi_get_offset":
            return _WORD if self.setting.cfi else 0
        if name == "sizeof" and (known := self.texts.structs.get(args[0].removeprefix("struct "))) is not None:
            return known
        given = _arithmetic(name, args)
        if given is not None:
            return given
        if "alloc" in name:
            return Obj("heap")
        if re.search(r"enter|exit", name):
            return self._address(name)
        is_count = re.search(r"cnt|count|num|cookie", name) is not None
        return (2 if is_count else self._address(name)) if self.setting.other else 0

    def _whole(self, name: str, args: Sequence[Any], line: int) -> Any:
        """Run what emits a number or a call, and note it as one event."""
        at = self.ctx.fields["ninsns"]
        key = (
            (name, *args[:-1]) if args[-1:] == [self.ctx] and all(isinstance(each, int) for each in args[:-1]) else None
        )
        if key in self.emitted:
            result, length = self.emitted[key]
            self.ctx.fields["ninsns"] += length
        else:
            self.quiet += 1
            try:
                result = self.interpreter.run(name, args)
            finally:
                self.quiet -= 1
            if key is not None and _is_pure(self.source, name):
                self.emitted[key] = (result, self.ctx.fields["ninsns"] - at)
        op = name.removeprefix("emit_")
        self._note(Event(op, tuple(args[:2]) if op == "imm" else (args[0],), at, line))
        return result

    def _emit(self, name: str, args: Sequence[Any], line: int) -> int:
        ctx = next((each for each in reversed(args) if isinstance(each, Obj) and "ninsns" in each.fields), None)
        if ctx is None:
            raise NotRun(f"{name}() without a context")
        op, values = name.removeprefix("emit_"), tuple(args[:-1])
        if name == "emit":
            insn = args[0]
            op = insn.kind if isinstance(insn, Obj) else "data"
            values = tuple(insn.fields[i] for i in range(len(insn.fields))) if isinstance(insn, Obj) else values
        if op == "li":
            op = "imm"
        self._note(Event(op, values, ctx.fields["ninsns"], line))
        ctx.fields["ninsns"] += 1 if name == "emitc" else _HALFWORDS
        return 0

    def _note(self, event: Event) -> None:
        if not self.quiet:
            self.trace.events.append(event)


def _arithmetic(name: str, args: Sequence[Any]) -> int | None:
    """Return what a macro of the kernel's headers gives, if it is one that is known."""
    numbers = [each for each in args if isinstance(each, int)]
    if name.startswith("is_") and (match := _IS_SHORT.fullmatch(name)) is not None and numbers:
        limit = 1 << (int(match[1]) - 1)
        return int(-limit <= numbers[0] < limit)
    if name == "sizeof":
        return _SIZES.get(args[0], STRUCT if "struct" in args[0] else 8)
    if name == "offsetof":
        return Texts.offset
    if name in ("round_up", "ALIGN") and len(numbers) == 2 and numbers[1] > 0:
        return -(-numbers[0] // numbers[1]) * numbers[1]
    if name in ("min_t", "min", "max_t", "max") and len(numbers) >= 2:  # a type may stand before the two
        return min(numbers[-2:]) if name.startswith("min") else max(numbers[-2:])
    if name in ("sign_extend64", "sign_extend32") and len(numbers) == 2 and 0 <= numbers[1] < 64:
        return signed(numbers[0], numbers[1] + 1)
    if name == "__ffs" and numbers and numbers[0]:
        return (numbers[0] & -numbers[0]).bit_length() - 1
    if name in ("IS_ENABLED", "likely", "unlikely", "WARN_ON", "WARN_ON_ONCE") and numbers:
        return numbers[0]
    if name == "BIT" and numbers and 0 <= numbers[0] < 63:
        return 1 << numbers[0]
    if name == "ninsns_rvoff" and numbers:
        return numbers[0] << 1
    if name == "test_bit":
        return 1
    return None
