"""Calls `kubectl` of Kubernetes, which knows how to reach the cluster and who may use it."""

import json
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tracin_dask.errors import ClusterError

ANSWER_SECONDS = 60
END_SECONDS = 5
NO_OPERATOR = "no matches for kind"
INSTALL_OPERATOR = (
    "the Dask operator is not installed there: `helm install --repo https://helm.dask.org --create-namespace "
    "-n dask-operator --generate-name dask-kubernetes-operator`"
)
_FORWARDING = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kubectl:
    """Calls for one context and namespace; those of the user's configuration where none is stated."""

    context: str | None = None
    namespace: str | None = None

    def create(self, manifest: dict[str, Any]) -> None:
        """Create an object; raises as `call`."""
        self.call("create", "-f", "-", text=json.dumps(manifest))

    def phase(self, name: str) -> str:
        """Give the state that the operator reports of a cluster: Created, Pending or Running; empty at first."""
        return self.call("get", "daskcluster", name, "-o", "jsonpath={.status.phase}").strip()

    def pods(self, name: str) -> str:
        """Give the pods of a cluster in one line, each with its state."""
        lines = self.call("get", "pods", "-l", f"dask.org/cluster-name={name}", "--no-headers").splitlines()
        return "; ".join(" ".join(line.split()[:3]) for line in lines) or "there is no pod"

    def delete(self, name: str) -> None:
        """Delete a cluster, without waiting for the end of its pods."""
        self.call("delete", "daskcluster", name, "--wait=false")

    @contextmanager
    def forwarded(self, service: str, ports: Sequence[int]) -> Iterator[list[int]]:
        """Forward ports of this machine's loopback interface to those of a service, and give their numbers.

        Raises
        ------
        ClusterError
            If the service cannot be reached.
        """
        words = ["port-forward", "--address", "127.0.0.1", f"service/{service}", *(f":{port}" for port in ports)]
        with subprocess.Popen(  # noqa: S603 - fixed words and names of a specification file
            self._command(words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        ) as process:
            try:
                yield [_forwarded_port(process, service) for _ in ports]
            finally:
                _end(process)

    def call(self, *words: str, text: str | None = None) -> str:
        """Call `kubectl` and give its answer.

        Raises
        ------
        ClusterError
            If it is not installed, or what it says if it fails.
        """
        try:
            answer = subprocess.run(  # noqa: S603 - fixed words and names of a specification file
                self._command(words), input=text, capture_output=True, text=True, check=False, timeout=ANSWER_SECONDS
            )
        except OSError as error:
            raise ClusterError(
                f"kubectl cannot be called ({error.strerror}); install it, and see that `kubectl get pods` answers"
            ) from error
        except subprocess.TimeoutExpired as error:
            raise ClusterError(
                f"Kubernetes does not answer within {ANSWER_SECONDS} s; try `kubectl get pods`"
            ) from error
        if answer.returncode != 0:
            said = " ".join(answer.stderr.split())
            raise ClusterError(f"kubectl {words[0]}: {INSTALL_OPERATOR if NO_OPERATOR in said else said}")
        return answer.stdout

    def _command(self, words: Sequence[str]) -> list[str]:
        context = [] if self.context is None else ["--context", self.context]
        namespace = [] if self.namespace is None else ["--namespace", self.namespace]
        return ["kubectl", *context, *namespace, *words]


def _forwarded_port(process: "subprocess.Popen[str]", service: str) -> int:
    """Read the line about the next port."""
    assert process.stdout is not None  # noqa: S101 - was started with a pipe
    line = process.stdout.readline()
    found = _FORWARDING.search(line)
    if found is None:
        raise ClusterError(f"kubectl cannot forward a port to {service}: {line.strip() or 'no message'}")
    return int(found[1])


def _end(process: "subprocess.Popen[str]") -> None:
    process.terminate()
    try:
        process.wait(timeout=END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
