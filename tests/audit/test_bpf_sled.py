# SPDX-License-Identifier: GPL-2.0-or-later
"""GP221 on a kernel that compares one instruction when it pokes: the sled's length does not show, and that is said."""

from __future__ import annotations

import pytest

from genpatch.audit.cases import kernel
from genpatch.audit.model import Skip
from genpatch.audit.rules.gp221_bpf_sled import _SITE, _poke, bpf_sled_mismatch


def test_one_instruction_tells_no_length() -> None:
    with pytest.raises(Skip, match="compares one instruction"):
        list(bpf_sled_mismatch(kernel(_SITE, code=_poke(4))))
    found = bpf_sled_mismatch(kernel(_SITE, code=_poke(4, 12)))
    assert next(found).kind == "written"
