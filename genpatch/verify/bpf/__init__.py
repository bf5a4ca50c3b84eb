# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's BPF JIT, run in the machine, and every trampoline that it makes, run over a traced function."""
