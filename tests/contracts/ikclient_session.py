"""Scenarios with the unmodified client library, run by its own interpreter: `ikclient_session.py SCENARIO ARGUMENTS`.

The arguments are a JSON object. The last line printed is a JSON value that a test asserts on. A scenario whose name begins with `async_`
does with the asynchronous client what its namesake does with the blocking one.
"""

import asyncio
import inspect
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from ikclient.core.client import AsyncClient, Client
from ikclient.core.io import ImageIO
from ikclient.exceptions import IkClientBaseException
from ikclient.http.exceptions import WorkflowFailedException
from ikclient.http.session import httpx


def look(result):
    """Describe one output."""
    if not isinstance(result, ImageIO):
        return {"key": result.key, "data": result.data}
    pixels = result.to_numpy().astype(float)
    roughness = float(np.abs(np.diff(pixels, axis=0)).mean())
    return {"key": "image", "format": result.format, "size": list(result.to_pil().size), "roughness": roughness}


def looks(results):
    """Describe all outputs of a run."""
    return [look(result) for result in results]


class Progress:
    """Remembers what `on_progress` is told."""

    def __init__(self):
        self.calls = []

    def __call__(self, **told):
        assert {"run_id", "name", "uuid", "state", "eta"} <= set(told)
        self.calls.append(told)

    def summary(self):
        """States in order, the runs and names they are of, whether the last call brought results."""
        return {
            "states": [call["state"] for call in self.calls],
            "uuids": sorted({call["uuid"] for call in self.calls if call["uuid"]}),
            "names": sorted({call["name"] for call in self.calls}),
            "etas": [list(call["eta"]) for call in self.calls],
            "results": self.calls[-1].get("results") is not None,
        }


def run(endpoint, picture):
    with Client(endpoint) as client:
        return looks(client.run(picture))


def run_parameters(endpoint, picture, task, parameters):
    with Client(endpoint) as client:
        return [look(client.run_task(task, picture).get_output()), look(client.run_task(task, picture, parameters=parameters).get_output())]


def run_context(endpoint, picture, outputs, parameters):
    with Client(endpoint) as client:
        context = client.build_context()
        for task, values in parameters.items():
            context.set_parameters(task, values)
        for task, index in outputs:
            context.add_output(task, index=index)
        return looks(client.run_on(context, picture))


def progress(endpoint, picture):
    heard = Progress()
    with Client(endpoint) as client:
        results = client.run(picture, on_progress=heard)
    return {**heard.summary(), "uuid": results.uuid}


def chain(first, second, picture):
    with Client(first) as one, Client(second) as two:
        between = one.run(picture)
        return {"between": looks(between), "after": looks(two.run(between))}


def failure(endpoint, picture):
    heard = Progress()
    with Client(endpoint) as client:
        try:
            client.run(picture, on_progress=heard)
        except WorkflowFailedException as error:
            return {"message": str(error), "status": error.response.status_code, "last": heard.calls[-1]["state"]}


def refused(endpoint, body):
    with Client(endpoint) as client:
        try:
            client.session.put("/api/run", params={"advice": True}, json=body)
        except httpx.HTTPStatusError as error:
            return {"status": error.response.status_code, "body": error.response.json()}


def locked_out(endpoint, wrong_token):
    try:
        with Client(endpoint, token=wrong_token) as client:
            client.get_workflow()
    except httpx.HTTPStatusError as error:
        return {"status": error.response.status_code, "url": str(error.request.url)}


def misuse(endpoint, task, parameters):
    with Client(endpoint) as client:
        try:
            client.build_context().set_parameters(task, parameters)
        except IkClientBaseException as error:
            return {"message": str(error)}


def save_picture(endpoint, picture, path):
    with Client(endpoint) as client:
        client.run(picture).get_output().to_pil().save(path)
    return path


def keep_calling(endpoint, picture, threads, journal, stop):
    """Call until the file `stop` is there; each call that ended is a line of the file `journal`."""

    def call(lines):
        with Client(endpoint) as client:
            while not os.path.exists(stop):
                began = time.time()
                try:
                    ended = {"looks": looks(client.run(picture))}
                except Exception as error:
                    answer = getattr(error, "response", None)
                    ended = {"failure": repr(error), "answer": answer.text if answer is not None else None}
                lines.write(json.dumps({"began": began, "ended": time.time(), **ended}) + "\n")

    with open(journal, "a", buffering=1) as lines, ThreadPoolExecutor(threads) as pool:
        for calling in [pool.submit(call, lines) for _ in range(threads)]:
            calling.result()


async def async_run(endpoint, picture):
    async with AsyncClient(endpoint) as client:
        return looks(await client.run(picture))


async def async_run_parameters(endpoint, picture, task, parameters):
    async with AsyncClient(endpoint) as client:
        plain = await client.run_task(task, picture)
        changed = await client.run_task(task, picture, parameters=parameters)
        return [look(plain.get_output()), look(changed.get_output())]


async def async_run_context(endpoint, picture, outputs, parameters):
    async with AsyncClient(endpoint) as client:
        context = await client.build_context()
        for task, values in parameters.items():
            context.set_parameters(task, values)
        for task, index in outputs:
            context.add_output(task, index=index)
        return looks(await client.run_on(context, picture))


async def async_progress(endpoint, picture):
    heard = Progress()
    async with AsyncClient(endpoint) as client:
        results = await client.run(picture, on_progress=heard)
    return {**heard.summary(), "uuid": results.uuid}


async def async_chain(first, second, picture):
    async with AsyncClient(first) as one, AsyncClient(second) as two:
        between = await one.run(picture)
        return {"between": looks(between), "after": looks(await two.run(between))}


async def async_failure(endpoint, picture):
    heard = Progress()
    async with AsyncClient(endpoint) as client:
        try:
            await client.run(picture, on_progress=heard)
        except WorkflowFailedException as error:
            return {"message": str(error), "status": error.response.status_code, "last": heard.calls[-1]["state"]}


async def async_refused(endpoint, body):
    async with AsyncClient(endpoint) as client:
        try:
            await client.session.put("/api/run", params={"advice": True}, json=body)
        except httpx.HTTPStatusError as error:
            await error.response.aread()
            return {"status": error.response.status_code, "body": error.response.json()}


async def async_side_by_side(endpoint, picture, count):
    async with AsyncClient(endpoint) as client:
        client.session.set_concurrent_call(count)
        results = await asyncio.gather(*[client.run(picture) for _ in range(count)])
    return {"uuids": sorted({result.uuid for result in results}), "looks": [look(result.get_output()) for result in results]}


def main(scenario, arguments):
    """Run a scenario and print what it found."""
    found = globals()[scenario](**json.loads(arguments))
    print(json.dumps(asyncio.run(found) if inspect.iscoroutine(found) else found))


if __name__ == "__main__":
    main(*sys.argv[1:])
