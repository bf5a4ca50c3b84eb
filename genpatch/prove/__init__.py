# SPDX-License-Identifier: GPL-2.0-or-later
"""A patch series proved: applied, built, audited, run and booted on a scratch copy of a tree."""
