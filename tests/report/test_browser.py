# SPDX-License-Identifier: GPL-2.0-or-later
"""Pages in a real browser: what is shown, what works by mouse, keyboard and address, what is asked of the network."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from genpatch.cli.kernels import documents_of
from genpatch.report.document import TableRecord
from genpatch.report.html import page_of
from genpatch.report.site_columns import with_sites
from tests.report.bpf_documents import body, failure, of_sample, record, told
from tests.report.builders import SCRIPT, image, several, single, site_rows
from tests.report.pages import Browser, Visit, a_browser
from tests.report.series import bad, checked, hostile, proof, spoilt
from tests.toykernel import vmlinux

MOST_SECONDS, MOST_BYTES = 2.0, 2_000_000
SITE = "0xffffffff80002200"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with a_browser() as found:
        yield found


def written(path: Path, *inputs: str, verbs: tuple[str, ...] = ("audit",)) -> Path:
    documents = [each for name in inputs for each in documents_of(name, verbs, lambda _: None)]
    path.write_text("".join(page_of(documents)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def broken(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sample with mistakes: audited, verified, raced."""
    folder = tmp_path_factory.mktemp("pages")
    return written(folder / "broken.html", "sample:call-ops-broken", verbs=("audit", "verify", "race"))


@pytest.fixture(scope="module")
def two(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two samples side by side."""
    folder = tmp_path_factory.mktemp("pages")
    return written(folder / "two.html", "sample:call-ops", "sample:call-ops-broken", verbs=("audit", "verify"))


@pytest.fixture(scope="module")
def bpf(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sample whose BPF trampolines are left to the wrong place."""
    path = tmp_path_factory.mktemp("pages") / "bpf.html"
    path.write_text("".join(page_of([of_sample("SKIP_BY_T0")])), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def two_bpf(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample's BPF without and with a mistake, side by side."""
    path = tmp_path_factory.mktemp("pages") / "two-bpf.html"
    path.write_text("".join(page_of([of_sample(), of_sample("SKIP_BY_T0")])), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def schemes(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sample, and all schemes on it: the widest tables."""
    folder = tmp_path_factory.mktemp("pages")
    return written(folder / "schemes.html", "sample:call-ops", verbs=("audit", "verify", "race", "compare"))


@pytest.fixture(scope="module")
def debian(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Debian's 7.2.13, audited and verified."""
    folder = os.environ.get("GENPATCH_KERNELS")
    kernel = Path(folder or "", "7.2", "vmlinux")
    if not folder or not kernel.exists():
        pytest.skip("GENPATCH_KERNELS holds no 7.2/vmlinux")
    return written(tmp_path_factory.mktemp("pages") / "debian.html", str(kernel), verbs=("audit", "verify"))


def is_quiet(visit: Visit) -> None:
    assert visit.said == []
    assert [url for url in visit.asked if not url.startswith("file:") and url != "data:,"] == []
    assert len([url for url in visit.asked if url.startswith("file:")]) == 1


def names_shown(visit: Visit) -> list[str]:
    return list(visit.run("[...document.querySelectorAll('.list tbody a')].map((each) => each.textContent)"))


def test_the_verdict_is_in_the_first_screen(browser: Browser, broken: Path) -> None:
    with browser.visit(broken) as visit:
        assert "15 errors" in visit.text(".verdict") or "error" in visit.text(".verdict")
        for selector in (".verdict", ".facts", ".finding", ".unlooked"):
            box = visit.page.locator(selector).first.bounding_box()
            assert box is not None
            assert box["y"] < 600, selector
        is_quiet(visit)


def test_search_filters_and_says_how_many(browser: Browser, broken: Path) -> None:
    with browser.visit(broken) as visit:
        every = names_shown(visit)
        assert len(every) == 19
        visit.page.fill("input[type=search]", "driver_")
        visit.until("document.querySelectorAll('.list tbody tr').length < 19")
        assert names_shown(visit) == [name for name in every if "driver_" in name] != []
        assert visit.text(".sites [role=status]") == f"{len(names_shown(visit))} of 19 sites"
        assert "q=driver_" in visit.page.url
        visit.page.click("text=Show all")
        assert names_shown(visit) == every
        visit.page.select_option("select[name=rule]", "GP101")
        assert len(names_shown(visit)) == 4
        visit.page.select_option("select[name=verdict]", "clean")
        assert names_shown(visit) == []
        is_quiet(visit)


def test_an_address_of_the_page_leads_to_a_site_and_survives_a_reload(browser: Browser, broken: Path) -> None:
    with browser.visit(broken) as visit:
        visit.page.click(".list tbody a >> nth=2")
        name, url = visit.text(".site h3"), visit.page.url
        assert name == names_shown(visit)[2]
    with browser.visit(broken, f"#{url.partition('#')[2]}") as visit:
        assert visit.text(".site h3") == name
        states = visit.run("[...document.querySelectorAll('.bytes tbody th')].map((each) => each.textContent)")
        assert states[:4] == ["image", "boot", "enabled", "disabled"]
        assert visit.count(".site .store") >= 4
        visit.page.click(".site >> text=Close")
        assert visit.count(".site") == 0
        visit.page.go_back()
        visit.page.wait_for_selector(".site")
        is_quiet(visit)


def test_a_finding_leads_to_its_sites(browser: Browser, broken: Path) -> None:
    with browser.visit(broken) as visit:
        visit.page.click("a.all >> nth=0")
        visit.until("location.hash.includes('rule=')")
        rule = visit.run("new URLSearchParams(location.hash.slice(1)).get('rule')")
        assert visit.run("document.querySelector('select[name=rule]').value") == rule
        says = visit.run("[...document.querySelectorAll('.list tbody tr')].map((each) => each.textContent)")
        assert says
        assert all(rule in each for each in says)


def test_the_keyboard_is_enough(browser: Browser, broken: Path) -> None:
    with browser.visit(broken) as visit:
        keys = visit.page.keyboard
        keys.press("Tab")
        assert visit.run("document.activeElement.textContent") == "Skip to the verdict"
        keys.press("/")
        assert visit.run("document.activeElement.type") == "search"
        keys.type("driver_re")
        visit.until("document.querySelectorAll('.list tbody tr').length < 19")
        visit.run("document.querySelector('.list tbody a').focus()")
        keys.press("ArrowDown")
        second = visit.run("document.activeElement.textContent")
        assert second == names_shown(visit)[1]
        keys.press("Enter")
        visit.page.wait_for_selector(".site")
        assert visit.run("document.activeElement.textContent") == second
        visit.run("document.querySelector('.frame').focus()")
        whole = visit.text(".strip output")
        keys.press("+")
        assert visit.text(".strip output") != whole
        keys.press("Home")
        assert visit.text(".strip output") == whole


def test_the_strip_zooms_to_a_function_that_leads_to_its_site(browser: Browser, broken: Path) -> None:
    with browser.visit(broken) as visit:
        visit.page.click("[aria-label='Zoom in']")
        visit.page.click(".map .function >> nth=0")
        visit.page.wait_for_selector(".site")
        title = visit.run("document.querySelector('.map .function title').textContent")
        assert title.startswith(f"{visit.text('.site h3')}, 0xffffffff8")


def colours(visit: Visit) -> str:
    return str(visit.run("getComputedStyle(document.body).backgroundColor"))


def test_light_and_dark(browser: Browser, broken: Path) -> None:
    with browser.visit(broken, color_scheme="dark") as dark, browser.visit(broken, color_scheme="light") as light:
        assert (colours(light), colours(dark)) == ("rgb(255, 255, 255)", "rgb(13, 17, 23)")
        light.page.click("#theme")
        assert colours(light) == colours(dark)
        light.page.reload()
        light.page.wait_for_selector("html[data-ready]", state="attached")
        assert colours(light) == colours(dark)
        dark.page.click("#theme")
        assert colours(dark) == "rgb(255, 255, 255)"


def test_on_paper_everything_is_open_and_nothing_is_a_control(browser: Browser, broken: Path) -> None:
    with browser.visit(broken, color_scheme="dark") as visit:
        visit.page.emulate_media(media="print")
        for selector in ("header.bar", ".tools", "footer"):
            assert visit.run(f"getComputedStyle(document.querySelector('{selector}')).display") == "none"
        assert colours(visit) == "rgb(255, 255, 255)"
        assert visit.run("document.querySelectorAll('details:not([open])').length") > 0
        visit.run("dispatchEvent(new Event('beforeprint'))")
        assert visit.run("document.querySelectorAll('details:not([open])').length") == 0
        visit.run("dispatchEvent(new Event('afterprint'))")
        assert visit.run("document.querySelectorAll('details:not([open])').length") > 0
        assert len(visit.page.pdf()) > 10_000


BEYOND = "document.documentElement.scrollWidth - innerWidth"


@pytest.mark.parametrize("width", [320, 390, 800, 1100, 1600])
def test_no_width_makes_the_page_scroll_sideways(
    browser: Browser, broken: Path, two: Path, bpf: Path, two_bpf: Path, series: Path, proved: Path, width: int
) -> None:
    for path in (broken, two, bpf, two_bpf, series, proved):
        with browser.visit(path, width=width) as visit:
            visit.run("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
            assert visit.run(BEYOND) <= 0, path.name


@pytest.mark.parametrize("width", [500, 718, 760])  # 718: A4 with a browser's usual margins
def test_no_paper_is_too_narrow(
    browser: Browser, broken: Path, schemes: Path, bpf: Path, two_bpf: Path, series: Path, proved: Path, width: int
) -> None:
    for path in (broken, schemes, bpf, two_bpf, series, proved):
        with browser.visit(path, width=width) as visit:
            visit.page.emulate_media(media="print")
            visit.run("dispatchEvent(new Event('beforeprint'))")
            assert visit.run(BEYOND) <= 0, path.name


def test_sites_are_a_table_on_paper_and_a_list_on_a_phone(browser: Browser, broken: Path) -> None:
    shape = "getComputedStyle(document.querySelector('.list tbody tr')).display"
    with browser.visit(broken, width=718) as visit:
        assert visit.run(shape) == "block"
        visit.page.emulate_media(media="print")
        assert visit.run(shape) == "table-row"
        assert visit.run(BEYOND) <= 0


def test_a_finding_about_bpf_leads_to_how_it_came_about(browser: Browser, bpf: Path) -> None:
    with browser.visit(bpf) as visit:
        visit.page.click("text=under BPF, with how one came to it")
        assert visit.run("location.hash") == "#k0-bpf-0"
        assert not visit.run("document.querySelector('#k0-bpf-0 details').open")
        visit.page.click("#k0-bpf-0 summary")
        assert visit.text("#k0-bpf-0 mark").startswith("!! the trampoline: 0x")
        assert visit.run("getComputedStyle(document.querySelector('#k0-bpf-0 mark')).fontWeight") == "600"
        assert not visit.run("document.querySelector('.unasked').open")
        is_quiet(visit)


def test_hostile_names_of_bpf_run_nothing(browser: Browser, tmp_path: Path) -> None:
    one = failure(SCRIPT, example=SCRIPT, note=SCRIPT, listing=(f"!! {SCRIPT}",))
    made = record(one, function=SCRIPT, flags=(SCRIPT,), notes=(SCRIPT,))
    path = tmp_path / "page.html"
    path.write_text("".join(page_of([body(made, told(one))])), encoding="utf-8")
    with browser.visit(path) as visit:
        visit.page.click("#k0-bpf-0 summary")
        assert visit.text("#k0-bpf-0 mark") == f"!! {SCRIPT}"
        assert visit.count("img") == 0
        is_quiet(visit)


@pytest.fixture(scope="module")
def series(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Patches with mistakes, and one that is out to break the page."""
    folder = tmp_path_factory.mktemp("pages")
    path = folder / "series.html"
    path.write_text("".join(page_of([checked(folder / "t", *bad(), *hostile())])), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def proved(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A proof that failed."""
    path = tmp_path_factory.mktemp("pages") / "proof.html"
    path.write_text("".join(page_of([proof(failed="boot")])), encoding="utf-8")
    return path


def test_a_patch_is_read_with_what_is_found_in_it(browser: Browser, series: Path) -> None:
    with browser.visit(series) as visit:
        assert "1 warning" in visit.text(".verdict")
        box = visit.page.locator(".series").bounding_box()
        assert box is not None
        assert box["y"] < 400
        assert visit.text("tr.hit.added .code >> nth=0") == "+#define RV_FENTRY_NINSNS 4"
        assert "GP511" in visit.text("tr.hit.added + tr.said >> nth=0")
        visit.page.click(".series a >> nth=1")
        assert visit.run("location.hash") == "#k0-p2"
        assert not visit.run("document.querySelector('#k0-p2 details').open")
        is_quiet(visit)
    with browser.visit(series, "#k0-f0") as visit:
        assert visit.run("document.getElementById('k0-f0').closest('details').open")


def test_hostile_patches_run_nothing(browser: Browser, series: Path) -> None:
    with browser.visit(series) as visit:
        visit.run("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        assert SCRIPT in visit.text("#k0-p4 h3")
        assert SCRIPT in visit.text("#k0-p4 tr.added >> nth=0")
        assert visit.count("img") == 0
        assert "\u202e" not in visit.text("body")
        is_quiet(visit)


def test_hostile_proofs_run_nothing(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("".join(page_of([spoilt(proof())])), encoding="utf-8")
    with browser.visit(path) as visit:
        visit.run("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        assert SCRIPT in visit.text("#k0-proof")
        assert visit.count("img") == 0
        is_quiet(visit)


def test_a_stage_leads_to_what_it_says(browser: Browser, proved: Path) -> None:
    with browser.visit(proved) as visit:
        assert "not proved: boot failed" in visit.text(".verdict")
        visit.page.click(".stages a >> text=verify")
        assert visit.run("document.querySelector(location.hash).open")
        assert visit.text(".tests li >> nth=0").endswith("failed: kprobe tracing")
        is_quiet(visit)


def test_a_browser_that_cannot_decompress_says_so(browser: Browser, broken: Path) -> None:
    context = browser.engine.new_context()
    page = context.new_page()
    page.add_init_script("delete window.DecompressionStream;")
    page.goto(broken.as_uri())
    page.wait_for_selector("[role=alert]")
    assert page.inner_text("[role=alert]") == (
        "The sites cannot be shown: this browser cannot decompress them. The rest of the page is complete."
    )
    context.close()


def test_names_and_addresses_come_out_of_their_columns(browser: Browser, tmp_path: Path) -> None:
    names = [
        f"{one}_{two}.{three}" for one in ("vfs", "ext4", "tcp", "") for two in ("read", "do_write") for three in "12"
    ]
    funcs = [0, 2, 6, 140_000, 140_032, 1 << 33, 40, 43, *range(300_000, 300_256, 32)]
    rows = {**with_sites(single(image(site_rows=site_rows(16))))["site_rows"], "symbols": names, "func": funcs}
    document = {**single(image()).as_json(), "site_rows": rows}
    path = tmp_path / "page.html"
    path.write_text("".join(page_of([document])), encoding="utf-8")
    with browser.visit(path) as visit:
        shown = visit.run(
            "[...document.querySelectorAll('.list tbody tr')]"
            ".map((each) => [...each.querySelectorAll('code')].map((code) => code.textContent))"
        )
        base = int(rows["base"], 16)
        assert shown == [[hex(base + func), name] for func, name in sorted(zip(funcs, names, strict=True))]
        is_quiet(visit)


def test_more_images_than_a_page_lists_are_there_on_asking(browser: Browser, tmp_path: Path) -> None:
    table = TableRecord(entries=2, zero=0, sites=2, source="__patchable_function_entries", sorted=None)
    records = [image(), *(image(f"m{n}.ko", table=table, site_rows=site_rows(2)) for n in range(129))]
    path = tmp_path / "page.html"
    path.write_text("".join(page_of([with_sites(several(*records))])), encoding="utf-8")
    with browser.visit(path) as visit:
        assert visit.count(".images tbody tr") == 100
        assert visit.text(".images .more").startswith("... and 30 more images")
        visit.page.click(".images .more button")
        assert visit.count(".images tbody tr") == 130
        assert visit.count(".images .more") == 0
        link = visit.page.locator(".images tbody a >> nth=129")
        name = link.inner_text()
        link.click()
        visit.until(f"document.querySelector('select[name=image]').value === '{name}'")
        is_quiet(visit)


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_addresses_of_the_strip_do_not_overlap(browser: Browser, broken: Path, width: int) -> None:
    with browser.visit(broken, width=width) as visit:
        boxes = visit.run(
            "[...document.querySelectorAll('.map text.sub')].filter((text) => text.textContent.startsWith('0x'))"
            ".map((text) => text.getBoundingClientRect()).map(({ left, right }) => [left, right])"
        )
        assert len(boxes) >= 2
        assert all(before[1] <= after[0] for before, after in pairwise(sorted(boxes)))
        assert "KiB" in visit.run("document.querySelector('.map').textContent")


def test_races_have_two_columns_and_their_steps_are_tied(browser: Browser, broken: Path) -> None:
    with browser.visit(broken) as visit:
        heads = visit.run("[...document.querySelectorAll('.path thead')][0].innerText.split(/\\s+/)")
        assert [each for each in heads if each] == ["step", "patcher", "victim"]
        tie = visit.page.locator(".tie").first
        tie.focus()
        assert visit.count(".path tr.lit") == 2
        visit.page.click(".race .cell.error a >> nth=-1")
        anchor = visit.run("location.hash.slice(1)")
        assert visit.run("(id) => document.getElementById(id).open", anchor) is True


def test_two_kernels_side_by_side(browser: Browser, two: Path) -> None:
    with browser.visit(two) as visit:
        assert visit.text("main article >> nth=0").startswith("\u2717") or "What changed" in visit.text("#diff")
        assert "newly broken" in visit.text("#diff")
        assert visit.count(".sites table.list") == 2
        is_quiet(visit)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["broken", "two", "bpf", "two_bpf", "schemes", "series", "proved"])
def test_axe_finds_no_violation_of_weight(
    browser: Browser, name: str, scheme: str, request: pytest.FixtureRequest
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe: pip install -e '.[browser]'")
    path: Path = request.getfixturevalue(name)
    with browser.visit(
        path, f"#site=k{int(name == 'two')}:0xffffffff80000650", color_scheme=scheme, bypass_csp=True
    ) as visit:
        visit.run("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        found = axe.Axe().run(visit.page).response["violations"]
        bad = {
            each["id"]: [node["html"][:200] for node in each["nodes"][:5]]
            for each in found
            if each["impact"] in ("moderate", "serious", "critical")
        }
        assert bad == {}, json.dumps(bad, indent=1)


def test_a_hostile_symbol_runs_nothing_and_is_shown(browser: Browser, tmp_path: Path) -> None:
    names = (SCRIPT, "\u202ereversed", "a' onmouseover='alert(1)", "start_kernel")
    (tmp_path / "kernel").write_bytes(vmlinux(*names, before=b""))
    path = written(tmp_path / "page.html", str(tmp_path / "kernel"))
    with browser.visit(path) as visit:
        assert names_shown(visit)[0] == SCRIPT
        assert "\u202e" not in visit.text("body")
        visit.page.click(".list tbody a >> nth=0")
        assert visit.text(".site h3") == SCRIPT
        assert visit.count("img") == 0
        visit.page.fill("input[type=search]", SCRIPT)
        visit.until("document.querySelectorAll('.list tbody tr').length === 1")
        is_quiet(visit)


def test_the_policy_stops_what_is_not_its_own(browser: Browser, broken: Path) -> None:
    with browser.visit(broken) as visit:
        visit.run("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"document.title=1\">')")
        visit.run(
            "{ const s = document.createElement('script'); s.textContent = 'document.title = 2';"
            " document.body.append(s); }"
        )
        visit.run("fetch('https://example.org/').catch(() => {})")
        visit.page.wait_for_timeout(200)
        assert "call" in visit.page.title() or "7.2.0" in visit.page.title()
        assert sum("Content Security Policy" in line for line in visit.said) >= 3


# -- Debian's kernel


@pytest.mark.kernels
def test_debians_page_is_small_quick_and_quiet(browser: Browser, debian: Path) -> None:
    assert debian.stat().st_size < MOST_BYTES
    busy = []
    for _ in range(3):
        with browser.visit(debian) as visit:
            is_quiet(visit)
            busy.append(visit.busy)  # of a processor: what the clock says depends on what else the machine does
    assert min(busy) < MOST_SECONDS


@pytest.mark.kernels
def test_debians_sites_that_fail(browser: Browser, debian: Path) -> None:
    with browser.visit(debian, f"#site=k0:{SITE}") as visit:
        assert visit.text(".site h3") == "try_to_run_init_process"
        lines: list[Any] = visit.run("[...document.querySelectorAll('.bytes tbody tr')].map((each) => each.innerText)")
        assert "pointer 0xffffffff81218928 ftrace_list_ops" in lines[2]
        assert "\u2192 0xffffffff800229e8 ftrace_caller" in lines[2]
        assert lines[4].startswith("direct:ftrace_stub_direct_tramp")
        assert "\u2192 0xffffffff80021a4c" in lines[4]  # 0x1000 below ftrace_stub_direct_tramp
        visit.page.select_option("select[name=state]", "direct:ftrace_stub_direct_tramp")
        visit.until("document.querySelector('.sites [role=status]').textContent.startsWith('1,020')")
        assert visit.text(".sites [role=status]") == "1,020 of 43,709 sites"
        is_quiet(visit)
