"""The compose file, as far as it can be checked without a container engine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from cryptography.fernet import Fernet

from controlplane.embedded.applications import applications, initial_step
from controlplane.embedded.datadir import DataDir
from controlplane.embedded.options import REPOSITORY, Options
from storage.media import POLICY
from storage.uploads import PREFIX

SETTINGS_FILES = ["controlplane/settings.py", "gateway/settings.py", "deployments/providers/local/agent.py"]
REQUIRED = ["SECRET_KEY", "FIELD_KEY", "POSTGRES_PASSWORD", "VALKEY_PASSWORD", "S3_SECRET_KEY", "INSTALLATION_ID", "SLIPWAY_DOMAIN"]
OURS = {"prepare", "web", "gateway", "worker", "builder", "meter", "beat", "agent"}


def compose(folder: Path, **values: str) -> subprocess.CompletedProcess[str]:
    """`podman-compose config` with a stand-in for the engine, whose version it asks for."""
    engine = folder / "podman"
    engine.write_text("#!/bin/sh\necho podman version 5.4.0\n")
    engine.chmod(0o755)
    (folder / "empty.env").touch()
    environment = {"PATH": f"{folder}:{os.environ['PATH']}", "HOME": str(folder), **values}
    command = [str(Path(sys.executable).parent / "podman-compose"), "--env-file", str(folder / "empty.env"), "config"]
    return subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def services(tmp_path_factory):
    """The services, with every variable filled in."""
    done = compose(tmp_path_factory.mktemp("compose"), **{name: f"the-{name.lower()}" for name in REQUIRED})
    assert done.returncode == 0, done.stderr
    return yaml.safe_load(done.stdout)["services"]


@pytest.mark.parametrize("missing", REQUIRED)
def test_a_missing_secret_is_named_with_what_to_do(tmp_path, missing):
    done = compose(tmp_path, **{name: "x" for name in REQUIRED if name != missing})
    assert done.returncode != 0
    assert re.search(rf"{missing} .*make \.env with deploy/make-env\.sh", done.stderr)


def test_the_example_names_every_variable_and_no_secret():
    text = (REPOSITORY / "docker-compose.yml").read_text()
    given = dict(line.split("=", 1) for line in (REPOSITORY / ".env.example").read_text().splitlines() if line and line[0] != "#")
    assert set(re.findall(r"\$\{(\w+)", text)) == set(given)
    assert {name for name, value in given.items() if not value} == set(REQUIRED) - {"SLIPWAY_DOMAIN"}


def test_one_command_writes_the_variables_once(tmp_path):
    """It makes a new secret for each empty name, shows them to nobody else, and never replaces secrets that are in use."""
    made = []
    for name in ("first", "second"):
        file = tmp_path / name
        subprocess.run(
            ["sh", "deploy/make-env.sh", "slipway.example.org", file], cwd=REPOSITORY, capture_output=True, timeout=30, check=True
        )
        assert file.stat().st_mode & 0o777 == 0o600
        made.append(dict(line.split("=", 1) for line in file.read_text().splitlines() if line[0] != "#"))
    first, second = made
    assert set(first) >= set(REQUIRED)
    assert all(first.values())
    assert first["SLIPWAY_DOMAIN"] == "slipway.example.org"
    assert {name for name in first if first[name] != second[name]} == set(REQUIRED) - {"SLIPWAY_DOMAIN"}
    Fernet(first["FIELD_KEY"])
    before = file.read_bytes()
    again = subprocess.run(
        ["sh", "deploy/make-env.sh", "other.example.org", file], cwd=REPOSITORY, capture_output=True, timeout=30, check=False
    )
    assert again.returncode == 1
    assert b"it stays as it is" in again.stderr
    assert file.read_bytes() == before


def test_the_proxy_never_touches_the_trust_store_of_its_machine():
    assert "skip_install_trust" in (REPOSITORY / "deploy" / "Caddyfile").read_text()


def test_servers_and_runtimes_have_no_way_out(services):
    closed = {name for name, service in services.items() if "outside" not in service["networks"]}
    assert closed == {"prepare", "meter", "beat", "agent", "postgres", "valkey", "seaweedfs"}
    assert {name for name, service in services.items() if "inside" not in service["networks"]} == {"proxy", "mail"}


def test_every_process_of_the_embedded_stack_runs_here_by_the_same_words(services, tmp_path):
    data = DataDir(tmp_path)
    settings = {"AGENT_SOCKET": "x", "PUBLIC_URL": "x", "GATEWAY_URL": "x"}
    embedded = applications(
        Options(data_dir=tmp_path, port=1, gateway_port=2), data=data, settings=settings, environment={"WEB_WORKERS": "2"}
    )
    image = " ".join(re.findall(r'"([^"]+)"', (REPOSITORY / "deploy" / "Dockerfile").read_text()))
    for program in [initial_step({}), *embedded]:
        words = [str(word) for word in program.command[1:]]
        here = " ".join(map(str, services[program.name].get("command", []))) or image
        places = {str(data.run / "celerybeat-schedule"): "/var/lib/slipway/celerybeat-schedule", "127.0.0.1": "0.0.0.0", "1": "8000"}
        assert " ".join(["python", *(places.get(word, word) for word in words)]) in here, program.name


def test_every_setting_that_is_given_is_one_that_the_code_reads(services):
    code = "".join((REPOSITORY / name).read_text() for name in SETTINGS_FILES)
    for name in OURS:
        for variable in services[name]["environment"]:
            assert f'"{variable}"' in code, f"{name}: {variable}"


def test_how_bundles_are_built_is_given_to_those_who_build_them(tmp_path, services):
    """Without the index of the house, or its registry, a closed network builds nothing."""
    given = {
        "PACKAGE_INDEX_URL": "https://index.example.com/simple",
        "PACKAGE_FOLDER": "https://index.example.com/wheels/",
        "REGISTRY_URL": "https://me:hush@registry.example.com",
        "BUILD_TIMEOUT": "1800",
        "BUILD_CACHE_BYTES": "1000",
    }
    done = compose(tmp_path, **dict.fromkeys(REQUIRED, "x"), **given)
    changed = yaml.safe_load(done.stdout)["services"]
    for name in ("worker", "builder"):
        assert {variable: str(changed[name]["environment"][variable]) for variable in given} == given
    for name in OURS - {"worker", "builder"}:
        assert "hush" not in str(changed[name]), name
    usual = services["builder"]["environment"]
    assert {name: str(usual[name]) for name in given} == {
        "PACKAGE_INDEX_URL": "public",
        "PACKAGE_FOLDER": "none",
        "REGISTRY_URL": "none",
        "BUILD_TIMEOUT": "900",
        "BUILD_CACHE_BYTES": str(5 * 1024**3),
    }


def test_keys_of_payments_are_given_to_those_alone_who_ask_or_hear(tmp_path):
    done = compose(tmp_path, **dict.fromkeys(REQUIRED, "x"), STRIPE_SECRET_KEY="sk_hush", STRIPE_WEBHOOK_SECRET="whsec_hush")
    changed = yaml.safe_load(done.stdout)["services"]
    assert {name for name, service in changed.items() if "hush" in str(service)} == {"web", "worker"}


def test_an_agent_keeps_as_much_as_is_said(tmp_path):
    done = compose(tmp_path, **dict.fromkeys(REQUIRED, "x"), AGENT_BUNDLE_BYTES="1000")
    assert str(yaml.safe_load(done.stdout)["services"]["agent"]["environment"]["AGENT_BUNDLE_BYTES"]) == "1000"


def test_only_the_proxy_is_open_to_others(services):
    published = {name: service["ports"] for name, service in services.items() if service.get("ports")}
    assert published.pop("proxy") == ["443:443"]
    assert all(str(port).startswith("127.0.0.1:") for ports in published.values() for port in ports)


def test_our_processes_have_no_rights_to_lose_and_wait_for_the_tables(services):
    for name in OURS:
        assert services[name]["cap_drop"] == ["ALL"], name
    for name in OURS - {"prepare"}:
        assert services[name]["depends_on"]["prepare"]["condition"] == "service_completed_successfully", name
    assert services["agent"]["environment"].keys().isdisjoint({"SECRET_KEY", "FIELD_KEY", "DATABASE_URL", "REDIS_URL"})
    assert services["agent"]["environment"]["AGENT_SANDBOX"] == "bubblewrap"


def test_every_server_says_when_it_is_ready(services):
    assert all("healthcheck" in services[name] for name in ("postgres", "valkey", "seaweedfs", "web", "gateway"))


def test_the_images_are_made_of_what_is_there_and_do_not_run_as_root():
    text = (REPOSITORY / "deploy" / "Dockerfile").read_text()
    sources = [word for line in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE) for word in line.split()]
    assert sources
    allowed = {line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for source in sources:
        assert (REPOSITORY / source).exists(), source
        assert source in allowed, source
    assert re.findall(r"^USER (\S+)$", text, re.MULTILINE)[-1] == "10001:10001"
    assert "--require-hashes --no-deps" in text


def test_the_proxy_sends_to_services_that_exist(services):
    text = (REPOSITORY / "deploy" / "Caddyfile").read_text()
    upstreams = re.findall(r"reverse_proxy (\w+):(\d+)", text)
    assert set(upstreams) == {("web", "8000"), ("gateway", "8100"), ("seaweedfs", "8333")}
    for name, _ in upstreams:
        assert set(services["proxy"]["networks"]) & set(services[name]["networks"]), name
    assert "*.endpoints.{$SLIPWAY_DOMAIN}" in text
    assert services["web"]["environment"]["ENDPOINT_URL_TEMPLATE"] == "https://{slug}.endpoints.the-slipway_domain"
    assert set(re.findall(r"\{\$(\w+)", text)) == set(services["proxy"]["environment"])


def test_signed_addresses_name_what_the_proxy_sends_to_the_object_store(services):
    """Of the store, clients get at the objects of projects alone; the proxy says `nosniff` where the store does not."""
    environment = services["web"]["environment"]
    assert environment["S3_PUBLIC_URL"] == services["worker"]["environment"]["S3_PUBLIC_URL"] == "https://storage.the-slipway_domain"
    text = (REPOSITORY / "deploy" / "Caddyfile").read_text()
    site = re.search(r"^storage\.\{\$SLIPWAY_DOMAIN\} \{\n(.*?)^\}", text, re.MULTILINE | re.DOTALL)
    assert site
    bucket = environment["S3_BUCKET"]
    assert re.findall(r"^\t\tpath (.+)$", site[1], re.MULTILINE) == [f"/{bucket}/{PREFIX}*", f"/{bucket}"]
    assert "X-Content-Type-Options nosniff" in site[1]
    assert POLICY in site[1]
    assert "query domain=storage.{$SLIPWAY_DOMAIN}" in text


def test_files_that_are_stored_through_the_service_have_no_limit_at_the_proxy():
    text = (REPOSITORY / "deploy" / "Caddyfile").read_text()
    assert re.findall(r"@limited not path (\S+)", text) == ["/v1/objects/*"]
    assert re.findall(r"request_body (\S+)", text) == ["@limited"]
