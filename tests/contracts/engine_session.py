"""Runs in the client's environment with the engine: installs an algorithm from the HUB of a service and runs it on a picture.

Arguments: address of the service, name of the algorithm, path of a picture. With IKOMIA_TOKEN it asks the private HUB, without the public one.
Prints the algorithms offered and the detections as the last line, JSON.
"""

import json
import sys

from ikomia.core import config
from ikomia.core.auth import ik_api_session
from ikomia.dataprocess.registry import ik_registry
from ikomia.dataprocess.workflow import Workflow

service, name, picture = sys.argv[1:]
config.main_cfg["hub"]["url"] = service
private = ik_api_session.token is not None
if private:
    ik_api_session.authenticate()
rows = ik_registry.get_private_hub_algorithms() if private else ik_registry.get_public_hub_algorithms()
workflow = Workflow()
task = workflow.add_task(task=ik_registry.create_algorithm(name, public_hub=not private, private_hub=private), auto_connect=True)
workflow.run_on(path=picture)
found = json.loads(task.get_output(1).to_json())
print("\n" + json.dumps({"offered": [row["name"] for row in rows], "found": found}))
