"""The ASGI application: finds the endpoint, checks the caller, lets the protocol answer, and turns every refusal into the envelope."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time

import msgspec

from gateway.access_log import AccessLog
from gateway.auth import Tokens
from gateway.database import Database
from gateway.endpoints import Endpoints
from gateway.errors import MethodNotAllowed, NotFound, SlipwayError, StoreUnavailable, Unavailable, envelope, error_headers
from gateway.http import JSON, Answer, Header, Receive, Request, Scope, Send
from gateway.keys import Keys
from gateway.objects import Objects
from gateway.protocols.ikomia import Ikomia
from gateway.revocations import Revocations
from gateway.routes import CHANNEL, Route, RouteTable
from gateway.runs import Runs
from gateway.settings import Settings
from gateway.store import RunStore
from gateway.sweep import Sweep
from gateway.valkey import ReplyError, Subscriber

logger = logging.getLogger("gateway")

# Either lets the runtime ask project storage with the caller's token; storage itself tells reading from writing.
STORAGE_SCOPES = frozenset({"storage", "storage:read"})
REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
CORS: list[Header] = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"X-Request-Id, Retry-After"),
]
PREFLIGHT: list[Header] = [
    (b"access-control-allow-methods", b"GET, PUT, POST, OPTIONS"),
    (b"access-control-allow-headers", b"Authorization, Content-Type, X-Run-Id, X-Request-Id"),
    (b"access-control-max-age", b"86400"),
]


class Application:
    """The gateway of one process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.database = Database(enabled=not settings.standalone)
        self.objects = Objects(enabled=not settings.standalone)
        self.endpoints = Endpoints(settings.endpoint_template)
        self.log = AccessLog(enabled=settings.access_log)

    async def start(self) -> None:
        """Connect everything."""
        settings = self.settings
        self._loop = asyncio.get_running_loop()
        self.runs = Runs(settings, self.objects)
        self.store = RunStore(settings, self.runs.gateway, self._store_is_ready)
        self.routes = RouteTable(self.store.valkey, self.database)
        self.runs.attach(self.store, self.routes)
        self.keys = Keys(self.database, settings.jwks_url)
        self.tokens = Tokens(self.keys, settings.public_url)
        self.revocations = Revocations(settings, self.store.valkey)
        self.protocol = Ikomia(self.runs)
        channels = (CHANNEL, f"sw:wake:{self.runs.gateway}")
        self.subscriber = Subscriber(settings.redis_url, channels, on_message=self._receive_message, on_ready=self._subscribed)
        self.sweep = Sweep(settings, self.runs, self.routes, self.keys, self.subscriber)
        self.store.valkey.start()
        self.subscriber.start()
        self.sweep.start()
        self.revocations.start()
        self.runs.demand.start()
        await self.database.warm_up()

    def drain(self) -> None:
        """A signal asked this process to end: answer all who wait (callable from a signal handler)."""
        if hasattr(self, "runs"):
            self._loop.call_soon_threadsafe(self.runs.drain)

    async def stop(self) -> None:
        """Let runs in flight end for a while, then leave the rest to other gateways."""
        await self.runs.wait_until_idle(self.settings.drain_time)
        await self.runs.finish_background()
        await self.sweep.stop()
        await self.revocations.stop()
        await self.runs.demand.stop()
        self.runs.leave_all()
        if self.store.valkey.connected:
            try:
                await self.store.leave()
            except (SlipwayError, ReplyError):
                logger.warning("Could not say good-bye to Valkey")
        await self.subscriber.stop()
        await self.store.valkey.stop()
        self.runs.runtimes.close()
        self.objects.close()
        self.database.close()
        self.log.flush()

    async def _store_is_ready(self) -> None:
        self.runs.in_background(self.revocations.read())
        try:
            await self.sweep.store_is_ready()
        except (SlipwayError, ReplyError) as error:
            logger.warning("Could not write live runs again: %s", error)
        except Exception:
            logger.exception("Could not write live runs again")

    def _receive_message(self, channel: str, content: bytes) -> None:
        if channel == CHANNEL:
            self.routes.forget(content.decode("utf-8", "replace"))
        else:
            self.runs.wake(content.decode())

    def _subscribed(self) -> None:
        self.routes.forget_all()
        self.runs.wake_all()

    # ASGI

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or follow the life of the process."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self.start()
                await send({"type": "lifespan.startup.complete"})
            else:
                await self.stop()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        begin = time.perf_counter()
        request = Request(scope["method"], scope["path"], scope, receive, "")
        sent_id = request.header(b"x-request-id")
        request_id = sent_id if sent_id and REQUEST_ID.fullmatch(sent_id) else os.urandom(12).hex().encode()
        request.request_id = request_id.decode()
        answer = await self._answer(request)
        written = False
        try:
            headers = [*answer.headers, (b"content-length", b"%d" % len(answer.body)), (b"x-request-id", request_id), *CORS]
            await send({"type": "http.response.start", "status": answer.status, "headers": headers})
            await send({"type": "http.response.body", "body": answer.body})
            written = True
        finally:
            if answer.after is not None:
                answer.after(written)
            self.log.add(request.method, scope["path"], answer.status, time.perf_counter() - begin, len(answer.body), request.request_id)

    async def _answer(self, request: Request) -> Answer:
        try:
            return await self._dispatch(request)
        except SlipwayError as error:
            refused = error
        except ReplyError as error:
            logger.error("Valkey refused a command: %s", error)  # noqa: TRY400 - the caller's stack says nothing here
            refused = StoreUnavailable()
        except Exception:
            logger.exception("Request %s failed", request.request_id)
            refused = SlipwayError("internal_error", "Something went wrong in the gateway. Tell the operator the request id.")
        headers = [JSON, *error_headers(refused)]
        if refused.code == "body_too_large" and not self._can_be_read_away(request):
            headers.append((b"connection", b"close"))
        return Answer(refused.status, envelope(refused, request.request_id), headers)

    def _can_be_read_away(self, request: Request) -> bool:
        """Closing while the caller still sends would cost it the answer: a body of a known and bearable size is read and dropped."""
        announced = request.header(b"content-length") or b""
        return announced.isdigit() and int(announced) <= 8 * self.settings.max_body

    async def _dispatch(self, request: Request) -> Answer:
        if request.method == "OPTIONS":
            return Answer(204, b"", list(PREFLIGHT))
        found = self.endpoints.split(request.header(b"host") or b"", request.path)
        if found is None or request.path == "/healthz":
            return await self._own_page(request)
        slug, request.path = found
        if request.path == "/":
            return await self._endpoint_page(request, slug)
        caller, token = await self.tokens.check(request.header(b"authorization"))
        await self.revocations.check(caller)
        route = await self._route(slug)
        caller.check_may_run(route.project)
        with_storage = not STORAGE_SCOPES.isdisjoint(caller.scopes)
        answer = await self.protocol.answer(request, route, token if with_storage else "")
        if answer.after is None:
            # A long poll may have waited past the moment at which its caller lost access. (What was accepted must be answered: it runs.)
            await self.revocations.check(caller)
        return answer

    async def _route(self, slug: str) -> Route:
        route = await self.routes.get(slug)
        if route is None:
            raise NotFound(
                "endpoint_unknown", "There is no deployment at this address. It may have been deleted: ask for its endpoint again."
            )
        return route

    async def _own_page(self, request: Request) -> Answer:
        if request.path != "/healthz":
            raise NotFound("path_unknown", f"Endpoints are at {self.endpoints.url('<slug>')}.")
        if request.method != "GET":
            raise MethodNotAllowed("GET, OPTIONS")
        if self.runs.draining or not self.store.valkey.connected:
            raise Unavailable("not_ready", "This gateway is ending." if self.runs.draining else "Valkey does not answer.")
        return Answer(200, b'{"status":"ready"}')

    async def _endpoint_page(self, request: Request, slug: str) -> Answer:
        if request.method != "GET":
            raise MethodNotAllowed("GET, OPTIONS")
        route = await self._route(slug)
        url = self.endpoints.url(slug)
        page = {
            "endpoint": url,
            "tag": route.tag,
            "status": route.status,
            "docs": self.settings.docs_url,
            "token": f"GET {self.settings.public_url}/v1/projects/jwt/?endpoint={url}",
            "calls": [f"GET {url}/workflow", f"PUT {url}/api/run?advice=true", f"GET {url}/api/results/{{uuid}}?advice=true&long=true"],
        }
        return Answer(200, msgspec.json.encode(page))
