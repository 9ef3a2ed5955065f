"""Clients of object stores: one for each bucket and process, with settings and credentials from the environment."""

import os
import socket
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, S3Store

from tracin_dask.errors import ObjectStoreError, PlaceError
from tracin_dask.places.objects.errors import CREDENTIALS, forget_silence, is_silent

Store: TypeAlias = S3Store | GCSStore | AzureStore
_STORES: dict[str, Callable[..., Store]] = {"s3": S3Store, "gs": GCSStore, "az": AzureStore}
LIMIT = "TRACIN_DASK_OBJECT_STORE_SECONDS"
"""The environment variable that says how long a request is tried."""
LIMIT_SECONDS = 60.0
_HASTY_SECONDS = 2.0
_ENDPOINTS = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
    "gs": ("GOOGLE_BASE_URL",),
    "az": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
}
_S3_CREDENTIALS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_SKIP_SIGNATURE",
)
_METADATA_ADDRESS = ("169.254.169.254", 80)
"""At which an EC2 instance gets the credentials of its role."""
_METADATA_SECONDS = 2.0


def client(root: str) -> Store:
    """Give the client of a bucket, e.g. of `s3://bucket`; nothing is sent yet.

    A request that fails by a lost connection, a time-out or the server's fault (429, 5xx) is sent again, with growing
    pauses, until `limit_seconds` have passed; one attempt takes no longer than that either. Where the store has just
    been silent for so long, so that an error is on its way, whatever is still asked of it is tried for a short time.

    Raises
    ------
    PlaceError
        If a setting in the environment makes no sense.
    ObjectStoreError
        If there are no credentials.
    """
    seconds = limit_seconds()
    return _client(root, min(seconds, _HASTY_SECONDS) if is_silent(root, seconds) else seconds)


@cache
def _client(root: str, seconds: float) -> Store:
    scheme, _, bucket = root.partition("://")
    if not bucket:
        raise PlaceError(f"{root}: no bucket is named; expected {scheme}://BUCKET/PATH")
    options: dict[str, Any] = {"timeout": timedelta(seconds=seconds), "connect_timeout": timedelta(seconds=5)}
    if _endpoint(scheme).startswith("http://"):
        options["allow_http"] = True
    backoff = {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=5), "base": 2}
    retries = {"max_retries": 1000, "retry_timeout": timedelta(seconds=seconds), "backoff": backoff}
    if scheme == "s3":
        _refuse_without_credentials(root)
    try:
        return _STORES[scheme](bucket, client_options=options, retry_config=retries)
    except (BaseError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise PlaceError(
            f"{root}: the settings in the environment cannot be used ({reason}); {CREDENTIALS[scheme]}"
        ) from error


def forget_clients() -> None:
    """Let the next request see what the environment says now."""
    _client.cache_clear()
    forget_silence()


def limit_seconds() -> float:
    """Say how long a request is tried before it fails.

    Raises
    ------
    PlaceError
        If the environment variable is not a positive number.
    """
    text = os.environ.get(LIMIT, "")
    try:
        seconds = float(text or LIMIT_SECONDS)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds <= 3600:
        raise PlaceError(f"{LIMIT}={text}: expected a number of seconds above 0, at most 3600, e.g. 60")
    return seconds


def _endpoint(scheme: str) -> str:
    """Give the address of a server that is not the provider's own; "" if none is set."""
    for name in _ENDPOINTS[scheme]:
        address = os.environ.get(name, "")
        if address:
            if urlsplit(address).scheme not in {"http", "https"} or not urlsplit(address).netloc:
                raise PlaceError(f"{name}={address}: expected an address such as https://host:9000")
            return address
    return ""


def _refuse_without_credentials(root: str) -> None:
    """Refuse S3 where the environment has no credentials and the machine is no instance with a role."""
    if any(os.environ.get(name) for name in _S3_CREDENTIALS):
        return
    if os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() != "true":
        address = os.environ.get("AWS_METADATA_ENDPOINT")
        try:
            parts = urlsplit(address) if address else None
            where = (parts.hostname or "", parts.port or 80) if parts else _METADATA_ADDRESS
            socket.create_connection(where, timeout=_METADATA_SECONDS).close()
        except OSError:
            pass
        else:
            return
    raise ObjectStoreError(f"{root}: no credentials were found; {CREDENTIALS['s3']}")
