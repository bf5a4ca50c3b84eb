// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The only process of a kernel under test. It loads BPF programs that are attached to functions of the kernel and to
 * other programs, has the kernel call those, and looks at what the programs saw and what the callers got back.
 * One line for each test: "ok N name" or "not ok N name"; then "1..N", and the machine is switched off.
 */
#define _GNU_SOURCE
#include "bpf.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRACEFS "/sys/kernel/tracing/"
#define CHECK(what) ((what) ? 1 : (printf("# line %d: %s\n", __LINE__, #what), failures++, 0))
#define EQUAL(got, wanted) equal(__LINE__, #got, (uint64_t)(got), (uint64_t)(wanted))

enum { TRACING = BPF_PROG_TYPE_TRACING, FENTRY = BPF_TRACE_FENTRY, FEXIT = BPF_TRACE_FEXIT, FMOD = BPF_MODIFY_RETURN };

static int failures;

static bool equal(int line, const char *what, uint64_t got, uint64_t wanted)
{
	if (got == wanted)
		return true;
	printf("# line %d: %s is %#llx, expected %#llx\n", line, what, (unsigned long long)got,
	       (unsigned long long)wanted);
	failures++;
	return false;
}

/* A program that writes down what it is given and returns a number. */
struct spy {
	int slot, prog, link;
};

static void record_some(struct code *c, int slot, int values, uint32_t unread)
{
	MOV(c, BPF_REG_6, BPF_REG_1);
	load_slot(c, BPF_REG_7, slot);
	LOAD(c, BPF_REG_2, BPF_REG_7, 0);
	ADD(c, BPF_REG_2, 1);
	STORE(c, BPF_REG_7, 0, BPF_REG_2);
	for (int i = 0; i < values; i++) {
		if (unread >> i & 1)
			continue;
		LOAD(c, BPF_REG_2, BPF_REG_6, 8 * i);
		STORE(c, BPF_REG_7, 8 + 8 * i, BPF_REG_2);
	}
}

static void record(struct code *c, int slot, int values)
{
	record_some(c, slot, values, 0);
}

static struct spy spy_at(const struct program *p, int values, int result, uint64_t cookie)
{
	struct spy spy = { .slot = new_slot(), .prog = -1, .link = -1 };
	struct code c = { .count = 0 };

	record_some(&c, spy.slot, values, p->unread);
	SET(&c, BPF_REG_0, result);
	EXIT(&c);
	spy.prog = load(p, &c);
	if (CHECK(spy.prog >= 0)) {
		spy.link = attach(spy.prog, (int)p->attach, cookie);
		CHECK(spy.link >= 0);
	}
	return spy;
}

static struct spy spy_on(const char *function, int kind, int values, int result)
{
	struct program p = { .type = TRACING, .attach = (uint32_t)kind, .btf_id = type_id(function, BTF_KIND_FUNC) };

	return spy_at(&p, values, result, 0);
}

static void leave(struct spy *spy)
{
	if (spy->link >= 0)
		close(spy->link);
	if (spy->prog >= 0)
		close(spy->prog);
	spy->link = spy->prog = -1;
}

static const struct {
	const char *name;
	int count;
	uint64_t args[6], result;
} tests[] = {
	{ "bpf_fentry_test1", 1, { 1 }, 2 },
	{ "bpf_fentry_test2", 2, { 2, 3 }, 5 },
	{ "bpf_fentry_test3", 3, { 4, 5, 6 }, 15 },
	{ "bpf_fentry_test4", 4, { 7, 8, 9, 10 }, 34 },
	{ "bpf_fentry_test5", 5, { 11, 12, 13, 14, 15 }, 65 },
	{ "bpf_fentry_test6", 6, { 16, 17, 18, 19, 20, 21 }, 111 },
	{ "bpf_fentry_test7", 1, { 0 }, 0 },
};

#define TESTS ((int)(sizeof(tests) / sizeof(tests[0])))

static void saw(const struct spy *spy, int test, bool has_result)
{
	const struct slot *slot = &slots[spy->slot];

	EQUAL(slot->hits, 1);
	for (int i = 0; i < tests[test].count; i++)
		EQUAL(slot->value[i], tests[test].args[i]);
	if (has_result)
		EQUAL(slot->value[tests[test].count], tests[test].result);
}

/* Have the kernel call its eight test functions; it compares what they return itself. */
static void call_tests(int prog)
{
	uint32_t result = 1;

	CHECK(run(prog, &result));
	EQUAL(result, 0);
}

static void on_each(int kind)
{
	struct spy spies[TESTS];
	struct spy last;

	for (int i = 0; i < TESTS; i++)
		spies[i] = spy_on(tests[i].name, kind, tests[i].count + (kind == FEXIT), 0);
	last = spy_on("bpf_fentry_test8", kind, 1 + (kind == FEXIT), 0);
	call_tests(spies[0].prog);
	for (int i = 0; i < TESTS; i++)
		saw(&spies[i], i, kind == FEXIT);
	EQUAL(slots[last.slot].hits, 1);
	CHECK(slots[last.slot].value[0] != 0);
	for (int i = 0; i < TESTS; i++)
		leave(&spies[i]);
	leave(&last);
}

static void test_fentry(void)
{
	on_each(FENTRY);
}

static void test_fexit(void)
{
	on_each(FEXIT);
}

static void test_detached(void)
{
	struct spy gone = spy_on("bpf_fentry_test1", FEXIT, 2, 0);
	struct spy stays = spy_on("bpf_fentry_test2", FENTRY, 2, 0);

	call_tests(stays.prog);
	close(gone.link);
	gone.link = -1;
	call_tests(stays.prog);
	EQUAL(slots[gone.slot].hits, 1);
	EQUAL(slots[stays.slot].hits, 2);
	leave(&gone);
	leave(&stays);
}

