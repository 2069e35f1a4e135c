"""A process that has imported TensorFlow and Keras and forks a child per launch: about 1 s instead of 8.

    with ForkServer() as server:
        verify(Task(script="train.py"), folder=..., launcher=server.launcher)

It forks before TensorFlow's runtime starts: nothing in it may list devices or run an operation. Children
have the server's value of each variable that acts when the interpreter or TensorFlow is loaded
(PYTHONHASHSEED, most TF_*). A `ForkServerPool` has a server for each hash seed.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from keras_repro.processes.child import Launcher

_LONGEST_REQUEST = 1 << 20
_MODULES = "keras_repro.training."
_START = Path(__file__).resolve().parents[1] / "keras_repro" / "processes" / "start_child.py"


class ForkServer:
    """Starts the server; `launcher` may be passed to `verify` and the other workflows.

    Args:
        hash_seed: PYTHONHASHSEED of the server and so of all its children; the caller's by default.
    """

    def __init__(self, *, hash_seed: str | None = None) -> None:
        own = {} if hash_seed is None else {"PYTHONHASHSEED": hash_seed}
        self._lock = threading.Lock()
        self._socket, server_socket = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # The messages of TensorFlow's import are needed only if it fails.
        self._messages = tempfile.TemporaryFile()  # noqa: SIM115
        with server_socket:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(server_socket.fileno())],
                env=os.environ | {"PYTHONPATH": _with_repository(), "TF_CPP_MIN_LOG_LEVEL": "3"} | own,
                stdin=subprocess.DEVNULL,
                stderr=self._messages,
                pass_fds=[server_socket.fileno()],
                # The tests handle Ctrl-C themselves.
                start_new_session=True,
            )

    def start(
        self, command: Sequence[str], environment: Mapping[str, str], output: IO[bytes] | None
    ) -> ForkedProcess:
        """Fork a child for `start_child.py keras_repro.training.MODULE PLAN`, as a fresh interpreter does."""
        start, module, *arguments = command
        assert (Path(start), module.startswith(_MODULES)) == (_START, True), command
        request = {
            "module": module,
            "arguments": arguments,
            "environment": dict(environment),
            "cwd": os.getcwd(),
        }
        return ForkedProcess(self, self.ask(request, [] if output is None else [output.fileno()]))

    @property
    def launcher(self) -> Launcher:
        """Return a launcher that starts children as forks of this server."""
        return Launcher(self.start)

    def ask(self, request: Mapping[str, Any], descriptors: Sequence[int] = ()) -> Any:
        """Send one request and wait for its answer."""
        with self._lock:
            socket.send_fds(self._socket, [json.dumps(request).encode()], descriptors)
            answer = self._socket.recv(_LONGEST_REQUEST)
        if not answer:
            code = self._process.wait()
            raise RuntimeError(f"the fork server has ended with exit code {code}\n{self.messages()}")
        return json.loads(answer)

    def messages(self) -> str:
        """Return the standard error of the server and of its children without an output of their own."""
        descriptor = self._messages.fileno()
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode(errors="replace")

    def close(self) -> None:
        """End the server and all its children."""
        self._socket.close()
        self._process.wait()
        self._messages.close()

    def __enter__(self) -> ForkServer:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class ForkServerPool:
    """A fork server for each hash seed: `start` forks a child from that of its environment."""

    def __init__(self) -> None:
        self._servers: dict[str | None, ForkServer] = {}

    def start(
        self, command: Sequence[str], environment: Mapping[str, str], output: IO[bytes] | None
    ) -> ForkedProcess:
        """Fork a child from the server whose hash seed is that of `environment`."""
        seed = environment.get("PYTHONHASHSEED")
        if seed not in self._servers:
            self._servers[seed] = ForkServer(hash_seed=seed)
        return self._servers[seed].start(command, environment, output)

    @property
    def launcher(self) -> Launcher:
        """Return a launcher that starts children as forks of these servers."""
        return Launcher(self.start)

    def __enter__(self) -> ForkServerPool:
        return self

    def __exit__(self, *error: object) -> None:
        for server in self._servers.values():
            server.close()


class ForkedProcess:
    """A forked child with the interface of `subprocess.Popen`."""

    def __init__(self, server: ForkServer, pid: int) -> None:
        self.pid = pid
        self._server = server
        self._code: int | None = None

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal, or None while the child runs."""
        if self._code is None:
            self._code = self._server.ask({"poll": self.pid})
        return self._code


def _with_repository() -> str:
    """Return PYTHONPATH with the folder of keras_repro first, for machines without the package."""
    here = str(Path(__file__).resolve().parents[1])
    return os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])


def _serve(descriptor: int) -> None:
    import keras  # noqa: F401
    import numpy  # noqa: F401
    import tensorflow  # noqa: F401

    from keras_repro.training.instrumentation import child_main, script_session  # noqa: F401
    from keras_repro.training.recording import loop_recorder  # noqa: F401

    # The imported objects live as long as the children: exclude them from garbage collections.
    gc.freeze()

    children: set[int] = set()
    with socket.socket(fileno=descriptor) as connection:
        while True:
            message, descriptors, _, _ = socket.recv_fds(connection, _LONGEST_REQUEST, 1)
            if not message:
                break
            request = json.loads(message)
            if "poll" in request:
                pid, status = os.waitpid(request["poll"], os.WNOHANG)
                children.discard(pid)
                answer = os.waitstatus_to_exitcode(status) if pid else None
            else:
                answer = os.fork()
                if answer == 0:
                    connection.close()
                    _become(request, descriptors)
                children.add(answer)
                for number in descriptors:
                    os.close(number)
            connection.send(json.dumps(answer).encode())
    for pid in children:
        os.killpg(pid, signal.SIGKILL)


def _become(request: Mapping[str, Any], descriptors: Sequence[int]) -> None:
    """Make the forked process behave like a fresh interpreter with this command; never returns."""
    import atexit

    import numpy

    code = 1
    try:
        # Python reseeds its own generator after a fork, NumPy does not.
        numpy.random.seed()
        os.setsid()
        for number in descriptors:
            os.dup2(number, 1)
            os.dup2(number, 2)
            os.close(number)
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
        os.environ.clear()
        os.environ.update(request["environment"])
        os.chdir(request["cwd"])
        del sys.path[0]  # the folder of this file
        code = importlib.import_module(request["module"]).main(request["arguments"])
    finally:
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(ValueError):  # the script has closed it
                stream.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
