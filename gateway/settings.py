"""What the gateway reads from its environment; docs/gateway.md lists every name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

Number = TypeVar("Number", int, float)

KILOBYTE = 1024
MEGABYTE = 1024 * KILOBYTE


@dataclass(frozen=True)
class Settings:
    """Addresses, limits (bytes) and times (seconds unless the name says milliseconds)."""

    redis_url: str
    public_url: str = "http://127.0.0.1:8000"
    endpoint_template: str = "http://127.0.0.1:8100/{slug}"
    docs_url: str = "http://127.0.0.1:8000/docs/"
    jwks_url: str = ""
    standalone: bool = False
    host: str = "127.0.0.1"
    port: int = 8100
    access_log: bool = True
    max_body: int = 64 * MEGABYTE
    max_reply: int = 128 * MEGABYTE
    payload_memory: int = 512 * MEGABYTE
    result_memory: int = 128 * MEGABYTE
    waiting_memory: int = 256 * MEGABYTE
    inline_payload: int = 32 * KILOBYTE
    valkey_payload: int = 1 * MEGABYTE
    inline_result: int = 32 * KILOBYTE
    long_poll: float = 20.0
    receipt_wait: float = 2.0
    resend_wait: float = 10.0
    runtime_deadline: float = 30.0
    cold_start_wait: float = 300.0
    run_timeout: float = 3600.0
    result_ttl: float = 3600.0
    record_ttl: float = 86400.0
    heartbeat_ttl: float = 3.0
    sweep_interval: float = 0.5
    reassert_window: float = 4.0
    settle_time: float = 5.0
    store_wait: float = 15.0
    drain_time: float = 15.0
    keep_alive: int = 75

    @property
    def run_id_past(self) -> float:
        """How old an id may be that a caller chose for a new run. Its record lives for `result_ttl` from the end of the run: while an id can
        begin one, the run that it has begun is known, so it begins no other (which would never be charged: usage is kept by run id)."""
        return self.result_ttl / 2

    @property
    def run_id_ahead(self) -> float:
        """How far the time of a chosen id may lie ahead of this clock. A quarter of `result_ttl` is left between clocks of gateways."""
        return self.result_ttl / 4

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Read the settings; a bad number raises `ValueError` that names the variable."""
        public = environment.get("PUBLIC_URL", cls.public_url).rstrip("/")
        gateway = environment.get("GATEWAY_URL", "http://127.0.0.1:8100").rstrip("/")
        return cls(
            redis_url=environment.get("REDIS_URL", "redis://127.0.0.1:6379/0"),
            public_url=public,
            endpoint_template=environment.get("ENDPOINT_URL_TEMPLATE", gateway + "/{slug}"),
            docs_url=public + "/docs/",
            jwks_url=environment.get("GATEWAY_JWKS_URL", ""),
            standalone=environment.get("GATEWAY_STANDALONE", "").lower() in {"1", "true", "yes"},
            host=environment.get("GATEWAY_HOST", cls.host),
            port=_number(environment, "GATEWAY_PORT", cls.port),
            access_log=environment.get("GATEWAY_ACCESS_LOG", "1").lower() not in {"0", "false", "no"},
            max_body=_number(environment, "GATEWAY_MAX_BODY", cls.max_body),
            max_reply=_number(environment, "GATEWAY_MAX_REPLY", cls.max_reply),
            payload_memory=_number(environment, "GATEWAY_PAYLOAD_MEMORY", cls.payload_memory),
            result_memory=_number(environment, "GATEWAY_RESULT_MEMORY", cls.result_memory),
            waiting_memory=_number(environment, "GATEWAY_WAITING_MEMORY", cls.waiting_memory),
            long_poll=_number(environment, "GATEWAY_LONG_POLL", cls.long_poll),
            resend_wait=_number(environment, "GATEWAY_RESEND_WAIT", cls.resend_wait),
            runtime_deadline=_number(environment, "GATEWAY_RUNTIME_DEADLINE", cls.runtime_deadline),
            cold_start_wait=_number(environment, "GATEWAY_COLD_START_WAIT", cls.cold_start_wait),
            run_timeout=_number(environment, "GATEWAY_RUN_TIMEOUT", cls.run_timeout),
            drain_time=_number(environment, "GATEWAY_DRAIN_TIME", cls.drain_time),
        )


def _number(environment: Mapping[str, str], name: str, default: Number) -> Number:
    text = environment.get(name)
    if not text:
        return default
    try:
        return type(default)(text)
    except ValueError as error:
        raise ValueError(f"{name} must be a number, not {text!r}.") from error
