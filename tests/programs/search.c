/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Three ways to find a word in a text of few letters: how often, where first, where last. */
#include "rt.h"

#ifndef SIZE
#define SIZE 400
#endif
#define MAX_WORD 16

static char text[SIZE];

struct found {
	u64 count;
	s64 first, last;
};

static void note(struct found *found, s64 at)
{
	if (!found->count++)
		found->first = at;
	found->last = at;
}

static void naive(const char *word, s64 n, struct found *found)
{
	for (s64 at = 0; at + n <= SIZE; at++) {
		s64 i = 0;

		while (i < n && text[at + i] == word[i])
			i++;
		if (i == n)
			note(found, at);
	}
}

static void horspool(const char *word, s64 n, struct found *found)
{
	u8 skip[128];

	memset(skip, (int)n, sizeof(skip));
	for (s64 i = 0; i + 1 < n; i++)
		skip[(u8)word[i]] = (u8)(n - 1 - i);
	for (s64 at = 0; at + n <= SIZE; at += skip[(u8)text[at + n - 1]])
		if (!memcmp(text + at, word, (u64)n))
			note(found, at);
}

static void kmp(const char *word, s64 n, struct found *found)
{
	s64 border[MAX_WORD + 1], k = -1;

	border[0] = -1;
	for (s64 i = 0; i < n; border[++i] = ++k)
		while (k >= 0 && word[k] != word[i])
			k = border[k];
	k = 0;
	for (s64 at = 0; at < SIZE; at++) {
		while (k >= 0 && word[k] != text[at])
			k = border[k];
		if (++k == n) {
			note(found, at + 1 - n);
			k = border[k];
		}
	}
}

static const struct {
	const char *name;
	void (*search)(const char *, s64, struct found *);
} searches[] = { { "naive", naive }, { "horspool", horspool }, { "kmp", kmp } };

int run(const u64 *stack)
{
	static const char *const words[] = { "a", "abab", "abcab", "cccc", "abracadabra" };
	u64 state = 3, total = 0;

	(void)stack;
	for (int i = 0; i < SIZE; i++)
		text[i] = "aaabbc"[random_next(&state) % 6];
	memcpy(text + SIZE / 2, "abracadabra", 11);
	for (u64 i = 0; i < LENGTH(words); i++) {
		s64 n = 0;

		while (words[i][n])
			n++;
		for (u64 which = 0; which < LENGTH(searches); which++) {
			struct found found = { 0, -1, -1 };

			searches[which].search(words[i], n, &found);
			put(searches[which].name);
			put_char(' ');
			put(words[i]);
			put_char(' ');
			put_number(found.count);
			put_char(' ');
			put_signed(found.first);
			put_char(' ');
			put_signed(found.last);
			put_char('\n');
			total += found.count;
		}
	}
	return (int)(total & 127);
}
