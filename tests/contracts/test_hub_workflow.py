"""A workflow that only names its algorithm runs: the build takes the package from the private, then from the public HUB."""

from __future__ import annotations

import base64
import io
import json
import secrets
import urllib.request
import uuid
import zipfile

import pytest

from controlplane.projects.examples_catalogue import EXAMPLES
from tests.contracts.endpoint import EndpointCaller
from tests.contracts.person import Person
from tests.contracts.test_removed_member import token
from tests.pictures import COINS
from tests.stack import wait_until

pytestmark = [pytest.mark.stack, pytest.mark.timeout(150)]
NAME = "detect_objects"
PLATFORM = {"ikomia_min_version": "0.16.0", "python_min_version": "3.10", "python_max_version": "3.14.0"}
OFFER = {"provider": "AWS", "region": "FRANCE", "flavour": "SERVERLESS", "size": "S"}


def form(fields, **files):
    """A multipart body and its content type."""
    mark = uuid.uuid4().hex
    parts = [f'--{mark}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode() for name, value in fields.items()]
    for name, content in files.items():
        head = f'--{mark}\r\nContent-Disposition: form-data; name="{name}"; filename="{name}.zip"\r\nContent-Type: application/octet-stream\r\n\r\n'
        parts.append(head.encode() + content + b"\r\n")
    return b"".join([*parts, f"--{mark}--\r\n".encode()]), f"multipart/form-data; boundary={mark}"


def upload(person, url, fields, **files):
    """POST a form as this person."""
    body, content_type = form(fields, **files)
    request = urllib.request.Request(url, body, {"Authorization": f"Token {person.token}", "Content-Type": content_type}, method="POST")
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def zipped(files):
    """A zip of files by name."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def plugin():
    """The example's plugin, as a package has it: its files at the root."""
    folder = EXAMPLES / NAME / NAME
    return zipped({path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()})


def add_algorithm(person):
    """Add the plugin to the private HUB of a person."""
    namespace = person.one("/v1/namespaces/", name=person.username)
    algorithm = person.send("POST", namespace["url"] + "algos/", {"name": NAME, "algo_type": "INFER"})
    upload(person, algorithm["url"] + "packages/", PLATFORM, file=plugin())
    return algorithm


def run_named(person, project):
    """Push the example's workflow.json alone, deploy and run it; return the version and the results."""
    person.must("project", "add", person.username, project)
    target = person.one("/v1/projects/", name=project, namespace=person.username)
    document = (EXAMPLES / NAME / "workflow.json").read_bytes()
    workflow = upload(person, target["url"] + "workflows/", {}, archive=zipped({"workflow.json": document}))
    deployment = person.send("POST", workflow["url"] + "deployments/", OFFER)
    wait_until(lambda: person.get(deployment["url"])["status"] in ("RUNNING", "ERROR"), seconds=90, what="the deployment", pause=0.05)
    lines = [line["message"] for line in person.get(deployment["url"] + "logs/", limit="100")["logs"]]
    caller = EndpointCaller(deployment["endpoint"], token(person, deployment["endpoint"]))
    picture = base64.b64encode(COINS.read_bytes()).decode()
    ended = caller.run({"inputs": [{"image": picture}], "outputs": [{"task_name": NAME}], "parameters": []})
    return person.get(workflow["url"] + "versions/")["results"][0], lines, ended


def test_a_named_algorithm_of_the_private_hub_runs(stack, tmp_path):
    person = Person(stack.url, tmp_path, "noor")
    add_algorithm(person)
    version, lines, ended = run_named(person, "named")
    assert (version["plugins"], version["algorithms"]) == ([], [NAME])
    assert any(f"Algorithm {NAME}: private {person.username}/{NAME} v1" in line for line in lines)
    assert ended.status == 200, ended.body
    assert len(ended.body["results"]) > 0


def test_what_others_published_runs_too(stack, tmp_path, tmp_path_factory):
    publisher = Person(stack.url, tmp_path_factory.mktemp("publisher"), "publisher")
    algorithm = add_algorithm(publisher)
    stack.manage("allow_publishing", publisher.username)
    publisher.send("PUT", algorithm["url"] + "publish/", {"license": "MIT", "version": "1.0.0"})
    person = Person(stack.url, tmp_path, "noor")
    _, lines, ended = run_named(person, f"public-{secrets.token_hex(3)}")
    assert any(f"Algorithm {NAME}: public {NAME} 1.0.0" in line for line in lines)
    assert ended.status == 200, ended.body
