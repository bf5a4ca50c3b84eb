# SPDX-License-Identifier: GPL-2.0-or-later
"""Functions of Debian's kernels, called and compared with what the host makes of the same input."""

from __future__ import annotations

import base64
import bisect
import calendar
import fnmatch
import hashlib
import ipaddress
import math
import random
import time
import uuid
import zlib
from collections.abc import Callable
from fractions import Fraction

import lz4.block
import pytest
import zstandard

from . import oracles
from .bench import Kernel, given, signed, u64s

pytestmark = pytest.mark.kernels

M32, M64 = (1 << 32) - 1, (1 << 64) - 1
HOOK = 0xFFFF_FFFF_FFFF_E000


@pytest.fixture(params=["7.2", "6.12"])
def kernel(request: pytest.FixtureRequest) -> Kernel:
    return given(request.param)


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> random.Random:
    return random.Random(request.node.originalname)


def edgy(rng: random.Random, bits: int = 64) -> int:
    """A number that is often small, huge, a power of two or one beside it."""
    kind = rng.randrange(4)
    if kind == 0:
        return rng.getrandbits(bits)
    if kind == 1:
        return rng.getrandbits(rng.randrange(1, bits + 1))
    if kind == 2:
        return (1 << rng.randrange(bits)) + rng.choice((-1, 0, 1)) & (1 << bits) - 1
    return rng.choice((0, 1, 2, 3, (1 << bits) - 1, (1 << bits) - 2, 1 << bits - 1))


def line(rng: random.Random, alphabet: bytes, most: int) -> bytes:
    return bytes(rng.choices(alphabet, k=rng.randrange(most + 1)))


# --- oracles themselves


def test_siphash_has_the_value_of_the_paper() -> None:
    assert oracles.siphash(bytes(range(16)), bytes(range(15))) == 0xA129CA6149BE45E5


@pytest.mark.parametrize("name", oracles.CHECKS)
def test_crcs_have_the_values_of_the_catalogue(name: str) -> None:
    function, check = oracles.CHECKS[name]
    assert function(b"123456789") == check


def test_xxhash_has_the_published_values() -> None:
    assert oracles.xxh64(b"", 0) == 0xEF46DB3751D8E999
    assert oracles.xxh64(b"abc", 0) == 0x44BC2CF5AD770999
    assert oracles.xxh32(b"", 0) == 0x02CC5D05


def test_chacha_has_the_values_of_the_rfc() -> None:
    key = [int.from_bytes(bytes(range(at, at + 4)), "little") for at in range(0, 32, 4)]
    state = [0x61707865, 0x3320646E, 0x79622D32, 0x6B206574, *key, 1, 0x09000000, 0x4A000000, 0]
    assert oracles.chacha_block(state, 20)[:4] == [0xE4E7F110, 0x15593BD1, 0x1FDD0F50, 0xC47120A3]


# --- memory


def test_memcpy_of_every_size_and_alignment(kernel: Kernel, rng: random.Random) -> None:
    source = rng.randbytes(256)
    for to in range(8):
        for at in range(8):
            kernel.fresh()
            place, target = kernel.put(source), kernel.room(130 + to)
            for size in range(131):
                start = rng.randrange(8, 100) // 8 * 8 + at
                kernel.bench.memory.write(target, b"\xee" * (130 + to))
                assert kernel("memcpy", target + to, place + start, size) == target + to
                expected = b"\xee" * to + source[start : start + size] + b"\xee" * (130 - size)
                assert kernel.read(target, 130 + to) == expected, (to, at, size)


def test_memset(kernel: Kernel, rng: random.Random) -> None:
    for align in range(16):
        kernel.fresh()
        target = kernel.room(130 + align)
        for size in range(131):
            value = rng.randrange(1 << 16)
            kernel.bench.memory.write(target, b"\xee" * (130 + align))
            assert kernel("memset", target + align, value, size) == target + align
            expected = b"\xee" * align + bytes([value & 0xFF]) * size + b"\xee" * (130 - size)
            assert kernel.read(target, 130 + align) == expected, (align, size)


def test_memmove_of_what_overlaps(kernel: Kernel, rng: random.Random) -> None:
    for _ in range(1500):
        kernel.fresh()
        data = bytearray(rng.randbytes(300))
        place = kernel.put(bytes(data), align=rng.randrange(8))
        size, start = rng.choice((rng.randrange(131), rng.randrange(16))), rng.randrange(60, 110)
        to = start + rng.choice((rng.randrange(-60, 61), rng.randrange(-9, 10)))
        assert kernel("memmove", place + to, place + start, size) == place + to
        data[to : to + size] = data[start : start + size]
        assert kernel.read(place, 300) == data, (start, to, size)


def test_memcmp(kernel: Kernel, rng: random.Random) -> None:
    for _ in range(400):
        kernel.fresh()
        one = rng.randbytes(rng.randrange(130))
        two = bytearray(one)
        if one and rng.random() < 0.8:
            two[rng.randrange(len(one))] = rng.randrange(256)
        found = signed(kernel("memcmp", kernel.put(one, align=rng.randrange(8)), kernel.put(bytes(two)), len(one)))
        assert (found > 0) - (found < 0) == (one > bytes(two)) - (one < bytes(two))


