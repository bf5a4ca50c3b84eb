/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every AMO on words and doublewords, LR/SC loops and reservations that must be lost, locks and counters. */
#include "rt.h"

#ifndef SIZE
#define SIZE 60
#endif

/* Not aligned on 8, so that a word is tried in both halves of a doubleword; its neighbours must not change. */
static u32 words[4] __attribute__((aligned(8))) = { 0x11111111, 0, 0, 0x44444444 };
static u64 doubleword;
static u64 sum = MIX_START;

#define AMO(name, type, order)                                                                              \
	static u64 name##_##type##_##order(void *at, u64 value)                                             \
	{                                                                                                   \
		u64 old;                                                                                    \
		__asm__ volatile(#name "." #type DOT_##order " %0, %2, (%1)"                                \
				 : "=&r"(old) : "r"(at), "r"(value) : "memory");                            \
		return old;                                                                                 \
	}
#define DOT_relaxed
#define DOT_aq ".aq"
#define DOT_rl ".rl"
#define DOT_aqrl ".aqrl"
#define EACH(amo, order) AMO(amo, w, order) AMO(amo, d, order)

EACH(amoswap, relaxed)
EACH(amoadd, aq)
EACH(amoxor, rl)
EACH(amoand, aqrl)
EACH(amoor, relaxed)
EACH(amomin, aq)
EACH(amomax, rl)
EACH(amominu, aqrl)
EACH(amomaxu, relaxed)

static const struct {
	const char *name;
	u64 (*on_word)(void *, u64);
	u64 (*on_doubleword)(void *, u64);
} amos[] = {
	{ "amoswap", amoswap_w_relaxed, amoswap_d_relaxed },
	{ "amoadd", amoadd_w_aq, amoadd_d_aq },
	{ "amoxor", amoxor_w_rl, amoxor_d_rl },
	{ "amoand", amoand_w_aqrl, amoand_d_aqrl },
	{ "amoor", amoor_w_relaxed, amoor_d_relaxed },
	{ "amomin", amomin_w_aq, amomin_d_aq },
	{ "amomax", amomax_w_rl, amomax_d_rl },
	{ "amominu", amominu_w_aqrl, amominu_d_aqrl },
	{ "amomaxu", amomaxu_w_relaxed, amomaxu_d_relaxed },
};

static void each_amo(void)
{
	u64 state = 6;

	for (u64 i = 0; i < LENGTH(amos); i++) {
		for (int round = 0; round < 4; round++) {
			u64 before = random_next(&state), operand = random_next(&state);
			u32 *word = words + 1 + round % 2;
			u64 old;

			if (round == 3)
				operand = before; /* equal operands */
			*word = (u32)before;
			doubleword = before;
			old = amos[i].on_word(word, operand);
			sum = mix(mix(sum, old), *word);
			put(amos[i].name);
			put_char(' ');
			put_hex(old, 16);
			put_char(' ');
			put_hex(*word, 8);
			old = amos[i].on_doubleword(&doubleword, operand);
			sum = mix(mix(sum, old), doubleword);
			put_char(' ');
			put_hex(old, 16);
			put_char(' ');
			put_hex(doubleword, 16);
			put_char('\n');
		}
	}
	line("neighbours", words[0] == 0x11111111 && words[3] == 0x44444444);
}

/* value = max(value * 3, 7) by LR/SC, as long as it takes. */
static u64 grow(u64 *at)
{
	u64 value, failed;

	__asm__ volatile("1:	lr.d.aq	%0, (%2)\n"
			 "	slli	%1, %0, 1\n"
			 "	add	%0, %0, %1\n"
			 "	bnez	%0, 2f\n"
			 "	li	%0, 7\n"
			 "2:	sc.d.rl	%1, %0, (%2)\n"
			 "	bnez	%1, 1b\n"
			 : "=&r"(value), "=&r"(failed) : "r"(at) : "memory");
	return value;
}

/* An SC with a reservation, a second one that has none any more, and one that never had any. */
static void lost(void)
{
	u64 first, second, loaded;

	*(volatile u32 *)(words + 1) = 0x80000005;
	__asm__ volatile("lr.w	%0, (%3)\n"
			 "	sc.w	%1, %4, (%3)\n"
			 "	sc.w	%2, zero, (%3)\n"
			 : "=&r"(loaded), "=&r"(first), "=&r"(second) : "r"(words + 1), "r"(1234) : "memory");
	line_hex("lr.w", loaded);
	line("sc.w", first);
	line("sc.w without a reservation", second != 0);
	line("word", words[1]);
	doubleword = 99;
	__asm__ volatile("sc.d	%0, zero, (%1)" : "=&r"(first) : "r"(&doubleword) : "memory");
	line("sc.d without a reservation", first != 0);
	line("doubleword", doubleword);
}

static u32 lock;
static u64 counter;

static void locked_add(u64 by)
{
	while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE))
		;
	counter += by;
	__atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
}

int run(const u64 *stack)
{
	u64 atomic = 0, swapped = 0;
	u32 narrow = 0xfffffff0;

	(void)stack;
	each_amo();
	doubleword = 0;
	for (int i = 0; i < 30; i++)
		sum = mix(sum, grow(&doubleword));
	line("grown", doubleword);
	lost();
	for (u64 i = 1; i <= SIZE; i++) {
		u64 expected = i - i % 2;

		locked_add(i);
		__atomic_fetch_add(&atomic, i * i, __ATOMIC_SEQ_CST);
		__atomic_fetch_add(&narrow, 1, __ATOMIC_RELAXED);
		swapped += __atomic_compare_exchange_n(&atomic, &expected, atomic, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
	}
	line("locked", counter);
	line("atomic", atomic);
	line("narrow", narrow);
	line("swapped", swapped);
	line_hex("sum", sum);
	return (int)(sum & 127);
}
