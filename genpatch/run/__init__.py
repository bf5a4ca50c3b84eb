# SPDX-License-Identifier: GPL-2.0-or-later
"""Images put into the machine: a program with its system calls, a kernel whose functions are called."""