/* As many programs as generic code allows on one function, of both kinds. */
static void test_many(void)
{
	struct spy spies[38];
	int count = (int)(sizeof(spies) / sizeof(spies[0]));

	for (int i = 0; i < count; i++)
		spies[i] = spy_on("bpf_fentry_test6", i % 2 ? FEXIT : FENTRY, 6 + i % 2, 0);
	call_tests(spies[0].prog);
	for (int i = 0; i < count; i++)
		saw(&spies[i], 5, i % 2);
	for (int i = 0; i < count; i++)
		leave(&spies[i]);
}

static void modify(int result, uint32_t wanted, uint64_t seen)
{
	struct spy first = spy_on("bpf_modify_return_test", FENTRY, 2, 0);
	struct spy last = spy_on("bpf_modify_return_test", FEXIT, 3, 0);
	struct spy spy = spy_on("bpf_modify_return_test", FMOD, 3, result);
	struct spy other = spy_on("bpf_modify_return_test", FMOD, 3, 0);
	uint32_t got = 0;

	CHECK(run(spy.prog, &got));
	EQUAL(got, wanted);
	EQUAL(slots[first.slot].hits, 1);
	EQUAL(slots[first.slot].value[0], 1);
	EQUAL(slots[spy.slot].hits, 1);
	EQUAL(slots[spy.slot].value[2], 0);
	EQUAL(slots[last.slot].hits, 1);
	EQUAL(slots[last.slot].value[2], seen);
	/* the one that was attached last runs first, so it is not what is left out */
	EQUAL(slots[other.slot].hits, 1);
	leave(&first);
	leave(&last);
	leave(&spy);
	leave(&other);
}

/* What a run says: the sum of what is returned, and how many functions changed what they were to change. */
static uint32_t modified(int returned, bool ran)
{
	/* newer kernels call a second function too, which adds up its arguments */
	bool two = type_id("bpf_modify_return_test2", BTF_KIND_FUNC) != 0;

	return (uint32_t)(ran + two) << 16 | (uint16_t)(returned + (two ? 1 + 2 + 3 + 4 + 5 + 6 + 7 + 1 : 0));
}

static void test_fmod_ret(void)
{
	modify(0, modified(4, true), 4);
}

static void test_fmod_ret_replaces(void)
{
	modify(-22, modified(-22, false), (uint64_t)-22);
}

static void test_fmod_ret_first_wins(void)
{
	struct spy second = spy_on("bpf_modify_return_test", FMOD, 3, 0);
	struct spy first = spy_on("bpf_modify_return_test", FMOD, 3, 7);
	uint32_t got = 0;

	CHECK(run(first.prog, &got));
	EQUAL(got, modified(7, false));
	EQUAL(slots[first.slot].hits, 1);
	EQUAL(slots[second.slot].hits, 0);
	leave(&first);
	leave(&second);
}

static uint64_t address_of(const char *name)
{
	FILE *file = fopen("/proc/kallsyms", "r");
	unsigned long long at, found = 0;
	char line[512], kind, symbol[256];

	while (file && !found && fgets(line, sizeof(line), file))
		if (sscanf(line, "%llx %c %255s", &at, &kind, symbol) == 3 && strcmp(symbol, name) == 0)
			found = at;
	if (file)
		fclose(file);
	return found;
}

/* What helpers find beside the arguments: address, cookie, number of arguments, return value. */
static void test_helpers(void)
{
	struct program p = { .type = TRACING, .attach = FEXIT, .btf_id = type_id("bpf_fentry_test5", BTF_KIND_FUNC) };
	struct code c = { .count = 0 };
	int slot = new_slot(), prog, link;
	const uint64_t cookie = 0x123456789abcdef0, *value = slots[slot].value;

	record(&c, slot, 0);
	MOV(&c, BPF_REG_1, BPF_REG_6);
	CALL(&c, BPF_FUNC_get_func_ip);
	STORE(&c, BPF_REG_7, 8, BPF_REG_0);
	MOV(&c, BPF_REG_1, BPF_REG_6);
	CALL(&c, BPF_FUNC_get_attach_cookie);
	STORE(&c, BPF_REG_7, 16, BPF_REG_0);
	MOV(&c, BPF_REG_1, BPF_REG_6);
	CALL(&c, BPF_FUNC_get_func_arg_cnt);
	STORE(&c, BPF_REG_7, 24, BPF_REG_0);
	STORE_N(&c, BPF_REG_10, -8, 0);
	MOV(&c, BPF_REG_1, BPF_REG_6);
	MOV(&c, BPF_REG_2, BPF_REG_10);
	ADD(&c, BPF_REG_2, -8);
	CALL(&c, BPF_FUNC_get_func_ret);
	LOAD(&c, BPF_REG_1, BPF_REG_10, -8);
	STORE(&c, BPF_REG_7, 32, BPF_REG_1);
	MOV(&c, BPF_REG_1, BPF_REG_6);
	SET(&c, BPF_REG_2, 4);
	MOV(&c, BPF_REG_3, BPF_REG_10);
	ADD(&c, BPF_REG_3, -8);
	CALL(&c, BPF_FUNC_get_func_arg);
	LOAD(&c, BPF_REG_1, BPF_REG_10, -8);
	STORE(&c, BPF_REG_7, 40, BPF_REG_1);
	SET(&c, BPF_REG_0, 0);
	EXIT(&c);
	prog = load(&p, &c);
	link = attach(prog, FEXIT, cookie);
	if (CHECK(prog >= 0 && link >= 0)) {
		call_tests(prog);
		EQUAL(value[0], address_of("bpf_fentry_test5"));
		EQUAL(value[1], cookie);
		EQUAL(value[2], 5);
		EQUAL(value[3], 65);
		EQUAL(value[4], 15);
	}
	close(link);
	close(prog);
}

