"""Deliveries go to public addresses, checked at the moment of connecting."""

from __future__ import annotations

import ipaddress
import socket
import threading
from ipaddress import ip_network

import pytest

from controlplane.common.errors import InvalidInput
from controlplane.webhooks.destinations import checked_url, permitted
from controlplane.webhooks.models import Delivery, Webhook
from tests.webhooks.sending import deliver, happen

FORBIDDEN = [
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.8.8.8",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "192.0.0.192",
    "192.168.1.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a00:1",
    "64:ff9b:1::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
]


@pytest.fixture
def no_loopback(settings):
    """As in production."""
    settings.WEBHOOK_LOOPBACK = False


@pytest.mark.parametrize("text", FORBIDDEN)
def test_an_address_that_is_not_public_is_forbidden(no_loopback, text):
    assert not permitted(ipaddress.ip_address(text))


@pytest.mark.parametrize(
    "text", ["93.184.215.14", "8.8.8.8", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_a_public_address_is_permitted(no_loopback, text):
    assert permitted(ipaddress.ip_address(text))
    assert not permitted(ipaddress.ip_address(text), local_only=True)


def test_an_operator_can_allow_networks(no_loopback, settings):
    settings.WEBHOOK_ALLOWED_NETWORKS = [ip_network("10.20.0.0/16"), ip_network("fd12::/48")]

    assert [permitted(ipaddress.ip_address(text)) for text in ("10.20.1.1", "::ffff:10.20.1.1", "fd12::1", "10.21.0.1", "fd13::1")] == [
        *(True, True, True),
        *(False, False),
    ]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks.example.com",
        "//hooks.example.com/",
        "ftp://hooks.example.com/",
        "file:///etc/passwd",
        "http://hooks.example.com/",
        "http://8.8.8.8/",
        "https://",
        "https:///path",
        "https://user:password@example.com/",
        "https://@example.com/",
        "https://example.com/#part",
        "https://example.com:0/",
        "https://example.com:65536/",
        "https://example.com:x/",
        "https://[::1/",
        "https://exa mple.com/",
        "https://example.com/\r\nHost: other",
        "https://bücher.example/",
        "https://example.com\\@10.0.0.1/",
        "https://10.0.0.1/",
        "https://[::ffff:10.0.0.1]/",
        "https://127.0.0.1/",
        "https://[fe80::1%25eth0]/",
        "https://example.com/" + "a" * 2000,
    ],
)
def test_an_address_that_cannot_be_right_is_refused_when_it_is_written(no_loopback, url):
    with pytest.raises(InvalidInput) as refusal:
        checked_url(url)
    assert refusal.value.fields is not None
    assert list(refusal.value.fields) == ["target_url"]


@pytest.mark.parametrize(
    "url", ["https://hooks.example.com/a?b=c", "https://example.com:8443", "https://8.8.8.8/", "https://[2606:4700::1111]/"]
)
def test_an_address_that_may_be_right_is_taken_as_it_is(no_loopback, url):
    assert checked_url(url) == url


@pytest.mark.parametrize("url", ["http://127.0.0.1:9000/", "http://localhost/", "http://[::1]:1/"])
def test_this_machine_is_taken_where_the_setting_says_so(url, settings):
    assert checked_url(url) == url
    settings.WEBHOOK_LOOPBACK = False
    with pytest.raises(InvalidInput):
        checked_url(url)


@pytest.mark.django_db
def test_what_a_name_leads_to_is_checked_at_each_connection(project, webhook, receiver, settings):
    """A name that was public when it was written down, and is not any more."""
    settings.WEBHOOK_LOOPBACK = False
    happen(project)

    assert deliver() == 0

    assert receiver.received == []
    assert "no public address" in Delivery.objects.get().last_error


@pytest.mark.django_db
def test_the_connection_goes_to_the_address_that_was_checked(project, listen, receiver, monkeypatch):
    """The name server gives another answer each time; only the first one counts, and the receiver hears the name."""
    asked: list[str] = []

    def rebinding(host: str, port: int, *_: object, **__: object) -> list[object]:
        if host != "localhost":
            address = host  # a number leads to itself
        else:
            address = "10.0.0.1" if asked else "127.0.0.1"
            asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    listen(receiver.url.replace("127.0.0.1", "localhost"))
    connected: list[str] = []
    connect = socket.create_connection

    def watched(address: tuple[str, int], *words: object, **options: object) -> socket.socket:
        connected.append(address[0])
        return connect(address, *words, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    monkeypatch.setattr(socket, "create_connection", watched)
    happen(project)

    assert deliver() == 1

    assert (asked, connected) == (["localhost"], ["127.0.0.1"])
    assert receiver.received[0].headers["host"] == f"localhost:{receiver.server_port}"


@pytest.mark.django_db
@pytest.mark.parametrize("found", [[], ["10.0.0.1", "169.254.169.254"]], ids=["nothing", "private addresses"])
def test_a_name_that_leads_nowhere_is_a_failed_attempt(project, listen, monkeypatch, found):
    listen("https://hooks.example.com/")
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(2, 1, 6, "", (text, 443)) for text in found])
    happen(project)

    assert deliver() == 0

    assert "no public address" in Delivery.objects.get().last_error


@pytest.mark.django_db
def test_a_name_server_that_does_not_answer_is_waited_for_only_so_long(project, listen, monkeypatch, short_waits):
    listen("https://hooks.example.com/")
    happen(project)
    over = threading.Event()

    def silent(*_: object, **__: object) -> list[object]:
        over.wait(20)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    assert deliver() == 0
    over.set()
    assert Delivery.objects.get().last_error == "No connection within 5 s."
    assert Webhook.objects.get().failures == 1
