"""litserve with a predict that does nothing, the server to compare with. Runs in .venvs/bench: `python bench/litserve_no_op.py PORT`."""

from __future__ import annotations

import sys
from typing import Any

import litserve


class NoOp(litserve.LitAPI):  # type: ignore[misc]
    """Takes JSON, gives JSON, does nothing in between."""

    def setup(self, device: str) -> None:
        """There is no model."""

    def predict(self, x: Any) -> Any:
        """Return an empty result."""
        return {"results": []}


if __name__ == "__main__":
    server = litserve.LitServer(NoOp(), accelerator="cpu", workers_per_device=1, fast_queue="--fast" in sys.argv)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), num_api_servers=1, generate_client_file=False, log_level="error", access_log=False)
