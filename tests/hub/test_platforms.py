"""What fits a platform, what is said of it, and semantic versions."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from controlplane.common.errors import InvalidInput
from controlplane.hub.platforms import ANY_RUNTIME, Platform, fits, next_minor, platform_object
from controlplane.hub.versions import next_versions, parse_version

RUNTIME = Platform(os="LINUX", architecture="X86_64", python="3.11.9", engine="0.16.1")
NONE = {
    "os": [],
    "architecture": [],
    "features": [],
    "ikomia_min_version": "",
    "ikomia_max_version": "",
    "python_min_version": "",
    "python_max_version": "",
}


def package(**fields):
    return SimpleNamespace(**{**NONE, **fields})


@pytest.mark.parametrize(
    ("fields", "fit"),
    [
        ({}, True),
        ({"os": ["LINUX", "WINDOWS"]}, True),
        ({"os": ["WINDOWS"]}, False),
        ({"architecture": ["AMD64"]}, True),
        ({"architecture": ["AARCH64"]}, False),
        ({"python_min_version": "3.11"}, True),
        ({"python_min_version": "3.11.10"}, False),
        ({"python_min_version": "3.9", "python_max_version": "3.12.0"}, True),
        ({"python_max_version": "3.11"}, False),
        ({"ikomia_min_version": "0.16.1"}, True),
        ({"ikomia_min_version": "0.16.2"}, False),
        ({"ikomia_max_version": "0.16.1"}, False),
        ({"ikomia_min_version": "0.9", "ikomia_max_version": "0.17.0"}, True),
    ],
)
def test_a_package_fits_its_platform_alone(fields, fit):
    assert fits(package(**fields), RUNTIME) is fit


def test_a_version_that_cannot_be_read_is_in_no_range():
    unknown = Platform("LINUX", "X86_64", "unknown", "0.16.1")
    assert fits(package(), unknown)
    assert not fits(package(python_min_version="3.10"), unknown)


def test_a_version_that_is_not_known_is_in_every_range():
    assert fits(package(python_min_version="3.99", ikomia_max_version="0.1"), ANY_RUNTIME)
    assert not fits(package(os=["WINDOWS"]), ANY_RUNTIME)


def test_ranges_have_the_parts_that_the_engine_needs():
    told = platform_object(package(ikomia_min_version="0.15", python_min_version="3", python_max_version="3.12.0"))
    assert (told["ikomia"], told["python"]) == (">=0.15.0", ">=3.0,<3.12.0")


@pytest.mark.parametrize(("last", "excluded"), [("", ""), ("3", "3.1.0"), ("3.11", "3.12.0"), ("3.11.4", "3.12.0")])
def test_the_last_supported_version_excludes_the_next_minor(last, excluded):
    assert next_minor(last) == excluded


@pytest.mark.parametrize(("text", "version"), [("1.2", (1, 2, 0)), ("0.0.1", (0, 0, 1)), ("10.20.30", (10, 20, 30))])
def test_versions_are_read(text, version):
    assert parse_version(text) == version


@pytest.mark.parametrize(
    "text", ["", "1", "1.2.3.4", "01.2.3", "1.2.3-rc1", "1.2.3+4", "v1.2.3", "0.0.0", "1.2.x", "1.2.3\n", "9" * 99 + ".0", "\u0661.0"]
)
def test_what_is_no_version_is_refused(text):
    with pytest.raises(InvalidInput):
        parse_version(text)


def test_the_next_versions_follow_semantic_versioning():
    assert {part: str(version) for part, version in next_versions(parse_version("1.4.2")).items()} == {
        "major": "2.0.0",
        "minor": "1.5.0",
        "patch": "1.4.3",
    }
    assert len(set(next_versions(None).values())) == 1
