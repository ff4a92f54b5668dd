# SPDX-License-Identifier: MIT
"""Forwarded and X-Forwarded-*, believed from trusted peers alone."""
import functools
import json

import pytest

ALL = (
    "x-forwarded-for x-forwarded-proto x-forwarded-host x-forwarded-port x-forwarded-prefix forwarded"
    " x-forwarded-ssl x-forwarded-protocol"
)


@pytest.fixture
def believing(server):
    """Sites that believe trusted peers everything."""
    return functools.partial(server, proxy_headers=ALL)


def seen(site, *fields):
    """(REMOTE_ADDR, wsgi.url_scheme) or the status of a refusal."""
    response = site.get("/", *fields)
    if response.status != 200:
        return response.status
    environ = json.loads(response.body)["environ"]
    return environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]


def environ_of(site, target, *fields):
    response = site.get(target, *fields)
    assert response.status == 200, response
    return json.loads(response.body)["environ"]


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
def test_address_from_a_trusted_peer(believing, value, address):
    """The right-most address that is no trusted proxy: what stands left of it is the client's word."""
    assert seen(believing("echo:app"), f"X-Forwarded-For: {value}") == (address, "http")


def test_address_in_several_fields(believing):
    fields = ["X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 192.0.2.7", "X-Forwarded-For: 127.0.0.1"]
    assert seen(believing("echo:app"), *fields) == ("192.0.2.7", "http")


def test_networks(believing):
    site = believing("echo:app", proxy_trusted="127.0.0.0/8 10.0.0.0/8 2001:db8::/32")
    assert seen(site, "X-Forwarded-For: 192.0.2.7, 10.255.0.1, 2001:db8:1::5") == ("192.0.2.7", "http")
    assert seen(site, "X-Forwarded-For: 192.0.2.7, 11.0.0.1") == ("11.0.0.1", "http")


@pytest.mark.parametrize("unix", [False, True])
def test_only_trusted_addresses(believing, unix):
    """The left-most one is as far as anybody knows."""
    site = believing("echo:app", unix=unix, proxy_trusted="127.0.0.1 10.0.0.0/8 unix")
    assert seen(site, "X-Forwarded-For: 10.0.0.3, 10.0.0.2", "X-Forwarded-For: 127.0.0.1") == (
        "10.0.0.3",
        "http",
    )
    assert seen(site, "Forwarded: for=10.0.0.3, for=10.0.0.2, for=127.0.0.1") == ("10.0.0.3", "http")


@pytest.mark.parametrize(
    "fields, scheme",
    [
        ([], "http"),
        (["X-Forwarded-Proto: https"], "https"),
        (["X-Forwarded-Proto: HTTPS"], "https"),
        (["X-Forwarded-Proto: http"], "http"),
        (["X-Forwarded-Proto: https", "X-Forwarded-For: 192.0.2.7"], "https"),
        (["X-Forwarded-Ssl: on"], "https"),
        (["X-Forwarded-Ssl: off"], "http"),
        (["X-Forwarded-Protocol: ssl"], "https"),
        (["X-Forwarded-Protocol: https"], "https"),
        (["X-Forwarded-Protocol: http"], "http"),
        (["X-Forwarded-Protocol: ssl", "X-Forwarded-Ssl: on", "X-Forwarded-Proto: https"], "https"),
    ],
)
def test_scheme_from_a_trusted_peer(believing, fields, scheme):
    assert seen(believing("echo:app"), *fields)[1] == scheme


@pytest.mark.parametrize(
    "value, expected",
    [
        ("for=192.0.2.7;proto=https;by=203.0.113.43", ("192.0.2.7", "https")),
        ('For="[2001:db8:cafe::17]:4711"', ("2001:db8:cafe::17", "http")),
        ('for="192.0.2.7:_p";PROTO="https"', ("192.0.2.7", "https")),
        ("for=6.6.6.6, for=192.0.2.7;proto=https, for=127.0.0.1;proto=http", ("192.0.2.7", "https")),
        ("for=6.6.6.6;proto=https, for=192.0.2.7", ("192.0.2.7", "http")),
        ('for="6.6.6.6, for=192.0.2.7', ("192.0.2.7", "http")),
        ("for=unknown;proto=https", ("127.0.0.1", "https")),
        ("for=192.0.2.7, for=_hidden", ("127.0.0.1", "http")),
    ],
)
def test_forwarded(believing, value, expected):
    assert seen(believing("echo:app"), f"Forwarded: {value}") == expected


def url_of(environ):
    names = ("wsgi.url_scheme", "HTTP_HOST", "SERVER_PORT", "SCRIPT_NAME", "PATH_INFO")
    return tuple(environ[name] for name in names)


