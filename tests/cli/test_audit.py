# SPDX-License-Identifier: GPL-2.0-or-later
"""``genpatch audit``: formats, places, statuses, baselines, settings."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from genpatch.report.formats import format_names

from .conftest import Run

pytestmark = pytest.mark.usefixtures("here")


def read_json(path: str) -> dict[str, object]:
    loaded: dict[str, object] = json.loads(Path(path).read_text(encoding="utf-8"))
    return loaded


# --- formats


@pytest.mark.parametrize("name", format_names())
def test_each_format(run: Run, name: str) -> None:
    ran = run("audit", "misaligned", "--format", name)
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.endswith("\n")
    assert "\x1b" not in ran.out
    assert "GP108" in ran.out


def test_there_are_eleven_formats() -> None:
    assert sorted(format_names()) == [
        "concise", "github", "gitlab", "html", "json", "jsonl", "junit", "ktap", "markdown", "sarif", "text",
    ]  # fmt: skip


def test_text_is_the_default(run: Run) -> None:
    assert run("audit", "good").out == run("audit", "good", "--format", "text").out
    assert "call-ops" in run("audit", "good").out


def test_json(run: Run) -> None:
    document = json.loads(run("audit", "good", "--format", "json").out)
    assert document["schema"] == "genpatch/audit/1"
    assert document["input"]["path"] == "good"
    assert document["table"] == {
        "entries": 3, "zero": 0, "sites": 3, "source": "__start_mcount_loc", "sorted": True,
    }  # fmt: skip
    assert document["reach"] == {"target": "ftrace_caller", "min": -4192, "max": -4128, "within_jal": 3}
    assert document["findings"] == []


def test_jsonl_has_a_line_a_site(run: Run) -> None:
    lines = run("audit", "misaligned", "--format", "jsonl").out.splitlines()
    assert [json.loads(line)["symbol"] for line in lines] == ["start_kernel", "vfs_read", "vfs_write"]
    assert "GP108" in json.loads(lines[0])["rules"]


def test_the_other_name_of_the_option(run: Run) -> None:
    assert json.loads(run("audit", "good", "--output-format", "json").out)["scheme"] == "call-ops"


def test_several_formats_at_once(run: Run) -> None:
    ran = run("audit", "good", "--format", "json=a.json", "--format", "junit=b.xml", "--format", "concise")
    assert (ran.status, ran.out, ran.err) == (0, "", "")
    assert read_json("a.json")["scheme"] == "call-ops"
    assert ElementTree.parse("b.xml").getroot().tag == "testsuites"


@pytest.mark.parametrize(
    "args",
    [
        ("--format", "json", "--format", "text"),
        ("--format", "json=x", "--format", "sarif=x"),
        ("--format", "json=x", "--format", "text", "-o", "x"),
        ("--format", "json=-", "--format", "text"),
    ],
)
def test_two_formats_to_one_place(run: Run, args: tuple[str, ...]) -> None:
    ran = run("audit", "good", *args)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err == "genpatch: two formats cannot be written to one place; give paths: --format json=FILE\n"
    assert not Path("x").exists()


@pytest.mark.parametrize("name", ["xml", "", "JSON", "json "])
def test_an_unknown_format(run: Run, name: str) -> None:
    ran = run("audit", "good", "--format", name)
    assert ran.status == 2
    assert ran.err.startswith(f"genpatch: --format {name!r}: expected one of concise, github,")


# --- places


def test_output_to_a_file(run: Run) -> None:
    ran = run("audit", "good", "-o", "report.txt")
    assert (ran.status, ran.out, ran.err) == (0, "", "")
    assert "call-ops" in Path("report.txt").read_text(encoding="utf-8")


def test_the_file_has_the_usual_rights(run: Run) -> None:
    before = os.umask(0o027)
    try:
        run("audit", "good", "-o", "report.txt")
    finally:
        os.umask(before)
    assert stat.S_IMODE(Path("report.txt").stat().st_mode) == 0o640


def test_a_file_is_written_whole_or_not_at_all(run: Run, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("report.json").write_text("old", encoding="utf-8")

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    before = sorted(here.iterdir())
    ran = run("audit", "good", "--format", "json", "-o", "report.json")
    assert (ran.status, ran.err) == (2, "genpatch: report.json: No space left on device\n")
    assert Path("report.json").read_text(encoding="utf-8") == "old"
    assert sorted(here.iterdir()) == before


@pytest.mark.parametrize(
    ("path", "error"),
    [("none/report", "No such file or directory"), ("hollow", "Is a directory"), ("text/report", "Not a directory")],
)
def test_a_place_that_cannot_be_written(run: Run, here: Path, path: str, error: str) -> None:
    before = sorted(here.rglob("*"))
    ran = run("audit", "good", "-o", path)
    assert (ran.status, ran.out, ran.err) == (2, "", f"genpatch: {path}: {error}\n")
    assert sorted(here.rglob("*")) == before


@pytest.mark.parametrize("args", [("-o", ""), ("--format", "json=")])
def test_an_empty_place(run: Run, args: tuple[str, ...]) -> None:
    ran = run("audit", "good", *args)
    assert ran.status == 2
    assert re.search("--output|--format", ran.err)


def test_a_link_is_followed(run: Run) -> None:
    Path("real.txt").write_text("old", encoding="utf-8")
    Path("link.txt").symlink_to("real.txt")
    run("audit", "good", "-o", "link.txt")
    assert Path("link.txt").is_symlink()
    assert "call-ops" in Path("real.txt").read_text(encoding="utf-8")


def test_a_fifo_stays_one(run: Run) -> None:
    os.mkfifo("pipe")
    with subprocess.Popen(["cat", "pipe"], stdout=subprocess.PIPE, text=True) as reader:
        try:
            run("audit", "good", "-o", "pipe")
            is_fifo = stat.S_ISFIFO(Path("pipe").stat().st_mode)
        finally:
            if not stat.S_ISFIFO(Path("pipe").stat().st_mode):
                reader.kill()
    assert is_fifo


# --- statuses


@pytest.mark.parametrize(
    ("image", "args", "status"),
    [
        ("good", (), 0),
        ("good", ("--fail-on", "note"), 0),
        ("misaligned", (), 0),
        ("misaligned", ("--fail-on", "error"), 0),
        ("misaligned", ("--fail-on", "warning"), 1),
        ("misaligned", ("--fail-on", "note"), 1),
        ("misaligned", ("--fail-on", "never"), 0),
        ("preempt", (), 1),
        ("preempt", ("--fail-on", "warning"), 1),
        ("preempt", ("--fail-on", "never"), 0),
        ("preempt", ("--exit-zero",), 0),
        ("preempt", ("--exit-zero", "--fail-on", "note"), 0),
        ("preempt", ("--ignore", "GP401"), 0),
        ("preempt", ("--select", "GP1"), 0),
        ("preempt", ("--select", "GP401"), 1),
        ("preempt", ("--select", "GP1,GP4"), 1),
        ("good", ("--exit-style", "default"), 0),
        ("preempt", ("--exit-style", "default"), 1),
        ("good", ("--exit-style", "nipa"), 0),
        ("misaligned", ("--exit-style", "nipa"), 250),
        ("preempt", ("--exit-style", "nipa"), 1),
        ("preempt", ("--exit-style", "nipa", "--exit-zero"), 0),
        ("good", ("--exit-style", "kselftest"), 0),
        ("preempt", ("--exit-style", "kselftest"), 1),
        ("good", ("--exit-style", "bisect"), 0),
        ("preempt", ("--exit-style", "bisect"), 1),
    ],
)
def test_the_exit_status(run: Run, image: str, args: tuple[str, ...], status: int) -> None:
    ran = run("audit", image, *args, "--silent")
    assert (ran.status, ran.out, ran.err) == (status, "", "")


@pytest.mark.parametrize(
    ("style", "status"),
    [
        ("default", 1),
        ("nipa", 1),
        ("kselftest", 4),
        ("bisect", 125),
    ],
)
def test_an_image_that_could_not_be_judged(run: Run, style: str, status: int) -> None:
    """Without code the sleds of pair-t0 and auipc-fixed look the same."""
    from tests.toykernel import TEXT, vmlinux

    Path("undecided").write_bytes(vmlinux(code=(), before=b"", entry=TEXT))
    assert run("audit", "undecided", "--exit-style", style).status == status


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--fail-on", "fatal"), "--fail-on 'fatal': expected one of error, warning, note, never"),
        (("--exit-style", "odd"), "--exit-style 'odd': expected one of default, nipa, kselftest, bisect"),
        (("--color", "maybe"), "--color 'maybe': expected one of auto, always, never"),
        (("--select", "GP6"), "no rule matches 'GP6'; 'genpatch rules' lists them"),
        (
            ("--select", "GP3"),
            "no rule is left to run: those are rules for what is seen when 'genpatch verify' runs code",
        ),
        (("--ignore", "nothing"), "no rule matches 'nothing'; 'genpatch rules' lists them"),
        (("--config", "none"), "none: No such file or directory"),
        (("--config", "text"), "text: expected lines such as CONFIG_RISCV=y, got none"),
        (("--system-map", "none"), "none: No such file or directory"),
        (("--kernel", "none"), "none: No such file or directory"),
        (("--baseline", "none"), "none: No such file or directory"),
        (("--baseline", "text"), "text: "),
        (("--settings", "none"), "none: No such file or directory"),
    ],
)
def test_a_wrong_option(run: Run, args: tuple[str, ...], message: str) -> None:
    ran = run("audit", "good", *args)
    assert ran.status == 2
    assert ran.err.startswith(f"genpatch: {message}")
    assert ran.err.count("\n") == 1


def test_options_are_checked_before_anything_is_printed(run: Run) -> None:
    assert run("audit", "good", "--exit-style", "odd").out == ""


# --- rules


def test_select_and_ignore(run: Run) -> None:
    document = json.loads(run("audit", "good", "--select", "GP10,GP9", "--ignore", "GP108", "--format", "json").out)
    codes = [rule["rule"] for rule in document["rules"]]
    assert codes == ["GP101", "GP102", "GP103", "GP104", "GP105", "GP106", "GP107", "GP109", "GP901", "GP902", "GP903"]


def test_select_by_name_and_twice(run: Run) -> None:
    args = ("--select", "function-misaligned", "--select", "gp901")
    document = json.loads(run("audit", "good", *args, "--format", "json").out)
    assert [rule["rule"] for rule in document["rules"]] == ["GP108", "GP901"]


def test_no_rule_left(run: Run) -> None:
    assert run("audit", "preempt", "--select", "GP401", "--ignore", "GP4").status == 2


# --- baselines


def test_a_baseline(run: Run) -> None:
    ran = run("audit", "preempt", "--write-baseline", "known.json")
    assert (ran.status, ran.out, ran.err) == (0, "", "")
    assert run("audit", "preempt").status == 1
    assert run("audit", "preempt", "--baseline", "known.json").status == 0
    assert run("audit", "preempt", "--baseline", "known.json", "--fail-on", "note").status == 0
    document = json.loads(run("audit", "preempt", "--baseline", "known.json", "--format", "json").out)
    assert {finding["baseline"] for finding in document["findings"]} == {"unchanged"}


def test_a_baseline_of_another_image(run: Run) -> None:
    run("audit", "good", "--write-baseline", "known.json")
    assert run("audit", "preempt", "--baseline", "known.json").status == 1


def test_a_baseline_is_written_again_alike(run: Run) -> None:
    run("audit", "preempt", "--write-baseline", "known.json")
    first = Path("known.json").read_bytes()
    run("audit", "preempt", "--write-baseline", "known.json")
    assert Path("known.json").read_bytes() == first


def test_a_baseline_does_not_hide_trouble(run: Run) -> None:
    ran = run("audit", "good", "x86", "--write-baseline", "known.json")
    assert "x86" in ran.err


# --- settings


def settings(text: str, name: str = ".genpatch.toml") -> None:
    Path(name).write_text(text, encoding="utf-8")


def test_settings(run: Run) -> None:
    settings('fail-on = "warning"\nignore = ["GP401"]\n')
    assert run("audit", "misaligned").status == 1
    assert run("audit", "preempt").status == 0
    assert run("audit", "preempt", "--isolated").status == 1
    assert run("audit", "misaligned", "--fail-on", "error").status == 0


def test_settings_from_a_parent(run: Run, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings('fail-on = "warning"\n')
    (here / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(here / "a" / "b")
    assert run("audit", here / "misaligned").status == 1
    (here / "a" / ".git").mkdir()
    assert run("audit", here / "misaligned").status == 0


def test_settings_of_a_project(run: Run) -> None:
    settings('[tool.genpatch]\nexit-style = "nipa"\n[tool.other]\nkey = 1\n', "pyproject.toml")
    assert run("audit", "misaligned").status == 250
    settings('fail-on = "never"\n')
    assert run("audit", "preempt").status == 0


def test_a_project_without_settings(run: Run) -> None:
    settings("[project]\nname = 'x'\n", "pyproject.toml")
    assert run("audit", "good").status == 0
    settings("this is no toml", "pyproject.toml")
    assert run("audit", "good").status == 0


def test_a_named_settings_file(run: Run) -> None:
    settings('fail-on = "warning"\n', "ci.toml")
    assert run("audit", "misaligned", "--settings", "ci.toml").status == 1


def test_settings_for_the_other_options(run: Run) -> None:
    run("audit", "preempt", "--write-baseline", "known.json")
    settings('baseline = "known.json"\nselect = ["GP4"]\ncolor = "always"\njobs = 1\nmax-findings = 3\n')
    ran = run("audit", "preempt")
    assert ran.status == 0
    assert "\x1b[" in ran.out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = ", ".genpatch.toml: "),
        ("colour = 'always'", ".genpatch.toml: unknown key 'colour'; known: select, ignore, "),
        ("select = 'GP1'", ".genpatch.toml: select: expected list, got str"),
        ("select = [1]", ".genpatch.toml: select: expected strings"),
        ("jobs = true", ".genpatch.toml: jobs: expected int, got bool"),
        ("jobs = '2'", ".genpatch.toml: jobs: expected int, got str"),
        ("fail-on = 'fatal'", "--fail-on 'fatal': expected one of"),
        ("exit-style = 'odd'", "--exit-style 'odd': expected one of"),
        ("color = 'odd'", "--color 'odd': expected one of"),
        ("select = ['GP6']", "no rule matches 'GP6'"),
        ("\xff", ".genpatch.toml: "),
    ],
)
def test_wrong_settings(run: Run, here: Path, text: str, message: str) -> None:
    Path(".genpatch.toml").write_bytes(text.encode("latin-1"))
    ran = run("audit", "good")
    assert ran.status == 2
    assert ran.err.removeprefix("genpatch: ").removeprefix(f"{here}/").startswith(message)
    assert ran.err.count("\n") == 1


def test_a_project_file_of_another_shape(run: Run) -> None:
    settings("tool = 1\n", "pyproject.toml")
    assert run("audit", "good").status == 0


def test_a_baseline_stands_beside_its_settings(run: Run, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("audit", "preempt", "--write-baseline", "known.json")
    settings('baseline = "known.json"\n')
    (here / "sub").mkdir()
    monkeypatch.chdir(here / "sub")
    assert run("audit", here / "preempt").status == 0


@pytest.mark.parametrize("number", [0, -3])
def test_a_limit_of_nothing(run: Run, number: int) -> None:
    settings(f"max-findings = {number}\n")
    assert run("audit", "good").status == 2


# --- bad inputs


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nowhere", "nowhere: No such file or directory"),
        ("empty", "empty: "),
        ("text", "text: expected a RISC-V kernel image or module, got "),
        ("x86", "x86: e_machine: expected 243 (RISC-V), got 62 (EM_X86_64)"),
        ("arm", "arm: e_machine: expected 243 (RISC-V), got 183 (EM_AARCH64)"),
        ("program", "program: symbols: expected a Linux kernel (linux_banner, start_kernel, ...), got none of them"),
        ("untraced", "untraced: patch-site table: expected __start_mcount_loc, got none: built without dynamic ft"),
        ("short", "short: "),
        ("hollow", "hollow: no kernel image or module in this directory"),
        ("sample:none", "no sample 'none'; 'genpatch samples' lists them"),
        pytest.param("", ""),
    ],
)
def test_bad_input(run: Run, path: str, message: str) -> None:
    ran = run("audit", path)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith(f"genpatch: {message}")
    assert ran.err.count("\n") == 1
    assert "Traceback" not in ran.err
    assert "internal error" not in ran.err


@pytest.mark.parametrize("kind", ["fifo", "loop"])
def test_special_files(run: Run, kind: str) -> None:
    if kind == "fifo":
        os.mkfifo("special")
    else:
        Path("special").symlink_to("special")
    ran = run("audit", "special")
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("genpatch: special: ")
    assert ran.err.count("\n") == 1


def test_a_name_cannot_forge_a_line(run: Run) -> None:
    ran = run("audit", "a\ngenpatch: all is well\x1b[2J")
    assert ran.status == 2
    assert ran.err.count("\n") == 1
    assert "\x1b" not in ran.err


def test_one_bad_of_several(run: Run) -> None:
    ran = run("audit", "good", "x86", "text")
    assert ran.status == 2
    assert "call-ops" in ran.out
    assert [line.split(":")[1].strip() for line in ran.err.splitlines()] == ["x86", "text"]
    assert all(line.startswith("genpatch: ") for line in ran.err.splitlines())


def test_a_missing_one_of_several(run: Run) -> None:
    ran = run("audit", "good", "nowhere")
    assert ran.status == 2
    assert ran.err == "genpatch: nowhere: No such file or directory\n"


@pytest.mark.parametrize("args", [("audit",), ("audit", "--bogus", "good"), ("nothing",), ("audit", "good", "-j", "x")])
def test_usage_errors(run: Run, args: tuple[str, ...]) -> None:
    ran = run(*args)
    assert ran.status == 2
    assert ran.err.startswith("genpatch: ")
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize("args", [("audit",), ("audit", "--bogus", "good"), ("nothing",), ("audit", "good", "-j", "x")])
def test_usage_errors_are_status_2(run: Run, args: tuple[str, ...]) -> None:
    ran = run(*args)
    assert (ran.status, ran.out) == (2, "")
    assert "Traceback" not in ran.err


# --- what is seen


@pytest.mark.parametrize(
    ("args", "environment", "is_coloured"),
    [
        ((), {}, False),
        (("--color", "always"), {}, True),
        (("--color", "always"), {"NO_COLOR": "1"}, True),
        (("--color", "never"), {"FORCE_COLOR": "1"}, False),
        ((), {"FORCE_COLOR": "1"}, True),
        ((), {"CLICOLOR_FORCE": "1"}, True),
        ((), {"CLICOLOR_FORCE": "0"}, False),
        ((), {"CLICOLOR_FORCE": "1", "NO_COLOR": "1"}, False),
        ((), {"FORCE_COLOR": "1", "NO_COLOR": "1"}, True),
    ],
)
def test_colour(
    run: Run, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...], environment: dict[str, str], is_coloured: bool
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert ("\x1b[" in run("audit", "misaligned", *args).out) is is_coloured


def test_quiet_and_silent(run: Run) -> None:
    whole, quiet = run("audit", "misaligned"), run("audit", "misaligned", "-q")
    assert "GP108" in quiet.out
    assert len(quiet.out) < len(whole.out)
    assert run("audit", "preempt", "-s").out == ""
    assert run("audit", "preempt", "-s").status == 1


def test_silent_still_tells_trouble(run: Run) -> None:
    assert run("audit", "good", "x86", "-s").err.startswith("genpatch: x86: ")


def test_max_findings(run: Run) -> None:
    from tests.toykernel import TEXT, vmlinux

    Path("many").write_bytes(vmlinux(first=0x22, entry=TEXT))
    every = run("audit", "many", "--fail-on", "never").out
    one = run("audit", "many", "--fail-on", "never", "--max-findings", "1").out
    assert len(one) < len(every)


def test_modules_with_their_kernel(run: Run) -> None:
    document = json.loads(run("audit", "ext.ko", "--kernel", "good", "--format", "json").out)
    assert document["input"]["kind"] == "module"
    assert document["scheme"] == "call-ops"
    assert {rule["rule"]: rule["status"] for rule in document["rules"]}["GP131"] == "pass"


def test_a_configuration(run: Run) -> None:
    Path("config").write_text("CONFIG_RISCV=y\nCONFIG_PREEMPTION=y\n", encoding="utf-8")
    document = json.loads(run("audit", "misaligned", "--config", "config", "--format", "json").out)
    assert document["input"]["config"] == "config"
    assert "GP401" in [finding["rule"] for finding in document["findings"]]


def test_a_system_map(run: Run) -> None:
    from tests.image.test_read import SYSTEM_MAP
    from tests.toykernel import TEXT, vmlinux

    Path("stripped").write_bytes(vmlinux(with_symbols=False, entry=TEXT))
    Path("System.map").write_text(SYSTEM_MAP, encoding="utf-8")
    document = json.loads(run("audit", "stripped", "--system-map", "System.map", "--format", "json").out)
    assert document["input"]["symbols"] == "System.map (9)"
    assert document["table"]["sites"] == 3


def test_a_step_summary(run: Run, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "summary.md").write_text("before\n", encoding="utf-8")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(here / "summary.md"))
    run("audit", "misaligned", "--format", "github")
    text = (here / "summary.md").read_text(encoding="utf-8")
    assert text.startswith("before\n")
    assert "GP108" in text
