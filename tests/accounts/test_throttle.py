"""Too many wrong passwords, on the page and with basic auth."""

from __future__ import annotations

import pytest
import redis
from django.test import Client

from controlplane.accounts import throttle
from controlplane.accounts.models import ApiToken
from controlplane.accounts.throttle import PREFIX, TooManyTries, begin_try, duration, network_of
from controlplane.common.valkey import valkey
from tests.accounts.people import TOKENS, basic, is_signed_in, sign_in, verify
from tests.factories import PASSWORD

pytestmark = pytest.mark.django_db
HERE, THERE = "192.0.2.1", "198.51.100.7"


def fail(login, times=5, address=HERE):
    return [sign_in(Client(REMOTE_ADDR=address), login, "wrong").status_code for _ in range(times)]


def pause():
    """Let all counters end, as they do by themselves."""
    for key in valkey().scan_iter(f"{PREFIX}:*"):
        assert 0 < valkey().ttl(key) <= throttle.KNOWN_FOR.total_seconds()
        valkey().delete(key)


def test_the_sixth_try_waits_even_with_the_right_password_and_works_after_the_pause(user):
    assert fail(user.username) == [200] * 5
    answer = sign_in(Client(REMOTE_ADDR=HERE), user.username)
    assert answer.status_code == 429
    assert 0 < int(answer["Retry-After"]) <= 300
    assert "Wait" in answer.content.decode()
    assert "/accounts/password/" in answer.content.decode()
    pause()
    browser = Client(REMOTE_ADDR=HERE)
    assert sign_in(browser, user.username).status_code == 302
    assert is_signed_in(browser)


def test_basic_auth_counts_together_with_the_page(api, user):
    fail(user.username, 3)
    for _ in range(2):
        assert api().post(TOKENS, {"name": "x"}, **basic(user.username, "wrong", REMOTE_ADDR=HERE)).status_code == 401
    answer = api().post(TOKENS, {"name": "x"}, **basic(user.username, PASSWORD, REMOTE_ADDR=HERE))
    assert (answer.status_code, answer.json()["code"]) == (429, "too_many_requests")
    assert 0 < int(answer["Retry-After"]) <= 301
    assert answer.json()["detail"].startswith("Too many wrong passwords. Wait ")
    assert not ApiToken.objects.exists()
    pause()
    assert api().post(TOKENS, {"name": "x"}, **basic(user.username, PASSWORD, REMOTE_ADDR=HERE)).status_code == 201


def test_name_and_address_of_a_person_count_as_one(user):
    fail(user.username, 3)
    fail(user.email.upper(), 2)
    assert sign_in(Client(REMOTE_ADDR=HERE), user.username).status_code == 429


def test_an_unknown_name_waits_like_a_known_one(db):
    assert fail("nobody", 6) == [200] * 5 + [429]


def test_the_person_signs_in_from_elsewhere_while_somebody_guesses(user):
    fail(user.username, 40)
    browser = Client(REMOTE_ADDR=THERE)
    assert sign_in(browser, user.username).status_code == 302
    assert is_signed_in(browser)


def test_refused_tries_do_not_make_the_wait_longer(user):
    fail(user.username)
    [key] = valkey().scan_iter(f"{PREFIX}:p:*")
    valkey().expire(key, 7)
    for _ in range(3):
        answer = sign_in(Client(REMOTE_ADDR=HERE), user.username)
    assert int(answer["Retry-After"]) <= 7


def test_one_address_has_a_limit_for_all_names_together(user):
    for number in range(30):
        sign_in(Client(REMOTE_ADDR=HERE), f"nobody{number}", "wrong")
    with pytest.raises(TooManyTries):
        begin_try(login=user.username, address=HERE)
    begin_try(login=user.username, address=THERE)


def test_guessing_from_everywhere_ends_except_where_the_person_is_at_home(user):
    begin_try(login=user.username, address=THERE).was_right()
    for number in range(throttle.NAME.tries):
        begin_try(login=user.username, address=f"203.0.113.{number}")
    with pytest.raises(TooManyTries):
        begin_try(login=user.username, address="203.0.113.200")
    begin_try(login=user.username, address=THERE).was_right()


def test_a_right_password_gives_its_try_back_and_no_other(user):
    for _ in range(20):
        begin_try(login=user.username, address=HERE).was_right()
    fail(user.username, 4)
    begin_try(login="nobody", address=HERE)
    begin_try(login=user.username, address=HERE).was_right()
    assert valkey().get(f"{PREFIX}:a:{HERE}") == b"5"


def test_tries_at_the_same_time_cannot_pass_together(user):
    begun = [begin_try(login=user.username, address=HERE) for _ in range(5)]
    with pytest.raises(TooManyTries):
        begin_try(login=user.username, address=HERE)
    begun[0].was_right()
    begin_try(login=user.username, address=HERE)


def test_giving_back_leaves_no_counter_without_an_end(user):
    attempt = begin_try(login=user.username, address=HERE)
    for key in attempt.keys:
        valkey().delete(key)
    attempt.was_right()
    assert not any(valkey().exists(key) for key in attempt.keys)


def test_a_new_password_forgets_the_wrong_ones(user, mailoutbox):
    from tests.accounts.test_passwords import NEW, ask, set_new

    verify(user)
    fail(user.username)
    browser = Client(REMOTE_ADDR=HERE)
    ask(browser, user.email)
    set_new(browser, mailoutbox[0])
    assert sign_in(browser, user.username, NEW).status_code == 302


def test_confirming_the_password_counts_as_well(at_home, user):
    for _ in range(5):
        assert at_home.post("/accounts/confirm/", {"password": "wrong"}).status_code == 200
    assert at_home.post("/accounts/confirm/", {"password": PASSWORD}).status_code == 429


def test_no_name_stands_in_valkey(db):
    fail("somebody-private", 1)
    assert not [key for key in valkey().scan_iter("*") if b"somebody" in key]


def test_nobody_signs_in_while_the_counters_are_away(api, user, monkeypatch):
    def away():
        raise redis.ConnectionError

    monkeypatch.setattr(throttle, "valkey", away)
    browser = Client(headers={"accept": "text/html"})
    assert sign_in(browser, user.username).status_code == 503
    assert not is_signed_in(browser)
    answer = api().post(TOKENS, {"name": "x"}, **basic(user.username, PASSWORD))
    assert (answer.status_code, answer.json()["code"]) == (503, "sign_in_unavailable")
    assert not ApiToken.objects.exists()


def test_the_proxy_names_the_address_and_nobody_else_does(user, settings):
    fail(user.username)
    forged = Client(REMOTE_ADDR=HERE, headers={"x-forwarded-for": THERE})
    assert sign_in(forged, user.username).status_code == 429
    settings.BEHIND_TLS_PROXY = True
    assert sign_in(forged, user.username).status_code == 302


@pytest.mark.parametrize(
    ("address", "network"),
    [("192.0.2.1", "192.0.2.1"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"), ("2001:db8:1:2::9", "2001:db8:1:2::"), ("", "unknown")],
)
def test_an_ipv6_household_is_one_address(address, network):
    assert network_of(address) == network


@pytest.mark.parametrize(("seconds", "words"), [(130, "2 min 10 s"), (60, "1 min"), (9, "9 s"), (0, "0 s")])
def test_a_wait_is_told_as_people_say_it(seconds, words):
    assert duration(seconds) == words
