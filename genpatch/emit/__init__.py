# SPDX-License-Identifier: GPL-2.0-or-later
"""Patch series for a kernel tree, computed from the tree itself."""
