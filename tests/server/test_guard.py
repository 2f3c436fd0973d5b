"""Who may talk to the server, and what its pages may do."""

from collections.abc import Callable

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from tests.server.conftest import Served


@pytest.mark.parametrize("path", ["", "nothing-here", "bundles/tiny/gemtab.json"])
def test_every_answer_carries_the_policy(served: Served, path: str) -> None:
    headers = httpx.get(served.url + path).headers
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'self'"
    assert policy["script-src"] == "'self'"
    assert policy["style-src"] == "'self'"
    assert policy["worker-src"] == "'self'"
    assert policy["connect-src"] == f"'self' ws://{served.host}"
    assert policy["object-src"] == "'none'"
    assert policy["base-uri"] == "'none'"
    assert policy["frame-ancestors"] == "'self'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cross-origin-embedder-policy"] == "require-corp"
    assert headers["server-timing"] == 'gemtab-live;desc="/_gemtab/live"'


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "192.0.2.1", "", "a b", "x; script-src *"],
)
def test_a_foreign_host_name_is_refused(served: Served, host: str) -> None:
    response = httpx.get(served.url, headers={"Host": host})
    assert response.status_code in (400, 421)
    assert "gemtab</title>" not in response.text


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "[::1]"])
def test_every_name_of_the_loopback_is_its_own(served: Served, name: str) -> None:
    port = served.host.rsplit(":", 1)[1]
    assert httpx.get(served.url, headers={"Host": f"{name}:{port}"}).status_code == 200


def test_an_exposed_server_answers_to_addresses_but_not_to_names(start_server: Callable[..., Served]) -> None:
    served = start_server(exposed=True)
    assert httpx.get(served.url, headers={"Host": "192.0.2.1:8765"}).status_code == 200
    assert httpx.get(served.url, headers={"Host": "evil.example"}).status_code == 421


def test_the_live_channel_takes_pages_of_the_server(served: Served) -> None:
    with connect(f"ws://{served.host}/_gemtab/live", origin=Origin(f"http://{served.host}")):
        pass


@pytest.mark.parametrize("origin", ["http://evil.example", "http://localhost:1", "null", None])
def test_the_live_channel_refuses_other_origins(served: Served, origin: str | None) -> None:
    with (
        pytest.raises(InvalidStatus) as refused,
        connect(f"ws://{served.host}/_gemtab/live", origin=None if origin is None else Origin(origin)),
    ):
        pass
    assert refused.value.response.status_code == 403
