# SPDX-License-Identifier: GPL-2.0-or-later
"""bpf-poke: a program is traced by one instruction and one address; what its JIT then emits is decoded here."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from genpatch.emit.recipe import Verdict
from genpatch.emit.run import find_recipe, make_series
from genpatch.emit.tree import Tree, open_tree
from tests.emit.trees import real, toy

FILE = "arch/riscv/net/bpf_jit_comp64.c"
CORE = "arch/riscv/net/bpf_jit_core.c"
HEADER = "arch/riscv/net/bpf_jit.h"
SOURCES = {
    HEADER: """\
#include <linux/bpf.h>

struct rv_jit_context {
	u16 *insns;
};

static inline int ninsns_rvoff(int ninsns)
{
	return ninsns << 1;
}

static inline bool is_21b_int(long val)
{
	return val < 1 << 20;
}
""",
    CORE: """\
struct bpf_prog *bpf_int_jit_compile(struct bpf_prog *prog)
{
	jit_data->header = bpf_jit_binary_pack_alloc(size, &jit_data->ro_image, sizeof(u32), fill);
	prog->bpf_func = (void *)ctx->ro_insns + cfi_get_offset();
	prog->jited_len = prog_size - cfi_get_offset();
	for (i = 0; i < prog->len; i++)
		ctx->offset[i] = ninsns_rvoff(ctx->offset[i]);
	return prog;
}

void bpf_jit_free(struct bpf_prog *prog)
{
	if (prog->jited) {
		hdr = bpf_jit_binary_pack_hdr(prog);
		bpf_jit_binary_pack_free(hdr, NULL);
	}
}
""",
    FILE: """\
#include "bpf_jit.h"

#define RV_FENTRY_NINSNS 2
#define RV_FENTRY_NBYTES (RV_FENTRY_NINSNS * 4)

static int gen_jump_or_nops(void *target, void *ip, u32 *insns, bool is_call)
{
	return jump_or_nops(target, ip, insns, is_call);
}

int bpf_arch_text_poke(void *ip, int type, void *old_addr, void *new_addr)
{
	u32 old_insns[RV_FENTRY_NINSNS], new_insns[RV_FENTRY_NINSNS];
	int ret;

	if (!is_kernel_text((unsigned long)ip) &&
		!is_bpf_text_address((unsigned long)ip))
		return -ENOTSUPP;

	ret = gen_jump_or_nops(old_addr, ip, old_insns, true);
	if (memcmp(ip, old_insns, RV_FENTRY_NBYTES))
		return -EFAULT;

	cpus_read_lock();
	mutex_lock(&text_mutex);
	if (memcmp(ip, new_insns, RV_FENTRY_NBYTES))
		ret = patch_text(ip, new_insns, RV_FENTRY_NBYTES);
	mutex_unlock(&text_mutex);
	cpus_read_unlock();

	return ret;
}

static int __arch_prepare_bpf_trampoline(struct bpf_tramp_image *im, u32 flags, struct rv_jit_context *ctx)
{
	if (flags & BPF_TRAMP_F_CALL_ORIG) {
		im->ip_after_call = ctx->ro_insns + ctx->ninsns;
		/* as many as a jump takes */
		emit(rv_nop(), ctx);
		emit(rv_nop(), ctx);
	}
	return 0;
}

