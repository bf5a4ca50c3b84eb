# SPDX-License-Identifier: GPL-2.0-or-later
"""What each program prints and its exit status, computed here by other means than the program's own.

The sizes are the defaults of the sources, unless one is given. Where Python has the function (sorted, hashlib, zlib,
str.find, integers of any size), it is used.
"""

from __future__ import annotations

import hashlib
import math
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache

M64, M32 = (1 << 64) - 1, (1 << 32) - 1
MIX_START, MIX_FACTOR = 0xCBF29CE484222325, 0x100000001B3


@dataclass(frozen=True, slots=True)
class Expected:
    """Standard output, exit status, and standard error."""

    out: str
    status: int
    err: str = ""


def random_words(seed: int) -> Iterator[int]:
    """Yield what random_next of rt.c returns."""
    state = seed
    while True:
        state = state + 0x9E3779B97F4A7C15 & M64
        x = state
        x = (x ^ x >> 32) * 0xD6E8FEB86659FD93 & M64
        x = (x ^ x >> 29) * 0xFF51AFD7ED558CCD & M64
        yield x ^ x >> 32


def mix(words: Iterable[int], start: int = MIX_START) -> int:
    """Return the checksum of rt.h over words."""
    for word in words:
        start = (start ^ word & M64) * MIX_FACTOR & M64
    return start


def signed(value: int, bits: int = 64) -> int:
    """Return the low bits as a signed number."""
    value &= (1 << bits) - 1
    return value - (value >> bits - 1 << bits)


def _sort() -> Expected:
    words = random_words(1)
    numbers = sorted(signed(next(words)) >> i % 3 * 20 for i in range(60))
    total = mix(numbers)
    rest = f"{total:016x} {numbers[0]} {numbers[59 // 2]} {numbers[59]}\n"
    names = ("insertion", "shell", "heap", "merge", "quick", "radix")
    return Expected("".join(f"{name} {rest}" for name in names), total & 127)


def _hash() -> Expected:
    words = random_words(2)
    data = bytes(next(words) & 255 for _ in range(120))
    out, last = "", 0
    for part in (b"", data[:3], data):
        last = mix(part)
        out += f"sha256 {hashlib.sha256(part).hexdigest()}\ncrc32 {zlib.crc32(part):08x}\n"
        out += f"adler32 {zlib.adler32(part):08x}\nfnv1a {last:016x}\n"
    return Expected(out, last & 127)


def _search() -> Expected:
    words = random_words(3)
    text = "".join("aaabbc"[next(words) % 6] for _ in range(400))
    text = text[:200] + "abracadabra" + text[211:]
    out, total = "", 0
    for word in ("a", "abab", "abcab", "cccc", "abracadabra"):
        count = sum(text.startswith(word, at) for at in range(len(text)))
        total += 3 * count
        out += "".join(
            f"{name} {word} {count} {text.find(word)} {text.rfind(word)}\n" for name in ("naive", "horspool", "kmp")
        )
    return Expected(out, total & 127)


def _mul128() -> Expected:
    out, rests = "", []
    top = 1 << 63
    for a, b in ((0, 0), (1, M64), (M64, M64), (top, top), (top, M64)):
        products = {"unsigned": a * b, "signed": signed(a) * signed(b), "mixed": signed(a) * b}
        out += "".join(f"{name} {value % (1 << 128):032x}\n" for name, value in products.items())
    words = random_words(4)
    for i in range(5):
        a, b, m = next(words), next(words) >> i * 11, next(words) | 1
        wide, narrow = a << 64 | next(words), (b | 1) << (40 if i % 2 else 0)
        quotient, rest = divmod(wide, narrow)
        out += f"product {wide * b % (1 << 128):032x}\nquotient {quotient:032x}\nrest {rest:032x}\n"
        out += f"modulo {wide % m:016x}\npower {pow(a, b >> 48 | 5, m):016x}\n"
        rests.append(rest)
    return Expected(out + "fermat 1\n", mix(rests) & 127)