static void test_sleepable(void)
{
	struct program p = {
		.type = TRACING, .attach = FMOD, .flags = BPF_F_SLEEPABLE,
		.btf_id = type_id("bpf_modify_return_test", BTF_KIND_FUNC),
	};
	struct spy spy = spy_at(&p, 3, 9, 0), exits;
	uint32_t got = 0;

	p.attach = FEXIT;
	exits = spy_at(&p, 3, 0, 0);
	CHECK(run(spy.prog, &got));
	EQUAL(got, 9);
	EQUAL(slots[spy.slot].hits, 1);
	EQUAL(slots[exits.slot].value[2], 9);
	leave(&spy);
	leave(&exits);
}

/* A program that is running when its function is called again is not run; the function is. */
static void test_skipped(void)
{
	struct program p = { .type = TRACING, .attach = FEXIT, .btf_id = type_id("htab_map_update_elem", BTF_KIND_FUNC) };
	struct code c = { .count = 0 };
	int inner = new_map(BPF_MAP_TYPE_HASH, 8, 8, 8), outer = new_map(BPF_MAP_TYPE_HASH, 8, 8, 8);
	int slot = new_slot(), prog, link;
	uint64_t key = 5, value = 6;
	struct bpf_prog_info info = { .type = 0 };
	union bpf_attr attr = { .info = { .info_len = sizeof(info), .info = (uint64_t)&info } };

	record(&c, slot, 5);
	STORE_N(&c, BPF_REG_10, -8, 77);
	load_map(&c, BPF_REG_1, inner);
	MOV(&c, BPF_REG_2, BPF_REG_10);
	ADD(&c, BPF_REG_2, -8);
	MOV(&c, BPF_REG_3, BPF_REG_2);
	SET(&c, BPF_REG_4, BPF_NOEXIST);
	CALL(&c, BPF_FUNC_map_update_elem);
	STORE(&c, BPF_REG_7, 80, BPF_REG_0);
	SET(&c, BPF_REG_0, 0);
	EXIT(&c);
	prog = load(&p, &c);
	link = attach(prog, FEXIT, 0);
	if (CHECK(prog >= 0 && link >= 0)) {
		EQUAL(set_map(outer, &key, &value), 0);
		EQUAL(slots[slot].hits, 1);
		EQUAL(slots[slot].value[4], 0);
		EQUAL(slots[slot].value[9], 0);
		attr.info.bpf_fd = (uint32_t)prog;
		CHECK(sys_bpf(BPF_OBJ_GET_INFO_BY_FD, &attr, sizeof(attr)) == 0);
		EQUAL(info.recursion_misses, 1);
		/* the second time the inner update fails, in a call that no program sees */
		EQUAL(set_map(outer, &key, &value), 0);
		EQUAL((int64_t)slots[slot].value[9], -EEXIST);
	}
	close(link);
	close(prog);
	close(inner);
	close(outer);
}

static int new_socket(int kind, uint16_t port)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, kind, 0);

	if (fd >= 0 && port && bind(fd, (const struct sockaddr *)&at, sizeof(at)))
		printf("# bind: %s\n", strerror(errno));
	return fd;
}

static void send_datagram(int length)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(99), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int to = new_socket(SOCK_DGRAM, 99), from = new_socket(SOCK_DGRAM, 0);
	char sent[100], got[100];

	memset(sent, 'x', sizeof(sent));
	EQUAL(sendto(from, sent, (size_t)length, MSG_DONTWAIT, (const struct sockaddr *)&at, sizeof(at)), length);
	EQUAL(recv(to, got, sizeof(got), 0), length);
	CHECK(memcmp(sent, got, (size_t)length) == 0);
	close(to);
	close(from);
}

/* Ten arguments: two are on the stack, and are handed on to the function. */
static void test_stack_arguments(void)
{
	/* the verifier lets nobody read a pointer to a function, or to a pointer */
	struct program p = { .type = TRACING, .attach = FENTRY, .unread = 1 << 2 | 1 << 7 };
	struct spy first, last;
	const uint64_t *value;

	p.btf_id = type_id("ip_make_skb", BTF_KIND_FUNC);
	first = spy_at(&p, 10, 0, 0);
	value = slots[first.slot].value;
	send_datagram(41);
	EQUAL(slots[first.slot].hits, 1);
	EQUAL((uint32_t)value[4], 49);
	EQUAL((uint32_t)value[5], 8);
	CHECK(value[8] != 0);
	EQUAL((uint32_t)value[9], MSG_DONTWAIT);
	p.attach = FEXIT;
	last = spy_at(&p, 11, 0, 0);
	send_datagram(42);
	value = slots[last.slot].value;
	EQUAL(slots[last.slot].hits, 1);
	EQUAL((uint32_t)value[4], 50);
	CHECK(value[8] != 0);
	EQUAL((uint32_t)value[9], MSG_DONTWAIT);
	CHECK(value[10] != 0 && (int64_t)value[10] < 0);
	leave(&first);
	leave(&last);
}

/* Types for programs: int entry(struct __sk_buff *ctx), which is global, and long long sub(void). */
enum { TYPE_ENTRY = 5, TYPE_SUB = 8 };