@pytest.mark.parametrize(
    "fields, expected",
    [
        (["X-Forwarded-Host: shop.example"], ("http", "shop.example", "80", "", "/a/b")),
        (
            ["X-Forwarded-Host: shop.example", "X-Forwarded-Proto: https"],
            ("https", "shop.example", "443", "", "/a/b"),
        ),
        (["X-Forwarded-Host: [2001:db8::1]:8443"], ("http", "[2001:db8::1]:8443", "8443", "", "/a/b")),
        (["X-Forwarded-Host: [2001:db8::1]"], ("http", "[2001:db8::1]", "80", "", "/a/b")),
        (["X-Forwarded-Host: shop.example:"], ("http", "shop.example:", "80", "", "/a/b")),
        (["X-Forwarded-Host: a:1", "X-Forwarded-Port: 8443"], ("http", "a:1", "8443", "", "/a/b")),
        (["X-Forwarded-Port: 8443"], ("http", "example.org", "8443", "", "/a/b")),
        (['Forwarded: host="a:8080";proto=https'], ("https", "a:8080", "8080", "", "/a/b")),
        (["X-Forwarded-Prefix: /a/", "X-Forwarded-Port: 1"], ("http", "example.org", "1", "/a", "/b")),
        (["X-Forwarded-Prefix: /a/b", "X-Forwarded-Port: 1"], ("http", "example.org", "1", "/a/b", "")),
        (["X-Forwarded-Prefix: /%61", "X-Forwarded-Port: 1"], ("http", "example.org", "1", "/a", "/a/b")),
        (["X-Forwarded-Prefix: /shop", "X-Forwarded-Port: 1"], ("http", "example.org", "1", "/shop", "/a/b")),
    ],
)
def test_url_from_a_trusted_peer(believing, fields, expected):
    environ = environ_of(believing("echo:app"), "/a/b", *fields)
    assert url_of(environ) == expected
    assert environ["SERVER_NAME"] == "127.0.0.1" and environ["RAW_URI"] == "/a/b"


def test_port_on_a_unix_socket(believing):
    site = believing("echo:app", unix=True)
    assert environ_of(site, "/", "X-Forwarded-Proto: https")["SERVER_PORT"] == "443"
    assert (
        environ_of(site, "/", "X-Forwarded-Proto: https", "X-Forwarded-Port: 8443")["SERVER_PORT"] == "8443"
    )
    assert environ_of(site, "/", "X-Forwarded-Host: a:81")["SERVER_PORT"] == "81"


def test_nothing_stays_for_the_next_request(believing):
    """On one connection."""
    site = believing("echo:app")
    fields = [
        "X-Forwarded-Host: a",
        "X-Forwarded-Port: 1",
        "X-Forwarded-Prefix: /p",
        "Forwarded: for=192.0.2.7",
    ]
    with site.connect() as connection:
        for extra, expected in [
            (fields, ("192.0.2.7", "a", "1", "/p", "/x")),
            ([], ("127.0.0.1", "example.org", str(site.port), "", "/p/x")),
        ] * 2:
            environ = json.loads(connection.request("GET", "/p/x", *extra).body)["environ"]
            names = ("REMOTE_ADDR", "HTTP_HOST", "SERVER_PORT", "SCRIPT_NAME", "PATH_INFO")
            assert tuple(environ[name] for name in names) == expected


@pytest.mark.parametrize(
    "fields",
    [
        ["X-Forwarded-Proto: https", "X-Forwarded-Proto: http"],
        ["X-Forwarded-Proto: https", "X-Forwarded-Ssl: off"],
        ["X-Forwarded-Protocol: ssl", "X-Forwarded-Proto: http"],
        ["X-Forwarded-Ssl: on", "X-Forwarded-Protocol: http"],
        ["Forwarded: proto=http", "X-Forwarded-Ssl: on"],
        ["X-Forwarded-Host: a, b"],
        ["X-Forwarded-Port: 80", "X-Forwarded-Port: 81"],
        ["X-Forwarded-Prefix: /a, /b"],
        ["Forwarded: for=192.0.2.7", "X-Forwarded-For: 192.0.2.8"],
        ["Forwarded: proto=http", "X-Forwarded-Proto: https"],
        ["Forwarded: host=a", "X-Forwarded-Host: b"],
    ],
)
def test_contradiction(believing, fields):
    assert seen(believing("echo:app"), *fields) == 400


