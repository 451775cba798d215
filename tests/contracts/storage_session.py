"""The unmodified storage clients as a server of calls, run by their own interpreter: `storage_session.py CONFIGURATION`.

Each line of the input is a JSON list of calls that are made together, each line printed what they gave. The configuration names the project or
the endpoint, whether the client is the asynchronous one, and perhaps a ready token.
"""

import asyncio
import base64
import datetime
import hashlib
import json
import sys
from pathlib import Path

from ikclient.core.client import AsyncClient, Client
from ikclient.core.io import BaseTaskIO
from ikclient.core.results import Results
from ikclient.http.session import httpx
from ikclient.storage.client import AsyncStorageClient, StorageClient

SHOWN_BYTES = 100_000


def bearing(token):
    """Sign requests with a token that somebody already has."""

    def sign(request):
        request.headers["Authorization"] = f"Bearer {token}"
        return request

    return sign


class Caller:
    """Makes calls of one client; those of the blocking one in threads."""

    def __init__(self, is_async, project=None, endpoint=None, bearer=None):
        self.is_async = is_async
        self.client = (AsyncClient if is_async else Client)(endpoint) if endpoint else None
        if self.client:
            self.storage = self.client.storage
        else:
            self.storage = (AsyncStorageClient if is_async else StorageClient)(
                project_url=project, _auth=bearing(bearer) if bearer else None
            )

    async def call(self, name, *args, **kwargs):
        if name in ("read", "run_saved"):
            return await getattr(self, name)(*args, **kwargs)
        return await self.plain(getattr(self.storage if hasattr(self.storage, name) else self.client, name), *args, **kwargs)

    async def plain(self, function, *args, **kwargs):
        return await (function(*args, **kwargs) if self.is_async else asyncio.to_thread(function, *args, **kwargs))

    async def read(self, obj, stream=False):
        if self.is_async:
            async with self.storage.read(obj, stream=stream) as response:
                return look(response, [chunk async for chunk in response.aiter_bytes()] if stream else [response.content])
        with self.storage.read(obj, stream=stream) as response:
            return look(response, list(response.iter_bytes()) if stream else [response.content])

    async def run_saved(self, task, *inputs, parameters=None):
        """Run with the task's outputs saved in the storage."""
        assert self.client
        context = await self.plain(self.client.build_context)
        context.add_output(task, save_temporary=True)
        if parameters:
            context.set_parameters(task, parameters)
        return await self.plain(self.client.run_on, context, *inputs)


def look(response, chunks):
    """Describe a download."""
    content = b"".join(chunks)
    told = {"status": response.status_code, "content_type": response.headers["Content-Type"], "chunks": len(chunks)}
    shown = base64.b64encode(content).decode() if len(content) <= SHOWN_BYTES else None
    return {**told, "size": len(content), "sha256": hashlib.sha256(content).hexdigest(), "content": shown}


def decoded(value):
    """Undo what JSON cannot hold."""
    if isinstance(value, list):
        return [decoded(item) for item in value]
    if not isinstance(value, dict):
        return value
    match list(value.items()):
        case [("$bytes", text)]:
            return base64.b64decode(text)
        case [("$file", path)]:
            return Path(path).read_bytes()
        case [("$seconds", number)]:
            return datetime.timedelta(seconds=number)
    return {key: decoded(item) for key, item in value.items()}


def encoded(value):
    """Make JSON of what a call gave."""
    if isinstance(value, BaseTaskIO):
        return value.raw
    return [output.raw for output in value] if isinstance(value, Results) else value


async def attempt(caller, call):
    """Make one call; tell what it gave or raised."""
    try:
        return {"gave": encoded(await caller.call(call["name"], *decoded(call["args"]), **decoded(call["kwargs"])))}
    except Exception as error:
        status = error.response.status_code if isinstance(error, httpx.HTTPStatusError) else None
        return {"raised": type(error).__name__, "message": str(error), "status": status}


async def main(configuration):
    """Serve until the input ends."""
    caller = Caller(**json.loads(configuration))
    while line := await asyncio.to_thread(sys.stdin.readline):
        found = await asyncio.gather(*(attempt(caller, call) for call in json.loads(line)))
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
