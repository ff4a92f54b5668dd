# SPDX-License-Identifier: MIT
"""X-Forwarded-For and X-Forwarded-Proto, believed from trusted peers alone."""
import json

import pytest


def seen(site, *fields):
    """(REMOTE_ADDR, wsgi.url_scheme) or the status of a refusal."""
    response = site.get("/", *fields)
    if response.status != 200:
        return response.status
    environ = json.loads(response.body)["environ"]
    return environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]


@pytest.mark.parametrize(
    "value, address",
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8::1", "2001:db8::1"),
        ("198.51.100.1, 192.0.2.7", "192.0.2.7"),
        ("192.0.2.7, 127.0.0.1", "192.0.2.7"),
        ("192.0.2.7,127.0.0.1 , ::1", "192.0.2.7"),
        ("6.6.6.6, 192.0.2.7, 127.0.0.1", "192.0.2.7"),
        ("garbage, 192.0.2.7", "192.0.2.7"),
    ],
)
def test_address_from_a_trusted_peer(server, value, address):
    """The right-most address that is no trusted proxy: what stands left of it is the client's word."""
    assert seen(server("echo:app"), f"X-Forwarded-For: {value}") == (address, "http")


def test_address_in_several_fields(server):
    fields = ["X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 192.0.2.7", "X-Forwarded-For: 127.0.0.1"]
    assert seen(server("echo:app"), *fields) == ("192.0.2.7", "http")


def test_networks(server):
    site = server("echo:app", proxy_trusted="127.0.0.0/8 10.0.0.0/8 2001:db8::/32")
    assert seen(site, "X-Forwarded-For: 192.0.2.7, 10.255.0.1, 2001:db8:1::5") == ("192.0.2.7", "http")
    assert seen(site, "X-Forwarded-For: 192.0.2.7, 11.0.0.1") == ("11.0.0.1", "http")


def test_only_trusted_addresses(server):
    """The left-most one is as far as anybody knows."""
    assert seen(server("echo:app"), "X-Forwarded-For: 127.0.0.1")[1] == "http"


@pytest.mark.parametrize(
    "fields, scheme",
    [
        ([], "http"),
        (["X-Forwarded-Proto: https"], "https"),
        (["X-Forwarded-Proto: HTTPS"], "https"),
        (["X-Forwarded-Proto: http"], "http"),
        (["X-Forwarded-Proto: https", "X-Forwarded-For: 192.0.2.7"], "https"),
    ],
)
def test_scheme_from_a_trusted_peer(server, fields, scheme):
    assert seen(server("echo:app"), *fields)[1] == scheme


def test_contradiction(server):
    site = server("echo:app")
    assert seen(site, "X-Forwarded-Proto: https", "X-Forwarded-Proto: http") == 400


@pytest.mark.parametrize(
    "value", ["", "not an address", "192.0.2.256", "1.2.3", "192.0.2.7;x", "\xe9", "192.0.2.7 6.6.6.6"]
)
def test_malformed_address(server, value):
    """Never an environ with what is no address."""
    outcome = seen(server("echo:app"), f"X-Forwarded-For: {value}")
    assert outcome == 400 or outcome[0] == "127.0.0.1"


@pytest.mark.parametrize("trusted", ["", "10.0.0.0/8", "unix", "127.0.0.2 ::1"])
def test_untrusted_peer(server, trusted):
    site = server("echo:app", proxy_trusted=trusted)
    fields = ["X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: https"]
    assert seen(site, *fields) == ("127.0.0.1", "http")
    assert seen(site, "X-Forwarded-Proto: https", "X-Forwarded-Proto: http") == ("127.0.0.1", "http")
    assert seen(site, "X-Forwarded-For: garbage") == ("127.0.0.1", "http")


def test_unix_socket_is_trusted_by_default(server):
    site = server("echo:app", unix=True)
    assert seen(site) == ("", "http")
    assert seen(site, "X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: https") == ("192.0.2.7", "https")


def test_unix_socket_that_is_not_trusted(server):
    site = server("echo:app", unix=True, proxy_trusted="127.0.0.1")
    assert seen(site, "X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: https") == ("", "http")


def test_fields_are_passed_to_the_application(server):
    environ = json.loads(server("echo:app").get("/", "X-Forwarded-For: 6.6.6.6, 192.0.2.7").body)["environ"]
    assert environ["HTTP_X_FORWARDED_FOR"] == "6.6.6.6, 192.0.2.7"


def test_the_peer_does_not_choose_the_server(server):
    site = server("echo:app")
    environ = json.loads(
        site.get("/", "X-Forwarded-Host: evil.example", "X-Forwarded-Port: 1", "Forwarded: host=a").body
    )["environ"]
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("127.0.0.1", str(site.port))


def test_bad_list_of_trusted_peers(start_server):
    with pytest.raises(AssertionError, match="exited with 78(.|\n)*proxy.trusted(.|\n)*300.0.0.1"):
        start_server("echo:app", {"proxy_trusted": "127.0.0.1 300.0.0.1"})