void bpf_jit_build_prologue(struct rv_jit_context *ctx, bool is_subprog)
{
	int i, stack_adjust = 0;

	/* for indirect calls */
	emit_kcfi(hash, ctx);

	/* the sled */
	for (i = 0; i < RV_FENTRY_NINSNS; i++)
		emit(rv_nop(), ctx);

	emit(rv_addi(RV_REG_TCC, RV_REG_ZERO, MAX_TAIL_CALL_CNT), ctx);
}
""",
}
JUMPS = ("		im->ip_after_call = ctx->ro_insns + ctx->ninsns;\n", "")


def tree(root: Path, *swaps: tuple[str, str, str]) -> Tree:
    """The small tree, with something else in the place of a text in some files."""
    toy(root)
    texts = dict(SOURCES)
    for path, old, new in swaps:
        assert old in texts[path]
        texts[path] = texts[path].replace(old, new)
    for path, text in texts.items():
        (root / path).write_text(text, encoding="utf-8")
    return open_tree(root)


def made(of: Tree) -> dict[str, str]:
    (patch,) = make_series(of, find_recipe("bpf-poke")).patches
    return {change.path: change.new for change in patch.changes}


def function(text: str, name: str) -> str:
    found = re.search(rf"^[a-z][^\n;]*\b{name}\([^;]*?\n\{{\n.*?^\}}\n", text, re.MULTILINE | re.DOTALL)
    assert found is not None, name
    return found[0]


def test_each_store_is_one_and_the_address_comes_first(tmp_path: Path) -> None:
    text = made(tree(tmp_path))[FILE]
    poke = function(text, "poke_prog")
    writes = re.findall(r"patch_text\w*\(([^;]*)\);", poke)
    assert writes == ["&stub->target, &target, sizeof(target)", "insn, &new_insn, sizeof(new_insn)"]
    assert poke.index("-EFAULT") < poke.index("patch_text_nosync(&stub->target")
    assert "RV_FENTRY_NBYTES" not in function(text, "bpf_arch_text_poke")
    assert "gen_jump_or_nops" not in text


def test_what_a_program_is_told_apart_from(tmp_path: Path) -> None:
    """Jumps are poked into trampolines where generic code asks for that, and there alone is the machine stopped."""
    with_jumps = made(tree(tmp_path / "a"))[FILE]
    without = made(tree(tmp_path / "b", (FILE, *JUMPS)))[FILE]
    assert function(with_jumps, "poke_tramp").count("patch_text(ip, &new_insn, sizeof(new_insn))") == 1
    assert function(with_jumps, "bpf_arch_text_poke").count("cpus_read_lock();") == 1
    assert function(with_jumps, "__arch_prepare_bpf_trampoline").count("rv_nop") == 1
    assert "poke_tramp" not in without
    assert "patch_text(" not in without
    assert "cpus_read_lock" not in without
    assert function(without, "bpf_arch_text_poke").count("-EFAULT") == 1


def test_what_stands_in_front_of_a_program_is_counted(tmp_path: Path) -> None:
    files = made(tree(tmp_path))
    core = files[CORE]
    assert "cfi_get_offset" not in core
    assert "ro_image, sizeof(u64), fill)" in core
    for what in ("prog->bpf_func = (void *)ctx->ro_insns +", "prog->jited_len = prog_size -"):
        assert f"\t{what} bpf_jit_entry_offset();" in core
    free = function(core, "bpf_jit_free")
    assert free.index("- bpf_jit_entry_offset();") < free.index("bpf_jit_binary_pack_hdr(prog)")
    assert "#include <linux/cfi.h>\n" in files[HEADER]
    prologue = function(files[FILE], "bpf_jit_build_prologue")
    steps = ("emit_fentry_stub(ctx);", "emit_kcfi(", "rv_auipc(RV_REG_T0, 0)", "fentry_insn(false)", "RV_REG_TCC")
    assert [prologue.index(step) for step in steps] == sorted(prologue.index(step) for step in steps)


def test_a_core_without_cfi(tmp_path: Path) -> None:
    plain = [(CORE, " + cfi_get_offset()", ""), (CORE, " - cfi_get_offset()", "")]
    assert made(tree(tmp_path, *plain))[CORE].count("bpf_jit_entry_offset()") == 4


@pytest.mark.parametrize(
    ("swap", "verdict", "why"),
    [
        (None, Verdict.CAN, "two instructions"),
        ((FILE, "bpf_arch_text_poke(", "poke("), Verdict.NOT, "has no bpf_arch_text_poke"),
        ((FILE, "\tmutex_unlock", "\tx();\n\tmutex_unlock"), Verdict.NOT, "its whole sled by one"),
        ((FILE, "\tmutex_unlock", "\tsynchronize_rcu_tasks();\n\tmutex_unlock"), Verdict.NOT, "waits for tasks"),
        ((FILE, "NINSNS 2", "NINSNS 4"), Verdict.NOT, "is not two instructions"),
        ((FILE, "emit_kcfi(", "emit_hash("), Verdict.NOT, "bpf_jit_build_prologue() in"),
        ((FILE, "gen_jump_or_nops(void", "gen_other(void"), Verdict.NOT, "no gen_jump_or_nops() in"),
        ((CORE, "sizeof(u32)", "sizeof(u64)"), Verdict.NOT, "bpf_int_jit_compile() in"),
        ((CORE, "void bpf_jit_free", "void jit_free"), Verdict.NOT, "no bpf_jit_free() in"),
        ((HEADER, "is_21b_int", "is_near"), Verdict.NOT, "no is_21b_int() in"),
    ],
)
def test_how_trees_stand(tmp_path: Path, swap: tuple[str, str, str] | None, verdict: Verdict, why: str) -> None:
    state = find_recipe("bpf-poke").look(tree(tmp_path, *([swap] if swap else [])))
    assert state.verdict is verdict
    assert why in state.reason


def test_what_was_made_is_there(tmp_path: Path) -> None:
    for path, text in made(tree(tmp_path)).items():
        (tmp_path / path).write_text(text, encoding="utf-8")
    again = open_tree(tmp_path)
    assert find_recipe("bpf-poke").look(again).verdict is Verdict.THERE
    assert find_recipe("bpf-sled").look(again).verdict is Verdict.NOT


# -- what the emitted C emits, compiled for this machine and run

HARNESS = """\
#include <assert.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
typedef uint16_t u16; typedef uint32_t u32; typedef uint64_t u64; typedef uint8_t u8; typedef int64_t s64;
#define IS_ENABLED(x) x
#define CONFIG_64BIT 1
#define IS_ALIGNED(x, a) (((x) & ((a) - 1)) == 0)
#define lower_32_bits(n) ((u32)(n))
#define upper_32_bits(n) ((u32)((u64)(n) >> 32))
#define EFAULT 14
#define ERANGE 34
#define RV_FENTRY_NINSNS 2
#define RV_FENTRY_NBYTES (RV_FENTRY_NINSNS * 4)
enum { RV_REG_ZERO, RV_REG_RA, RV_REG_T0 = 5, RV_REG_T1 = 6 };
struct rv_jit_context { u16 *insns, *ro_insns; int ninsns; };
static int cfi_get_offset(void) { return CFI; }
static u32 i_type(u32 op, u32 f3, u32 rd, u32 rs1, int imm)
{
	return (u32)imm << 20 | rs1 << 15 | f3 << 12 | rd << 7 | op;
}
static u32 rv_ld(u8 rd, u16 imm, u8 rs1) { return i_type(0x03, 3, rd, rs1, imm); }
static u32 rv_addi(u8 rd, u8 rs1, u16 imm) { return i_type(0x13, 0, rd, rs1, imm); }
static u32 rv_jalr(u8 rd, u8 rs1, u16 imm) { return i_type(0x67, 0, rd, rs1, imm); }
static u32 rv_nop(void) { return 0x13; }
static u32 rv_auipc(u8 rd, u32 imm) { return imm << 12 | rd << 7 | 0x17; }
static u32 rv_jal(u8 rd, u32 o)
{
	return (o >> 19 & 1) << 31 | (o & 0x3ff) << 21 | (o >> 10 & 1) << 20 | (o >> 11 & 0xff) << 12 | rd << 7 | 0x6f;
}
static bool is_21b_int(long v) { return v >= -(1L << 20) && v < 1L << 20; }
static void emit(u32 insn, struct rv_jit_context *ctx)
{
	memcpy(ctx->insns + ctx->ninsns, &insn, 4);
	ctx->ninsns += 2;
}
static int patch(const char *how, void *at, const void *from, size_t n)
{
	printf("%s %lu %lx\\n", how, n, (unsigned long)at & 0xff);
	memcpy(at, from, n);
	return 0;
}
static int patch_text_nosync(void *at, const void *from, size_t n) { return patch("live", at, from, n); }
static int patch_text(void *at, u32 *from, size_t n) { return patch("stopped", at, from, n); }
"""
MAIN = """\
static void show(void *image)
{
	u32 *word = image;

	for (int i = 0; i < (16 + CFI + 8) / 4; i++)
		printf("%08x%s", word[i], i < (16 + CFI + 8) / 4 - 1 ? " " : "\\n");
}

