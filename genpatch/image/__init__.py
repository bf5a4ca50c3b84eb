# SPDX-License-Identifier: GPL-2.0-or-later
"""An image of any kind becomes one KernelImage."""
