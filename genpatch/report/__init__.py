# SPDX-License-Identifier: GPL-2.0-or-later
"""A frozen, versioned document and its renderings."""