static int own_types(void)
{
	static const char names[] = "\0int\0__sk_buff\0ctx\0entry\0long long\0sub";
	static const uint32_t records[] = {
		1, BTF_KIND_INT << 24, 4, BTF_INT_SIGNED << 24 | 32,
		5, BTF_KIND_STRUCT << 24, 0,
		0, BTF_KIND_PTR << 24, 2,
		0, BTF_KIND_FUNC_PROTO << 24 | 1, 1, 15, 3,
		19, BTF_KIND_FUNC << 24 | BTF_FUNC_GLOBAL, 4,
		25, BTF_KIND_INT << 24, 8, 64,
		0, BTF_KIND_FUNC_PROTO << 24, 6,
		35, BTF_KIND_FUNC << 24, 7,
	};
	struct {
		struct btf_header header;
		uint32_t records[sizeof(records) / 4];
		char names[sizeof(names)];
	} blob = {
		.header = {
			.magic = BTF_MAGIC, .version = BTF_VERSION, .hdr_len = sizeof(struct btf_header),
			.type_len = sizeof(records), .str_off = sizeof(records), .str_len = sizeof(names),
		},
	};
	union bpf_attr attr = { .btf = (uint64_t)&blob, .btf_size = offsetof(typeof(blob), names) + sizeof(names) };

	memcpy(blob.records, records, sizeof(records));
	memcpy(blob.names, names, sizeof(names));
	return sys_bpf(BPF_BTF_LOAD, &attr, sizeof(attr));
}

static int types_fd = -1;

static int load_entry(uint32_t type, int target, const struct code *c, uint32_t sub_at)
{
	const uint32_t functions[] = { 0, TYPE_ENTRY, sub_at, TYPE_SUB };
	struct program p = {
		.type = type, .btf = (uint32_t)types_fd, .functions = functions, .function_count = sub_at ? 2 : 1,
	};

	if (target >= 0) {
		p.target = (uint32_t)target;
		p.btf_id = TYPE_ENTRY;
	}
	return load(&p, c);
}

/* entry() counts, and returns a number. */
static int counting(uint32_t type, int target, int slot, int result)
{
	struct code c = { .count = 0 };

	record(&c, slot, 0);
	SET32(&c, BPF_REG_0, result);
	EXIT(&c);
	return load_entry(type, target, &c, 0);
}

static struct spy spy_on_program(int target, uint32_t btf_id, int kind, int values)
{
	struct program p = { .type = TRACING, .attach = (uint32_t)kind, .btf_id = btf_id, .target = (uint32_t)target };

	return spy_at(&p, values, 0, 0);
}

static void test_program_is_traced(void)
{
	int slot = new_slot(), prog = counting(BPF_PROG_TYPE_SCHED_CLS, -1, slot, -5);
	struct spy first, last;
	uint32_t got = 0;

	if (!CHECK(prog >= 0))
		return;
	first = spy_on_program(prog, TYPE_ENTRY, FENTRY, 1);
	CHECK(run_with(prog, NULL, 0, &got));
	EQUAL(got, (uint32_t)-5);
	last = spy_on_program(prog, TYPE_ENTRY, FEXIT, 2);
	CHECK(run_with(prog, NULL, 0, &got));
	EQUAL(got, (uint32_t)-5);
	EQUAL(slots[slot].hits, 2);
	EQUAL(slots[first.slot].hits, 2);
	EQUAL(slots[last.slot].hits, 1);
	EQUAL((uint32_t)slots[last.slot].value[1], (uint32_t)-5);
	CHECK(slots[last.slot].value[0] != 0);
	leave(&first);
	leave(&last);
	CHECK(run_with(prog, NULL, 0, &got));
	EQUAL(got, (uint32_t)-5);
	EQUAL(slots[slot].hits, 3);
	EQUAL(slots[first.slot].hits, 2);
	close(prog);
}

static void test_program_is_replaced(void)
{
	int slot = new_slot(), other_slot = new_slot();
	int prog = counting(BPF_PROG_TYPE_SCHED_CLS, -1, slot, 3);
	int other = counting(BPF_PROG_TYPE_EXT, prog, other_slot, 4), link;
	uint32_t got = 0;

	if (!CHECK(prog >= 0 && other >= 0))
		return;
	for (int i = 1; i <= 3; i++) {
		CHECK(run_with(prog, NULL, 0, &got));
		EQUAL(got, 3);
		link = attach(other, 0, 0);
		CHECK(link >= 0);
		CHECK(run_with(prog, NULL, 0, &got));
		EQUAL(got, 4);
		close(link);
		EQUAL(slots[slot].hits, i);
		EQUAL(slots[other_slot].hits, i);
		if (i < 3) {
			close(other);
			other = counting(BPF_PROG_TYPE_EXT, prog, other_slot, 4);
		}
	}
	CHECK(run_with(prog, NULL, 0, &got));
	EQUAL(got, 3);
	close(other);
	close(prog);
}

/* A value of 64 bits that one program returns to another, with and without a trampoline between them. */
static void test_subprogram(void)
{
	struct code c = { .count = 0 };
	struct spy last;
	uint32_t got = 0;
	int prog;

	CALL_LOCAL(&c, 2);
	op(&c, BPF_ALU64 | BPF_RSH | BPF_K, BPF_REG_0, 0, 0, 32);
	EXIT(&c);
	op_wide(&c, BPF_REG_0, 0, 0x89abcdef, 0x1234567);
	EXIT(&c);
	prog = load_entry(BPF_PROG_TYPE_SCHED_CLS, -1, &c, 3);
	if (!CHECK(prog >= 0))
		return;
	CHECK(run_with(prog, NULL, 0, &got));
	EQUAL(got, 0x1234567);
	last = spy_on_program(prog, TYPE_SUB, FEXIT, 1);
	CHECK(run_with(prog, NULL, 0, &got));
	EQUAL(got, 0x1234567);
	EQUAL(slots[last.slot].hits, 1);
	EQUAL(slots[last.slot].value[0], 0x123456789abcdef);
	leave(&last);
	close(prog);
}