int main(void)
{
	u8 *image = aligned_alloc(256, 256);
	struct rv_jit_context ctx = { .insns = (u16 *)image, .ro_insns = (u16 *)0x1111222233330000 };
	u8 *ip = image + bpf_jit_entry_offset();

	emit_fentry_stub(&ctx);
	if (CFI)
		emit(0xabcd, &ctx);
	emit(rv_auipc(RV_REG_T0, 0), &ctx);
	emit(fentry_insn(false), &ctx);
	assert((u8 *)(ctx.insns + ctx.ninsns) == ip + 8);
	show(image);
	assert(is_prog_entry(ip) && !is_prog_entry(ip + 4) && !is_prog_entry(image + 64));
	assert(poke_prog(ip, (void *)0x1230, (void *)0x4560) == -EFAULT);
	assert(poke_prog(ip, NULL, (void *)0x1230) == 0);
	show(image);
	assert(poke_prog(ip, NULL, (void *)0x1230) == -EFAULT);
	assert(poke_prog(ip, (void *)0x4560, NULL) == -EFAULT);
	assert(poke_prog(ip, (void *)0x1230, (void *)0x1230) == 0);
	assert(poke_prog(ip, (void *)0x1230, (void *)0x4560) == 0);
	assert(poke_prog(ip, (void *)0x4560, NULL) == 0);
	show(image);
	ip = image + 128 + 2;
	memcpy(ip, (u32[]){ 0x13, 0x13 }, 8);
	assert(poke_tramp(ip, NULL, ip + (2 << 20)) == -ERANGE);
	assert(poke_tramp(ip, NULL, ip + 0x102) == 0);
	assert(poke_tramp(ip, NULL, ip + 0x102) == -EFAULT);
	printf("%08x\\n", *(u32 *)ip);
	return 0;
}
"""


def _of(text: str, start: str, end: str) -> str:
    return text[text.index(start) : text.index(end)]


@pytest.mark.parametrize("cfi", [0, 4])
def test_what_is_emitted_and_stored(tmp_path: Path, cfi: int) -> None:
    """Expected words are hand-assembled: ld t1, -N(t0); jr t1; the address; auipc t0, 0; addi or jalr with -N(t0)."""
    files = made(tree(tmp_path))
    header = _of(files[HEADER], "/*\n * In front of", "static inline bool is_21b_int")
    source = files[FILE]
    parts = [HARNESS, header, _of(source, "static void fentry_stub_insns", "int bpf_arch_text_poke"), MAIN]
    (tmp_path / "it.c").write_text("\n".join(parts), encoding="utf-8")
    options = ["-O1", "-Wall", "-Wno-unused", f"-DCFI={cfi}", "-fsanitize=undefined", "-fno-sanitize=alignment"]
    subprocess.run(["gcc", *options, "-o", tmp_path / "it", tmp_path / "it.c"], check=True)
    run = subprocess.run([tmp_path / "it"], check=True, capture_output=True, text=True)
    ahead = 16 + cfi
    imm = -ahead & 0xFFF
    load, jump = f"{imm << 20 | 5 << 15 | 3 << 12 | 6 << 7 | 0x03:08x}", "00030067"
    assert load == {0: "ff02b303", 4: "fec2b303"}[cfi]
    nop, call = {0: ("ff028013", "ff0282e7"), 4: ("fec28013", "fec282e7")}[cfi]
    assert nop[:4] == call[:4]
    body = 0x1111222233330000 + ahead + 8
    entry = ["0000abcd"] * (cfi // 4) + ["00000297"]

    def image(target: int, insn: str) -> str:
        return " ".join([load, jump, f"{target & 0xFFFFFFFF:08x}", f"{target >> 32:08x}", *entry, insn])

    assert run.stdout.split("\n") == [
        image(body, nop),
        "live 8 8", f"live 4 {ahead + 4:x}", image(0x1230, call),
        "live 8 8",
        f"live 4 {ahead + 4:x}", image(0x4560, nop),
        "stopped 4 82", "1020006f", "",
    ]  # fmt: skip


CHECKED: list[tuple[str, Callable[[str], bool]]] = [
    ("6.12", lambda text: "poke_tramp(ip, old_addr, new_addr)" in text),
    ("7.2", lambda text: "poke_tramp" not in text),
]


@pytest.mark.parametrize(("version", "is_right"), CHECKED)
def test_real_trees(version: str, is_right: Callable[[str], bool]) -> None:
    files = made(open_tree(real(version)))
    assert set(files) == {FILE, CORE, HEADER}
    assert is_right(files[FILE])
    assert "ret = poke_prog(ip, old_addr, new_addr);" in files[FILE]
