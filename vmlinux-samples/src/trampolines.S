/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Around the trampolines that build.py renders from templates/trampoline: ftrace_caller.S, and where a scheme has them
 * ftrace_regs_caller.S and dispatcher.S.
 */
#include "scheme.h"
#include "frame.h"

	.section .text.trampoline, "ax"
	.option norvc
	.balign	256
#ifdef OWN
	.set	ops, ftrace_list_ops
#endif
#ifdef IN_SLOT
	.set	slot, function_trace_op
#endif
	ROUTINE	ftrace_caller
	.include "ftrace_caller.S"
	.globl	ftrace_caller_end
ftrace_caller_end:
	ROUTINE_END ftrace_caller
#if defined(OWN) && !defined(ALLOCATED)	/* the word behind its code */
	.globl	function_trace_op
	.set	function_trace_op, ftrace_caller_end - 8
#endif

#ifdef OWN
	.balign	16
	ROUTINE	ftrace_regs_caller
	.include "ftrace_regs_caller.S"
	ROUTINE_END ftrace_regs_caller
#endif

#ifdef DISPATCHER
	.section .rodata
	.balign	8
	.globl	ftrace_dispatcher
	.type	ftrace_dispatcher, @object
	.set	body, ftrace_dispatcher
ftrace_dispatcher:
	.include "dispatcher.S"
	.size	ftrace_dispatcher, . - ftrace_dispatcher
	.section .text.trampoline
#endif

#ifdef ALLOCATED
	.balign	16
	.globl	ftrace_trampolines
	.type	ftrace_trampolines, @object
ftrace_trampolines:
	.zero	2 * 384
	.size	ftrace_trampolines, . - ftrace_trampolines
#endif
	STUB
