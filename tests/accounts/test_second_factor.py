"""TOTP and recovery codes, in the browser and with basic auth."""

from __future__ import annotations

import pytest
from allauth.mfa.models import Authenticator
from django.test import Client

from controlplane.accounts import throttle
from controlplane.accounts.models import ApiToken
from controlplane.common.valkey import valkey
from tests.accounts.conftest import confirm
from tests.accounts.people import SIGN_IN, TOKENS, add_app, basic, is_signed_in, recovery_codes, sign_in
from tests.factories import PASSWORD, make_token

pytestmark = pytest.mark.django_db
CODE, SETUP, AREA = "/accounts/sign-in/code/", "/settings/second-factor/app/", "/settings/second-factor/"


def give(client, code):
    return client.post(CODE, {"code": code})


@pytest.fixture
def secret(user):
    return add_app(user)


def test_an_app_is_set_up_with_its_first_code_and_ten_recovery_codes_are_shown_once(at_home, user, clock, committed, mailoutbox):
    page = at_home.get(SETUP)
    key = page.context["form"].secret
    assert 'src="data:image/svg+xml;base64,' in page.content.decode()
    with committed():
        answer = at_home.post(SETUP, {"code": clock.code(key)})
    assert answer["Location"] == f"{AREA}codes/"
    shown = at_home.get(f"{AREA}codes/").context["unused_codes"]
    assert len(set(shown)) == 10
    again = at_home.get(f"{AREA}codes/").content.decode()
    assert not any(code in again for code in shown)
    assert [mail.to for mail in mailoutbox] == [[user.email]]


def test_the_key_is_encrypted_at_rest(user, secret):
    assert secret not in str(Authenticator.objects.get().data)


@pytest.mark.parametrize("code", ["000000", "", "abc", "١٢٣٤٥٦"])
def test_a_wrong_first_code_sets_nothing_up(at_home, user, clock, code):
    at_home.get(SETUP)
    answer = at_home.post(SETUP, {"code": code})
    assert answer.status_code == 200
    assert answer.context["form"].errors["code"]
    assert not Authenticator.objects.exists()


def test_setting_up_and_removing_ask_for_the_password_first(user, secret, clock):
    browser = Client()
    sign_in(browser, user.username)
    give(browser, clock.code(secret))
    for path in (f"{AREA}app/remove/", f"{AREA}codes/new/"):
        assert browser.post(path)["Location"].startswith("/accounts/confirm/")
    assert Authenticator.objects.filter(user=user, type="totp").exists()


def test_the_password_alone_opens_nothing(browser, user, secret):
    assert sign_in(browser, user.username)["Location"] == CODE
    assert not is_signed_in(browser)
    assert browser.get("/settings/tokens/").status_code == 302


def test_password_and_code_sign_in_with_another_session_key(browser, user, secret, clock):
    sign_in(browser, user.username)
    before = browser.session.session_key
    assert give(browser, clock.code(secret))["Location"] == "/settings/"
    assert is_signed_in(browser)
    assert browser.session.session_key != before


def test_a_code_works_once(user, secret, clock):
    code = clock.code(secret)
    first, second = Client(), Client()
    sign_in(first, user.username)
    sign_in(second, user.username)
    assert give(first, code).status_code == 302
    assert give(second, code).status_code == 200
    assert not is_signed_in(second)
    clock.now += 30
    assert give(second, code).status_code == 200, "the code of the period before would be taken, but has been used"
    assert give(second, clock.code(secret)).status_code == 302


def test_the_first_code_of_an_app_does_not_sign_in_as_well(at_home, user, clock):
    key = at_home.get(SETUP).context["form"].secret
    at_home.post(SETUP, {"code": clock.code(key)})
    browser = Client()
    sign_in(browser, user.username)
    assert give(browser, clock.code(key)).status_code == 200
    assert not is_signed_in(browser)


@pytest.mark.parametrize(("later", "taken"), [(-60, False), (-30, True), (30, True), (60, False)])
def test_clocks_may_differ_by_one_period(browser, user, secret, clock, later, taken):
    sign_in(browser, user.username)
    give(browser, clock.code(secret, later=later))
    assert is_signed_in(browser) is taken


def test_a_recovery_code_works_once(user, secret):
    code = recovery_codes(user)[3]
    first, second = Client(), Client()
    for browser in (first, second):
        sign_in(browser, user.username)
        give(browser, code)
    assert is_signed_in(first)
    assert not is_signed_in(second)


def test_new_recovery_codes_make_the_old_ones_void(at_home, user, secret, committed):
    old = recovery_codes(user)[0]
    confirm(at_home)
    with committed():
        at_home.post(f"{AREA}codes/new/")
    browser = Client()
    sign_in(browser, user.username)
    give(browser, old)
    assert not is_signed_in(browser)


def test_codes_of_another_person_open_nothing(browser, user, stranger, secret, clock):
    theirs = add_app(stranger)
    sign_in(browser, user.username)
    give(browser, clock.code(theirs))
    assert not is_signed_in(browser)


def test_wrong_codes_come_to_an_end_and_the_right_one_then_has_to_wait(browser, user, secret, clock):
    sign_in(browser, user.username)
    for _ in range(5):
        give(browser, "000000")
    answer = give(browser, clock.code(secret))
    assert "Too many wrong codes" in answer.content.decode()
    assert not is_signed_in(browser)


def test_the_second_step_is_not_reached_without_the_first(browser, user, secret, clock):
    assert give(browser, clock.code(secret))["Location"] == SIGN_IN
    assert not is_signed_in(browser)


