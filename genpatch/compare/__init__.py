# SPDX-License-Identifier: GPL-2.0-or-later
"""The schemes side by side, with the numbers of one kernel."""