def test_memchr_and_memscan(kernel: Kernel, rng: random.Random) -> None:
    for _ in range(200):
        kernel.fresh()
        data, wanted = line(rng, bytes(range(40)), 80), rng.randrange(40)
        place, at = kernel.put(data), data.find(wanted)
        assert kernel("memchr", place, wanted, len(data)) == (place + at if at >= 0 else 0)
        assert kernel("memscan", place, wanted, len(data)) == place + (at if at >= 0 else len(data))


def test_memchr_inv(kernel: Kernel, rng: random.Random) -> None:
    for _ in range(200):
        kernel.fresh()
        value, data = rng.randrange(256), bytearray()
        data += bytes([value]) * rng.randrange(200)
        if data and rng.random() < 0.7:
            data[rng.randrange(len(data))] ^= rng.randrange(1, 256)
        place = kernel.put(bytes(data), align=rng.randrange(8))
        other = next((number for number, byte in enumerate(data) if byte != value), -1)
        assert kernel("memchr_inv", place, value, len(data)) == (place + other if other >= 0 else 0)


def test_crypto_memneq_and_xor(kernel: Kernel, rng: random.Random) -> None:
    for _ in range(100):
        kernel.fresh()
        one, two = (rng.randbytes(64) for _ in range(2))
        size = rng.randrange(65)
        to, a, b = kernel.room(64), kernel.put(one, align=rng.randrange(8)), kernel.put(two, align=rng.randrange(8))
        kernel("__crypto_xor", to, a, b, size)
        assert kernel.read(to, 64) == bytes(x ^ y for x, y in zip(one[:size], two, strict=False)) + bytes(64 - size)
        assert bool(kernel("__crypto_memneq", a, b, size)) == (one[:size] != two[:size])


# --- strings


def test_strlen_and_strnlen(kernel: Kernel, rng: random.Random) -> None:
    for size in range(131):
        kernel.fresh()
        place = kernel.text(bytes(rng.randrange(1, 256) for _ in range(size)), align=rng.randrange(16))
        limit = rng.randrange(140)
        assert kernel("strlen", place) == size
        assert kernel("strnlen", place, limit) == min(size, limit)


def test_comparisons_of_strings(kernel: Kernel, rng: random.Random) -> None:
    for _ in range(400):
        kernel.fresh()
        one = line(rng, b"abA\xff", 40)
        two = rng.choice((one, line(rng, b"abA\xff", 40), one[: rng.randrange(41)] + line(rng, b"ab\x80", 8)))
        a, b, size = (
            kernel.text(one, align=rng.randrange(8)),
            kernel.text(two, align=rng.randrange(8)),
            rng.randrange(45),
        )
        expected = {
            "strcmp": (one, two), "strncmp": (one[:size], two[:size]),
            "strcasecmp": (lower(one), lower(two)), "strncasecmp": (lower(one[:size]), lower(two[:size])),
        }  # fmt: skip
        for name, (x, y) in expected.items():
            found = signed(kernel(name, a, b, size))
            assert (found > 0) - (found < 0) == (x > y) - (x < y), (name, one, two, size)


def lower(text: bytes) -> bytes:
    """ASCII letters alone; no byte of the tests is one that Latin-1 would change."""
    return text.lower()


def test_searches_in_strings(kernel: Kernel, rng: random.Random) -> None:
    for _ in range(300):
        kernel.fresh()
        text, some = line(rng, b"abcd", 40), line(rng, b"abcd", 3)
        wanted = rng.choice(b"abcde")
        place, other = kernel.text(text), kernel.text(some)

        def at(offset: int, base: int = place) -> int:
            return base + offset if offset >= 0 else 0

        assert kernel("strchr", place, wanted) == at(text.find(wanted))
        assert kernel("strrchr", place, wanted) == at(text.rfind(wanted))
        assert kernel("strstr", place, other) == at(text.find(some))
        accepted = next((n for n, byte in enumerate(text) if byte not in some), len(text))
        rejected = next((n for n, byte in enumerate(text) if byte in some), -1)
        assert kernel("strspn", place, other) == accepted
        assert kernel("strcspn", place, other) == (rejected if rejected >= 0 else len(text))
        assert kernel("strpbrk", place, other) == at(rejected)


def test_copies_of_strings(kernel: Kernel, rng: random.Random) -> None:
    for _ in range(200):
        kernel.fresh()
        text, tail = (line(rng, bytes(range(1, 256)), 40) for _ in range(2))
        source, other, to = kernel.text(text, align=rng.randrange(8)), kernel.text(tail), kernel.room(100)
        assert kernel("strcpy", to, source) == to
        assert kernel.read(to, 100) == text + bytes(100 - len(text))
        assert kernel("strcat", to, other) == to
        assert kernel.read(to, 100) == text + tail + bytes(100 - len(text + tail))


