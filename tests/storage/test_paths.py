"""Which paths objects can have, and what is told to browsers about them."""

from __future__ import annotations

import pytest

from controlplane.common.errors import InvalidInput
from storage.errors import readable_size
from storage.media import checked_content_type, disposition, is_shown
from storage.paths import checked_path, file_name


@pytest.mark.parametrize(
    "path", ["a", "a/b c/d.png", "Überwachung/2026 März/Band 4.mp4", "日本/写真.jpg", ".hidden", "a/..b", "…", "100%/x?y#z", "a" * 1024]
)
def test_names_of_any_script_are_paths(path):
    assert checked_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/a",
        "a/",
        "a//b",
        ".",
        "..",
        "../x",
        "a/../../x",
        "a/./b",
        "a\x00b",
        "a\nb",
        "a\\..\\b",
        "a\u202egpj.exe",
        "\ud800",
        "a" * 1025,
        "日" * 1000,
    ],
)
def test_a_path_cannot_lead_out_or_hide_anything(path):
    with pytest.raises(InvalidInput):
        checked_path(path)


def test_the_name_is_the_last_segment():
    assert [file_name(path) for path in ("a/b/c.png", "c.png", None)] == ["c.png", "c.png", ""]


@pytest.mark.parametrize("kind", ["image/png", "video/mp4", "audio/ogg", "text/plain; charset=utf-8", "application/json", "IMAGE/JPEG"])
def test_pictures_films_and_plain_text_are_shown(kind):
    assert is_shown(kind)


@pytest.mark.parametrize(
    "kind",
    [
        "text/html",
        "image/svg+xml",
        "application/xhtml+xml",
        "text/xml",
        "application/pdf",
        "text/javascript",
        "application/octet-stream",
        "text/css",
    ],
)
def test_what_a_browser_would_run_is_saved(kind):
    assert disposition(kind, "x").startswith("attachment")


def test_names_are_quoted_for_old_and_new_browsers():
    told = disposition("text/html", 'a"b\\é.html')
    assert told == "attachment; filename=\"a_b__.html\"; filename*=UTF-8''a%22b%5C%C3%A9.html"


@pytest.mark.parametrize(
    "kind", ["png", "image/", "image/png\r\nX: y", "image/png; charset", "a" * 300 + "/b", 'a/b; c="d\x01"', "é/b", 'a/b; c="€"']
)
def test_what_is_no_content_type_is_refused(kind):
    with pytest.raises(InvalidInput):
        checked_content_type(kind)


def test_no_content_type_means_bytes():
    assert [checked_content_type(kind) for kind in (None, "", " ")] == ["application/octet-stream"] * 3


def test_sizes_are_readable():
    assert [readable_size(size) for size in (0, 999, 1500, 10**12, 10**16)] == ["0 bytes", "999 bytes", "1.5 KB", "1.0 TB", "10000.0 TB"]
