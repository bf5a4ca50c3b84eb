// SPDX-License-Identifier: GPL-2.0-or-later
#include "bpf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

struct slot *slots;
static int slot_map = -1;
static int slot_count;

void op(struct code *c, uint8_t code, uint8_t dst, uint8_t src, int16_t off, int32_t imm)
{
	struct bpf_insn insn = { .code = code, .dst_reg = dst, .src_reg = src, .off = off, .imm = imm };

	if (c->count < (int)(sizeof(c->insns) / sizeof(c->insns[0])))
		c->insns[c->count++] = insn;
}

void op_wide(struct code *c, uint8_t dst, uint8_t src, uint32_t low, uint32_t high)
{
	op(c, BPF_LD | BPF_DW | BPF_IMM, dst, src, 0, (int32_t)low);
	op(c, 0, 0, 0, 0, (int32_t)high);
}

int sys_bpf(int command, union bpf_attr *attr, size_t size)
{
	return (int)syscall(__NR_bpf, command, attr, size);
}

int new_map(uint32_t type, uint32_t key, uint32_t value, uint32_t entries)
{
	union bpf_attr attr = { .map_type = type, .key_size = key, .value_size = value, .max_entries = entries };

	return sys_bpf(BPF_MAP_CREATE, &attr, sizeof(attr));
}

int set_map(int map, const void *key, const void *value)
{
	union bpf_attr attr = { .map_fd = (uint32_t)map, .key = (uint64_t)key, .value = (uint64_t)value };

	return sys_bpf(BPF_MAP_UPDATE_ELEM, &attr, sizeof(attr));
}

int remove_map(int map, const void *key)
{
	union bpf_attr attr = { .map_fd = (uint32_t)map, .key = (uint64_t)key };

	return sys_bpf(BPF_MAP_DELETE_ELEM, &attr, sizeof(attr));
}

bool open_slots(void)
{
	const size_t size = SLOTS * sizeof(struct slot);
	union bpf_attr attr = {
		.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = size, .max_entries = 1,
		.map_flags = BPF_F_MMAPABLE,
	};

	slot_map = sys_bpf(BPF_MAP_CREATE, &attr, sizeof(attr));
	if (slot_map < 0)
		return false;
	slots = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, slot_map, 0);
	return slots != MAP_FAILED;
}

int new_slot(void)
{
	int slot = slot_count++ % SLOTS;

	memset(&slots[slot], 0, sizeof(slots[slot]));
	return slot;
}

void load_slot(struct code *c, uint8_t reg, int slot)
{
	op_wide(c, reg, BPF_PSEUDO_MAP_VALUE, (uint32_t)slot_map, (uint32_t)slot * sizeof(struct slot));
}

void load_map(struct code *c, uint8_t reg, int map)
{
	op_wide(c, reg, BPF_PSEUDO_MAP_FD, (uint32_t)map, 0);
}

int load(const struct program *p, const struct code *c)
{
	static char log[1 << 16];
	union bpf_attr attr = {
		.prog_type = p->type,
		.expected_attach_type = p->attach ? p->attach : p->member,
		.prog_flags = p->flags,
		.insn_cnt = (uint32_t)c->count,
		.insns = (uint64_t)c->insns,
		.license = (uint64_t)"GPL",
		.attach_btf_id = p->btf_id,
		.attach_prog_fd = p->target,
		.log_level = 1,
		.log_size = sizeof(log),
		.log_buf = (uint64_t)log,
	};
	int fd;

	if (p->function_count) {
		attr.prog_btf_fd = p->btf;
		attr.func_info = (uint64_t)p->functions;
		attr.func_info_cnt = p->function_count;
		attr.func_info_rec_size = 8;
	}
	log[0] = 0;
	fd = sys_bpf(BPF_PROG_LOAD, &attr, sizeof(attr));
	if (fd < 0)
		printf("# load: %s\n# %.400s\n", strerror(errno), log);
	return fd;
}

int attach(int prog, int type, uint64_t cookie)
{
	union bpf_attr attr = { .link_create = { .prog_fd = (uint32_t)prog, .attach_type = (uint32_t)type } };
	int fd;

	attr.link_create.tracing.cookie = cookie;
	fd = sys_bpf(BPF_LINK_CREATE, &attr, sizeof(attr));
	if (fd < 0)
		printf("# attach: %s\n", strerror(errno));
	return fd;
}

