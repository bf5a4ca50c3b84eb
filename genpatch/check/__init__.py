# SPDX-License-Identifier: GPL-2.0-or-later
"""Patches, checked as a reviewer would: applied in memory, their messages and what they make of the source."""
