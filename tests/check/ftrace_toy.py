# SPDX-License-Identifier: GPL-2.0-or-later
"""A small tree with a trampoline, the struct that it fills, and code that patches the sites that call it."""

from __future__ import annotations

from pathlib import Path

from tests.check.trees import BPF, FILES, FTRACE, HEADER, KCONFIG

DYN = "arch/riscv/kernel/mcount-dyn.S"
MCOUNT = "arch/riscv/kernel/mcount.S"
OFFSETS = "arch/riscv/kernel/asm-offsets.c"
WRAPPERS = "arch/riscv/include/asm/syscall_wrapper.h"
SORT = "scripts/sorttable.c"
CORE = "kernel/trace/ftrace.c"
TRACERS = "kernel/trace/Kconfig"
ALIGNMENTS = "arch/Kconfig"

TOY = {path: text for path, text in FILES.items() if path not in (FTRACE, HEADER, KCONFIG, BPF)} | {
    KCONFIG: """\
config RISCV
	def_bool y
	select FUNCTION_ALIGNMENT_4B if DYNAMIC_FTRACE
	select FUNCTION_ALIGNMENT_8B if DYNAMIC_FTRACE_WITH_CALL_OPS
	select HAVE_BUILDTIME_MCOUNT_SORT
	select HAVE_DYNAMIC_FTRACE if CC_SUPPORTS_DYNAMIC_FTRACE
	select HAVE_DYNAMIC_FTRACE_WITH_ARGS if HAVE_DYNAMIC_FTRACE
	select HAVE_DYNAMIC_FTRACE_WITH_CALL_OPS if DYNAMIC_FTRACE_WITH_ARGS && !CFI
	select HAVE_FUNCTION_GRAPH_TRACER if HAVE_DYNAMIC_FTRACE_WITH_ARGS
	select HAVE_FUNCTION_TRACER

config RISCV_ISA_C
	bool "short instructions"

config CC_SUPPORTS_DYNAMIC_FTRACE
	def_bool CC_IS_CLANG || CC_HAS_MIN_FUNCTION_ALIGNMENT
	depends on $(cc-option,-fpatchable-function-entry=8)
	depends on CC_IS_GCC || AS_IS_GNU || LD_IS_LLD || LD_VERSION >= 23600
""",
    TRACERS: """\
config HAVE_FUNCTION_TRACER
	bool

config HAVE_FUNCTION_GRAPH_TRACER
	bool

config HAVE_DYNAMIC_FTRACE
	bool

config HAVE_DYNAMIC_FTRACE_WITH_ARGS
	bool

config HAVE_DYNAMIC_FTRACE_WITH_CALL_OPS
	bool

config FUNCTION_TRACER
	bool "functions"
	depends on HAVE_FUNCTION_TRACER

config FUNCTION_GRAPH_TRACER
	bool "graphs"
	depends on HAVE_FUNCTION_GRAPH_TRACER
	depends on FUNCTION_TRACER

config DYNAMIC_FTRACE
	def_bool y
	depends on FUNCTION_TRACER
	depends on HAVE_DYNAMIC_FTRACE

config DYNAMIC_FTRACE_WITH_ARGS
	def_bool y
	depends on DYNAMIC_FTRACE
	depends on HAVE_DYNAMIC_FTRACE_WITH_ARGS

config DYNAMIC_FTRACE_WITH_CALL_OPS
	def_bool y
	depends on HAVE_DYNAMIC_FTRACE_WITH_CALL_OPS
""",
    ALIGNMENTS: """\
config FUNCTION_ALIGNMENT_4B
	bool

config FUNCTION_ALIGNMENT_8B
	bool

config CC_HAS_MIN_FUNCTION_ALIGNMENT
	def_bool $(cc-option,-fmin-function-alignment=8)

config CFI
	bool "kCFI"
""",
    HEADER: """\
/* what is patched has 4 bytes */
#define MCOUNT_INSN_SIZE	4
#define MCOUNT_AUIPC_SIZE	4
#define MCOUNT_JALR_SIZE	4
#define NEAR			2047
#define LOW(offset)	((offset) & 0xfff)
#define to_auipc_t0(offset)	\\
	((((offset) + 0x800) & 0xfffff000) | 0x297)
#define to_jalr_t0(offset)	((LOWBITS & (offset)) << 20 | 0x282e7)
#define LOWBITS		0xfff

static inline bool arch_syscall_match_sym_name(const char *sym, const char *name)
{
	return !strcmp(sym + 6, name);
}

#ifdef CONFIG_DYNAMIC_FTRACE_WITH_ARGS
#define arch_ftrace_regs(fregs) ((struct __arch_ftrace_regs *)(fregs))
struct __arch_ftrace_regs {
	unsigned long epc;
	unsigned long ra;
	unsigned long s0;
	union {
		unsigned long args[2];
		struct {
			unsigned long a0;
			unsigned long a1;
		};
	};
	unsigned long t2;
};

static inline unsigned long get_ip(struct ftrace_regs *fregs)
{
	return arch_ftrace_regs(fregs)->epc;
}
#endif
""",
    FTRACE: """\
// toy
unsigned long ftrace_call_adjust(unsigned long addr)
{
	if (IS_ENABLED(CONFIG_DYNAMIC_FTRACE_WITH_CALL_OPS))
		return addr + 8 + MCOUNT_AUIPC_SIZE;

	return addr + MCOUNT_AUIPC_SIZE;
}

#ifdef CONFIG_DYNAMIC_FTRACE_WITH_CALL_OPS
static int set_ops(struct dyn_ftrace *rec, const struct ftrace_ops *ops)
{
	return patch_text_nosync((void *)(rec->ip - 12), &ops, sizeof(ops));
}
#else
static int set_ops(struct dyn_ftrace *rec, const struct ftrace_ops *ops) { return 0; }
#endif

static int write_jalr(unsigned long pc, unsigned long target)
{
	unsigned int offset = target - pc;
	u32 jalr = to_jalr_t0(offset);

	return patch_insn_write((void *)(pc + MCOUNT_AUIPC_SIZE), &jalr, MCOUNT_JALR_SIZE);
}

int ftrace_make_call(struct dyn_ftrace *rec, unsigned long addr)
{
	unsigned long pc = rec->ip - MCOUNT_AUIPC_SIZE;
	unsigned long distance = addr > FTRACE_ADDR ? addr - FTRACE_ADDR : FTRACE_ADDR - addr;

	if (!is_same_auipc(addr, FTRACE_ADDR, pc))
		addr = FTRACE_ADDR;

	return set_ops(rec, ops_of(rec)) ?: write_jalr(pc, addr);
}

int ftrace_make_nop(struct module *mod, struct dyn_ftrace *rec, unsigned long addr)
{
	u32 nop = NOP4;

	return patch_insn_write((void *)rec->ip, &nop, 4);
}

int ftrace_init_nop(struct module *mod, struct dyn_ftrace *rec)
{
	unsigned long pc = rec->ip - MCOUNT_AUIPC_SIZE;
	u32 pair[2];

	return set_ops(rec, &nop_ops) ?: patch_insn_write((void *)pc, pair, 2 * MCOUNT_INSN_SIZE);
}
""",
    DYN: """\
	.text
	.macro SAVE
	addi	sp, sp, -FREGS_SIZE_ON_STACK
	REG_S	t0, FREGS_EPC(sp)
	REG_S	ra, FREGS_RA(sp)
	REG_S	s0, FREGS_S0(sp)
	REG_S	a0, FREGS_A0(sp)
	REG_S	a1, FREGS_A1(sp)
	REG_S	t2, FREGS_T2(sp)
	.endm

	.macro RESTORE
	REG_L	t0, FREGS_EPC(sp)
	REG_L	ra, FREGS_RA(sp)
	REG_L	s0, FREGS_S0(sp)
	REG_L	a0, FREGS_A0(sp)
	REG_L	a1, FREGS_A1(sp)
	REG_L	t2, FREGS_T2(sp)
	addi	sp, sp, FREGS_SIZE_ON_STACK
	.endm

SYM_FUNC_START(ftrace_caller)
	SAVE
	addi	sp, sp, -48
	REG_S	a2, 0(sp)
	REG_S	a3, 8(sp)
	REG_S	a4, 16(sp)
	REG_S	a5, 24(sp)
	REG_S	a6, 32(sp)
	REG_S	a7, 40(sp)
	addi	a3, sp, 48
	addi	a0, t0, -MCOUNT_JALR_SIZE
	mv	a1, ra
#ifdef CONFIG_DYNAMIC_FTRACE_WITH_CALL_OPS
	REG_L	a2, -16(t0)
	REG_L	t1, 0(a2)
	bnez	t1, .Ltraced
	la	t1, ftrace_stub
#else
	la	t1, ftrace_stub
#endif
.Ltraced:
	jalr	t1
	REG_L	a2, 0(sp)
	REG_L	a3, 8(sp)
	REG_L	a4, 16(sp)
	REG_L	a5, 24(sp)
	REG_L	a6, 32(sp)
	REG_L	a7, 40(sp)
	addi	sp, sp, 48
	RESTORE
	jr	t0
SYM_FUNC_END(ftrace_caller)
""",
    MCOUNT: """\
	.text
SYM_FUNC_START(ftrace_stub)
	ret
SYM_FUNC_END(ftrace_stub)

#ifdef CONFIG_FUNCTION_GRAPH_TRACER
SYM_FUNC_START(return_to_handler)
	addi	sp, sp, -FREGS_SIZE_ON_STACK
	REG_S	a0, FREGS_A0(sp)
	REG_S	a1, FREGS_A1(sp)
	mv	a0, sp
	call	ftrace_return_to_handler
	mv	ra, a0
	REG_L	a0, FREGS_A0(sp)
	REG_L	a1, FREGS_A1(sp)
	addi	sp, sp, FREGS_SIZE_ON_STACK
	ret
SYM_FUNC_END(return_to_handler)
#endif
""",
    OFFSETS: """\
void asm_offsets(void)
{
	OFFSET(TASK_TI_CPU, task_struct, thread_info.cpu);
#ifdef CONFIG_DYNAMIC_FTRACE_WITH_ARGS
	DEFINE(FREGS_SIZE_ON_STACK, ALIGN(sizeof(struct __arch_ftrace_regs), STACK_ALIGN));
	DEFINE(FREGS_EPC, offsetof(struct __arch_ftrace_regs, epc));
	DEFINE(FREGS_RA, offsetof(struct __arch_ftrace_regs, ra));
	DEFINE(FREGS_S0, offsetof(struct __arch_ftrace_regs, s0));
	OFFSET(FREGS_A0, __arch_ftrace_regs, a0);
	OFFSET(FREGS_A1, __arch_ftrace_regs, a1);
	OFFSET(FREGS_T2, __arch_ftrace_regs, t2);
#endif
}
""",
    WRAPPERS: "asmlinkage long __toy_sys_ni_syscall(const struct pt_regs *);\n",
    SORT: """\
static int before_func;

static void machine(int number)
{
	switch (number) {
#ifdef MCOUNT_SORT_ENABLED
	case EM_RISCV:
		before_func = 8;
#endif
		/* fallthrough */
	case EM_386:
		break;
	}
}
""",
    CORE: """\
static int ftrace_process_locs(unsigned long *p, unsigned long *end)
{
	while (p < end) {
		unsigned long addr = *p++;

		if (!addr) {
			skipped++;
			continue;
		}

		addr = ftrace_call_adjust(addr);
		add(addr);
	}
}
""",
}


def planted(root: Path, **changes: str) -> Path:
    """Write the tree."""
    for path, text in (TOY | changes).items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return root
