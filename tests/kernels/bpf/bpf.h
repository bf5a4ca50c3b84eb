/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests take of bpf(2) and of BTF: no library, so that it fits into an initramfs. */
#ifndef GENPATCH_TEST_BPF_H
#define GENPATCH_TEST_BPF_H

#include <linux/bpf.h>
#include <linux/btf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Instructions: a program is written one after the other. */
struct code {
	struct bpf_insn insns[512];
	int count;
};

void op(struct code *c, uint8_t code, uint8_t dst, uint8_t src, int16_t off, int32_t imm);
void op_wide(struct code *c, uint8_t dst, uint8_t src, uint32_t low, uint32_t high);

#define MOV(c, d, s) op(c, BPF_ALU64 | BPF_MOV | BPF_X, d, s, 0, 0)
#define SET(c, d, n) op(c, BPF_ALU64 | BPF_MOV | BPF_K, d, 0, 0, n)
#define SET32(c, d, n) op(c, BPF_ALU | BPF_MOV | BPF_K, d, 0, 0, n)
#define ADD(c, d, n) op(c, BPF_ALU64 | BPF_ADD | BPF_K, d, 0, 0, n)
#define LOAD(c, d, s, off) op(c, BPF_LDX | BPF_MEM | BPF_DW, d, s, off, 0)
#define STORE(c, d, off, s) op(c, BPF_STX | BPF_MEM | BPF_DW, d, s, off, 0)
#define STORE_N(c, d, off, n) op(c, BPF_ST | BPF_MEM | BPF_DW, d, 0, off, n)
#define CALL(c, n) op(c, BPF_JMP | BPF_CALL, 0, 0, 0, n)
#define CALL_LOCAL(c, n) op(c, BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_CALL, 0, n)
#define EXIT(c) op(c, BPF_JMP | BPF_EXIT, 0, 0, 0, 0)

/* What programs write to: one slot each, in a map that is mapped here too. */
struct slot {
	uint64_t hits;
	uint64_t value[31];
};

#define SLOTS 1024

extern struct slot *slots;

bool open_slots(void);
int new_slot(void);
void load_slot(struct code *c, uint8_t reg, int slot);
void load_map(struct code *c, uint8_t reg, int map);

/* The system call. */
struct program {
	uint32_t type, attach, flags, btf_id, target, btf, member;
	uint32_t unread; /* arguments that no program may read, by bit */
	const uint32_t *functions; /* pairs of first instruction and type */
	uint32_t function_count;
};

int load(const struct program *p, const struct code *c);
int attach(int prog, int type, uint64_t cookie);
int new_map(uint32_t type, uint32_t key, uint32_t value, uint32_t entries);
int set_map(int map, const void *key, const void *value);
int remove_map(int map, const void *key);
bool run(int prog, uint32_t *result);
bool run_often(int prog, uint32_t repeat, uint32_t *result);
bool run_with(int prog, const void *context, uint32_t size, uint32_t *result);
int sys_bpf(int command, union bpf_attr *attr, size_t size);

/* The kernel's types. */
bool open_types(const char *path);
uint32_t type_id(const char *name, uint32_t kind);
int member_index(uint32_t type, const char *name);
long member_offset(uint32_t type, const char *name);
long type_size(uint32_t type);

#endif
