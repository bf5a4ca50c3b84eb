# SPDX-License-Identifier: GPL-2.0-or-later
"""genpatch: how a Linux/RISC-V kernel patches its own code, read from the image."""

__version__ = "0.1.0"