bool run(int prog, uint32_t *result)
{
	union bpf_attr attr = { .test = { .prog_fd = (uint32_t)prog } };
	bool done = sys_bpf(BPF_PROG_TEST_RUN, &attr, sizeof(attr)) == 0;

	*result = attr.test.retval;
	return done;
}

bool run_often(int prog, uint32_t repeat, uint32_t *result)
{
	static unsigned char packet[64];
	union bpf_attr attr = {
		.test = {
			.prog_fd = (uint32_t)prog, .data_in = (uint64_t)packet, .data_size_in = sizeof(packet), .repeat = repeat,
		},
	};
	bool done = sys_bpf(BPF_PROG_TEST_RUN, &attr, sizeof(attr)) == 0;

	*result = attr.test.retval;
	return done;
}

bool run_with(int prog, const void *context, uint32_t size, uint32_t *result)
{
	static unsigned char packet[64];
	union bpf_attr attr = { .test = { .prog_fd = (uint32_t)prog } };
	bool done;

	if (context) {
		attr.test.ctx_in = (uint64_t)context;
		attr.test.ctx_size_in = size;
	} else {
		attr.test.data_in = (uint64_t)packet;
		attr.test.data_size_in = sizeof(packet);
		attr.test.repeat = 1;
	}
	done = sys_bpf(BPF_PROG_TEST_RUN, &attr, sizeof(attr)) == 0;
	*result = attr.test.retval;
	return done;
}

static unsigned char *types;
static size_t types_size;
static const struct btf_header *header;
static uint32_t *positions, position_count;

static size_t tail_of(const struct btf_type *t)
{
	uint32_t count = BTF_INFO_VLEN(t->info);

	switch (BTF_INFO_KIND(t->info)) {
	case BTF_KIND_INT: case BTF_KIND_VAR: case BTF_KIND_DECL_TAG:
		return 4;
	case BTF_KIND_ARRAY:
		return 12;
	case BTF_KIND_STRUCT: case BTF_KIND_UNION: case BTF_KIND_DATASEC: case BTF_KIND_ENUM64:
		return 12 * (size_t)count;
	case BTF_KIND_ENUM: case BTF_KIND_FUNC_PROTO:
		return 8 * (size_t)count;
	default:
		return 0;
	}
}

static const struct btf_type *type_at(uint32_t id)
{
	return (const void *)(types + header->hdr_len + header->type_off + positions[id]);
}

static const char *name_at(uint32_t off)
{
	return off < header->str_len ? (const char *)types + header->hdr_len + header->str_off + off : "";
}

bool open_types(const char *path)
{
	const size_t most = 32 << 20;
	int fd = open(path, O_RDONLY);
	uint32_t at = 0;
	ssize_t got;

	types = malloc(most);
	if (fd < 0 || !types)
		return false;
	while (types_size < most && (got = read(fd, types + types_size, most - types_size)) > 0)
		types_size += (size_t)got;
	close(fd);
	header = (const void *)types;
	if (types_size < sizeof(*header) || header->magic != BTF_MAGIC)
		return false;
	positions = calloc(header->type_len / 12 + 2, sizeof(*positions));
	for (position_count = 1; positions && at < header->type_len; position_count++) {
		positions[position_count] = at;
		at += sizeof(struct btf_type) + tail_of(type_at(position_count));
	}
	return positions != NULL;
}

uint32_t type_id(const char *name, uint32_t kind)
{
	for (uint32_t id = 1; id < position_count; id++) {
		const struct btf_type *t = type_at(id);

		if (BTF_INFO_KIND(t->info) == kind && strcmp(name_at(t->name_off), name) == 0)
			return id;
	}
	printf("# no type %s\n", name);
	return 0;
}

int member_index(uint32_t type, const char *name)
{
	const struct btf_type *t = type_at(type);
	const struct btf_member *members = (const void *)(t + 1);

	for (uint32_t i = 0; i < BTF_INFO_VLEN(t->info); i++)
		if (strcmp(name_at(members[i].name_off), name) == 0)
			return (int)i;
	printf("# no member %s\n", name);
	return -1;
}

long member_offset(uint32_t type, const char *name)
{
	const struct btf_type *t = type_at(type);
	int i = member_index(type, name);

	if (i < 0)
		return -1;
	return BTF_MEMBER_BIT_OFFSET(((const struct btf_member *)(t + 1))[i].offset) / 8;
}

long type_size(uint32_t type)
{
	return type_at(type)->size;
}
