"""Slows down the guessing of passwords, on the sign-in page and with basic auth alike.

A try is counted before the password is looked at and given back when it was right, so that tries at the same time cannot pass a limit
together. Refused tries are not counted: whoever keeps trying waits no longer for it, and one address cannot use up what the name has left
for all others. Counters live in Valkey, end by themselves, and hold no names.
"""

from __future__ import annotations

import hashlib
import ipaddress
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple, cast

import redis
from allauth.core import ratelimit
from django.http import HttpRequest

from controlplane.accounts.models import User
from controlplane.accounts.selectors import user_by_login
from controlplane.common.errors import TooManyRequests, Unavailable
from controlplane.common.valkey import valkey

PREFIX = "sw:tries"
KNOWN_FOR = timedelta(days=30)


class Limit(NamedTuple):
    """At most `tries` wrong ones in `seconds`, from the first of them on."""

    tries: int
    seconds: int


NAME_AT_ADDRESS = Limit(5, 300)
ADDRESS = Limit(30, 300)
# From everywhere together. More than one address can use up (5 in 300 s is 65 in an hour at most), and not asked of an address from which the
# person has signed in before: guessing from many places shuts nobody out of where they are at home.
NAME = Limit(100, 3600)
# Wrong codes of a second factor with basic auth, from everywhere and from known addresses too: who gets as far has the password already, and a
# code is one of a million, three of which hold at a time. A new password does not forget these.
CODE = Limit(10, 3600)

# Counts one try on all keys, or on none when one is at its limit: then the answer is how many seconds that one still lasts.
TAKE = """
local wait = 0
for i, key in ipairs(KEYS) do
  if tonumber(redis.call('GET', key) or '0') >= tonumber(ARGV[2 * i - 1]) then wait = math.max(wait, redis.call('TTL', key), 1) end
end
if wait > 0 then return wait end
for i, key in ipairs(KEYS) do
  if redis.call('INCR', key) == 1 then redis.call('EXPIRE', key, ARGV[2 * i]) end
end
return 0
"""
# Takes one try back, where the counter has not ended meanwhile.
GIVE_BACK = """
for _, key in ipairs(KEYS) do
  if tonumber(redis.call('GET', key) or '0') > 0 then redis.call('DECR', key) end
end
return 0
"""


class TooManyTries(TooManyRequests):
    """Too many wrong passwords; `retry_after` is in seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("too_many_tries", self.told(duration(retry_after)))
        self.retry_after = retry_after

    def told(self, wait: str) -> str:
        """Return what to do."""
        return f"Too many wrong passwords. Wait {wait}, then try again; your password may be reset at any time."


class TooManyCodes(TooManyTries):
    """Too many wrong codes of a second factor; `retry_after` is in seconds."""

    def told(self, wait: str) -> str:
        """Return what to do."""
        return f"Too many wrong codes. Wait {wait}, then try again, or sign in with the browser and make a token there."


class TooManySignUps(TooManyRequests):
    """Too many new accounts from one address; `retry_after` is in seconds."""

    retry_after = 60

    def __init__(self) -> None:
        super().__init__(
            "too_many_sign_ups", f"There were too many sign-ups from your address. Wait {duration(self.retry_after)}, then try again."
        )


@dataclass(frozen=True)
class Try:
    """One look at a password. Call `was_right` when it was, and nothing else is asked for. The first of `keys` counts this person at this address."""

    person: str
    address: str
    keys: tuple[str, ...]

    def give_back(self) -> None:
        """Count this try no longer, and let all others count: the password was right, but that alone opens nothing."""
        with told_when_away():
            valkey().register_script(GIVE_BACK)(keys=list(self.keys))

    def was_right(self) -> None:
        """Give the try back, forget those at this address, and know the address from now on."""
        self.give_back()
        with told_when_away():
            valkey().delete(self.keys[0])
            valkey().set(known_key(self.person, self.address), 1, ex=KNOWN_FOR)


@dataclass(frozen=True)
class CodeTry:
    """One look at a code of a second factor. Call `was_right` when it was."""

    key: str

    def was_right(self) -> None:
        """Give the try back."""
        with told_when_away():
            valkey().register_script(GIVE_BACK)(keys=[self.key])


@contextmanager
def told_when_away() -> Iterator[None]:
    """Turn an absent Valkey into `Unavailable`: without counters nobody's password is looked at."""
    try:
        yield
    except redis.RedisError as error:
        raise Unavailable("sign_in_unavailable", "Sign-in does not work for the moment. Try again in a minute.") from error


