"""The HTTP process's side of the template process, which holds the loaded engine and forks workers."""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from runtime.log import OutputPipe
from runtime.settings import Settings
from runtime.wire import FrameBuffer, Kill, Spawn, TemplateEvent, frame

# A picture that decodes to more pixels than this is refused by OpenCV instead of filling the memory.
PIXEL_LIMIT = 1 << 28
PRIVATE_VARIABLES = ("IKOMIA_TOKEN", "IKOMIA_USER", "IKOMIA_PWD")

_events = msgspec.msgpack.Decoder(TemplateEvent)


class TemplateProcess:
    """One template process. `on_event` gets what it says, `on_lost` is called once when it is gone."""

    def __init__(self, settings: Settings, on_event: Callable[[TemplateEvent], None], on_lost: Callable[[int], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_event = on_event
        self._on_lost = on_lost
        self._frames = FrameBuffer()
        self._lost = False
        self._control, remote = socket.socketpair()
        output, remote_output = os.pipe()
        with remote:
            self._process = _start(settings, remote, remote_output)
        os.close(remote_output)
        self.output = OutputPipe(self._loop, output, lambda: None)
        self._control.setblocking(False)
        self._loop.add_reader(self._control.fileno(), self._read)

    @property
    def pid(self) -> int:
        """Process id of the template."""
        return self._process.pid

    def spawn(self, worker: int, connection: socket.socket, output: int) -> None:
        """Ask for a worker that talks over `connection` and prints into `output`; both stay the caller's to close."""
        with contextlib.suppress(OSError):
            socket.send_fds(self._control, [frame(Spawn(worker))], [connection.fileno(), output])

    def kill_worker(self, worker: int) -> None:
        """Ask the template to kill one of its workers."""
        with contextlib.suppress(OSError):
            self._control.send(frame(Kill(worker)))

    def kill(self) -> None:
        """Kill the template; its workers die with it."""
        self._process.kill()

    def _read(self) -> None:
        try:
            data = self._control.recv(65_536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._end()
            return
        for body in self._frames.feed(data):
            self._on_event(_events.decode(body))

    def _end(self) -> None:
        if self._lost:
            return
        self._lost = True
        self._loop.remove_reader(self._control.fileno())
        self._control.close()
        self._process.kill()
        status = self._process.wait()
        self.output.close()
        self._on_lost(status)

    def close(self) -> None:
        """End the template and all workers, without telling `on_lost`."""
        self._on_lost = lambda status: None
        self._end()


def _start(settings: Settings, control: socket.socket, output: int) -> subprocess.Popen[bytes]:
    """Started from the main thread: the template asks to die with the thread that started it."""
    command = [sys.executable, "-m", "runtime.engine.template", "--bundle", str(settings.bundle)]
    command += ["--control", str(control.fileno()), "--parent", str(os.getpid())]
    if settings.memory_mb is not None:
        command += ["--memory-mb", str(settings.memory_mb)]
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, pass_fds=(control.fileno(),), env=_environment(), close_fds=True
    )


def _environment() -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if name not in PRIVATE_VARIABLES}
    package_folder = str(Path(__file__).resolve().parent.parent)
    search = [package_folder, *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    return environment | {
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(search)),
        "PYTHONUNBUFFERED": "1",
        "IKOMIA_AUTO_COMPLETION": "0",
        "OPENCV_IO_MAX_IMAGE_PIXELS": str(PIXEL_LIMIT),
        "QT_QPA_PLATFORM": "offscreen",
    }
