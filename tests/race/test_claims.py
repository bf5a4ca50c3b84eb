# SPDX-License-Identifier: GPL-2.0-or-later
"""The claims of the discussions hold, and claims.md says what the explorer says."""

from __future__ import annotations

import os

import pytest

from .claims import CLAIMS, HERE, Claim, cell, claim_lines, document, holds

TEXT = (HERE / "claims.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.says[:40])
def test_every_cell_of_a_claim(claim: Claim) -> None:
    wrong = {place: cell(*place).kinds for place in claim.cells() if not holds(claim, cell(*place))}
    assert wrong == {}
    assert all(cell(*place).complete for place in claim.cells())


def test_the_document_is_up_to_date() -> None:
    assert TEXT.split("## Claims\n\n")[1] == "\n".join(claim_lines()).rstrip() + "\n"


@pytest.mark.skipif(not os.environ.get("GENPATCH_LONG"), reason="the whole table takes a minute: GENPATCH_LONG=1")
def test_so_is_its_table() -> None:
    assert document() == TEXT
