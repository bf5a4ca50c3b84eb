# SPDX-License-Identifier: GPL-2.0-or-later
"""The rules of ``genpatch check``, one file each."""
