/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Three programs as a JIT makes them, each with a sled of nops in front, and two trampolines, which build.py renders
 * from templates/trampoline: first.S and second.S.
 */
#include "scheme.h"
#include "frame.h"

	.section .text.bpf, "ax"
	.option norvc

	.macro	PROGRAM name, misaligned=0
	.balign	8
	.rept	\misaligned
	ebreak
	.endr
	ROUTINE	\name
	.rept	AFTER / 4
	nop
	.endr
	addi	a5, a0, \misaligned
	addi	a0, a5, 1
	ret
	ROUTINE_END \name
	.endm

	PROGRAM	bpf_prog_even
	PROGRAM	bpf_prog_odd, 1
	PROGRAM	bpf_prog_last

	.set	run_first, bpf_run_first
	.balign	16
	ROUTINE	bpf_trampoline_first
	.include "first.S"
	ROUTINE_END bpf_trampoline_first
	.balign	16
	.set	run_second, bpf_run_second
	ROUTINE	bpf_trampoline_second
	.include "second.S"
	ROUTINE_END bpf_trampoline_second
