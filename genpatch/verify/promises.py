# SPDX-License-Identifier: GPL-2.0-or-later
"""The names of what can be broken; apart from the contract, so that naming them needs no machine."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Promise"]


class Promise(StrEnum):
    """What can be broken."""

    PATCH_RETURNS = "patch-returns"
    PATCH_STAYS = "patch-stays"
    RESTORES = "restores"
    ARRIVES = "arrives"
    CALLS = "calls"
    ARGUMENTS = "arguments"
    REGISTERS = "registers"
    FRAME = "frame"
    FRAME_SET = "frame-set"
    STACK = "stack"
    INITIALISED = "initialised"
    OBEYS = "obeys"
    RETURNS = "returns"
    LIVE = "live"