/* A program that tail-calls itself: the limit holds, whatever is attached to its entry. */
static void test_tail_calls(void)
{
	struct code c = { .count = 0 };
	int map = new_map(BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 1), slot = new_slot(), prog;
	struct spy first, last;
	uint32_t got = 0, zero = 0;

	record(&c, slot, 0);
	MOV(&c, BPF_REG_1, BPF_REG_6);
	load_map(&c, BPF_REG_2, map);
	SET(&c, BPF_REG_3, 0);
	CALL(&c, BPF_FUNC_tail_call);
	SET(&c, BPF_REG_0, 8);
	EXIT(&c);
	prog = load_entry(BPF_PROG_TYPE_SCHED_CLS, -1, &c, 0);
	if (!CHECK(prog >= 0 && set_map(map, &zero, &prog) == 0))
		return;
	CHECK(run_with(prog, NULL, 0, &got));
	EQUAL(got, 8);
	EQUAL(slots[slot].hits, 34);
	first = spy_on_program(prog, TYPE_ENTRY, FENTRY, 1);
	last = spy_on_program(prog, TYPE_ENTRY, FEXIT, 2);
	CHECK(run_with(prog, NULL, 0, &got));
	EQUAL(got, 8);
	EQUAL(slots[slot].hits, 68);
	EQUAL(slots[first.slot].hits, 1);
	EQUAL(slots[last.slot].hits, 1);
	EQUAL(slots[last.slot].value[1], 8);
	leave(&first);
	leave(&last);
	remove_map(map, &zero);
	close(prog);
	close(map);
}

/* struct_ops are called through pointers: nothing is in t0, and the ABI wants an int sign-extended. */
static void test_struct_ops(void)
{
	struct program p = { .type = BPF_PROG_TYPE_STRUCT_OPS, .btf_id = type_id("bpf_dummy_ops", BTF_KIND_STRUCT) };
	uint64_t args[5] = { 0, (uint64_t)-9, 60000, 'c', 0x123456789abcdef };
	struct code c = { .count = 0 };
	int slot = new_slot(), prog;
	uint32_t got = 0;

	p.member = (uint32_t)member_index(p.btf_id, "test_2");
	record(&c, slot, 5);
	SET32(&c, BPF_REG_0, -1000);
	EXIT(&c);
	prog = load(&p, &c);
	if (!CHECK(prog >= 0))
		return;
	for (int i = 1; i <= 3; i++) {
		CHECK(run_with(prog, args, sizeof(args), &got));
		EQUAL(got, (uint32_t)-1000);
		EQUAL(slots[slot].hits, i);
	}
	EQUAL((uint32_t)slots[slot].value[1], (uint32_t)-9);
	EQUAL((uint16_t)slots[slot].value[2], 60000);
	EQUAL((uint8_t)slots[slot].value[3], 'c');
	EQUAL(slots[slot].value[4], args[4]);
	close(prog);
}

static int congestion(uint32_t type, const char *member, int slot, int result)
{
	struct program p = {
		.type = BPF_PROG_TYPE_STRUCT_OPS, .btf_id = type, .member = (uint32_t)member_index(type, member),
	};
	struct code c = { .count = 0 };

	record(&c, slot, 1);
	SET(&c, BPF_REG_0, result);
	EXIT(&c);
	return load(&p, &c);
}

static long transfer(const char *algorithm, long size)
{
	static char buffer[4096];
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(98), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int listener = new_socket(SOCK_STREAM, 98), from = new_socket(SOCK_STREAM, 0), to;
	long sent = 0, got = 0;
	pid_t child;

	CHECK(listen(listener, 1) == 0);
	CHECK(setsockopt(from, IPPROTO_TCP, TCP_CONGESTION, algorithm, (socklen_t)strlen(algorithm)) == 0);
	CHECK(connect(from, (const struct sockaddr *)&at, sizeof(at)) == 0);
	to = accept(listener, NULL, NULL);
	child = fork();
	if (child == 0) {
		while (sent < size && write(from, buffer, sizeof(buffer)) > 0)
			sent += sizeof(buffer);
		_exit(0);
	}
	close(from);
	for (ssize_t n; (n = read(to, buffer, sizeof(buffer))) > 0;)
		got += n;
	waitpid(child, NULL, 0);
	close(to);
	close(listener);
	return got;
}

/* A congestion control of BPF programs, and a connection that uses it. */
static void test_congestion_control(void)
{
	static unsigned char value[8192];
	uint32_t outer = type_id("bpf_struct_ops_tcp_congestion_ops", BTF_KIND_STRUCT);
	uint32_t type = type_id("tcp_congestion_ops", BTF_KIND_STRUCT), zero = 0;
	const char *members[] = { "ssthresh", "cong_avoid", "undo_cwnd", "init", "release" };
	union bpf_attr attr = {
		.map_type = BPF_MAP_TYPE_STRUCT_OPS, .key_size = 4, .max_entries = 1, .btf_fd = (uint32_t)types_fd,
	};
	unsigned char *data;
	int used[5], progs[5], map;

	if (!CHECK(outer && type && type_size(outer) <= (long)sizeof(value)))
		return;
	attr.value_size = (uint32_t)type_size(outer);
	attr.btf_vmlinux_value_type_id = outer;
	map = sys_bpf(BPF_MAP_CREATE, &attr, sizeof(attr));
	data = value + member_offset(outer, "data");
	for (int i = 0; i < 5; i++) {
		used[i] = new_slot();
		progs[i] = congestion(type, members[i], used[i], i == 0 ? 4 : i == 2 ? 10 : 0);
		CHECK(progs[i] >= 0);
		*(uint64_t *)(data + member_offset(type, members[i])) = (uint64_t)progs[i];
	}
	strcpy((char *)data + member_offset(type, "name"), "bpf_spy");
	if (CHECK(map >= 0 && set_map(map, &zero, value) == 0)) {
		EQUAL(transfer("bpf_spy", 1 << 20), 1 << 20);
		CHECK(slots[used[1]].hits > 0);
		for (int i = 0; i < 30 && !slots[used[4]].hits; i++)
			usleep(100000);
		EQUAL(slots[used[3]].hits, 1);
		EQUAL(slots[used[4]].hits, 1);
		EQUAL(slots[used[3]].value[0], slots[used[4]].value[0]);
		CHECK(remove_map(map, &zero) == 0);
	}
	for (int i = 0; i < 5; i++)
		close(progs[i]);
	close(map);
}

