# SPDX-License-Identifier: GPL-2.0-or-later
"""Every interleaving of patching with execution."""
