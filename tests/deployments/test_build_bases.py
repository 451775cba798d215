"""Which runtime base a workflow gets."""

from __future__ import annotations

import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from deployments.bundles.bases import Base, asked_by, bases_here, choose_base, read_bases
from deployments.errors import BuildFailed


def base(engine: str, python: str, runs: str = ">=0.9,<1") -> Base:
    return Base(f"{engine}-{python}", Version(engine), Version(python), SpecifierSet(runs), "x86_64-manylinux_2_36", "")


BASES = [base("0.12.0", "3.9"), base("0.14.0", "3.10"), base("0.16.1", "3.11"), base("0.16.1", "3.12")]


@pytest.mark.parametrize(
    ("engine", "python", "chosen", "noted"),
    [
        ("0.16.1", "3.11", "0.16.1-3.11", False),
        ("0.16.1", "3.11.9", "0.16.1-3.11", False),
        ("0.16.1", "3.12", "0.16.1-3.12", False),
        ("0.16.1", "3.13", "0.16.1-3.12", True),
        ("0.13.0", "3.10", "0.14.0-3.10", True),
        ("0.15.0", "3.12", "0.16.1-3.12", True),
        ("0.17.0", "3.11", "0.16.1-3.11", True),
        ("0.10.0", "3.11", "0.12.0-3.9", True),
        (None, None, "0.16.1-3.11", False),
        (None, "3.9", "0.16.1-3.11", True),
        ("0.99.1", "3.9", "0.16.1-3.11", True),
        ("nonsense", ["3.11"], "0.16.1-3.11", False),
    ],
)
def test_the_exact_base_is_taken_else_the_nearest_and_that_is_said(engine: object, python: object, chosen: str, noted: bool) -> None:
    found, note = choose_base(asked_by({"api": {"version": engine, "python_version": python}}), BASES)

    assert found.name == chosen
    assert bool(note) == noted
    if noted:
        assert f"it gets engine {found.engine} with Python {found.python}" in note


@pytest.mark.parametrize("api", [{"version": "1.2.0"}, {"version": "0.8.9"}, {"version": "0.16.1", "python_version": "2.7"}])
def test_what_no_base_runs_is_refused_with_what_is_supported(api: dict[str, str]) -> None:
    with pytest.raises(
        BuildFailed, match=r"asks for .* This installation has engine 0\.12\.0 with Python 3\.9 \(runs workflows of engine <1,>=0\.9\)"
    ) as refusal:
        choose_base(asked_by({"api": api}), BASES)

    assert refusal.value.reason.code == "UNSUPPORTED_RUNTIME"


@pytest.mark.parametrize("document", [{}, {"api": None}, {"api": []}, {"api": {"version": 16}}])
def test_a_workflow_that_says_nothing_gets_the_newest(document: dict[str, object]) -> None:
    assert choose_base(asked_by(document), BASES)[0].engine == Version("0.16.1")


def test_the_environment_on_this_machine_decides_which_bases_are_here() -> None:
    assert bases_here({"engine": "0.16.1", "python": "3.11.2"}) == read_bases()
    assert bases_here(None) == read_bases()
    with pytest.raises(BuildFailed, match=r"engine 0\.16\.1 with Python 3\.14\.0, which is none of the runtime bases"):
        bases_here({"engine": "0.16.1", "python": "3.14.0"})


def test_the_table_has_names_once_and_markers_that_requirements_can_be_compared_with() -> None:
    bases = read_bases()

    assert len({one.name for one in bases}) == len(bases)
    assert bases[0].markers("3.11.7")["python_full_version"] == "3.11.7"
    assert (bases[0].markers()["python_version"], bases[0].markers()["platform_machine"]) == ("3.11", "x86_64")