static bool tell(const char *file, const char *text)
{
	int fd = open(file, O_WRONLY | O_TRUNC);
	bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (!done)
		printf("# %s < %s: %s\n", file, text, strerror(errno));
	if (fd >= 0)
		close(fd);
	return done;
}

static int lines_with(const char *file, const char *text)
{
	FILE *stream = fopen(file, "r");
	char line[1024];
	int count = 0;

	while (stream && fgets(line, sizeof(line), stream))
		count += line[0] != '#' && strstr(line, text) != NULL;
	if (stream)
		fclose(stream);
	return count;
}

/* What ftrace itself says of a function with a trampoline, and of one without. */
static void test_what_ftrace_says(void)
{
	struct spy spy = spy_on("bpf_fentry_test3", FENTRY, 3, 0);

	EQUAL(lines_with(TRACEFS "enabled_functions", "bpf_fentry_test3 (1)"), 1);
	EQUAL(lines_with(TRACEFS "enabled_functions", "direct-->"), 1);
	leave(&spy);
	usleep(300000);
	EQUAL(lines_with(TRACEFS "enabled_functions", "bpf_fentry_test3"), 0);
}

/* The function is traced as well: ftrace_regs_caller is called and leaves through the trampoline. */
static void with_tracer(const char *tracer, const char *wanted)
{
	struct spy first = spy_on("bpf_fentry_test6", FENTRY, 6, 0), last, mod;
	uint32_t got = 0;

	CHECK(tell(TRACEFS "set_ftrace_filter", "bpf_*_test*"));
	CHECK(tell(TRACEFS "trace", ""));
	CHECK(tell(TRACEFS "current_tracer", tracer));
	last = spy_on("bpf_fentry_test6", FEXIT, 7, 0);
	mod = spy_on("bpf_modify_return_test", FMOD, 3, 0);
	call_tests(first.prog);
	CHECK(run(mod.prog, &got));
	EQUAL(got, modified(4, true));
	saw(&first, 5, false);
	saw(&last, 5, true);
	EQUAL(slots[mod.slot].hits, 1);
	EQUAL(lines_with(TRACEFS "trace", wanted), 1);
	EQUAL(lines_with(TRACEFS "trace", "bpf_fentry_test1"), 1);
	EQUAL(lines_with(TRACEFS "trace", "bpf_modify_return_test"), modified(4, true) >> 16);
	CHECK(tell(TRACEFS "current_tracer", "nop"));
	call_tests(first.prog);
	EQUAL(slots[first.slot].hits, 2);
	EQUAL(slots[last.slot].hits, 2);
	leave(&first);
	leave(&last);
	leave(&mod);
	CHECK(tell(TRACEFS "set_ftrace_filter", ""));
}

static void test_with_function_tracer(void)
{
	with_tracer("function", "bpf_fentry_test6");
}

static void test_with_graph_tracer(void)
{
	with_tracer("function_graph", "bpf_fentry_test6");
}

static void test_with_kprobe(void)
{
	struct spy last;

	CHECK(tell(TRACEFS "kprobe_events", "p:spy bpf_fentry_test2 first=%a0 second=%a1 temp=%t1\n"));
	CHECK(tell(TRACEFS "events/kprobes/spy/enable", "1"));
	last = spy_on("bpf_fentry_test2", FEXIT, 3, 0);
	CHECK(tell(TRACEFS "trace", ""));
	call_tests(last.prog);
	saw(&last, 1, true);
	EQUAL(lines_with(TRACEFS "trace", "first=0x2 second=0x3"), 1);
	CHECK(tell(TRACEFS "events/kprobes/spy/enable", "0"));
	call_tests(last.prog);
	EQUAL(slots[last.slot].hits, 2);
	leave(&last);
	CHECK(tell(TRACEFS "kprobe_events", ""));
}

/* A kprobe with a handler behind it may change where a function goes on: the trampoline asks the stack. */
static void test_with_a_redirecting_kprobe(void)
{
	int module = open("/kprobe_example.ko", O_RDONLY);
	struct spy last;

	if (module < 0) {
		printf("# no kprobe_example.ko: not tried\n");
		return;
	}
	last = spy_on("bpf_fentry_test5", FEXIT, 6, 0);
	CHECK(syscall(__NR_finit_module, module, "symbol=bpf_fentry_test5", 0) == 0);
	call_tests(last.prog);
	saw(&last, 4, true);
	leave(&last);
	/* and one that is made when the other is there already, which stays for good: this test is the last */
	last = spy_on("bpf_fentry_test5", FEXIT, 6, 0);
	call_tests(last.prog);
	saw(&last, 4, true);
	leave(&last);
	close(module);
}

/* From here on programs are compiled; those before were interpreted. */
static void test_jit_on(void)
{
	CHECK(tell("/proc/sys/net/core/bpf_jit_enable", "1"));
}

static volatile uint64_t *errors;

static pid_t caller(int prog, bool is_entry)
{
	pid_t child = fork();

	while (child == 0) {
		uint32_t got = 0;
		bool done = is_entry ? run_with(prog, NULL, 0, &got) : run(prog, &got);

		if (!done || got != (is_entry ? 3u : 0u))
			__atomic_fetch_add(errors, 1, __ATOMIC_RELAXED);
		__atomic_fetch_add(errors + 1, 1, __ATOMIC_RELAXED);
	}
	return child;
}