@pytest.mark.parametrize(
    "field",
    [
        "X-Forwarded-Host: a/b",
        "X-Forwarded-Host: me@a",
        "X-Forwarded-Host:",
        "X-Forwarded-Ssl: 1",
        "X-Forwarded-Protocol: on",
        "X-Forwarded-Port: 0",
        "X-Forwarded-Port: http",
        "X-Forwarded-Prefix: shop",
        "X-Forwarded-Prefix: //evil.example",
        "X-Forwarded-Prefix: /a?b",
        "X-Forwarded-Prefix: /\xe9",
        "Forwarded: for=192.0.2.7;for=192.0.2.7",
        'Forwarded: for="192.0.2.7',
        "Forwarded: for=2001:db8::1",
        "Forwarded: nonsense",
    ],
)
def test_malformed(believing, field):
    assert seen(believing("echo:app"), field) == 400
    assert seen(believing("echo:app", proxy_trusted=""), field) == ("127.0.0.1", "http")


def test_refusal_is_explained(start_server):
    server = start_server("echo:app", {"proxy_headers": ALL})
    assert server.get("/", "X-Forwarded-Port: 0").status == 400
    server.wait_for_log("malformed X-Forwarded-Port")


@pytest.mark.parametrize(
    "value", ["", "not an address", "192.0.2.256", "1.2.3", "192.0.2.7;x", "\xe9", "192.0.2.7 6.6.6.6"]
)
def test_malformed_address(believing, value):
    """Never an environ with what is no address."""
    outcome = seen(believing("echo:app"), f"X-Forwarded-For: {value}")
    assert outcome == 400 or outcome[0] == "127.0.0.1"


@pytest.mark.parametrize("trusted", ["", "10.0.0.0/8", "unix", "127.0.0.2 ::1"])
def test_untrusted_peer(believing, trusted):
    site = believing("echo:app", proxy_trusted=trusted)
    fields = ["X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: https"]
    assert seen(site, *fields) == ("127.0.0.1", "http")
    assert seen(site, "X-Forwarded-Proto: https", "X-Forwarded-Proto: http") == ("127.0.0.1", "http")
    assert seen(site, "X-Forwarded-For: garbage") == ("127.0.0.1", "http")


def test_unix_socket_is_trusted_by_default(believing):
    site = believing("echo:app", unix=True)
    assert seen(site) == ("", "http")
    assert seen(site, "X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: https") == ("192.0.2.7", "https")


def test_unix_socket_that_is_not_trusted(believing):
    site = believing("echo:app", unix=True, proxy_trusted="127.0.0.1")
    assert seen(site, "X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: https") == ("", "http")


def test_fields_are_passed_to_the_application(believing):
    environ = json.loads(believing("echo:app").get("/", "X-Forwarded-For: 6.6.6.6, 192.0.2.7").body)["environ"]
    assert environ["HTTP_X_FORWARDED_FOR"] == "6.6.6.6, 192.0.2.7"


def test_an_untrusted_peer_does_not_choose_the_url(believing):
    site = believing("echo:app", proxy_trusted="unix")
    environ = environ_of(
        site,
        "/p/x",
        "X-Forwarded-Host: evil.example",
        "X-Forwarded-Port: 1",
        "X-Forwarded-Prefix: /p",
        "Forwarded: host=a;proto=https",
    )
    assert url_of(environ) == ("http", "example.org", str(site.port), "", "/p/x")
    assert environ["HTTP_X_FORWARDED_HOST"] == "evil.example"


def test_bad_list_of_trusted_peers(start_server):
    with pytest.raises(AssertionError, match="exited with 78(.|\n)*proxy.trusted(.|\n)*300.0.0.1"):
        start_server("echo:app", {"proxy_trusted": "127.0.0.1 300.0.0.1"})


def test_what_is_believed_by_default(server):
    """Proxies pass on what they do not know of: a client must not choose host, prefix or port by that."""
    fields = ["X-Forwarded-Host: evil.example", "X-Forwarded-Port: 1", "X-Forwarded-Prefix: /evil"]
    site = server("echo:app")
    environ = environ_of(site, "/evil/a", *fields, "Forwarded: host=evil.example;for=6.6.6.6", "X-Forwarded-Proto: https")
    assert environ["HTTP_HOST"] == "example.org" and environ["SERVER_PORT"] != "1"
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("", "/evil/a")
    assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]) == ("127.0.0.1", "https")
    assert seen(site, "X-Forwarded-Host: a, b") == ("127.0.0.1", "http")
    assert seen(site, "X-Forwarded-Ssl: on", "X-Forwarded-Protocol: nonsense") == ("127.0.0.1", "http")


# --- names with '_' ---

NAMES = "SCRIPT_NAME REMOTE_USER"


