# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernel functions that are not executed while patching is, and why.

Only what is no part of changing text is here; everything else runs. A stub returns a value at once, and most
leave an event in the log, so that the order of locks, fences and stores can be judged.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["STUBS", "Stub"]


@dataclass(frozen=True, slots=True)
class Stub:
    """One function that is not executed.

    Args:
        name: its symbol.
        event: what the log says of a call, "" for nothing.
        why: what it does that does not matter here.
        value: what it returns.
        calls: the argument that holds a function which is called instead, with the next argument; -1 for none.
        echoes: whether it returns its first argument instead of a value.
    """

    name: str
    event: str
    why: str
    value: int = 0
    calls: int = -1
    echoes: bool = False


_LOCKS = "nobody else runs: a lock is always free"
_OTHERS = "there are no other harts to tell"
_TALK = "it only prints"
_PHYSICAL = "nothing has booted: an address is its own physical address, and no bounds are known to check it by"

STUBS: tuple[Stub, ...] = (
    Stub("mutex_lock", "lock", _LOCKS),
    Stub("mutex_lock_nested", "lock", _LOCKS),
    Stub("mutex_unlock", "unlock", _LOCKS),
    Stub("_raw_spin_lock", "lock", _LOCKS),
    Stub("_raw_spin_unlock", "unlock", _LOCKS),
    Stub("_raw_spin_lock_irqsave", "lock", _LOCKS),
    Stub("_raw_spin_unlock_irqrestore", "unlock", _LOCKS),
    Stub("cpus_read_lock", "", "processors neither come nor go"),
    Stub("cpus_read_unlock", "", "processors neither come nor go"),
    Stub("lock_acquire", "", "lockdep's book-keeping"),
    Stub("lock_release", "", "lockdep's book-keeping"),
    Stub("lock_is_held_type", "", "lockdep is answered that the lock is held", value=1),
    Stub("debug_locks_off", "", "lockdep's book-keeping"),
    Stub("flush_icache_all", "remote fence.i", _OTHERS),
    Stub("sbi_remote_fence_i", "remote fence.i", _OTHERS),
    Stub("flush_icache_mm", "remote fence.i", _OTHERS),
    Stub("on_each_cpu_cond_mask", "cross-call", _OTHERS),
    Stub("smp_call_function", "cross-call", _OTHERS),
    Stub("smp_call_function_many", "cross-call", _OTHERS),
    Stub("smp_call_function_many_cond", "cross-call", _OTHERS),
    Stub("stop_machine", "stop_machine", "every hart stands still; the function runs here", calls=0),
    Stub("stop_machine_cpuslocked", "stop_machine", "every hart stands still; the function runs here", calls=0),
    Stub("preempt_schedule", "", "nobody else runs"),
    Stub("preempt_schedule_notrace", "", "nobody else runs"),
    Stub("dynamic_preempt_schedule", "", "nobody else runs"),
    Stub("dynamic_preempt_schedule_notrace", "", "nobody else runs"),
    Stub("_printk", "message", _TALK),
    Stub("printk", "message", _TALK),
    Stub("__warn_printk", "warning", _TALK),
    Stub("flush_tlb_all", "", "translations are made here"),
    Stub("flush_tlb_kernel_range", "", "translations are made here"),
    Stub("__phys_addr_symbol", "", _PHYSICAL, echoes=True),
    Stub("__virt_to_phys", "", _PHYSICAL, echoes=True),
)

FIXMAP = "__set_fixmap"
"""Maps a page of text a second time, writable; honoured as an alias of the same bytes."""
