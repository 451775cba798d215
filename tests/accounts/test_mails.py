"""Mails without a mail server."""

from __future__ import annotations

import itertools

import pytest
from django.core.mail import EmailMessage, EmailMultiAlternatives, get_connection

from controlplane.accounts import mail
from controlplane.accounts.mail import UNREADABLE, mail_folder, read_mail, stored_mails
from controlplane.common.ids import uuid7

BACKEND = "controlplane.accounts.mail.FileBackend"


@pytest.fixture(autouse=True)
def folder(settings, tmp_path, monkeypatch):
    """A data folder of its own, and a millisecond between two mails, by which their names sort."""
    settings.DATA_DIR = tmp_path
    moments = itertools.count(1_800_000_000_000)
    monkeypatch.setattr(mail, "uuid7", lambda: uuid7(now_ms=next(moments)))
    return tmp_path / "mail"


def send(*messages, **options):
    return get_connection(BACKEND, **options).send_messages(messages)


def test_each_mail_is_one_private_file_that_is_there_as_a_whole(folder):
    assert (
        send(EmailMessage("Hello", "Text", "us@example.com", ["mei@example.com"]), EmailMessage("Two", "Text", to=["a@example.com"])) == 2
    )
    files = list(folder.iterdir())
    assert [file.suffix for file in files] == [".eml", ".eml"]
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert b"Subject: Hello" in b"".join(file.read_bytes() for file in files)


def test_mails_are_listed_newest_first_with_what_stands_in_them():
    for number in range(3):
        send(EmailMessage(f"Grüße {number}", "Zeile 1\nZeile 2", "Slipway <us@example.com>", ["mei@example.com"]))
    found = list(stored_mails())
    assert [each.subject for each in found] == ["Grüße 2", "Grüße 1", "Grüße 0"]
    assert (found[0].sender, found[0].recipient, found[0].text.splitlines()) == (
        "Slipway <us@example.com>",
        "mei@example.com",
        ["Zeile 1", "Zeile 2"],
    )
    assert read_mail(found[0].id) == found[0]


def test_only_the_newest_are_kept(monkeypatch, folder):
    monkeypatch.setattr(mail, "KEPT", 3)
    for number in range(5):
        send(EmailMessage(str(number), "x", to=["a@example.com"]))
    assert [each.subject for each in stored_mails()] == ["4", "3", "2"]
    assert len(list(folder.iterdir())) == 3


def test_plain_text_is_preferred_and_html_is_shown_as_its_source():
    both = EmailMultiAlternatives("Both", "plain", to=["a@example.com"])
    both.attach_alternative("<b>bold</b>", "text/html")
    only = EmailMessage("Only", "<b>bold</b>", to=["a@example.com"])
    only.content_subtype = "html"
    send(both, only)
    assert {each.subject: each.text.strip() for each in stored_mails()} == {"Both": "plain", "Only": "<b>bold</b>"}


def test_other_files_are_passed_over(folder):
    send(EmailMessage("Ours", "x", to=["a@example.com"]))
    (folder / "notes.eml").write_text("not ours")
    (folder / "half.new").write_text("half")
    assert [each.subject for each in stored_mails()] == ["Ours"]


def test_a_mail_that_is_no_mail_is_shown_empty(folder):
    send(EmailMessage("Ours", "x", to=["a@example.com"]))
    [path] = folder.iterdir()
    path.write_bytes(b'Content-Type: text/plain; charset="nonsense"\n\n\xff\xfe')
    [found] = stored_mails()
    assert found.subject == ""


def test_a_folder_that_cannot_be_written_is_an_error_unless_told_otherwise(settings, tmp_path):
    settings.DATA_DIR = tmp_path / "file"
    settings.DATA_DIR.write_text("in the way")
    message = EmailMessage("x", "x", to=["a@example.com"])
    with pytest.raises(OSError, match="file"):
        send(message)
    assert send(message, fail_silently=True) == 0


def test_there_are_none_before_the_first(folder):
    assert list(stored_mails()) == []
    assert mail_folder() == folder


@pytest.mark.parametrize("recipient", [b"<", b"a@", b"<a@[", b"=?utf-8?q?=00?=@", b'"a\x01b"@example.com', b"\xff\xfe"])
def test_a_mail_that_cannot_be_read_hides_no_other(folder, recipient):
    send(EmailMessage("One", "x", to=["a@example.com"]))
    broken = folder / f"{uuid7(now_ms=1_700_000_000_000)}.eml"
    broken.write_bytes(b"From: us@example.com\nTo: " + recipient + b"\nSubject: Two\n\ntext\n")
    assert [each.subject for each in stored_mails()] in (["One", "Two"], ["One", UNREADABLE])
    assert all(each.readable is (each.subject != UNREADABLE) for each in stored_mails())


def test_a_mail_that_the_parser_fails_on_is_shown_as_that(folder):
    broken = uuid7(now_ms=1_700_000_000_000)
    folder.mkdir()
    (folder / f"{broken}.eml").write_bytes(b"To: <\n\ntext\n")
    found = read_mail(broken)
    assert (found.id, found.readable, found.subject, found.text) == (broken, False, UNREADABLE, "")
    assert found.at.year == 2023