/* Attached, detached, traced and not, again and again, while two processes call. */
static void test_under_load(void)
{
	int slot = new_slot(), target = counting(BPF_PROG_TYPE_SCHED_CLS, -1, new_slot(), 3);
	struct spy stays = spy_on("bpf_fentry_test4", FENTRY, 4, 0);
	pid_t children[2];

	errors = slots[slot].value;
	children[0] = caller(stays.prog, false);
	children[1] = caller(target, true);
	CHECK(tell(TRACEFS "set_ftrace_filter", "bpf_fentry_test*"));
	for (int i = 0; i < 25; i++) {
		struct spy spies[4] = {
			spy_on("bpf_fentry_test1", FENTRY, 1, 0), spy_on("bpf_fentry_test5", FEXIT, 6, 0),
			spy_on("bpf_fentry_test5", FENTRY, 5, 0), spy_on_program(target, TYPE_ENTRY, FEXIT, 2),
		};

		if (i % 3)
			CHECK(tell(TRACEFS "current_tracer", i % 3 == 1 ? "function" : "function_graph"));
		usleep(2000);
		for (int j = 0; j < 4; j++)
			leave(&spies[j]);
		CHECK(tell(TRACEFS "current_tracer", "nop"));
	}
	for (int i = 0; i < 2; i++) {
		kill(children[i], SIGKILL);
		waitpid(children[i], NULL, 0);
	}
	EQUAL(errors[0], 0);
	CHECK(errors[1] > 100);
	printf("# %llu calls under load\n", (unsigned long long)errors[1]);
	CHECK(tell(TRACEFS "set_ftrace_filter", ""));
	leave(&stays);
	close(target);
}

/*
 * What a process counts that calls three programs: the first is traced all the time, the second now and then, the
 * third is replaced now and then. Calls are counted before they start and when they have ended.
 */
struct calls {
	uint64_t started, ended, results[2], wrong;
};

static void add_to(uint64_t *what, uint64_t by)
{
	__atomic_fetch_add(what, by, __ATOMIC_SEQ_CST);
}

static uint64_t counted(const uint64_t *what)
{
	return __atomic_load_n(what, __ATOMIC_SEQ_CST);
}

/* Stay on the second hart: with others there, a process is preempted wherever it is. */
static pid_t busy_child(void)
{
	pid_t child = fork();
	cpu_set_t second;

	if (child == 0) {
		CPU_ZERO(&second);
		CPU_SET(1, &second);
		sched_setaffinity(0, sizeof(second), &second);
	}
	return child;
}

static pid_t counting_caller(const int *targets, struct calls *calls)
{
	const uint64_t repeat[3] = { 20, 20, 1 };
	pid_t child = busy_child();

	while (child == 0) {
		for (int i = 0; i < 3; i++) {
			uint32_t got = 0;

			add_to(&calls[i].started, repeat[i]);
			if (!run_often(targets[i], (uint32_t)repeat[i], &got) || (got != 3 && (i != 2 || got != 4)))
				add_to(&calls[i].wrong, 1);
			add_to(&calls[i].results[got == 4], repeat[i]);
			add_to(&calls[i].ended, repeat[i]);
		}
	}
	return child;
}

/* Something is attached: from now on calls are seen that start. */
struct watch {
	const uint64_t *seen;
	const struct calls *calls;
	uint64_t before, first, since;
};

static struct watch start_watch(const struct calls *calls, uint64_t seen)
{
	return (struct watch){ .calls = calls, .before = counted(&calls->ended), .first = seen };
}

static void attached(struct watch *w, const uint64_t *seen)
{
	w->seen = seen;
	w->since = counted(&w->calls->started);
}

/* It is about to be detached: no call is missing. */
static void end_watch(const struct watch *w)
{
	uint64_t least = counted(&w->calls->ended), seen = counted(w->seen) - w->first;

	if (least > w->since && seen < least - w->since) {
		printf("# %llu calls, only %llu seen\n", (unsigned long long)(least - w->since), (unsigned long long)seen);
		failures++;
	}
	if (seen > counted(&w->calls->started) - w->before) {
		printf("# more seen than called\n");
		failures++;
	}
}

/* It is detached: calls that start now are not seen. */
static void stays_away(const uint64_t *seen, const struct calls *calls)
{
	uint64_t since = counted(&calls->started), then;

	while (counted(&calls->ended) < since)
		usleep(100);
	then = counted(seen);
	usleep(500);
	EQUAL(counted(seen), then);
}

static void change_once(int target, const struct calls *calls, int kind)
{
	struct watch w = start_watch(calls, 0);
	struct spy spy = spy_on_program(target, TYPE_ENTRY, kind, 1);

	attached(&w, &slots[spy.slot].hits);
	usleep((useconds_t)(rand() % 1500));
	end_watch(&w);
	leave(&spy);
	stays_away(w.seen, calls);
}

static void replace_once(int target, const struct calls *calls)
{
	int other = counting(BPF_PROG_TYPE_EXT, target, new_slot(), 4), link;
	struct watch w = start_watch(calls, counted(&calls->results[1]));

	link = attach(other, 0, 0);
	CHECK(link >= 0);
	attached(&w, &calls->results[1]);
	usleep((useconds_t)(rand() % 1500));
	end_watch(&w);
	close(link);
	close(other);
	stays_away(w.seen, calls);
}

