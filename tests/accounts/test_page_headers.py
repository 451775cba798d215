"""What all pages have in common, and that programs meet none of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.test import Client

from controlplane.accounts.pages import POLICY
from controlplane.embedded.options import REPOSITORY
from tests.accounts.people import SIGN_IN, sign_in
from tests.factories import make_token

pytestmark = pytest.mark.django_db
OPEN = ["/", SIGN_IN, "/accounts/sign-up/", "/accounts/password/", "/accounts/nothing/", "/accounts/closed/", "/accounts/address/"]
AREA = ["", "addresses/", "password/", "second-factor/", "second-factor/app/", "connections/", "sessions/", "tokens/", "tokens/new/"]
TEMPLATES = sorted((REPOSITORY / "templates").rglob("*.html"))


def check(answer):
    page = answer.content.decode()
    assert answer["Content-Security-Policy"] == POLICY
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["Referrer-Policy"] == "same-origin"
    assert not re.search(r"<script|<style|\sstyle=|\son\w+=|javascript:", page)
    assert not re.search(r'(?:src|href)="(?:https?:)?//', page)
    assert page.count("<h1") == 1
    assert '<html lang="en">' in page


def test_every_page_has_a_strict_policy_and_nothing_that_it_would_block(browser, at_home):
    for path in OPEN:
        check(browser.get(path))
    for path in AREA:
        answer = at_home.get(f"/settings/{path}")
        assert answer.status_code == 200, path
        check(answer)
        assert answer["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_no_template_has_scripts_styles_or_files_of_others(path: Path):
    text = path.read_text()
    assert not re.search(r"<script|<style|\sstyle=|\son[a-z]+=|\|safe|autoescape", text)
    assert not re.search(r'(?:src|href|action)="https?://', text)


def test_the_stylesheet_is_served_and_names_no_other_place(browser):
    sheet = (REPOSITORY / "static" / "pages.css").read_text()
    assert "url(" not in sheet
    assert "@import" not in sheet


def test_cookies_are_out_of_reach(browser, user, settings):
    sign_in(browser, user.username)
    browser.get(SIGN_IN)
    for name in ("slipway_session", "slipway_csrf"):
        cookie = browser.cookies[name]
        assert cookie["httponly"]
        assert cookie["samesite"] == "Lax"
        assert not cookie["domain"]


def test_behind_a_tls_proxy_cookies_are_for_https_and_this_host_only(tmp_path):
    import json
    import os
    import subprocess
    import sys

    names = ["SESSION_COOKIE_NAME", "CSRF_COOKIE_NAME", "SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE"]
    code = f"import json; from controlplane import settings; print(json.dumps([getattr(settings, name) for name in {names}]))"
    environment = {**os.environ, "BEHIND_TLS_PROXY": "true", "DATA_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == ["__Host-slipway_session", "__Host-slipway_csrf", True, True]


def test_a_session_opens_nothing_of_the_api(at_home):
    answer = at_home.get("/v1/users/me/", headers={"accept": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")
    words = {"accept": "*/*"}
    assert at_home.post("/v1/users/me/tokens/", {"name": "x"}, content_type="application/json", headers=words).status_code == 401


def test_a_token_needs_no_csrf_token_even_beside_a_session(user):
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    words = {"authorization": f"Token {make_token(user)}"}
    answer = client.post("/v1/users/me/tokens/", {"name": "x"}, content_type="application/json", headers=words)
    assert answer.status_code == 201
    assert not answer.cookies
    assert "Cookie" not in answer.get("Vary", "")


def test_the_api_answers_json_even_to_browsers(browser):
    answer = browser.get("/v1/nothing/")
    assert (answer.status_code, answer["Content-Type"]) == (404, "application/json")
    assert Client().get("/accounts/nothing/")["Content-Type"] == "application/json"


def test_clearing_the_cache_leaves_all_else_in_valkey():
    from django.core.cache import cache

    from controlplane.common.valkey import valkey

    valkey().set("sw:something-else", "kept", ex=60)
    cache.set("ours", 1)
    cache.clear()
    assert cache.get("ours") is None
    assert valkey().get("sw:something-else") == b"kept"


def test_a_fault_of_ours_shows_a_page_with_its_number_and_no_insides(user, monkeypatch):
    client = Client(raise_request_exception=False, headers={"accept": "text/html"})
    client.force_login(user)

    def fail(*_, **__):
        raise RuntimeError("inside")

    monkeypatch.setattr("controlplane.accounts.page_views.ProfileForm", fail)
    answer = client.get("/settings/", headers={"x-request-id": "number-7"})
    assert answer.status_code == 500
    assert "number-7" in answer.content.decode()
    assert "inside" not in answer.content.decode()
