# SPDX-License-Identifier: GPL-2.0-or-later
"""One rule a file; to add a rule, add a file."""
