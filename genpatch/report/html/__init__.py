# SPDX-License-Identifier: GPL-2.0-or-later
"""Documents as one page that opens offline: what is wrong first, then everything that can be looked at."""

from __future__ import annotations

from .page import page_of

__all__ = ["page_of"]