def test_sized_strscpy(kernel: Kernel, rng: random.Random) -> None:
    kernel.has("sized_strscpy")
    for _ in range(200):
        kernel.fresh()
        text, size = line(rng, bytes(range(1, 256)), 60), rng.randrange(70)
        to = kernel.room(size, fill=0xAA)
        found = signed(kernel("sized_strscpy", to, kernel.text(text, align=rng.randrange(8)), size), 64)
        assert found == (len(text) if len(text) < size else -7)
        kept = text[: max(size - 1, 0)] + b"\0" if size else b""
        assert kernel.read(to, size)[: len(kept)] == kept


def test_strncpy(kernel: Kernel, rng: random.Random) -> None:
    kernel.has("strncpy")
    for _ in range(200):
        kernel.fresh()
        text, size = line(rng, bytes(range(1, 256)), 60), rng.randrange(70)
        to = kernel.room(size, fill=0xAA)
        assert kernel("strncpy", to, kernel.text(text), size) == to
        assert kernel.read(to, size) == text[:size].ljust(size, b"\0")


def test_glob_match(kernel: Kernel, rng: random.Random) -> None:
    matched = 0
    for _ in range(500):
        kernel.fresh()
        pattern = b"".join(rng.choices((b"a", b"b", b"?", b"*", b"[ab]", b"[!a]", b"[a-c]"), k=rng.randrange(7)))
        text = line(rng, b"abcd", 7)
        expected = fnmatch.fnmatchcase(text.decode(), pattern.decode())
        assert bool(kernel("glob_match", kernel.text(pattern), kernel.text(text)) & 1) == expected, (pattern, text)
        matched += expected
    assert 50 < matched < 450


# --- numbers


def test_int_sqrt(kernel: Kernel, rng: random.Random) -> None:
    for value in (*range(20), *(edgy(rng) for _ in range(200)), *(n * n - 1 for n in (2, 1 << 16, M32))):
        assert kernel("int_sqrt", value) == math.isqrt(value)


def test_int_pow(kernel: Kernel, rng: random.Random) -> None:
    for _ in range(200):
        base, exponent = edgy(rng), rng.randrange(70)
        assert kernel("int_pow", base, exponent) == pow(base, exponent, 1 << 64)


def test_gcd_and_lcm(kernel: Kernel, rng: random.Random) -> None:
    for _ in range(200):
        a, b = edgy(rng), edgy(rng)
        common = rng.choice((1, 6, 1 << 20))
        a, b = a * common & M64, b * common & M64
        assert kernel("gcd", a, b) == math.gcd(a, b)
        a, b = a & M32, b & M32
        assert kernel("lcm", a, b) == math.lcm(a, b)
        assert kernel("lcm_not_zero", a, b) == (math.lcm(a, b) or b or a)


def test_rational_best_approximation(kernel: Kernel, rng: random.Random) -> None:
    for _ in range(200):
        kernel.fresh()
        value = Fraction(rng.getrandbits(30), rng.getrandbits(30) + 1)
        limit = rng.choice((7, 255, 10_000))
        to = kernel.room(16)
        kernel("rational_best_approximation", value.numerator, value.denominator, M64, limit, to, to + 8)
        found = Fraction(kernel.word(to), kernel.word(to + 8))
        assert found.denominator <= limit
        assert abs(found - value) == abs(value.limit_denominator(limit) - value)


@pytest.mark.parametrize("bits", [8, 16, 32, 64])
def test_hweight(kernel: Kernel, rng: random.Random, bits: int) -> None:
    for _ in range(100):
        value = edgy(rng, bits)
        assert kernel(f"__sw_hweight{bits}", value) & M32 == value.bit_count()


def test_division_of_128_bits(kernel: Kernel, rng: random.Random) -> None:
    new = kernel.bench.image.address_of("mul_u64_add_u64_div_u64") is not None
    name = "mul_u64_add_u64_div_u64" if new else "mul_u64_u64_div_u64"
    kernel.has(name)
    for _ in range(300):
        a, b, c, add = edgy(rng), edgy(rng), edgy(rng) or 1, edgy(rng) if new else 0
        expected = (a * b + add) // c
        if expected <= M64:
            assert kernel(name, a, b, add, c) == expected if new else kernel(name, a, b, c) == expected


def test_iter_div_u64_rem(kernel: Kernel, rng: random.Random) -> None:
    for _ in range(50):
        kernel.fresh()
        divisor, quotient, rest = rng.getrandbits(31) + 1, rng.randrange(50), kernel.room(8)
        dividend = divisor * quotient + rng.randrange(divisor)
        assert kernel("iter_div_u64_rem", dividend, divisor, rest) & M32 == quotient
        assert kernel.word(rest) == dividend - divisor * quotient


def test_shifts_of_128_bits(kernel: Kernel, rng: random.Random) -> None:
    for _ in range(200):
        value, by = edgy(rng, 128), rng.randrange(128)
        expected = {"__lshrti3": value >> by, "__ashlti3": value << by, "__ashrti3": signed(value, 128) >> by}
        for name, result in expected.items():
            low = kernel(name, value & M64, value >> 64, by)
            assert low | kernel.bench.hart.x[11] << 64 == result & (1 << 128) - 1, (name, value, by)


