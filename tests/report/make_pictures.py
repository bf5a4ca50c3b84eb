# SPDX-License-Identifier: GPL-2.0-or-later
"""The pictures that README.md shows, made again: ``python -m tests.report.make_pictures KERNELS``.

KERNELS holds ``6.12/vmlinux`` and ``7.2/vmlinux``, as ``.ci/kernels`` lays them out.
"""

from __future__ import annotations

import sys
from pathlib import Path

from genpatch.cli.kernels import documents_of
from genpatch.compare.run import compare
from genpatch.image.containers import open_content
from genpatch.image.read import read_image
from genpatch.report.charts import charts_of
from genpatch.report.gallery import pictures_of
from genpatch.schemes import CATALOG

ROOT = Path(__file__).parent.parent
OWN = ROOT / "report" / "pictures"
OF_TEXT = {"6.12": ("strip",), "7.2": ("strip", "reach")}
OF_SCHEMES = {"6.12": ("text-bytes",), "7.2": ("text-bytes", "tracers")}


def of_text(kernels: Path) -> dict[Path, str]:
    """Return the pictures of the kernels' text, by the files that they go to."""
    return {
        OWN / f"{version}-{picture.name}.svg": picture.standalone()
        for version, names in OF_TEXT.items()
        for document in documents_of(str(kernels / version / "vmlinux"), ("audit",), lambda _: None)
        for picture in pictures_of(document)
        if picture.name in names
    }


def of_schemes(kernels: Path) -> dict[Path, str]:
    """Return the pictures of the schemes on the kernels, by the files that they go to."""
    found = {}
    for version, names in OF_SCHEMES.items():
        image = read_image(open_content(str(kernels / version / "vmlinux")))
        charts = charts_of(compare(image, schemes=list(CATALOG.values()), frame="args"))
        found |= {ROOT / "compare" / "pictures" / f"{version}-{name}.svg": charts[f"{name}.svg"] for name in names}
    return found


def main() -> None:
    """Write all of them."""
    if len(sys.argv) != 2:
        raise SystemExit("usage: python -m tests.report.make_pictures KERNELS")
    kernels = Path(sys.argv[1])
    for path, text in {**of_text(kernels), **of_schemes(kernels)}.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