def take(limits: Mapping[str, Limit]) -> int:
    """Count one try on each key, or on none when one is at its limit: returns the seconds to wait, 0 for a try that counts."""
    words = [word for limit in limits.values() for word in (limit.tries, limit.seconds)]
    return int(valkey().register_script(TAKE)(keys=list(limits), args=words))


def begin_try(*, login: str, address: str) -> Try:
    """Count a try for a user name or e-mail address. Raises `TooManyTries`, and `Unavailable` while Valkey is away."""
    person, network = person_key(login), network_of(address)
    with told_when_away():
        known, epoch = valkey().mget(known_key(person, network), epoch_key(person))
        counted = f"{person}:{cast(bytes, epoch or b'0').decode()}"
        limits = {f"{PREFIX}:p:{counted}:{network}": NAME_AT_ADDRESS, f"{PREFIX}:a:{network}": ADDRESS}
        if not known:
            limits[f"{PREFIX}:n:{counted}"] = NAME
        wait = take(limits)
    if wait:
        raise TooManyTries(wait)
    return Try(person=person, address=network, keys=tuple(limits))


def begin_code_try(user: User) -> CodeTry:
    """Count a code of somebody whose password was right. Raises `TooManyCodes`, and `Unavailable` while Valkey is away."""
    key = f"{PREFIX}:c:{user.pk}"
    with told_when_away():
        wait = take({key: CODE})
    if wait:
        raise TooManyCodes(wait)
    return CodeTry(key)


def know_address(user: User, address: str) -> None:
    """Know from now on that this person signs in from there: all that was asked for was right."""
    with told_when_away():
        valkey().set(known_key(str(user.pk), network_of(address)), 1, ex=KNOWN_FOR)


def count_sign_up(request: HttpRequest) -> None:
    """Count a sign-up from this address, together with those of the page, which has allauth's limit. Raises `TooManySignUps`."""
    with told_when_away():
        counted = ratelimit.consume(request, action="signup")
    if not counted:
        raise TooManySignUps


def forget_tries(user: User) -> None:
    """Forget wrong passwords for this person from anywhere: they have a new one."""
    with told_when_away():
        valkey().set(epoch_key(str(user.pk)), secrets.token_hex(4), ex=2 * max(NAME.seconds, NAME_AT_ADDRESS.seconds))


def person_key(login: str) -> str:
    """Return one key for all that a person may sign in with; for nobody's name a digest of it."""
    user = user_by_login(login)
    return str(user.pk) if user else hashlib.sha256(login.strip().casefold().encode()).hexdigest()[:32]


def epoch_key(person: str) -> str:
    """Return what holds a part of the names of a person's counters: with another one all begin at nought. It outlives them."""
    return f"{PREFIX}:e:{person}"


def known_key(person: str, network: str) -> str:
    """Return the mark that a person has signed in from an address."""
    return f"{PREFIX}:k:{person}:{network}"


def network_of(address: str) -> str:
    """Return what counts as one address: all of IPv4, the first 64 bits of IPv6, since a household has as many as it likes below that."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    return str(parsed) if parsed.version == 4 else str(ipaddress.ip_network(f"{parsed}/64", strict=False).network_address)


def duration(seconds: int) -> str:
    """Return seconds as people say them: "2 min 10 s"."""
    minutes, rest = divmod(seconds, 60)
    return " ".join(part for part in (f"{minutes} min" if minutes else "", f"{rest} s" if rest or not minutes else "") if part)
