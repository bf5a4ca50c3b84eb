# SPDX-License-Identifier: GPL-2.0-or-later
"""What can be emitted, one file each; `emit.recipe.find_recipes` finds them."""
