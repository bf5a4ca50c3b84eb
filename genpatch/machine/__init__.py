# SPDX-License-Identifier: GPL-2.0-or-later
"""RV64 executed: memory, a scalar hart, and many harts in lockstep. Knows no ELF and no kernel."""