def test_bcd(kernel: Kernel) -> None:
    for value in range(100):
        coded = int(str(value), 16)
        assert kernel("_bin2bcd", value) & 0xFF == coded
        assert kernel("_bcd2bin", coded) & M32 == value


# --- sorting


@pytest.mark.parametrize("size", [4, 8, 12, 24])
def test_sort_with_a_comparison_of_the_host(kernel: Kernel, rng: random.Random, size: int) -> None:
    def compare(a: int, b: int, _: int) -> int:
        one, two = (kernel.bench.memory.read(each, size) for each in (a, b))
        return (one > two) - (one < two)

    kernel.host(HOOK, compare)
    for count in (0, 1, 2, 3, 10, 60):
        kernel.fresh()
        rows = [bytes(rng.choices(range(4), k=size)) for _ in range(count)]
        place = kernel.put(b"".join(rows))
        kernel("sort", place, count, size, HOOK, 0)
        assert kernel.read(place, size * count) == b"".join(sorted(rows))


def test_sort_with_a_comparison_of_the_kernel(kernel: Kernel, rng: random.Random) -> None:
    """ftrace_cmp_ips orders addresses."""
    compare = kernel.bench.function("ftrace_cmp_ips")
    for count in (0, 1, 2, 5, 17, 100, 300):
        kernel.fresh()
        values = [edgy(rng) for _ in range(count)]
        place = kernel.put(u64s(values))
        kernel("sort", place, count, 8, compare, 0)
        assert kernel.read(place, 8 * count) == u64s(sorted(values))


def test_sort_with_a_swap_of_the_host(kernel: Kernel, rng: random.Random) -> None:
    def swap(a: int, b: int, size: int) -> int:
        memory = kernel.bench.memory
        one, two = memory.read(a, size), memory.read(b, size)
        memory.write(a, two)
        memory.write(b, one)
        return 0

    kernel.host(HOOK + 16, swap)
    values = [edgy(rng) for _ in range(50)]
    place = kernel.put(u64s(values))
    kernel("sort", place, 50, 8, kernel.bench.function("ftrace_cmp_ips"), HOOK + 16)
    assert kernel.read(place, 400) == u64s(sorted(values))


def test_bsearch(kernel: Kernel, rng: random.Random) -> None:
    compare = kernel.bench.function("ftrace_cmp_ips")
    for count in (0, 1, 2, 7, 64):
        kernel.fresh()
        values = sorted({edgy(rng) for _ in range(count)})
        place, key = kernel.put(u64s(values)), kernel.room(8)
        for wanted in (*values, *(edgy(rng) for _ in range(10))):
            kernel.bench.memory.write(key, u64s([wanted]))
            at = bisect.bisect_left(values, wanted)
            is_there = at < len(values) and values[at] == wanted
            assert kernel("bsearch", key, place, len(values), 8, compare) == (place + 8 * at if is_there else 0)


def test_list_sort_is_stable(kernel: Kernel, rng: random.Random) -> None:
    keys: dict[int, int] = {}
    kernel.host(HOOK + 32, lambda _, a, b: int(keys[a] > keys[b]))
    for count in (2, 3, 8, 50):
        kernel.fresh()
        nodes = [kernel.room(16) for _ in range(count + 1)]
        keys.clear()
        keys.update({node: rng.randrange(10) for node in nodes[1:]})
        for before, node, behind in zip(nodes[-1:] + nodes, nodes, nodes[1:] + nodes, strict=False):
            kernel.bench.memory.write(node, u64s([behind, before]))
        kernel("list_sort", 0, nodes[0], HOOK + 32)
        found, node = [], kernel.word(nodes[0])
        while node != nodes[0]:
            assert kernel.word(kernel.word(node) + 8) == node
            found.append(node)
            node = kernel.word(node)
        assert found == sorted(nodes[1:], key=keys.__getitem__)


# --- text and numbers


def test_numbers_from_text(kernel: Kernel, rng: random.Random) -> None:
    for _ in range(300):
        kernel.fresh()
        value, base = edgy(rng), rng.choice((0, 8, 10, 16))
        forms = {0: (f"{value}", f"{value:#x}", f"0{value:o}"), 8: (f"{value:o}",), 16: (f"{value:x}",)}
        text = rng.choice(forms.get(base, (f"{value}",)))
        place, to = kernel.text(text.encode()), kernel.room(8, fill=0x55)
        assert kernel("kstrtoull", place, base, to) == 0
        assert kernel.word(to) == value
        rest = kernel.text(f"{text}|yz".encode())
        assert kernel("simple_strtoull", rest, to, base) == value
        assert kernel.word(to) == rest + len(text)


