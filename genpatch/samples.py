# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the bundled samples are: in the package when it is installed, in the repository otherwise."""

from __future__ import annotations

from pathlib import Path

from .errors import UsageError

_PREFIX = "sample:"
_IMAGES = (".elf", ".ko", ".image")


def sample_root() -> Path:
    """Return the directory of the samples."""
    packaged = Path(__file__).parent / "_samples"
    return packaged if packaged.is_dir() else Path(__file__).parent.parent / "vmlinux-samples"


def _images() -> dict[str, Path]:
    root = sample_root()
    found = {path.stem: path for path in root.glob("*") if path.suffix in _IMAGES} if root.is_dir() else {}
    return dict(sorted(found.items()))


def sample_names() -> list[str]:
    """Return the names of the samples, sorted."""
    return list(_images())


def sample_summary(name: str) -> str:
    """Return the description in a sample's manifest, empty if there is none."""
    import tomllib

    manifest = sample_root() / f"{name}.toml"
    if not manifest.is_file():
        return ""
    return str(tomllib.loads(manifest.read_text(encoding="utf-8")).get("description", "")).strip()


def resolve(path: str) -> str:
    """Return a path as it is, or that of the sample which ``sample:NAME`` names.

    Raises:
        UsageError: there is no such sample.
    """
    if not path.startswith(_PREFIX):
        return path
    name = path.removeprefix(_PREFIX)
    images = _images()
    if name not in images:
        raise UsageError(f"no sample {name!r}; 'genpatch samples' lists them")
    return str(images[name])