def test_removing_the_app_takes_the_recovery_codes_along(at_home, user, secret):
    recovery_codes(user)
    at_home.post(f"{AREA}app/remove/")
    assert not Authenticator.objects.exists()


def test_basic_auth_without_a_code_makes_no_token_and_says_what_to_do(api, user, secret):
    answer = api().post(TOKENS, {"name": "laptop"}, **basic(user.username, PASSWORD))
    assert (answer.status_code, answer.json()["code"]) == (401, "second_factor_needed")
    assert "/settings/tokens/new/" in answer.json()["detail"]
    assert "X-OTP: 123456" in answer.json()["detail"]
    assert not ApiToken.objects.exists()


def test_basic_auth_with_a_code_makes_a_token_once(api, user, secret, clock):
    words = basic(user.username, PASSWORD, HTTP_X_OTP=clock.code(secret))
    assert api().post(TOKENS, {"name": "laptop"}, **words).status_code == 201
    again = api().post(TOKENS, {"name": "laptop"}, **words)
    assert (again.status_code, again.json()["code"]) == (401, "wrong_code")
    assert ApiToken.objects.count() == 1


def test_a_code_of_the_browser_is_used_up_for_basic_auth_too(api, browser, user, secret, clock):
    sign_in(browser, user.username)
    give(browser, clock.code(secret))
    answer = api().post(TOKENS, {"name": "laptop"}, **basic(user.username, PASSWORD, HTTP_X_OTP=clock.code(secret)))
    assert answer.status_code == 401
    assert not ApiToken.objects.exists()


def test_wrong_codes_with_basic_auth_count_as_wrong_passwords(api, user, secret, clock):
    for _ in range(5):
        assert api().post(TOKENS, {"name": "x"}, **basic(user.username, PASSWORD, HTTP_X_OTP="000000")).status_code == 401
    answer = api().post(TOKENS, {"name": "x"}, **basic(user.username, PASSWORD, HTTP_X_OTP=clock.code(secret)))
    assert answer.status_code == 429
    assert not ApiToken.objects.exists()


def test_a_wrong_password_is_told_the_same_with_and_without_a_second_factor(api, user, stranger, secret):
    answers = [api().post(TOKENS, {"name": "x"}, **basic(name, "wrong")).json() for name in (user.username, stranger.username)]
    assert answers[0]["detail"] == answers[1]["detail"]


def test_tokens_work_as_before_for_people_with_a_second_factor(api, user, secret):
    assert api().get("/v1/users/me/", HTTP_AUTHORIZATION=f"Token {make_token(user)}").status_code == 200


def test_a_right_password_without_a_code_forgets_no_wrong_code(api, user, secret, clock):
    def ask(**headers):
        return api().post(TOKENS, {"name": "x"}, **basic(user.username, PASSWORD, **headers)).status_code

    answers = [ask(**headers) for _ in range(6) for headers in ({"HTTP_X_OTP": "000000"}, {})]
    assert answers == [401] * 9 + [429] * 3, "the fifth wrong code is the last, however often a right password was sent in between"
    assert ask(HTTP_X_OTP=clock.code(secret)) == 429
    assert not ApiToken.objects.exists()
    assert not list(valkey().scan_iter(f"{throttle.PREFIX}:k:*")), "no address is known by a password alone"


def test_the_first_step_in_the_browser_forgets_no_wrong_code_either(api, user, secret, clock):
    for _ in range(5):
        assert api().post(TOKENS, {"name": "x"}, **basic(user.username, PASSWORD, HTTP_X_OTP="000000")).status_code == 401
        sign_in(Client(), user.username)
    assert api().post(TOKENS, {"name": "x"}, **basic(user.username, PASSWORD, HTTP_X_OTP=clock.code(secret))).status_code == 429
    assert not list(valkey().scan_iter(f"{throttle.PREFIX}:k:*"))


def test_both_steps_in_the_browser_make_the_address_known(browser, user, secret, clock):
    sign_in(browser, user.username)
    give(browser, clock.code(secret))
    assert len(list(valkey().scan_iter(f"{throttle.PREFIX}:k:{user.pk}:*"))) == 1


def test_wrong_codes_from_many_places_come_to_an_end_even_where_the_person_is_at_home(api, user, secret, clock):
    throttle.know_address(user, "198.51.100.7")
    for number in range(throttle.CODE.tries):
        words = basic(user.username, PASSWORD, HTTP_X_OTP="000000", REMOTE_ADDR=f"203.0.113.{number}")
        assert api().post(TOKENS, {"name": "x"}, **words).status_code == 401
    right = basic(user.username, PASSWORD, HTTP_X_OTP=clock.code(secret), REMOTE_ADDR="198.51.100.7")
    answer = api().post(TOKENS, {"name": "x"}, **right)
    assert answer.status_code == 429
    assert answer.json()["detail"].startswith("Too many wrong codes. Wait ")
    assert 300 < int(answer["Retry-After"]) <= throttle.CODE.seconds + 1
    throttle.forget_tries(user)
    assert [api().post(TOKENS, {"name": "x"}, **right).status_code for _ in range(6)] == [429] * 6
    assert not ApiToken.objects.exists()
    browser = Client(REMOTE_ADDR="198.51.100.7")
    sign_in(browser, user.username)
    assert give(browser, clock.code(secret)).status_code == 302


def test_right_codes_do_not_use_up_the_limit(api, user, secret, clock):
    for _ in range(throttle.CODE.tries + 2):
        assert api().post(TOKENS, {"name": "x"}, **basic(user.username, PASSWORD, HTTP_X_OTP=clock.code(secret))).status_code == 201
        clock.now += 30
