"""Where an act comes from."""

from __future__ import annotations

import pytest
from django.http import HttpResponse
from django.test import RequestFactory

from controlplane.audit.middleware import OriginMiddleware
from controlplane.audit.models import AuditEntry
from controlplane.audit.origin import SYSTEM, current_origin, set_credential
from tests.audit.builders import write

PROXIED = "6.6.6.6, 198.51.100.7"


def through_middleware(view=None, **meta):
    """Send a request and return the origin that its view saw last."""
    seen = []

    def answer(request):
        if view:
            view()
        seen.append(current_origin())
        return HttpResponse()

    request = RequestFactory().get("/", **meta)
    request.META["slipway.request_id"] = "r-1"
    OriginMiddleware(answer)(request)
    return seen[0]


@pytest.mark.django_db
def test_a_line_of_a_request_has_its_address_its_id_and_its_credential():
    def view():
        set_credential("laptop (slw_x7Qm…)")
        write()

    through_middleware(view, REMOTE_ADDR="203.0.113.9")
    entry = AuditEntry.objects.get(action="project.create")
    assert entry.request_id == "r-1"
    assert (entry.address, entry.credential) == ("203.0.113.9", "laptop (slw_x7Qm…)")


def test_outside_of_requests_it_is_the_system():
    set_credential("somebody")
    assert current_origin() == SYSTEM
    assert (SYSTEM.address, SYSTEM.credential) == ("", "system")


def test_nothing_of_a_request_is_left_for_the_next_one_not_even_after_a_failure():
    def fail():
        set_credential("laptop")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        through_middleware(fail)
    assert current_origin() == SYSTEM
    assert through_middleware().credential == ""


@pytest.mark.parametrize(
    ("behind", "meta", "address"),
    [
        (False, {"REMOTE_ADDR": "203.0.113.9"}, "203.0.113.9"),
        (False, {"REMOTE_ADDR": "203.0.113.9", "HTTP_X_FORWARDED_FOR": PROXIED}, "203.0.113.9"),
        (True, {"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": PROXIED}, "198.51.100.7"),
        (True, {"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": "6.6.6.6, nonsense"}, "10.0.0.1"),
        (True, {"REMOTE_ADDR": "10.0.0.1"}, "10.0.0.1"),
        (False, {"REMOTE_ADDR": ""}, ""),
        (False, {"REMOTE_ADDR": "::ffff:203.0.113.9"}, "203.0.113.9"),
        (False, {"REMOTE_ADDR": "2001:DB8::1"}, "2001:db8::1"),
    ],
)
def test_the_address_is_the_one_that_nobody_but_us_could_write(settings, behind, meta, address):
    settings.BEHIND_TLS_PROXY = behind
    assert through_middleware(**meta).address == address
