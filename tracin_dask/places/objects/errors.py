"""Explains errors of object stores in one line: what could not be done, why, and what to do."""

import errno
import math
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

from tracin_dask.errors import ObjectStoreError, TracInDaskError

CREDENTIALS: Mapping[str, str] = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN) in the environment of this process "
    'and of every worker, e.g. with: eval "$(aws configure export-credentials --format env)"',
    "gs": "set GOOGLE_APPLICATION_CREDENTIALS to a file of a service account in the environment of this process and of "
    "every worker, or run: gcloud auth application-default login",
    "az": "set AZURE_STORAGE_ACCOUNT_NAME, and AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN, in the "
    "environment of this process and of every worker",
}
"""How to give credentials, by the scheme of the URL."""
_ENDPOINTS = {
    "s3": "the network and AWS_ENDPOINT_URL",
    "gs": "the network and GOOGLE_BASE_URL",
    "az": "the network and AZURE_STORAGE_ENDPOINT",
}
_METADATA_SERVERS = ("169.254.", "metadata.google", "metadata/identity")
"""Parts of the addresses at which virtual machines get credentials; asked where the environment has none."""
_REDIRECTED = ("redirect without LOCATION", "PermanentRedirect", "AuthorizationHeaderMalformed")
_DENIED_CODES = (
    "AccessDenied|InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken|InvalidToken|RequestTimeTooSkewed|"
    "AuthenticationFailed|AuthorizationFailure|AuthorizationPermissionMismatch|NoAuthenticationInformation"
)
_NO_BUCKET = "NoSuchBucket|ContainerNotFound|InvalidBucketName|ContainerBeingDeleted"
_CODE = re.compile(r"<Code>(\w+)</Code>")
_REGION = re.compile(r"<Region>([\w-]+)</Region>|expecting '([\w-]+)'")
_STATUS = re.compile(r"status code: (\d{3} [^:\n]*)")
_WAITED = re.compile(r" in ([\d.]+(?:ns|µs|ms|s))(?:, after (\d+) retries)?")
_REASON = re.compile(r"HTTP error: ([^\n]+)")


_silences: dict[str, float] = {}
"""When a bucket's store was silent last, by its URL."""


def is_silent(root: str, seconds: float) -> bool:
    """Tell whether a bucket's store was found silent less than so many seconds ago."""
    return time.monotonic() - _silences.get(root, -math.inf) < seconds


def forget_silence() -> None:
    """Be patient with every store again."""
    _silences.clear()


@contextmanager
def explained(url: str) -> Iterator[None]:
    """Explain whatever obstore raises; a missing object stays a FileNotFoundError.

    Raises
    ------
    FileNotFoundError
        If there is no such object.
    ObjectStoreError
        In place of any other error of the store, and for a bucket that does not exist.
    """
    try:
        yield
    except TracInDaskError:
        raise
    except FileNotFoundError as error:
        if _code(str(error)) in _NO_BUCKET.split("|"):
            raise ObjectStoreError(_message(url, error)) from error
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), url) from error
    except (BaseError, ValueError) as error:
        raise ObjectStoreError(_message(url, error)) from error


def _message(url: str, error: Exception) -> str:
    text, scheme = str(error), url.partition(":")[0]
    if _is_silent(error, text):
        _silences[_root(url)] = time.monotonic()
    for is_meant, message in _KINDS:
        if is_meant(error, text):
            return f"{url}: {message(text, scheme)}"
    found = _STATUS.search(text) or _REASON.search(text)
    reason = found[1] if found else text.splitlines()[0]
    return f"{url}: the object store cannot do this: {reason}{_code_of(text)}"


def _root(url: str) -> str:
    return "/".join(url.split("/")[:3])


def _is_without_credentials(_: Exception, text: str) -> bool:
    return any(part in text.partition("\n\n")[0] for part in _METADATA_SERVERS) or "MissingCredential" in text


def _is_denied(error: Exception, text: str) -> bool:
    is_kind = isinstance(error, PermissionDeniedError | UnauthenticatedError)
    return is_kind or _code(text) in _DENIED_CODES.split("|") or "status code: 401" in text


def _is_mute(_: Exception, text: str) -> bool:
    """Tell whether the store refuses without a word, as it must where the size of an object is asked for."""
    return "status code: 400" in text and not _code(text)


def _is_silent(_: Exception, text: str) -> bool:
    found = _STATUS.search(text)
    return found[1].startswith(("5", "429")) if found else "HTTP error" in text


def _no_credentials(_: str, scheme: str) -> str:
    return f"no credentials were found; {CREDENTIALS[scheme]}"


def _no_bucket(_: str, scheme: str) -> str:
    what = "container" if scheme == "az" else "bucket"
    return f"the {what} does not exist; check its name, {_ENDPOINTS[scheme]}"


def _other_region(text: str, _: str) -> str:
    found = _REGION.search(text)
    region = next(filter(None, found.groups()), "") if found else ""
    return f"the bucket is in another region; set AWS_REGION{f'={region}' if region else ' to it'}"


def _denied(text: str, scheme: str) -> str:
    return f"permission denied{_code_of(text)}; ask for access to it, or give other credentials: {CREDENTIALS[scheme]}"


def _refused(_: str, scheme: str) -> str:
    region = "the bucket's region (AWS_REGION), and " if scheme == "s3" else ""
    return f"the object store refuses the request (400); check {region}the credentials: {CREDENTIALS[scheme]}"


def _silent(text: str, scheme: str) -> str:
    status, reason, waited = _STATUS.search(text), _REASON.search(text), _WAITED.search(text)
    why = f"status {status[1].strip()}" if status else (reason[1] if reason else "no answer")
    tries = f" after {int(waited[2]) + 1} tries in {waited[1]}" if waited and waited[2] else ""
    return f"the object store does not answer{tries} ({why}{_code_of(text)}); check {_ENDPOINTS[scheme]}, and try again"


def _code(text: str) -> str:
    found = _CODE.search(text)
    return found[1] if found else ""


def _code_of(text: str) -> str:
    code = _code(text)
    return f" ({code})" if code else ""


_KINDS: tuple[tuple[Callable[[Exception, str], bool], Callable[[str, str], str]], ...] = (
    (_is_without_credentials, _no_credentials),
    (lambda _, text: _code(text) in _NO_BUCKET.split("|"), _no_bucket),
    (lambda _, text: any(part in text for part in _REDIRECTED), _other_region),
    (_is_denied, _denied),
    (_is_mute, _refused),
    (_is_silent, _silent),
)
"""Kinds of errors, the most telling first, and what is said of each."""
