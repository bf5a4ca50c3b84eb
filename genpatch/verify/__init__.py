# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's own patching code, run on every site; then every site, run in every state."""
