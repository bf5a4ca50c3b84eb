# SPDX-License-Identifier: GPL-2.0-or-later
"""What can keep a proof from being tried at all."""

from __future__ import annotations

from ..errors import GenpatchError


class ProveError(GenpatchError):
    """A proof cannot be started, or something happened that makes it worthless."""