@pytest.mark.parametrize(
    ("function", "text", "error", "value"),
    [
        ("kstrtoull", "18446744073709551615", 0, M64), ("kstrtoull", "18446744073709551616", -34, None),
        ("kstrtoull", "99999999999999999999999", -34, None), ("kstrtoull", "", -22, None),
        ("kstrtoull", "x", -22, None),
        ("kstrtoull", "12\n", 0, 12), ("kstrtoull", "12\n\n", -22, None), ("kstrtoull", "+7", 0, 7),
        ("kstrtoull", "-7", -22, None), ("kstrtoll", "-9223372036854775808", 0, 1 << 63),
        ("kstrtoll", "-9223372036854775809", -34, None), ("kstrtoll", "9223372036854775808", -34, None),
        ("kstrtouint", "4294967296", -34, None), ("kstrtoint", "-2147483648", 0, 1 << 31),
        ("kstrtou8", "256", -34, None),
    ],
)  # fmt: skip
def test_numbers_that_do_not_fit(kernel: Kernel, function: str, text: str, error: int, value: int | None) -> None:
    to = kernel.room(8)
    assert signed(kernel(function, kernel.text(text.encode()), 10, to)) == error
    if value is not None:
        assert kernel.word(to) == value


def test_memparse(kernel: Kernel, rng: random.Random) -> None:
    for suffix, shift in (("", 0), ("K", 10), ("m", 20), ("G", 30), ("t", 40)):
        for _ in range(10):
            kernel.fresh()
            value, end = rng.getrandbits(20), kernel.room(8)
            place = kernel.text(f"{value}{suffix},".encode())
            assert kernel("memparse", place, end) == value << shift
            assert kernel.word(end) == place + len(f"{value}{suffix}")


def test_hex(kernel: Kernel, rng: random.Random) -> None:
    for _ in range(100):
        kernel.fresh()
        data = rng.randbytes(rng.randrange(60))
        place, to, back = kernel.put(data), kernel.room(2 * len(data)), kernel.room(len(data))
        assert kernel("bin2hex", to, place, len(data)) == to + 2 * len(data)
        assert kernel.read(to, 2 * len(data)) == data.hex().encode()
        assert kernel("hex2bin", back, kernel.put(data.hex().upper().encode()), len(data)) == 0
        assert kernel.read(back, len(data)) == data


def test_hex_to_bin(kernel: Kernel) -> None:
    for byte in range(256):
        expected = int(chr(byte), 16) if chr(byte) in "0123456789abcdefABCDEF" else -1
        assert signed(kernel("hex_to_bin", byte)) == expected