def keys_of(environ):
    return {key: value for key, value in environ.items() if key.endswith(("SCRIPT_NAME", "REMOTE_USER"))}


@pytest.mark.parametrize("unix", [False, True])
def test_names_for_proxies(server, unix):
    site = server("echo:app", unix=unix, proxy_forwarder_headers=NAMES)
    environ = environ_of(site, "/shop/a", "Script_Name: /shop", "REMOTE_USER: bob", "X_Other: 1")
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/shop", "/a")
    assert environ["HTTP_REMOTE_USER"] == "bob"
    assert "REMOTE_USER" not in environ and "HTTP_X_OTHER" not in environ
    assert keys_of(environ_of(site, "/shop/a")) == {"SCRIPT_NAME": ""}


@pytest.mark.parametrize("fields", [["Script-Name: /shop", "Remote-User: bob"], ["script-name: x", "REMOTE-USER: bob"]])
def test_names_that_read_the_same(server, fields):
    """A proxy passes them on like any field: they may not stand in for its own, nor be added to them."""
    site = server("echo:app", proxy_forwarder_headers=NAMES)
    assert keys_of(environ_of(site, "/shop/a", *fields)) == {"SCRIPT_NAME": ""}
    environ = environ_of(site, "/shop/a", fields[0], "SCRIPT_NAME: /shop", "REMOTE_USER: alice", fields[1])
    assert keys_of(environ) == {
        "SCRIPT_NAME": "/shop",
        "HTTP_SCRIPT_NAME": "/shop",
        "HTTP_REMOTE_USER": "alice",
    }
    unreserved = environ_of(server("echo:app"), "/shop/a", *fields)
    assert unreserved["HTTP_REMOTE_USER"] == "bob" and unreserved["SCRIPT_NAME"] == ""


def test_names_for_proxies_from_others(server):
    site = server("echo:app", proxy_forwarder_headers=NAMES, proxy_trusted="unix")
    fields = ["SCRIPT_NAME: /shop", "REMOTE_USER: bob", "Remote-User: eve"]
    assert keys_of(environ_of(site, "/shop/a", *fields)) == {"SCRIPT_NAME": ""}


def test_names_for_proxies_of_nameless_clients(server):
    """The PROXY protocol: the peer is trusted, but whose words it passes on nobody knows."""
    site = server("echo:app", proxy_forwarder_headers=NAMES, proxy_protocol="all")
    for header, script_name in [(b"PROXY UNKNOWN", ""), (b"PROXY TCP4 192.0.2.7 192.0.2.8 1 2", "")]:
        with site.connect() as connection:
            connection.send(header + b"\r\n")
            environ = json.loads(connection.request("GET", "/shop/a", "SCRIPT_NAME: /shop").body)["environ"]
            assert keys_of(environ) == {"SCRIPT_NAME": script_name}


@pytest.mark.parametrize(
    "fields",
    [
        ["SCRIPT_NAME: shop"],
        ["SCRIPT_NAME: //evil.example"],
        ["SCRIPT_NAME:"],
        ["SCRIPT_NAME: /a", "SCRIPT_NAME: /b"],
        ["SCRIPT_NAME: /a", "X-Forwarded-Prefix: /b"],
    ],
)
def test_script_name_is_checked_like_a_prefix(server, fields):
    assert seen(server("echo:app", proxy_forwarder_headers=NAMES, proxy_headers=ALL), *fields) == 400


def test_ambiguous_names_are_dropped(start_server):
    site = start_server("echo:app", {"log_level": "debug"})
    environ = environ_of(site, "/", "X_User: eve", "X-User: bob")
    assert environ["HTTP_X_USER"] == "bob"
    site.wait_for_log("Dropped 1 field.* of 127.0.0.1 .*X_User")


def test_ambiguous_names_are_refused(server):
    site = server("echo:app", request_header_map="refuse", proxy_forwarder_headers=NAMES)
    assert seen(site, "X_User: eve") == 400
    assert seen(site, "_:") == 400
    assert environ_of(site, "/", "REMOTE_USER: bob", "X-User: bob")["HTTP_REMOTE_USER"] == "bob"
    untrusted = server(
        "echo:app", request_header_map="refuse", proxy_forwarder_headers=NAMES, proxy_trusted="unix"
    )
    assert seen(untrusted, "REMOTE_USER: bob") == 400
    assert seen(untrusted, "X-User: bob") == ("127.0.0.1", "http")


def test_dangerous_names_are_not_offered(start_server):
    with pytest.raises(AssertionError, match="exited with 78(.|\n)*request.header_map(.|\n)*is not offered"):
        start_server("echo:app", {"request_header_map": "dangerous"})
