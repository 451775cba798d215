"""Endpoint tokens and the rotation of their keys."""

from __future__ import annotations

from datetime import timedelta

import jwt
import pytest

from controlplane.accounts import keys, selectors
from controlplane.accounts.models import ApiToken, SigningKey
from controlplane.common.clock import now

pytestmark = pytest.mark.django_db
PROJECT = "0198b2d0-5a7c-7c11-9a53-6f0e2b9d4c31"


def claims(token):
    kid = jwt.get_unverified_header(token)["kid"]
    return jwt.decode(token, selectors.verification_keys()[kid], algorithms=["ES256"])


def test_a_token_says_who_may_do_what_until_when(user, settings):
    told = claims(keys.endpoint_token(user=user, project_id=PROJECT, storage=True))
    assert told["sub"] == str(user.pk)
    assert (told["project"], told["scope"], told["iss"]) == (PROJECT, "consume storage", settings.PUBLIC_URL)
    assert told["exp"] - int(told["iat"]) == 36_000
    assert "tok" not in told
    assert claims(keys.endpoint_token(user=user, project_id=PROJECT, storage=False))["scope"] == "consume"


@pytest.mark.parametrize(("seconds", "life"), [(3600, 3600), (10, 60), (10**6, 36_000)])
def test_an_endpoint_token_ends_with_the_api_token_that_asked_for_it(user, monkeypatch, seconds, life):
    moment = now()
    monkeypatch.setattr(keys, "now", lambda: moment)
    asking = ApiToken(user=user, expires_at=moment + timedelta(seconds=seconds))
    found = keys.endpoint_token_life(issued_by=asking)
    assert found == timedelta(seconds=life)
    told = claims(keys.endpoint_token(user=user, project_id=PROJECT, storage=False, issued_by=asking, life=found))
    assert told["exp"] == int((moment + found).timestamp())


def test_a_token_of_the_old_key_holds_after_a_rotation(user):
    old = keys.endpoint_token(user=user, project_id=PROJECT, storage=False)
    keys.rotate_key()
    new = keys.endpoint_token(user=user, project_id=PROJECT, storage=False)
    assert claims(old)["sub"] == claims(new)["sub"]
    assert jwt.get_unverified_header(old)["kid"] != jwt.get_unverified_header(new)["kid"]


def test_a_key_rotates_when_it_is_old_and_is_published_until_its_last_token_is_over(user, monkeypatch):
    keys.endpoint_token(user=user, project_id=PROJECT, storage=False)
    first = SigningKey.objects.get()
    moment = now() + keys.KEY_LIFE + timedelta(seconds=1)
    for module in (keys, selectors):
        monkeypatch.setattr(module, "now", lambda: moment)
    second = keys.current_key(moment)
    assert second.pk != first.pk
    assert set(selectors.verification_keys()) == {first.kid, second.kid}
    monkeypatch.setattr(selectors, "now", lambda: moment + keys.PUBLISHED_AFTER_RETIREMENT + timedelta(seconds=1))
    assert set(selectors.verification_keys()) == {second.kid}


def test_the_private_key_is_encrypted_at_rest(user):
    keys.endpoint_token(user=user, project_id=PROJECT, storage=False)
    assert "PRIVATE" not in SigningKey.objects.get().private_encrypted


def test_the_key_set_is_public_and_verifies(api, user):
    token = keys.endpoint_token(user=user, project_id=PROJECT, storage=False)
    published = api().get("/.well-known/jwks.json").json()
    assert "d" not in published["keys"][0]
    key = jwt.PyJWKSet.from_dict(published)[jwt.get_unverified_header(token)["kid"]]
    assert jwt.decode(token, key, algorithms=["ES256"])["project"] == PROJECT