def test_hex_dump_to_buffer(kernel: Kernel, rng: random.Random) -> None:
    for _ in range(150):
        kernel.fresh()
        row, group = rng.choice((16, 32)), rng.choice((1, 2, 4, 8))
        data = rng.randbytes(rng.randrange(1, row // group + 1) * group)
        parts = [data[at : at + group][::-1].hex() for at in range(0, len(data), group)]
        expected = " ".join(parts)
        size, with_text = len(expected), rng.random() < 0.5
        if with_text:
            width = row // group * (2 * group + 1) + 1
            shown = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in data)
            expected = expected.ljust(width) + shown
            size = len(expected)
        to = kernel.room(200)
        found = kernel("hex_dump_to_buffer", kernel.put(data, align=0), len(data), row, group, to, 200, int(with_text))
        assert signed(found) == size
        assert kernel.read(to, 200).split(b"\0")[0].decode() == expected


def test_base64(kernel: Kernel, rng: random.Random) -> None:
    is_padded = kernel.version == "6.12"  # later ones ask
    extra = () if is_padded else (0, 0)
    for _ in range(100):
        kernel.fresh()
        data = rng.randbytes(rng.randrange(60))
        coded = base64.b64encode(data) if is_padded else base64.b64encode(data).rstrip(b"=")
        to, back = kernel.room(len(coded)), kernel.room(len(data))
        assert kernel("base64_encode", kernel.put(data), len(data), to, *extra) == len(coded)
        assert kernel.read(to, len(coded)) == coded
        bare = len(coded.rstrip(b"="))
        assert kernel("base64_decode", to, bare, back, *extra) == len(data)
        assert kernel.read(back, len(data)) == data


@pytest.mark.parametrize(
    ("template", "values"),
    [
        ("%d %i %u %x %X %o", (-5, 7, 4000000000, 48879, 48879, 8)), ("%08lx|%-8d|%+d|%8d", (0x1234, 5, 5, -5)),
        ("%lld %llu %llx", (-(1 << 62), M64, M64)), ("%c%c%%", (65, 66)),
        ("%s and %10s and %-6s|%.2s", ("a", "bc", "d", "xyz")),
        ("%d %d %d %d %d %d %d %d %d %d %d %d", tuple(range(12))), ("%#x %#o %5.3d", (255, 8, 7)), ("", ()),
    ],
)  # fmt: skip
def test_snprintf(kernel: Kernel, template: str, values: tuple[int | str, ...]) -> None:
    expected = template.replace("ll", "").replace("l", "") % tuple(chr(v) if "%c" in template else v for v in values)
    expected = expected.replace("0o10", "010")
    for size in (200, 7, 0):
        kernel.fresh()
        given_values = [v if isinstance(v, int) else kernel.text(v.encode()) for v in values]
        to = kernel.room(size)
        assert kernel("snprintf", to, size, kernel.text(template.encode()), *given_values) == len(expected)
        if size:
            assert kernel.read(to, size).split(b"\0")[0].decode() == expected[: size - 1]


def test_uuid_parse(kernel: Kernel, rng: random.Random) -> None:
    for _ in range(50):
        kernel.fresh()
        value, to = uuid.UUID(int=rng.getrandbits(128)), kernel.room(16)
        assert kernel("uuid_parse", kernel.text(str(value).encode()), to) == 0
        assert kernel.read(to, 16) == value.bytes
    assert signed(kernel("uuid_parse", kernel.text(b"not a uuid at all, but as long as 36"), kernel.room(16))) == -22


def test_addresses_from_text(kernel: Kernel, rng: random.Random) -> None:
    for _ in range(60):
        kernel.fresh()
        four, six = (
            ipaddress.IPv4Address(rng.getrandbits(32)),
            ipaddress.IPv6Address(rng.getrandbits(128) & edgy(rng, 128)),
        )
        for name, address in (("in4_pton", four), ("in6_pton", six)):
            to = kernel.room(len(address.packed))
            assert kernel(name, kernel.text(str(address).encode()), M64, to, M64, 0) == 1, str(address)
            assert kernel.read(to, len(address.packed)) == address.packed
        mac, to = rng.randbytes(6), kernel.room(6)
        assert kernel("mac_pton", kernel.text(mac.hex(":").encode()), to) & 1
        assert kernel.read(to, 6) == mac


def test_time(kernel: Kernel, rng: random.Random) -> None:
    for _ in range(100):
        kernel.fresh()
        seconds, to = rng.randrange(-(1 << 33), 1 << 36), kernel.room(40)
        kernel("time64_to_tm", seconds, 0, to)
        expected = time.gmtime(seconds)
        sec, minute, hour, mday, mon = (kernel.word(to + 4 * n, 4) for n in range(5))
        year, wday, yday = kernel.word(to + 24), kernel.word(to + 32, 4), kernel.word(to + 36, 4)
        found = (signed(year, 64) + 1900, mon + 1, mday, hour, minute, sec, (wday - 1) % 7, yday + 1)
        assert found == tuple(expected)[:8]
        if expected.tm_year >= 1970:
            assert kernel("mktime64", *tuple(expected)[:6]) == calendar.timegm(expected)


# --- hashes and checksums


def test_crc32(kernel: Kernel, rng: random.Random) -> None:
    for _ in range(150):
        kernel.fresh()
        data, start = rng.randbytes(rng.randrange(200)), rng.getrandbits(32)
        place = kernel.put(data, align=rng.randrange(8))
        assert kernel("crc32_le", ~start & M32, place, len(data)) & M32 == ~zlib.crc32(data, start) & M32
        expected = oracles.crc(data, start, 0x04C11DB7, 32, reflected=False)
        assert kernel("crc32_be", start, place, len(data)) & M32 == expected


CRCS: dict[str, Callable[[bytes, int], int]] = {
    "crc32c": lambda data, start: oracles.crc(data, start & M32, 0x82F63B78, 32, reflected=True),
    "__crc32c_le": lambda data, start: oracles.crc(data, start & M32, 0x82F63B78, 32, reflected=True),
    "crc64_be": lambda data, start: oracles.crc(data, start, 0x42F0E1EBA9EA3693, 64, reflected=False),
    "crc64_nvme": lambda data, start: ~oracles.crc(data, ~start & M64, 0x9A6C9329AC4BC9B5, 64, reflected=True) & M64,
    "crc_ccitt": lambda data, start: oracles.crc(data, start & 0xFFFF, 0x8408, 16, reflected=True),
    "crc_t10dif_update": lambda data, start: oracles.crc(data, start & 0xFFFF, 0x8BB7, 16, reflected=False),
    "crc_t10dif_generic": lambda data, start: oracles.crc(data, start & 0xFFFF, 0x8BB7, 16, reflected=False),
}
BITS = {"crc32c": 32, "__crc32c_le": 32, "crc64_be": 64, "crc64_nvme": 64}


@pytest.mark.parametrize("name", CRCS)
def test_other_crcs(kernel: Kernel, rng: random.Random, name: str) -> None:
    kernel.has(name)
    if name == "crc_t10dif_update" and kernel.version == "6.12":
        pytest.skip("6.12 has it ask the crypto API, which is set up at boot")
    bits = BITS.get(name, 16)
    for _ in range(60):
        kernel.fresh()
        data, start = rng.randbytes(rng.randrange(100)), rng.getrandbits(bits)
        found = kernel(name, start, kernel.put(data, align=rng.randrange(8)), len(data))
        assert found & (1 << bits) - 1 == CRCS[name](data, start)


def test_siphash(kernel: Kernel, rng: random.Random) -> None:
    paper = kernel.put(bytes(range(16)))
    assert kernel("__siphash_aligned", kernel.put(bytes(range(15))), 15, paper) == 0xA129CA6149BE45E5
    for _ in range(60):
        kernel.fresh()
        key, words = rng.randbytes(16), [rng.getrandbits(64) for _ in range(2)]
        at, data = kernel.put(key), rng.randbytes(rng.randrange(70))
        assert kernel("siphash_1u64", words[0], at) == oracles.siphash(key, u64s(words[:1]))
        assert kernel("siphash_2u64", *words, at) == oracles.siphash(key, u64s(words))
        assert kernel("siphash_1u32", words[0] & M32, at) == oracles.siphash(key, u64s(words)[:4])
        assert kernel("__siphash_aligned", kernel.put(data), len(data), at) == oracles.siphash(key, data)
        assert kernel("__siphash_unaligned", kernel.put(data, align=3), len(data), at) == oracles.siphash(key, data)
        assert kernel("hsiphash_1u32", words[0] & M32, at) & M32 == oracles.siphash(key, u64s(words)[:4], 1, 3) & M32


def test_xxhash(kernel: Kernel, rng: random.Random) -> None:
    for _ in range(100):
        kernel.fresh()
        data, seed = rng.randbytes(rng.randrange(150)), rng.getrandbits(64)
        place = kernel.put(data, align=rng.randrange(8))
        assert kernel("xxh64", place, len(data), seed) == oracles.xxh64(data, seed)
        assert kernel("xxh32", place, len(data), seed & M32) & M32 == oracles.xxh32(data, seed & M32)


@pytest.mark.parametrize("name", ["sha256", "sha1", "sha512", "md5"])
def test_digests(kernel: Kernel, rng: random.Random, name: str) -> None:
    kernel.has(name)
    expected = hashlib.new(name)
    for size in (0, 1, 3, 55, 56, 63, 64, 65, 111, 112, 128, 300):
        kernel.fresh()
        data = rng.randbytes(size)
        expected = hashlib.new(name, data)
        to = kernel.room(expected.digest_size)
        kernel(name, kernel.put(data, align=rng.randrange(8)), size, to)
        assert kernel.read(to, expected.digest_size) == expected.digest()


def test_chacha(kernel: Kernel, rng: random.Random) -> None:
    for rounds in (12, 20, 20):
        kernel.fresh()
        state = [rng.getrandbits(32) for _ in range(16)]
        place, to = kernel.put(b"".join(word.to_bytes(4, "little") for word in state)), kernel.room(64)
        kernel("chacha_block_generic", place, to, rounds)
        expected = b"".join(word.to_bytes(4, "little") for word in oracles.chacha_block(state, rounds))
        assert kernel.read(to, 64) == expected
        assert kernel.word(place + 48, 4) == state[12] + 1 & M32


def test_csum_partial(kernel: Kernel, rng: random.Random) -> None:
    for _ in range(150):
        kernel.fresh()
        data, start = rng.randbytes(rng.randrange(200)), rng.getrandbits(32)
        found = kernel("csum_partial", kernel.put(data, align=rng.randrange(8)), len(data), start) & M32
        expected = oracles.internet_checksum(data + (b"\0" if len(data) % 2 else b"") + start.to_bytes(4, "little"))
        assert found % 0xFFFF == expected % 0xFFFF


# --- compression


def sample(rng: random.Random) -> bytes:
    words = [rng.randbytes(rng.randrange(1, 12)) for _ in range(12)]
    return b"".join(rng.choice(words) for _ in range(rng.randrange(250)))


def test_zlib_inflate(kernel: Kernel, rng: random.Random) -> None:
    for level in (0, 1, 9, 6):
        kernel.fresh()
        data = sample(rng)
        squeezer = zlib.compressobj(level, wbits=-15)
        packed = squeezer.compress(data) + squeezer.flush()
        to, work = kernel.room(len(data)), kernel.room(signed(kernel("zlib_inflate_workspacesize")))
        fields = [kernel.put(packed), len(packed), 0, to, len(data), 0, 0, 0, work, 0, 0, 0]
        stream = kernel.put(u64s(fields))
        assert signed(kernel("zlib_inflateInit2", stream, -15)) == 0
        assert signed(kernel("zlib_inflate", stream, 4)) == 1
        assert kernel.read(to, len(data)) == data
        assert kernel.word(stream + 40) == len(data)


def test_lz4(kernel: Kernel, rng: random.Random) -> None:
    for _ in range(20):
        kernel.fresh()
        data = sample(rng)
        packed = lz4.block.compress(data, store_size=False)
        to = kernel.room(len(data))
        found = kernel("LZ4_decompress_safe", kernel.put(packed), to, len(packed), len(data))
        assert signed(found) == len(data)
        assert kernel.read(to, len(data)) == data


def test_lz4_compress(kernel: Kernel, rng: random.Random) -> None:
    kernel.has("LZ4_compress_default")
    for _ in range(5):
        kernel.fresh()
        data, work = sample(rng), kernel.room(20_000)
        room = len(data) + len(data) // 255 + 16
        to = kernel.room(room)
        size = signed(kernel("LZ4_compress_default", kernel.put(data), to, len(data), room, work))
        assert 0 < size <= room
        assert lz4.block.decompress(kernel.read(to, room)[:size], uncompressed_size=len(data)) == data


def test_lzo_there_and_back(kernel: Kernel, rng: random.Random) -> None:
    for _ in range(5):
        kernel.fresh()
        data, work = sample(rng), kernel.room(1 << 17)
        room = len(data) + len(data) // 16 + 67
        packed, back, size = kernel.room(room), kernel.room(len(data)), kernel.put(u64s([room]))
        assert kernel("lzo1x_1_compress", kernel.put(data), len(data), packed, size, work) == 0
        used = kernel.word(size)
        assert used <= room
        assert len(data) < 200 or used < len(data)
        kernel.bench.memory.write(size, u64s([len(data)]))
        assert signed(kernel("lzo1x_decompress_safe", packed, used, back, size)) == 0
        assert (kernel.read(back, len(data)), kernel.word(size)) == (data, len(data))


def test_zstd_decompress(kernel: Kernel, rng: random.Random) -> None:
    size = kernel("zstd_dctx_workspace_bound")
    for level in (1, 3, 19):
        kernel.fresh()
        data, work = sample(rng), kernel.room(size)
        packed = zstandard.ZstdCompressor(level=level).compress(data)
        context, to = kernel("zstd_init_dctx", work, size), kernel.room(len(data))
        assert context
        assert kernel("zstd_decompress_dctx", context, to, len(data), kernel.put(packed), len(packed)) == len(data)
        assert kernel.read(to, len(data)) == data


# --- bitmaps


def bitmap(value: int, bits: int) -> bytes:
    return value.to_bytes(-(-bits // 64) * 8, "little")


def first(value: int, bits: int, start: int = 0) -> int:
    return next((bit for bit in range(start, bits) if value >> bit & 1), bits)


def random_bits(rng: random.Random, bits: int) -> int:
    value = rng.getrandbits(bits)
    for _ in range(rng.randrange(6)):
        value &= rng.getrandbits(bits)
    return value if rng.random() < 0.5 else ~value & (1 << bits) - 1


def test_searches_in_bitmaps(kernel: Kernel, rng: random.Random) -> None:
    for _ in range(200):
        kernel.fresh()
        bits = rng.randrange(1, 260)
        one, two, start = random_bits(rng, bits), random_bits(rng, bits), rng.randrange(bits + 2)
        a, b = kernel.put(bitmap(one, bits)), kernel.put(bitmap(two, bits))
        zeros = ~one & (1 << bits) - 1
        assert kernel("_find_first_bit", a, bits) == first(one, bits)
        assert kernel("_find_first_zero_bit", a, bits) == first(zeros, bits)
        assert kernel("_find_next_bit", a, bits, start) == first(one, bits, start)
        assert kernel("_find_next_zero_bit", a, bits, start) == first(zeros, bits, start)
        assert kernel("_find_next_and_bit", a, b, bits, start) == first(one & two, bits, start)
        assert kernel("_find_last_bit", a, bits) == (one.bit_length() - 1 if one else bits)


def test_bitmap_arithmetic(kernel: Kernel, rng: random.Random) -> None:
    for _ in range(200):
        kernel.fresh()
        bits = rng.randrange(1, 260)
        whole, by = (1 << bits) - 1, rng.randrange(bits)
        one, two = random_bits(rng, bits), random_bits(rng, bits)
        two = rng.choice((two, one, one | two, ~one & whole))
        a, b, size = kernel.put(bitmap(one, bits)), kernel.put(bitmap(two, bits)), -(-bits // 64) * 8
        assert kernel("__bitmap_weight", a, bits) & M32 == one.bit_count()
        assert kernel("__bitmap_equal", a, b, bits) & 1 == (one == two)
        assert kernel("__bitmap_intersects", a, b, bits) & 1 == bool(one & two)
        assert kernel("__bitmap_subset", a, b, bits) & 1 == (one & ~two == 0)
        results = {"__bitmap_and": one & two, "__bitmap_or": one | two}
        for name, expected in results.items():
            to = kernel.room(size)
            kernel(name, to, a, b, bits)
            assert int.from_bytes(kernel.read(to, size), "little") & whole == expected
        for name, expected in {"__bitmap_shift_left": one << by, "__bitmap_shift_right": one >> by}.items():
            to = kernel.room(size)
            kernel(name, to, a, by, bits)
            assert int.from_bytes(kernel.read(to, size), "little") & whole == expected & whole
        count = rng.randrange(bits - by + 1)
        kernel("__bitmap_set", a, by, count)
        kernel("__bitmap_clear", b, by, count)
        run = (1 << count) - 1 << by
        assert kernel.read(a, size) == bitmap(one | run, bits)
        assert kernel.read(b, size) == bitmap(two & ~run, bits)


def test_bitmap_find_next_zero_area(kernel: Kernel, rng: random.Random) -> None:
    for _ in range(150):
        kernel.fresh()
        bits, count = rng.randrange(1, 200), rng.randrange(1, 12)
        value, start, mask = random_bits(rng, bits), rng.randrange(bits), rng.choice((0, 0, 3, 7))
        run = (1 << count) - 1
        fits = (at for at in range(start, bits - count + 1) if not at & mask and not value >> at & run)
        expected = next(fits, None)
        found = kernel("bitmap_find_next_zero_area_off", kernel.put(bitmap(value, bits)), bits, start, count, mask, 0)
        assert found == expected if expected is not None else found >= bits - count