/* Trampolines come, change and go while a process calls that is preempted anywhere: each call is seen that is to be. */
static void test_no_call_is_missed(void)
{
	int shared = new_slot(), used[3], targets[3];
	struct calls *calls = (struct calls *)slots[shared].value;
	struct spy stays, second = { .link = -1, .prog = -1 };
	pid_t child, others[2];

	for (int i = 0; i < 3; i++) {
		used[i] = new_slot();
		targets[i] = counting(BPF_PROG_TYPE_SCHED_CLS, -1, used[i], 3);
		if (!CHECK(targets[i] >= 0))
			return;
	}
	stays = spy_on_program(targets[0], TYPE_ENTRY, FENTRY, 1);
	for (int i = 0; i < 2; i++) {
		others[i] = busy_child();
		while (others[i] == 0)
			sched_yield();
	}
	child = counting_caller(targets, calls);
	for (int i = 0; i < 60 && failures < 5; i++) {
		/* another trampoline takes the place of the one that is there */
		change_once(targets[0], &calls[0], i % 2 ? FENTRY : FEXIT);
		if (i % 3 == 2)
			leave(&second);
		else if (i % 3 == 0)
			second = spy_on_program(targets[0], TYPE_ENTRY, FEXIT, 2);
		/* the first one comes, the last one goes */
		change_once(targets[1], &calls[1], i % 2 ? FEXIT : FENTRY);
		replace_once(targets[2], &calls[2]);
	}
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	for (int i = 0; i < 2; i++) {
		kill(others[i], SIGKILL);
		waitpid(others[i], NULL, 0);
	}
	for (int i = 0; i < 3; i++)
		EQUAL(calls[i].wrong, 0);
	/* the call that was going on when the process was killed may have been counted by programs alone */
	CHECK(calls[0].ended > 1000);
	CHECK(slots[stays.slot].hits >= calls[0].ended && slots[stays.slot].hits <= calls[0].started);
	EQUAL(slots[stays.slot].hits, slots[used[0]].hits);
	printf("# %llu calls, all seen\n", (unsigned long long)calls[0].ended);
	leave(&stays);
	leave(&second);
	for (int i = 0; i < 3; i++)
		close(targets[i]);
}

/* A task sleeps in a function whose trampoline is left behind: it does not call the program that is gone. */
static void test_left_while_asleep(void)
{
	struct spy spy = spy_on("hrtimer_nanosleep", FEXIT, 1, 0);
	pid_t child = fork();
	int status = 0;

	if (child == 0) {
		close(spy.link);
		_exit(usleep(4000000) ? 1 : 7);
	}
	usleep(500000);
	EQUAL(slots[spy.slot].hits, 1); /* that was this process */
	leave(&spy);
	if (!CHECK(waitpid(child, &status, WNOHANG) == 0))
		return;
	EQUAL(slots[spy.slot].hits, 1);
	waitpid(child, &status, 0);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	EQUAL(slots[spy.slot].hits, 1);
}

static const struct {
	const char *name;
	void (*test)(void);
	bool programs; /* nothing is attached to functions of the kernel */
} all[] = {
	{ "fentry, interpreted", test_fentry, false },
	{ "fexit, interpreted", test_fexit, false },
	{ "fmod_ret replaces the function, interpreted", test_fmod_ret_replaces, false },
	{ "the JIT is on", test_jit_on, true },
	{ "fentry", test_fentry, false },
	{ "fexit", test_fexit, false },
	{ "detached", test_detached, false },
	{ "many programs on one function", test_many, false },
	{ "fmod_ret lets the function run", test_fmod_ret, false },
	{ "fmod_ret replaces the function", test_fmod_ret_replaces, false },
	{ "fmod_ret: the first error wins", test_fmod_ret_first_wins, false },
	{ "helpers: address, cookie, arguments", test_helpers, false },
	{ "sleepable programs", test_sleepable, false },
	{ "a running program is skipped", test_skipped, false },
	{ "arguments on the stack", test_stack_arguments, false },
	{ "fentry and fexit of a program", test_program_is_traced, true },
	{ "freplace", test_program_is_replaced, true },
	{ "fexit of a subprogram with 64 bits", test_subprogram, true },
	{ "tail calls", test_tail_calls, true },
	{ "struct_ops, called", test_struct_ops, true },
	{ "struct_ops: a congestion control", test_congestion_control, true },
	{ "what ftrace says", test_what_ftrace_says, false },
	{ "with the function tracer", test_with_function_tracer, false },
	{ "with the graph tracer", test_with_graph_tracer, false },
	{ "with a kprobe", test_with_kprobe, false },
	{ "under load", test_under_load, false },
	{ "no call is missed", test_no_call_is_missed, true },
	{ "left while asleep", test_left_while_asleep, false },
	{ "with a kprobe that may redirect", test_with_a_redirecting_kprobe, false },
};

static void prepare(void)
{
	struct ifreq loopback = { .ifr_name = "lo" };
	int fd;

	mkdir("/proc", 0755);
	mkdir("/sys", 0755);
	mkdir("/dev", 0755);
	mount("proc", "/proc", "proc", 0, NULL);
	mount("sysfs", "/sys", "sysfs", 0, NULL);
	mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
	mount("tracefs", TRACEFS, "tracefs", 0, NULL);
	fd = open("/dev/console", O_RDWR);
	for (int i = 0; fd >= 0 && i < 3; i++)
		dup2(fd, i);
	setvbuf(stdout, NULL, _IOLBF, 0);
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	loopback.ifr_flags = IFF_UP;
	if (ioctl(fd, SIOCSIFFLAGS, &loopback))
		printf("# lo: %s\n", strerror(errno));
	close(fd);
}

/* With the word "programs", nothing is attached to functions: for kernels that cannot have that. */
int main(int argc, char **argv)
{
	const int known = (int)(sizeof(all) / sizeof(all[0]));
	bool programs = false;
	int count = 0;

	for (int i = 1; i < argc; i++)
		programs = programs || strcmp(argv[i], "programs") == 0;
	prepare();
	printf("\nTAP version 13\n");
	if (!open_types("/sys/kernel/btf/vmlinux") || !open_slots())
		printf("Bail out! no types of the kernel, or no map: %s\n", strerror(errno));
	types_fd = own_types();
	for (int i = 0; slots && i < known; i++) {
		if (programs && !all[i].programs)
			continue;
		failures = 0;
		all[i].test();
		printf("%s %d %s\n", failures ? "not ok" : "ok", ++count, all[i].name);
	}
	printf("1..%d\n", count);
	sync();
	reboot(RB_POWER_OFF);
	return 0;
}
