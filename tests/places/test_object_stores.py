"""Object stores that fail, are slow, refuse or are gone: requests are repeated, and errors say what to do."""

import json
import os
import pickle
import socket
import subprocess
import sys
import threading
import time
from typing import NoReturn

import numpy as np
import pytest
import zarr
from loopback_store import SLOW_DOWN
from object_store import BUCKET
from obstore.exceptions import PreconditionError
from obstore.store import AzureStore, GCSStore, S3Store

from tracin_dask.errors import ObjectStoreError, PlaceError, StoreError
from tracin_dask.places.explained import why
from tracin_dask.places.files import exists, locked_folder, read_bytes, write_bytes
from tracin_dask.places.objects.client import LIMIT, client, forget_clients
from tracin_dask.places.objects.reader import FIRST_BYTES
from tracin_dask.places.place import BusyError, StoreExistsError
from tracin_dask.places.registry import place_of
from tracin_dask.triples.store import open_store


def error(code: str, more: str = "") -> bytes:
    return f"<Error><Code>{code}</Code><Message>No.</Message>{more}</Error>".encode()


@pytest.fixture
def no_credentials(monkeypatch):
    """An environment without any, on a machine that has none either."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    forget_clients()


class TestRetries:
    @pytest.mark.fault("an object store fails every third request", promised="the same bytes")
    def test_every_third_request_may_fail(self, s3, s3_folder, seen):
        s3.fails_every = 3
        data = np.random.default_rng(0).bytes(12_000_000)  # more than one part, more than one range
        for number in range(2):
            write_bytes(f"{s3_folder}/{number}", data)
            assert read_bytes(f"{s3_folder}/{number}") == data
        assert [place.name for place in place_of(s3_folder).find("*")] == ["0", "1"]
        array = zarr.create_array(place_of(f"{s3_folder}/a").zarr_store(), shape=(1000,), chunks=(10,), dtype="i8")
        array[...] = np.arange(1000)
        assert (array[...] == np.arange(1000)).all()
        assert s3.num_failed > 40
        seen("the same bytes; a third of all requests was sent again")

    @pytest.mark.fault("an object store is gone for some seconds", promised="the request waits for it")
    def test_a_store_that_comes_back_is_waited_for(self, s3, s3_folder):
        write_bytes(f"{s3_folder}/a", b"1")
        s3.stop()
        back = threading.Timer(1, s3.start)
        back.start()
        assert read_bytes(f"{s3_folder}/a") == b"1"
        back.join()

    @pytest.mark.fault("an object store is gone", promised="one message within the stated time")
    def test_a_store_that_stays_away_is_an_error_within_the_limit(self, s3, s3_folder, monkeypatch):
        monkeypatch.setenv(LIMIT, "1")
        s3.stop()
        started = time.monotonic()
        with pytest.raises(ObjectStoreError, match=r"does not answer after \d+ tries in .*check the network and AWS"):
            exists(f"{s3_folder}/a")
        assert time.monotonic() - started < 8

    @pytest.mark.usefixtures("s3")
    def test_a_store_that_accepts_and_never_answers_is_an_error_within_twice_the_limit(self, monkeypatch):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
            monkeypatch.setenv(LIMIT, "1")
            forget_clients()
            started = time.monotonic()
            with pytest.raises(ObjectStoreError, match="does not answer"):
                exists("s3://bucket/a")
            assert time.monotonic() - started < 8

    @pytest.mark.parametrize("seconds", ["soon", "0", "-1", "nan", "1e9"])
    @pytest.mark.usefixtures("s3")
    def test_an_impossible_limit_is_refused(self, monkeypatch, seconds):
        monkeypatch.setenv(LIMIT, seconds)
        with pytest.raises(PlaceError, match=rf"{LIMIT}={seconds}: expected a number of seconds"):
            place_of("s3://bucket/a")

    def test_a_store_that_was_silent_is_not_waited_for_again(self, s3, s3_folder, monkeypatch):
        def patience() -> float:
            retries = client(f"s3://{BUCKET}").retry_config
            assert retries is not None
            return retries["retry_timeout"].total_seconds()

        monkeypatch.setenv(LIMIT, "3")
        assert patience() == 3
        s3.stop()
        with pytest.raises(ObjectStoreError, match="does not answer"):
            exists(f"{s3_folder}/a")
        assert patience() == 2
        monkeypatch.setenv(LIMIT, "0.01")  # a silence of longer ago than the limit is forgiven
        time.sleep(0.02)
        monkeypatch.setattr("tracin_dask.places.objects.client._HASTY_SECONDS", 0.005)
        assert patience() == 0.01


DENIED = "permission denied.*set AWS_ACCESS_KEY_ID"


class TestRefusals:
    @pytest.mark.fault("an object store refuses", promised="one message with the remedy")
    @pytest.mark.parametrize(
        ("status", "body", "message"),
        [
            (403, error("AccessDenied"), r"permission denied \(AccessDenied\); ask for access to it"),
            (403, error("InvalidAccessKeyId"), DENIED),
            (403, error("SignatureDoesNotMatch"), DENIED),
            (400, error("ExpiredToken"), DENIED),
            (401, b"", DENIED),
            (404, error("NoSuchBucket"), "the bucket does not exist; check its name"),
            (301, b"", "the bucket is in another region; set AWS_REGION to it"),
            (301, error("PermanentRedirect"), "the bucket is in another region"),
            (
                400,
                error("AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>"),
                "the bucket is in another region; set AWS_REGION=eu-west-1",
            ),
            (418, b"", "the object store cannot do this: 418"),
        ],
    )
    def test_a_refusal_is_one_line_with_the_remedy(self, s3, s3_folder, status, body, message):
        s3.answer = lambda _method, _path: (status, body)
        place = place_of(s3_folder) / "a"
        for action in (lambda: write_bytes(place, b""), lambda: place.parent.find("*"), place.parent.is_folder):
            with pytest.raises(ObjectStoreError, match=rf"^s3://{BUCKET}/.*{message}") as caught:
                action()
            assert len(str(caught.value).splitlines()) == 1
            assert why(caught.value) == str(caught.value)

    @pytest.mark.parametrize(("status", "message"), [(403, DENIED), (301, "another region"), (400, "refuses the req")])
    def test_a_refusal_without_words_is_one_line_too(self, s3, s3_folder, status, message):
        s3.answer = lambda _method, _path: (status, b"")
        with pytest.raises(ObjectStoreError, match=message):
            exists(f"{s3_folder}/a")

    def test_a_store_that_asks_to_slow_down_for_ever_is_named(self, s3, s3_folder, monkeypatch):
        monkeypatch.setenv(LIMIT, "0.5")
        s3.answer = lambda _method, _path: (503, SLOW_DOWN)
        with pytest.raises(ObjectStoreError, match=r"tries in .* \(status 503 Service Unavailable \(SlowDown\)\)"):
            place_of(s3_folder).find("*")

    @pytest.mark.fault("a bucket that does not exist", promised="one message with the remedy")
    @pytest.mark.usefixtures("s3")
    def test_a_missing_bucket_is_no_missing_file(self):
        for action in (exists, lambda url: write_bytes(url, b"")):
            with pytest.raises(ObjectStoreError, match=r"^s3://no-such-bucket.*: the bucket does not exist"):
                action("s3://no-such-bucket/a")
        with pytest.raises(PlaceError, match="no bucket is named; expected s3://BUCKET/PATH"):
            place_of("s3://")

    @pytest.mark.fault("no credentials of an object store", promised="one message with the remedy, at once")
    @pytest.mark.usefixtures("no_credentials")
    def test_missing_credentials_are_refused_before_any_request(self):
        with pytest.raises(ObjectStoreError, match=r"^s3://bucket: no credentials were found; set AWS_ACCESS_KEY_ID"):
            place_of("s3://bucket/a")

    @pytest.mark.usefixtures("no_credentials")
    def test_a_machine_without_a_role_is_not_waited_for(self, monkeypatch):
        monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
        monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9")
        with pytest.raises(ObjectStoreError, match="no credentials were found"):
            place_of("s3://bucket/a")

    @pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:9000", "https://"])
    @pytest.mark.usefixtures("s3")
    def test_an_address_that_is_none_is_refused(self, monkeypatch, address):
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        forget_clients()
        with pytest.raises(PlaceError, match=rf"AWS_ENDPOINT_URL={address}: expected an address such as https://"):
            place_of("s3://bucket/a")

    @pytest.mark.fault("obstore is not installed", promised="one message with the command")
    def test_a_missing_extra_is_named(self):
        program = "import sys; sys.modules['obstore'] = None; from tracin_dask.places.registry import place_of; "
        asked = subprocess.run(
            [sys.executable, "-c", f"{program}place_of('gs://bucket/a')"], capture_output=True, text=True, check=False
        )
        assert asked.stderr.splitlines()[-1].endswith(
            "gs://bucket/a: object stores need obstore; install it with: pip install 'tracin-dask[objects]'"
        )

    def test_an_object_that_is_replaced_while_it_is_read_is_refused(self, s3_folder):
        write_bytes(f"{s3_folder}/a", b"1" * 3_000_000)
        with place_of(f"{s3_folder}/a").open() as file:
            file.read(10)
            write_bytes(f"{s3_folder}/a", b"2" * 3_000_000)
            with pytest.raises(ObjectStoreError, match="it was replaced while it was read"):
                file.read()


class TestRequests:
    @pytest.mark.parametrize("num_bytes", [0, 5, FIRST_BYTES])
    def test_a_small_object_is_read_by_one_request(self, s3, s3_folder, num_bytes):
        data = np.random.default_rng(0).bytes(num_bytes)
        write_bytes(f"{s3_folder}/a", data)
        before = s3.num_requests
        assert read_bytes(f"{s3_folder}/a") == data
        assert s3.num_requests - before == 1

    def test_parts_of_a_large_object_are_read_by_a_request_each(self, s3, s3_folder):
        data = np.random.default_rng(0).bytes(5 * FIRST_BYTES)
        write_bytes(f"{s3_folder}/a", data)
        before = s3.num_requests
        with place_of(f"{s3_folder}/a").open() as file:
            assert s3.num_requests - before == 1  # which says how long it is
            file.seek(-10, os.SEEK_END)
            assert file.read() == data[-10:]
            file.seek(10)
            assert file.read(20) == data[10:30]
        assert s3.num_requests - before == 3

    def test_an_answer_that_breaks_off_and_is_of_another_object_then_is_refused(self, s3_folder, monkeypatch):
        def breaks_off(*_: object) -> NoReturn:
            raise PreconditionError("the tag is another one")

        write_bytes(f"{s3_folder}/a", b"1")
        monkeypatch.setattr("tracin_dask.places.objects.reader.obstore.get", breaks_off)
        with pytest.raises(ObjectStoreError, match="it was replaced while it was read"):
            read_bytes(f"{s3_folder}/a")


class TestFolders:
    def fill(self, url: str, value: int, *, overwrite: bool = False) -> None:
        with place_of(url).new_folder(overwrite=overwrite) as part:
            array = zarr.create_array((part / "a").zarr_store(), shape=(8,), chunks=(2,), dtype="i8")
            array[...] = value
            zarr.open_group(part.zarr_store(), mode="a").attrs["value"] = value

    def value(self, url: str) -> set[int]:
        array = zarr.open_group(place_of(url).zarr_store(), mode="r")["a"]
        assert isinstance(array, zarr.Array)
        return {int(number) for number in np.asarray(array[...])}

    @pytest.mark.fault("an object store is gone while a folder takes its place", promised="no reader sees a half")
    @pytest.mark.parametrize("last", ["graph/a/c/2", "graph/zarr.json"])
    def test_an_interrupted_folder_is_not_read_and_made_again(self, s3, s3_folder, monkeypatch, last):
        monkeypatch.setenv(LIMIT, "0.5")
        url = f"{s3_folder}/graph"
        self.fill(url, 1)
        s3.dies_at = lambda method, path: method == "PUT" and path.split("?")[0].endswith(last)
        with pytest.raises(ObjectStoreError, match="does not answer"):
            self.fill(url, 2, overwrite=True)
        s3.dies_at = lambda _method, _path: False
        s3.start()
        with pytest.raises(StoreError, match="its ingest was interrupted or is still running"):
            open_store(url)
        self.fill(url, 3)  # without `overwrite`: what is there was never whole
        assert self.value(url) == {3}
        assert [place.name for place in place_of(s3_folder).find("*")] == ["graph"]
        assert not place_of(url).find(".*")
        with pytest.raises(StoreExistsError, match="exists already"):
            self.fill(url, 4)

    def test_an_old_folder_goes_only_when_the_new_one_is_whole(self, s3, s3_folder, monkeypatch):
        monkeypatch.setenv(LIMIT, "0.5")
        url = f"{s3_folder}/graph"
        self.fill(url, 1)
        s3.dies_at = lambda method, path: method == "PUT" and path.endswith("graph.part/zarr.json")
        with pytest.raises(ObjectStoreError):
            self.fill(url, 2, overwrite=True)
        s3.dies_at = lambda _method, _path: False
        s3.start()
        assert self.value(url) == {1}

    def test_a_file_is_not_replaced_by_a_folder(self, s3_folder):
        write_bytes(f"{s3_folder}/graph", b"")
        with pytest.raises(StoreExistsError, match="a file is here, not a folder"):
            self.fill(f"{s3_folder}/graph", 1, overwrite=True)

    def test_a_folder_with_objects_is_not_deleted(self, s3_folder):
        write_bytes(f"{s3_folder}/a/b", b"")
        with pytest.raises(OSError, match="not empty"):
            place_of(f"{s3_folder}/a").delete()


class TestLocks:
    def write(self, url: str, **holder: object) -> None:
        known = {"host": socket.gethostname(), "process": os.getppid(), "started": "today"} | holder
        write_bytes(f"{url}/.lock", json.dumps(known).encode())

    def test_a_second_writer_is_refused_with_the_name_of_the_first(self, s3_folder):
        message = rf"process {os.getpid()} on .* is writing here; .* delete {s3_folder}/\.lock"
        with locked_folder(s3_folder), pytest.raises(BusyError, match=message), locked_folder(s3_folder):
            pass
        assert not place_of(s3_folder).is_folder()

    def test_the_lock_of_a_process_of_another_machine_is_respected(self, s3_folder):
        self.write(s3_folder, host="elsewhere")
        with pytest.raises(BusyError, match=r"process \d+ on elsewhere"), locked_folder(s3_folder):
            pass

    def test_the_lock_of_a_dead_process_of_this_machine_is_taken_over(self, s3_folder):
        dead = subprocess.Popen([sys.executable, "-c", ""])
        dead.wait()
        self.write(s3_folder, process=dead.pid)
        with locked_folder(s3_folder):
            assert json.loads(read_bytes(f"{s3_folder}/.lock"))["process"] == os.getpid()
        assert not exists(f"{s3_folder}/.lock")

    def test_a_lock_whose_answer_was_lost_is_held(self, s3, s3_folder):
        s3.fails_every = 2
        for _ in range(6):
            with locked_folder(s3_folder):
                pass


class TestClients:
    @pytest.mark.usefixtures("s3")
    def test_a_place_is_sent_without_credentials(self, monkeypatch):
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-very-secret-word")
        forget_clients()
        place = place_of("s3://bucket/a")
        sent = pickle.dumps(place)
        assert b"secret" not in sent
        assert pickle.loads(sent) == place  # noqa: S301 - made above

    @pytest.mark.usefixtures("s3")
    def test_each_scheme_has_its_client(self, monkeypatch):
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "a2V5")
        kinds = {"s3": S3Store, "gs": GCSStore, "az": AzureStore}
        assert {scheme: type(client(f"{scheme}://bucket")) for scheme in kinds} == kinds

    def test_azure_without_an_account_is_refused(self, monkeypatch):
        for name in [name for name in os.environ if name.startswith("AZURE_")]:
            monkeypatch.delenv(name)
        with pytest.raises(PlaceError, match=r"^az://bucket: the settings .*Account must be .*AZURE_STORAGE_ACCOUNT_N"):
            place_of("az://bucket/a")
