"""One decoding process, owned by one thread: asked a picture at a time, killed where it is late."""

import json
import subprocess
import sys
import threading
from typing import Any

_PROGRAM = "metacompress_server.intake.decode_worker"
_PIPE_BYTES = 1 << 20  # what Linux gives without asking: a picture takes few turns of both sides


class DecodingFailed(Exception):
    """The process is gone without an answer. `late`: it was killed for taking too long."""

    def __init__(self, late: bool) -> None:
        super().__init__("late" if late else "died")
        self.late = late


class DecodingProcess:
    """Runs `decode_worker` with an empty environment.

    Args:
        memory_mib: its address space.
    """

    def __init__(self, memory_mib: int) -> None:
        command = [sys.executable, "-I", "-m", _PROGRAM, str(memory_mib)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pipesize=_PIPE_BYTES,
            env={},
        )

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def ask(
        self, job: dict[str, Any], content: bytes, timeout_s: float
    ) -> tuple[dict[str, Any], bytes]:
        """The answer to a job, and the pixels. Blocks its thread.

        Raises:
            DecodingFailed: no answer; the process is closed.
        """
        late = threading.Event()
        timer = threading.Timer(timeout_s, self._kill, (late,))
        timer.start()
        try:
            return self._exchange({**job, "size": len(content)}, content)
        except (OSError, ValueError):
            self.close()
            raise DecodingFailed(late.is_set()) from None
        finally:
            timer.cancel()

    def close(self) -> None:
        """End the process; nothing of it is left behind."""
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            try:
                pipe.close()
            except BrokenPipeError:
                continue  # what was still to be written has no reader any more
        self._process.wait()

    def _kill(self, late: threading.Event) -> None:
        late.set()
        self._process.kill()

    def _exchange(self, job: dict[str, Any], content: bytes) -> tuple[dict[str, Any], bytes]:
        jobs, answers = self._process.stdin, self._process.stdout
        assert jobs is not None
        assert answers is not None
        jobs.write(json.dumps(job).encode() + b"\n")
        jobs.write(content)
        jobs.flush()
        answer: dict[str, Any] = json.loads(answers.readline())
        wanted = 3 * answer.get("width", 0) * answer.get("height", 0)
        pixels = answers.read(wanted)
        if len(pixels) != wanted:
            raise OSError("the process ended in the middle of a picture")
        return answer, pixels