def _qsort() -> Expected:
    words = random_words(5)
    size, out, total = 30, "", 0
    keys: tuple[Callable[[int], tuple[int, ...]], ...] = (
        lambda x: (x,),
        lambda x: (-x,),
        lambda x: (x & M32,),
        lambda x: (x & 255, x & M32),
    )
    for key in keys:
        numbers = sorted((signed(next(words), 32) for _ in range(size)), key=key)
        hits = size + sum(signed(each + 1, 32) in numbers for each in numbers)
        total = mix(numbers)
        out += f"{numbers[0]} {numbers[-1]} {hits} {total:016x}\n"
    records = []
    for i in range(size):
        name = "".join("abc"[next(words) % 3] for _ in range(5))
        records.append((name, next(words) % 7, i))
    by_name = sorted(records, key=lambda each: (each[0], each[2]))
    by_age = sorted(records, key=lambda each: (-each[1], each[0], each[2]))
    for record in (*by_name[:3], *by_age[:3], by_age[-1]):
        out += " ".join(map(str, record)) + "\n"
    return Expected(out, total & 127)


_AMOS: dict[str, Callable[[int, int, int], int]] = {
    "amoswap": lambda old, new, bits: new,
    "amoadd": lambda old, new, bits: old + new,
    "amoxor": lambda old, new, bits: old ^ new,
    "amoand": lambda old, new, bits: old & new,
    "amoor": lambda old, new, bits: old | new,
    "amomin": lambda old, new, bits: min(signed(old, bits), signed(new, bits)),
    "amomax": lambda old, new, bits: max(signed(old, bits), signed(new, bits)),
    "amominu": lambda old, new, bits: min(old, new),
    "amomaxu": lambda old, new, bits: max(old, new),
}


def _amo() -> Expected:
    words = random_words(6)
    out, seen = "", []
    for name, function in _AMOS.items():
        for turn in range(4):
            before, operand = next(words), next(words)
            if turn == 3:
                operand = before
            old = signed(before, 32) & M64
            word = function(before & M32, operand & M32, 32) & M32
            doubleword = function(before, operand, 64) & M64
            seen += [old, word, before, doubleword]
            out += f"{name} {old:016x} {word:08x} {before:016x} {doubleword:016x}\n"
    grown = 0
    for _ in range(30):
        grown = grown * 3 & M64 or 7
        seen.append(grown)
    out += f"neighbours 1\ngrown {grown}\nlr.w ffffffff80000005\nsc.w 0\nsc.w without a reservation 1\nword 1234\n"
    out += "sc.d without a reservation 1\ndoubleword 99\n"
    size, atomic, swapped = 60, 0, 0
    for i in range(1, size + 1):
        atomic += i * i
        swapped += atomic == i - i % 2
    total = mix(seen)
    out += f"locked {size * (size + 1) // 2}\natomic {size * (size + 1) * (2 * size + 1) // 6}\n"
    out += f"narrow {0xFFFFFFF0 + size & M32}\nswapped {swapped}\nsum {total:016x}\n"
    return Expected(out, total & 127)


