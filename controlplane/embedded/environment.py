"""The environment of our processes: generated addresses and secrets, with whatever the person has set taking precedence."""

from collections.abc import Mapping

from controlplane.embedded.datadir import DataDir
from controlplane.embedded.options import Options

# A server whose address is given is not started.
ADDRESS_OF = {"postgres": "DATABASE_URL", "valkey": "REDIS_URL", "seaweedfs": "S3_ENDPOINT_URL"}
BUCKET = "slipway"
ROLE = "slipway"
DATABASE = "slipway"


def replaced_servers(environment: Mapping[str, str]) -> dict[str, str]:
    """Name of each server that is not ours to start, with the address that stands for it."""
    return {name: environment[variable] for name, variable in ADDRESS_OF.items() if environment.get(variable)}


def settings_environment(
    options: Options, *, data: DataDir, ports: Mapping[str, int], secrets: Mapping[str, str], given: Mapping[str, str]
) -> dict[str, str]:
    """Our settings as environment variables. What is in `given` wins; keys are generated only for servers that we start."""
    public, gateway = f"http://127.0.0.1:{options.port}", f"http://127.0.0.1:{options.gateway_port}"
    settings = {
        "SECRET_KEY": secrets["SECRET_KEY"],
        "FIELD_KEY": secrets["FIELD_KEY"],
        "INSTALLATION_ID": secrets["INSTALLATION_ID"],
        "DATABASE_URL": f"postgres://{ROLE}:{secrets['database_password']}@127.0.0.1:{ports['postgres']}/{DATABASE}",
        "REDIS_URL": f"redis://:{secrets['valkey_password']}@127.0.0.1:{ports['valkey']}/0",
        "S3_ENDPOINT_URL": f"http://127.0.0.1:{ports['s3']}",
        "S3_BUCKET": BUCKET,
        "PUBLIC_URL": public,
        "GATEWAY_URL": gateway,
        "ENDPOINT_URL_TEMPLATE": gateway + "/{slug}",
        "AGENT_SOCKET": str(data.agent / "agent.sock"),
        "WEBHOOK_LOOPBACK": "true",
    }
    if "seaweedfs" not in replaced_servers(given):
        settings |= {"S3_ACCESS_KEY": secrets["S3_ACCESS_KEY"], "S3_SECRET_KEY": secrets["S3_SECRET_KEY"]}
    settings |= {name: given[name] for name in (*settings, "S3_ACCESS_KEY", "S3_SECRET_KEY") if given.get(name)}
    # These follow from the flags, whatever the environment said.
    settings |= {"DATA_DIR": str(data.root), "PORT": str(options.port)}
    settings |= {"GATEWAY_HOST": "127.0.0.1", "GATEWAY_PORT": str(options.gateway_port)}
    return settings
