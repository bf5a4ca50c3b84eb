# SPDX-License-Identifier: GPL-2.0-or-later
"""Patch sites found and classified, and the code that patches them read."""
