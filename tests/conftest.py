# SPDX-License-Identifier: GPL-2.0-or-later
"""What all tests start from."""

from __future__ import annotations

import signal

# A shell that starts the tests in the background lets them ignore interrupts, and programs that they start, too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
