# SPDX-License-Identifier: GPL-2.0-or-later
"""Environments by name, and what is said about names that are none."""

from __future__ import annotations

from dataclasses import fields

import pytest

from genpatch.errors import UsageError
from genpatch.race.environment import (
    CHOICES,
    ENVIRONMENTS,
    Environment,
    Fetch,
    Fused,
    Patching,
    Preemption,
    RemoteFence,
    get_environment,
)  # fmt: skip


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_by_name(name: str) -> None:
    assert get_environment(name) == ENVIRONMENTS[name]
    assert get_environment(name).what


def test_changes() -> None:
    found = get_environment("smp,fetch=parcel,alignment=4,stop_machine=yes,fused=auipc-jalr,patcher=itself,harts=1")
    assert (found.fetch, found.alignment, found.stop_machine) == (Fetch.PARCEL, 4, True)
    assert (found.fused, found.patcher, found.harts) == (Fused.CALL, Patching.ITSELF, 1)
    assert (found.preemption, found.remote_fence) == (Preemption.NONE, RemoteFence.PRESENT)
    assert found.name == "smp,fetch=parcel,alignment=4,stop_machine=yes,fused=auipc-jalr,patcher=itself,harts=1"
    assert found.what == ""


def test_the_last_change_counts() -> None:
    assert get_environment("smp,lock=no,lock=yes").lock


def test_every_setting_can_be_written() -> None:
    """A name with all settings behind it is what it was."""
    for environment in ENVIRONMENTS.values():
        changes = ",".join(f"{name}={value}" for name, value in environment.settings().items())
        again = get_environment(f"up,{changes}")
        assert again.settings() == environment.settings()


def test_settings_are_the_fields() -> None:
    assert set(ENVIRONMENTS["up"].settings()) == {each.name for each in fields(Environment)} - {"name", "what"}
    assert ENVIRONMENTS["fused-call"].settings()["fused"] == "auipc-jalr"
    assert ENVIRONMENTS["two-patchers"].settings()["lock"] == "no"
    assert ENVIRONMENTS["up"].settings()["harts"] == "1"


def test_every_setting_has_choices() -> None:
    for environment in ENVIRONMENTS.values():
        assert all(value in CHOICES[name] for name, value in environment.settings().items())
    assert list(CHOICES) != []
    assert set(CHOICES) == set(ENVIRONMENTS["up"].settings())


BAD = {
    "smp-premept": "unknown environment 'smp-premept'; is it 'smp-preempt'?",
    "zzz": "unknown environment 'zzz'; known: up, up-preempt, smp,",
    "": "unknown environment ''",
    "smp,fech=parcel": "unknown setting 'fech=parcel' of an environment; is it 'fetch'?",
    "smp,fetch": "setting 'fetch' of an environment: expected SETTING=VALUE",
    "nosuch": "unknown environment 'nosuch'; known: up, up-preempt, smp,",
    "own": "environment 'own': only of a kernel",
    "smp,name=x": "unknown setting 'name=x' of an environment",
    "smp,": "setting '' of an environment: expected SETTING=VALUE",
    "smp,=1": "unknown setting '=1' of an environment; known: harts, preemption,",
    "smp,fetch=parcels": "fetch='parcels': expected one of strong, ziccif, parcel",
    "smp,alignment=16": "alignment='16': expected one of 2, 4, 8",
    "smp,lock=maybe": "lock='maybe': expected one of yes, no",
    "smp,harts=": "harts=''",
    "smp,remote_fence=none": "remote_fence='none'",
}


@pytest.mark.parametrize("text", BAD)
def test_what_is_wrong_is_named(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        get_environment(text)
    assert str(caught.value).startswith(BAD[text])
