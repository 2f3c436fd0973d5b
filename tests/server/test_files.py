"""The server's answers: content types, ranges, ETags, and only its own files."""

import http.client
from collections.abc import Iterator

import httpx
import pytest

from tests.server.conftest import WEIGHTS, Served

WEIGHTS_PATH = "bundles/tiny/onnx/decoder_model_merged_q4.onnx_data"


@pytest.fixture
def client(served: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.url) as client:
        yield client


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("", "text/html; charset=utf-8"),
        ("assets/worker.js", "text/javascript; charset=utf-8"),
        ("assets/cpu.wasm", "application/wasm"),
        ("bundles/tiny/gemtab.json", "application/json"),
        ("bundles/tiny/shaders/norm.wgsl", "text/wgsl; charset=utf-8"),
        ("bundles/tiny/chat_template.jinja", "text/plain; charset=utf-8"),
        (WEIGHTS_PATH, "application/octet-stream"),
    ],
)
def test_content_types(client: httpx.Client, path: str, content_type: str) -> None:
    response = client.get(path)
    assert response.status_code == 200
    assert response.headers["content-type"] == content_type


def test_the_example_page_has_a_bundle_that_is_there(served: Served, client: httpx.Client) -> None:
    assert client.get("example.html").status_code == 404
    (served.site / "example.html").write_text('<gemtab-chat src="bundles/my-own/"></gemtab-chat>')
    assert client.get("example.html").text == '<gemtab-chat src="bundles/my-own/"></gemtab-chat>'
    (served.site / "example.html").write_text('<gemtab-chat src="bundles/tiny/"></gemtab-chat>')
    assert client.get("example.html").headers["content-type"] == "text/html; charset=utf-8"


def test_the_bundles_are_listed(client: httpx.Client) -> None:
    assert client.get("bundles/index.json").json() == ["tiny"]


@pytest.mark.parametrize(
    ("wanted", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=65530-65545", 65530, 65546),
        ("bytes=262000-", 262000, 262144),
        ("bytes=-7", 262137, 262144),
    ],
)
def test_ranges(client: httpx.Client, wanted: str, start: int, stop: int) -> None:
    response = client.get(WEIGHTS_PATH, headers={"Range": wanted})
    assert response.status_code == 206
    assert response.headers["content-range"] == f"bytes {start}-{stop - 1}/{len(WEIGHTS)}"
    assert response.content == WEIGHTS[start:stop]


def test_a_range_beyond_the_end_is_refused(client: httpx.Client) -> None:
    response = client.get(WEIGHTS_PATH, headers={"Range": "bytes=262144-"})
    assert response.status_code == 416
    assert response.headers["content-range"] == f"bytes */{len(WEIGHTS)}"


def test_an_unchanged_file_is_not_sent_again(served: Served, client: httpx.Client) -> None:
    first = client.get("bundles/tiny/gemtab.json")
    again = client.get("bundles/tiny/gemtab.json", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    (served.bundle / "gemtab.json").write_text("{}")
    changed = client.get("bundles/tiny/gemtab.json", headers={"If-None-Match": first.headers["etag"]})
    assert (changed.status_code, changed.text) == (200, "{}")


def test_a_range_of_a_changed_file_gives_the_whole_file(client: httpx.Client) -> None:
    response = client.get(WEIGHTS_PATH, headers={"Range": "bytes=0-9", "If-Range": '"of-another-version"'})
    assert (response.status_code, response.content) == (200, WEIGHTS)


def test_head_sends_no_body(client: httpx.Client) -> None:
    response = client.head(WEIGHTS_PATH)
    assert response.headers["content-length"] == str(len(WEIGHTS))
    assert response.headers["accept-ranges"] == "bytes"
    assert response.content == b""


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_can_be_written(client: httpx.Client, method: str) -> None:
    assert client.request(method, "bundles/tiny/gemtab.json").status_code == 405


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/assets/../../secret.txt",
        "/bundles/tiny/../../secret.txt",
        "/bundles/tiny/%2e%2e%2f%2e%2e%2fsecret.txt",
        "/bundles/tiny//etc/passwd",
        "/%2fetc/passwd",
        "/..\\secret.txt",
        "/link.txt",
        "/.hidden",
        "/index.html%00.js",
        "/nothing-here",
    ],
)
def test_nothing_outside_is_reachable(served: Served, path: str) -> None:
    # http.client sends the path as it stands; httpx would tidy it first.
    host, port = served.host.split(":")
    connection = http.client.HTTPConnection(host, int(port))
    connection.putrequest("GET", path)
    connection.endheaders()
    response = connection.getresponse()
    body = response.read()
    connection.close()
    assert response.status in (400, 404), (path, response.status)
    assert b"secret" not in body
    assert b"root:" not in body


def test_a_link_to_itself_is_not_there(served: Served, client: httpx.Client) -> None:
    (served.site / "loop.js").symlink_to("loop.js")
    assert client.get("loop.js").status_code == 404
    assert client.get("").status_code == 200
