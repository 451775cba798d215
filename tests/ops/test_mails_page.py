"""The mails page of the operator's console."""

from __future__ import annotations

import re

import pytest
from django.core.mail import EmailMessage, get_connection
from django.test import Client

from controlplane.accounts.mail import stored_mails
from controlplane.common.ids import uuid7

pytestmark = pytest.mark.django_db
PAGE = "/operator/mails/"


@pytest.fixture(autouse=True)
def kept(settings, tmp_path):
    """One mail with HTML and scripts in all places."""
    settings.DATA_DIR = tmp_path
    message = EmailMessage("<b>Subject</b>", "<script>alert(1)</script>", "us@example.com", ["mei@example.com"])
    message.content_subtype = "html"
    get_connection("controlplane.accounts.mail.FileBackend").send_messages([message])
    return next(stored_mails())


@pytest.fixture
def operator(user):
    user.is_staff = True
    user.save()
    client = Client(headers={"accept": "text/html"})
    client.force_login(user)
    return client


def without_token(answer):
    return re.sub(r'name="csrfmiddlewaretoken" value="[^"]+"', "", answer.content.decode())


def test_an_operator_sees_the_list_and_a_mail_as_text(operator, kept):
    listed = operator.get(PAGE).content.decode()
    assert "mei@example.com" in listed
    assert "&lt;b&gt;Subject&lt;/b&gt;" in listed
    shown = operator.get(f"{PAGE}{kept.id}/")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown.content.decode()
    assert "<script>" not in shown.content.decode()
    assert "script" not in shown["Content-Security-Policy"]


def test_everyone_else_gets_404_as_from_a_page_that_is_not_there(user, kept):
    member = Client(headers={"accept": "text/html"})
    member.force_login(user)
    nowhere = member.get("/operator/nothing/")
    for path in (PAGE, f"{PAGE}{kept.id}/"):
        answer = member.get(path)
        assert (answer.status_code, Client().get(path).status_code) == (404, 404)
        assert without_token(answer) == without_token(nowhere)
        assert "mei@example.com" not in answer.content.decode()


def test_a_closed_operator_is_out(operator, user):
    user.is_active = False
    user.save()
    assert operator.get(PAGE).status_code == 404


def test_a_mail_that_is_not_there_is_a_404(operator):
    assert operator.get(f"{PAGE}{uuid7()}/").status_code == 404
    assert operator.get(f"{PAGE}../../secrets.json/").status_code == 404


def test_only_reading_is_there(operator, kept):
    assert operator.post(PAGE).status_code == 405
    assert operator.delete(f"{PAGE}{kept.id}/").status_code == 405


def test_a_mail_that_cannot_be_read_is_shown_as_that(operator, kept, settings):
    broken = uuid7()
    (settings.DATA_DIR / "mail" / f"{broken}.eml").write_bytes(b"To: <\n\ntext\n")
    listed = operator.get(PAGE)
    assert listed.status_code == 200
    assert "(this mail cannot be read)" in listed.content.decode()
    assert "mei@example.com" in listed.content.decode()
    assert "cannot be understood" in operator.get(f"{PAGE}{broken}/").content.decode()


@pytest.mark.parametrize("first", ["00000000", "ffffffff"])
def test_an_id_of_a_time_that_cannot_be_is_a_404(operator, first):
    assert operator.get(f"{PAGE}{first}-ffff-4000-8000-000000000000/").status_code == 404
