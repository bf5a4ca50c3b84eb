# SPDX-License-Identifier: GPL-2.0-or-later
"""Facts about an image, the rules that judge them, and the runner."""
