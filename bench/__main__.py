"""Run every bench and print the figures. Timings of a shared machine are noise: compare within one run."""

from __future__ import annotations

import shutil
import subprocess
import sys

from bench.main_job import main_job_figures
from bench.report import print_figures
from bench.update_under_load import update_figures
from demo.clients import ROOT
from demo.journey import Journey
from demo.narrator import say, step
from demo.service import running_service

FOLDER = ROOT / ".demo" / "bench"


def main() -> None:
    """Measure the whole service, then gateway, storage and engine alone against their goals and beside comparable servers and clients."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    home = FOLDER / "home"
    home.mkdir(parents=True)
    # What is measured is more than the free plan allows.
    with running_service(ROOT, step, PERSONAL_PLAN="internal") as service:
        journey = Journey(service.url, home)
        journey.sign_in()
        with step("the main job"):
            figures = main_job_figures(journey)
        with step("an update and a resize under load"):
            figures += update_figures(journey)
    print_figures(figures)
    say()
    for alone in ("bench.gateway_overhead", "bench.storage", "bench.engine", "bench.metering", "bench.billing_balance"):
        subprocess.run([sys.executable, "-m", alone], cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
