# SPDX-License-Identifier: GPL-2.0-or-later
"""What kernel functions compute, written down a second time from the papers and specifications."""

from __future__ import annotations

from collections.abc import Callable

M32, M64 = (1 << 32) - 1, (1 << 64) - 1


def siphash(key: bytes, data: bytes, rounds: int = 2, last: int = 4) -> int:
    """SipHash-c-d (Aumasson and Bernstein, 2012)."""
    k0, k1 = (int.from_bytes(key[at : at + 8], "little") for at in (0, 8))
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]

    def mix(count: int) -> None:
        for _ in range(count):
            for a, b, left in ((0, 1, 13), (2, 3, 16), (0, 3, 21), (2, 1, 17)):
                v[a] = v[a] + v[b] & M64
                v[b] = (v[b] << left | v[b] >> 64 - left) & M64 ^ v[a]
                if left in (13, 17):
                    v[a] = (v[a] << 32 | v[a] >> 32) & M64

    padded = data + bytes(7 - len(data) % 8) + bytes([len(data) & 0xFF])
    for at in range(0, len(padded), 8):
        word = int.from_bytes(padded[at : at + 8], "little")
        v[3] ^= word
        mix(rounds)
        v[0] ^= word
    v[2] ^= 0xFF
    mix(last)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def crc(data: bytes, value: int, polynomial: int, bits: int, *, reflected: bool) -> int:
    """A CRC bit by bit, without inversions; a reflected one has its polynomial reflected."""
    for byte in data:
        value ^= byte if reflected else byte << bits - 8
        for _ in range(8):
            if reflected:
                value = value >> 1 ^ (polynomial if value & 1 else 0)
            else:
                value = (value << 1) & (1 << bits) - 1 ^ (polynomial if value >> bits - 1 else 0)
    return value


def _rotated(value: int, left: int, bits: int) -> int:
    return (value << left | value >> bits - left) & (1 << bits) - 1


P64 = (0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5)
P32 = (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F, 0x165667B1)


def _stripes(data: bytes, seed: int, bits: int) -> tuple[list[int], bytes]:
    primes, mask, size, left = (P64, M64, 8, 31) if bits == 64 else (P32, M32, 4, 13)
    lanes = [seed + primes[0] + primes[1] & mask, seed + primes[1] & mask, seed, seed - primes[0] & mask]
    while len(data) >= 4 * size:
        for lane in range(4):
            word = int.from_bytes(data[lane * size : lane * size + size], "little")
            lanes[lane] = _rotated(lanes[lane] + word * primes[1] & mask, left, bits) * primes[0] & mask
        data = data[4 * size :]
    return lanes, data


def xxh64(data: bytes, seed: int) -> int:
    """XXH64 (its specification, 0.1.1)."""
    p1, p2, p3, p4, p5 = P64
    size = len(data)
    value = seed + p5
    if size >= 32:
        lanes, data = _stripes(data, seed, 64)
        value = sum(_rotated(lane, left, 64) for lane, left in zip(lanes, (1, 7, 12, 18), strict=True)) & M64
        for lane in lanes:
            value = ((value ^ _rotated(lane * p2 & M64, 31, 64) * p1 & M64) * p1 + p4) & M64
    value = value + size & M64
    while len(data) >= 8:
        word = int.from_bytes(data[:8], "little")
        value ^= _rotated(word * p2 & M64, 31, 64) * p1 & M64
        value, data = (_rotated(value, 27, 64) * p1 + p4) & M64, data[8:]
    if len(data) >= 4:
        value ^= int.from_bytes(data[:4], "little") * p1 & M64
        value, data = (_rotated(value, 23, 64) * p2 + p3) & M64, data[4:]
    for byte in data:
        value = _rotated(value ^ byte * p5 & M64, 11, 64) * p1 & M64
    value = (value ^ value >> 33) * p2 & M64
    value = (value ^ value >> 29) * p3 & M64
    return value ^ value >> 32


def xxh32(data: bytes, seed: int) -> int:
    """XXH32 (its specification, 0.1.1)."""
    p1, p2, p3, p4, p5 = P32
    size = len(data)
    value = seed + p5
    if size >= 16:
        lanes, data = _stripes(data, seed, 32)
        value = sum(_rotated(lane, left, 32) for lane, left in zip(lanes, (1, 7, 12, 18), strict=True))
    value = value + size & M32
    while len(data) >= 4:
        word = int.from_bytes(data[:4], "little")
        value, data = _rotated(value + word * p3 & M32, 17, 32) * p4 & M32, data[4:]
    for byte in data:
        value = _rotated(value + byte * p5 & M32, 11, 32) * p1 & M32
    value = (value ^ value >> 15) * p2 & M32
    value = (value ^ value >> 13) * p3 & M32
    return value ^ value >> 16


def chacha_block(state: list[int], rounds: int) -> list[int]:
    """One block of ChaCha (RFC 8439)."""
    x = list(state)

    def quarter(a: int, b: int, c: int, d: int) -> None:
        for to, by, other, left in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            x[to] = x[to] + x[by] & M32
            x[other] = _rotated(x[other] ^ x[to], left, 32)

    for _ in range(rounds // 2):
        for column in range(4):
            quarter(column, column + 4, column + 8, column + 12)
        for column in range(4):
            quarter(column, 4 + (column + 1) % 4, 8 + (column + 2) % 4, 12 + (column + 3) % 4)
    return [one + two & M32 for one, two in zip(x, state, strict=True)]


def internet_checksum(data: bytes) -> int:
    """The sum of 16-bit words, folded (RFC 1071), not inverted."""
    total = sum(int.from_bytes(data[at : at + 2].ljust(2, b"\0"), "little") for at in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


CHECKS: dict[str, tuple[Callable[[bytes], int], int]] = {
    "CRC-32/BZIP2": (lambda data: ~crc(data, M32, 0x04C11DB7, 32, reflected=False) & M32, 0xFC891918),
    "CRC-32C": (lambda data: ~crc(data, M32, 0x82F63B78, 32, reflected=True) & M32, 0xE3069283),
    "CRC-64/ECMA-182": (lambda data: crc(data, 0, 0x42F0E1EBA9EA3693, 64, reflected=False), 0x6C40DF5F0B497347),
    "CRC-64/NVME": (lambda data: ~crc(data, M64, 0x9A6C9329AC4BC9B5, 64, reflected=True) & M64, 0xAE8B14860A799888),
    "CRC-16/MCRF4XX": (lambda data: crc(data, 0xFFFF, 0x8408, 16, reflected=True), 0x6F91),
    "CRC-16/T10-DIF": (lambda data: crc(data, 0, 0x8BB7, 16, reflected=False), 0xD0DB),
}
"""Name in the catalogue of CRCs to the function and the value it must have for ``123456789``."""
