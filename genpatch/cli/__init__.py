# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line: typer, and nothing else; one short file a verb."""
