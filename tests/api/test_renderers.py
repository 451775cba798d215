"""Texts on the wire, as clients read them that take texts for markup."""

from __future__ import annotations

import pytest

from tests.factories import make_project

pytestmark = pytest.mark.django_db
TEXT = 'seen at the quay [/red] and [/] by "night" \\[/b]'


@pytest.fixture
def address(user):
    return f"/v1/projects/{make_project(user, description=TEXT).pk}/"


def test_the_command_line_client_gets_texts_that_end_no_markup_tag(api, user, address):
    shown = api(user).get(address, headers={"User-Agent": "IkomiaCli"}).json()["description"]
    assert "[/" not in shown
    assert shown.replace("\u2060", "") == TEXT


def test_a_list_of_it_stays_valid_json_with_its_addresses(api, user, address):
    answer = api(user).get("/v1/projects/", {"name": "quay"}, headers={"User-Agent": "IkomiaCli"}).json()
    assert answer["results"][0]["url"].endswith(address)


def test_every_other_client_gets_texts_as_they_were_written(api, user, address):
    assert api(user).get(address).json()["description"] == TEXT
