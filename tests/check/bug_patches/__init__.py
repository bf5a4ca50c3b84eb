# SPDX-License-Identifier: GPL-2.0-or-later
"""Bugs as patches; each file has a list ``BUGS`` of tests.check.bugs.Bug."""