def _collatz(n: int) -> int:
    return 0 if n == 1 else 1 + _collatz(n // 2 if n % 2 == 0 else 3 * n + 1)


def _interp(size: int = 9) -> Expected:
    """The number of bytecode instructions is hand-counted, by the loops of the three codes."""
    longest = max(range(1, 3 * size), key=_collatz)
    executed = 2
    best = 0
    for n in range(1, 3 * size):
        executed += 2 + 2 + 2 + 1  # move, set; the last look at n; jlt, and jump or move; add
        length, at = 0, n
        while at != 1:
            executed += 8 if at % 2 else 7
            at = 3 * at + 1 if at % 2 else at // 2
            length += 1
        if length > best:
            best = length
            executed += 1
        executed += 1  # the jlt back
    executed += 3

    @cache
    def fibonacci(n: int) -> tuple[int, int]:
        if n < 2:
            return n, 4
        (one, cost), (two, more) = fibonacci(n - 1), fibonacci(n - 2)
        return one + two, 12 + cost + more

    number, cost = fibonacci(min(size, 24))
    executed += 3 + cost
    total, r7 = 0, 12345
    for n in range(1, 4 * size):
        square = (r7 * n & M64) ** 2 & M64
        term = square // n ^ square % r7
        total, r7 = total + term & M64, r7 + term & M64
    executed += 2 + 9 * (4 * size - 1) + 2
    out = f"{longest} {best}\n{number}\n{total}\nexecuted {executed}\n"
    return Expected(out, best + number + total & 127)


_QUEENS = {1: 1, 2: 0, 3: 0, 4: 2, 5: 10, 6: 4, 10: 724, 12: 14200}


def _queens(size: int = 6) -> Expected:
    known, placed = [_QUEENS[n] for n in (range(1, size + 1) if size < 9 else [size])], 0
    if size == 12:  # the known number of ways, and what the loop below counts in some 10 seconds
        return Expected("queens 12 14200\nplaced 856188\n", 14200 & 127)
    for n in range(size if size > 8 else 1, size + 1):
        boards: list[tuple[int, ...]] = [()]
        for row in range(n):
            boards = [
                (*board, column)
                for board in boards
                for column in range(n)
                if all(column != each and abs(column - each) != row - at for at, each in enumerate(board))
            ]
            placed += len(boards)
    out = "".join(f"queens {n} {ways}\n" for n, ways in enumerate(known, size + 1 - len(known)))
    return Expected(f"{out}placed {placed}\n", known[-1] & 127)


def _matrix(size: int = 9) -> Expected:
    prime = (1 << 31) - 1
    words = random_words(7)
    pairs = [[(next(words), next(words)) for _ in range(size)] for _ in range(size)]
    out, status = "", 0
    for name, modulus in (("product", 1 << 64), ("modulo", prime)):
        cells = [
            [sum(pairs[i][k][0] * pairs[k][j][1] for k in range(size)) % modulus for j in range(size)]
            for i in range(size)
        ]
        total = mix(cell for row in cells for cell in row)
        status ^= total
        out += f"{name} {sum(cells[i][i] for i in range(size)) & M64:016x} {total:016x}\n"
    for n in (90, 1_000_000_007):
        out += f"fibonacci {_fibonacci(n, prime)[0]}\n"
    return Expected(out, status & 127)


def _fibonacci(n: int, modulus: int) -> tuple[int, int]:
    """Return F(n), F(n + 1) by doubling."""
    if n == 0:
        return 0, 1
    a, b = _fibonacci(n // 2, modulus)
    c, d = a * (2 * b - a) % modulus, (a * a + b * b) % modulus
    return (d, (c + d) % modulus) if n % 2 else (c, d)


def _is_prime(n: int) -> bool:
    return n > 1 and all(n % divisor for divisor in range(2, math.isqrt(n) + 1))


def _primes() -> Expected:
    found = [n for n in range(1000) if _is_prime(n)]
    out = f"primes {len(found)}\nlast {found[-1]}\nfactor 83\nfactor 10007\n"
    words = random_words(8)
    count = len(found)
    for _ in range(12):
        n = next(words) >> 33 | 1
        count += _is_prime(n)
        kind = "prime" if _is_prime(n) else "composite"
        out += f"{n} {kind} {math.gcd(next(words), n * 5040)} {math.isqrt(next(words))}\n"
    return Expected(f"{out}prime 1\n", count & 127)


def _rotate(value: int, by: int, bits: int) -> int:
    """To the left."""
    by %= bits
    value &= (1 << bits) - 1
    return (value << by | value >> bits - by) & (1 << bits) - 1


def _trailing(value: int, bits: int) -> int:
    return (value & -value).bit_length() - 1 if value else bits


_BITS: dict[str, Callable[[int, int], int]] = {
    "clz": lambda a, b: 64 - a.bit_length(),
    "ctz": lambda a, b: _trailing(a, 64),
    "clzw": lambda a, b: 32 - (a & M32).bit_length(),
    "ctzw": lambda a, b: _trailing(a & M32, 32),
    "popcount": lambda a, b: a.bit_count(),
    "popcountw": lambda a, b: (a & M32).bit_count(),
    "rol": lambda a, b: _rotate(a, b, 64),
    "ror": lambda a, b: _rotate(a, -b, 64),
    "rori": lambda a, b: _rotate(a, -21, 64),
    "rolw": lambda a, b: signed(_rotate(a, b, 32), 32),
    "rorw": lambda a, b: signed(_rotate(a, -b, 32), 32),
    "roriw": lambda a, b: signed(_rotate(a, -9, 32), 32),
    "bswap": lambda a, b: int.from_bytes(a.to_bytes(8, "little"), "big"),
    "bswapw": lambda a, b: int.from_bytes((a & M32).to_bytes(4, "little"), "big"),
    "andn": lambda a, b: a & ~b,
    "orn": lambda a, b: a | ~b,
    "xnor": lambda a, b: ~(a ^ b),
    "minimum": lambda a, b: min(signed(a), signed(b)),
    "maximum": lambda a, b: max(signed(a), signed(b)),
    "minimumu": min,
    "maximumu": max,
    "sextb": lambda a, b: signed(a, 8),
    "sexth": lambda a, b: signed(a, 16),
    "zexth": lambda a, b: a & 0xFFFF,
    "sh1add": lambda a, b: a * 2 + b,
    "sh2add": lambda a, b: a * 4 + b,
    "sh3add": lambda a, b: a * 8 + b,
    "adduw": lambda a, b: (a & M32) + b,
    "sh1adduw": lambda a, b: (a & M32) * 2 + b,
    "sh2adduw": lambda a, b: (a & M32) * 4 + b,
    "sh3adduw": lambda a, b: (a & M32) * 8 + b,
    "slliuw": lambda a, b: (a & M32) << 7,
    "bset": lambda a, b: a | 1 << b % 64,
    "bclr": lambda a, b: a & ~(1 << b % 64),
    "binv": lambda a, b: a ^ 1 << b % 64,
    "bext": lambda a, b: a >> b % 64 & 1,
    "bseti": lambda a, b: a | 1 << 40,
    "bclri": lambda a, b: a & ~(1 << 41),
    "binvi": lambda a, b: a ^ 1 << 42,
    "bexti": lambda a, b: a >> 43 & 1,
    "keep_if": lambda a, b: a if b % 2 else 0,
    "keep_unless": lambda a, b: 0 if b % 2 else a,
    "select_either": lambda a, b: a * 3 if b >> 63 else b + 5,
    "add_if": lambda a, b: a + 77 if b & 4 else a,
}


def _bits() -> Expected:
    words = random_words(9)
    inputs = [(next(words) >> (n * 13 & 63), next(words)) for n in range(14)]
    edges = (0, 1, M64, 1 << 63, 1 << 31, M32)
    inputs = [(edge, b) for edge, (_, b) in zip(edges, inputs, strict=False)] + inputs[len(edges) :]
    out, status = "", 0
    for name, function in _BITS.items():
        values = [function(a, b) & M64 for a, b in inputs]
        status ^= mix(values)
        out += f"{name} {values[len(edges)]:016x} {mix(values):016x}\n"
    return Expected(out, status & 127)


def _entry() -> Expected:
    ones = ("stack aligned", "argc", "argv[0] is a string", "argv ends", "envp is empty")
    out = "".join(f"{name} 1\n" for name in ones) + "page 4096\nbss is zero 1\ndata 0123456789abcdef\ndata 43\n"
    out += "the stack has room 1\nregisters changed 0\nunknown call -38\nwritten 20\nwritten 0\nwritten elsewhere 1\n"
    out += "".join("\n" if i % 64 == 63 else chr(33 + i % 61) for i in range(3 * 4096))
    return Expected(out + "written 12288\n", (300 + 11) & 255, "to the other stream\n")


def _selfmod() -> Expected:
    called = [turn % 3 != 0 for turn in range(40)]
    values = {
        "constant": sum(i * 50 - 1000 for i in range(40)) & M64,
        "traced": 2 * sum(called),
        "called": 2 * len(called),
        "made": 5 + sum(range(40)),
        "halfword": sum(range(32)),
    }
    return Expected("".join(f"{name} {value}\n" for name, value in values.items()), values["traced"])


def _csr() -> Expected:
    names = [f"{name} does not go back" for name in ("cycle", "time", "instret")]
    return Expected("".join(f"{name} 1\n" for name in (*names, "instret moved", "all forms read")), 5)


_MAKERS: dict[str, Callable[..., Expected]] = {
    "amo": _amo,
    "bits": _bits,
    "csr": _csr,
    "entry": _entry,
    "hash": _hash,
    "interp": _interp,
    "matrix": _matrix,
    "mul128": _mul128,
    "primes": _primes,
    "qsort": _qsort,
    "queens": _queens,
    "search": _search,
    "selfmod": _selfmod,
    "sort": _sort,
}


@cache
def expected(name: str, size: int | None = None) -> Expected:
    """Return what the program of that name must do; interp, matrix and queens know other sizes than their own."""
    return _MAKERS[name]() if size is None else _MAKERS[name](size)
