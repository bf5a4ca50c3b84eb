/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An interpreter of bytecode for a machine with 16 registers and a stack; its switch becomes a jump table. */
#include "rt.h"

#ifndef SIZE
#define SIZE 9
#endif

enum op { HALT, SET, MOVE, ADD, SUB, MUL, DIV, REM, AND, SHR, JUMP, JZ, JNZ, JLT, CALL, RET, PUSH, POP, OUT, XOR };

struct insn {
	u8 op, a, b, c;
	s32 value;
};

static u64 executed;

static u64 interpret(const struct insn *code, u64 argument)
{
	u64 r[16] = { argument }, stack[128], sp = 0;

	for (const struct insn *pc = code;; pc++) {
		executed++;
		switch (pc->op) {
		case HALT:
			return r[pc->a];
		case SET:
			r[pc->a] = (u64)(s64)pc->value;
			break;
		case MOVE:
			r[pc->a] = r[pc->b];
			break;
		case ADD:
			r[pc->a] = r[pc->b] + r[pc->c] + (u64)(s64)pc->value;
			break;
		case SUB:
			r[pc->a] = r[pc->b] - r[pc->c];
			break;
		case MUL:
			r[pc->a] = r[pc->b] * r[pc->c];
			break;
		case DIV:
			r[pc->a] = r[pc->b] / r[pc->c];
			break;
		case REM:
			r[pc->a] = r[pc->b] % r[pc->c];
			break;
		case AND:
			r[pc->a] = r[pc->b] & (u64)(s64)pc->value;
			break;
		case SHR:
			r[pc->a] = r[pc->b] >> pc->value;
			break;
		case XOR:
			r[pc->a] = r[pc->b] ^ r[pc->c];
			break;
		case JUMP:
			pc = code + pc->value - 1;
			break;
		case JZ:
			if (!r[pc->a])
				pc = code + pc->value - 1;
			break;
		case JNZ:
			if (r[pc->a])
				pc = code + pc->value - 1;
			break;
		case JLT:
			if (r[pc->a] < r[pc->b])
				pc = code + pc->value - 1;
			break;
		case CALL:
			stack[sp++] = (u64)(pc - code);
			pc = code + pc->value - 1;
			break;
		case RET:
			pc = code + stack[--sp];
			break;
		case PUSH:
			stack[sp++] = r[pc->a];
			break;
		case POP:
			r[pc->a] = stack[--sp];
			break;
		case OUT:
			put_number(r[pc->a]);
			put_char(pc->value ? '\n' : ' ');
			break;
		default:
			put("no such instruction\n");
			leave(3);
		}
	}
}

/* The number below r0 whose Collatz sequence is longest, and how long it is. */
static const struct insn collatz[] = {
	{ SET, 1, 0, 0, 1 }, /*  0: start = 1 */
	{ SET, 8, 0, 0, 1 },
	{ MOVE, 2, 1, 0, 0 }, /*  2: n = start, length = 0 */
	{ SET, 3, 0, 0, 0 },
	{ SUB, 4, 2, 8, 0 }, /*  4: while n != 1 */
	{ JZ, 4, 0, 0, 14 },
	{ ADD, 3, 3, 8, 0 },
	{ AND, 4, 2, 0, 1 },
	{ JNZ, 4, 0, 0, 11 },
	{ SHR, 2, 2, 0, 1 },
	{ JUMP, 0, 0, 0, 4 },
	{ ADD, 4, 2, 2, 1 }, /* 11: n += 2 * n + 1 */
	{ ADD, 2, 2, 4, 0 },
	{ JUMP, 0, 0, 0, 4 },
	{ JLT, 5, 3, 0, 16 }, /* 14: longest < length */
	{ JUMP, 0, 0, 0, 18 },
	{ MOVE, 5, 3, 0, 0 },
	{ MOVE, 6, 1, 0, 0 },
	{ ADD, 1, 1, 8, 0 }, /* 18 */
	{ JLT, 1, 0, 0, 2 },
	{ OUT, 6, 0, 0, 0 },
	{ OUT, 5, 0, 0, 1 },
	{ HALT, 5, 0, 0, 0 },
};

/* Fibonacci's r0-th number by recursion. */
static const struct insn fibonacci[] = {
	{ CALL, 0, 0, 0, 3 },
	{ OUT, 1, 0, 0, 1 },
	{ HALT, 1, 0, 0, 0 },
	{ SET, 2, 0, 0, 2 }, /*  3: r1 = fib(r0) */
	{ JLT, 0, 2, 0, 15 },
	{ PUSH, 0, 0, 0, 0 },
	{ ADD, 0, 0, 3, -1 }, /* r3 stays 0 */
	{ CALL, 0, 0, 0, 3 },
	{ POP, 0, 0, 0, 0 },
	{ PUSH, 1, 0, 0, 0 },
	{ ADD, 0, 0, 3, -2 },
	{ CALL, 0, 0, 0, 3 },
	{ POP, 2, 0, 0, 0 },
	{ ADD, 1, 1, 2, 0 },
	{ RET, 0, 0, 0, 0 },
	{ MOVE, 1, 0, 0, 0 }, /* 15 */
	{ RET, 0, 0, 0, 0 },
};

/* Sums of products and quotients for each number below r0: MUL, DIV, REM and XOR. */
static const struct insn arithmetic[] = {
	{ SET, 1, 0, 0, 1 },
	{ SET, 7, 0, 0, 12345 },
	{ MUL, 2, 7, 1, 0 }, /*  2 */
	{ MUL, 2, 2, 2, 0 },
	{ DIV, 3, 2, 1, 0 },
	{ REM, 4, 2, 7, 0 },
	{ XOR, 3, 3, 4, 0 },
	{ ADD, 5, 5, 3, 0 },
	{ ADD, 7, 7, 3, 0 },
	{ ADD, 1, 1, 6, 1 },
	{ JLT, 1, 0, 0, 2 },
	{ OUT, 5, 0, 0, 1 },
	{ HALT, 5, 0, 0, 0 },
};

int run(const u64 *stack)
{
	u64 result;

	(void)stack;
	result = interpret(collatz, SIZE * 3);
	result += interpret(fibonacci, SIZE < 24 ? SIZE : 24);
	result += interpret(arithmetic, SIZE * 4);
	line("executed", executed);
	return (int)(result & 127);
}
