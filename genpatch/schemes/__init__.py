# SPDX-License-Identifier: GPL-2.0-or-later
"""How a call is put into a function, as data."""

from .catalog import CATALOG, get_scheme
from .model import CallScheme, Link, Store, Traits

__all__ = ["CATALOG", "CallScheme", "Link", "Store", "Traits", "get_scheme"]
