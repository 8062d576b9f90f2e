import pytest

from cronium_app.security.cookies import (
    clear_cookie,
    is_same_origin,
    is_secure,
    local_path,
    session_token,
    set_cookie,
)


@pytest.mark.parametrize(
    "wanted",
    ["//evil", "/\\evil", "\\\\evil", "javascript:alert(1)", "https://evil", "evil", "", "/\t/evil",
     "/\n", "/ü", "/a\\..\\b", "/" + "a" * 3000, "/\x00", "http:/evil", "///evil"],
)  # fmt: skip
def test_a_foreign_next_goes_home(wanted):
    assert local_path(wanted) == "/"


@pytest.mark.parametrize("wanted", ["/", "/runs/01?line=5#x", "/runs?text=a%20b", "/a:b"])
def test_a_local_next_stays(wanted):
    assert local_path(wanted) == wanted


@pytest.mark.parametrize(
    ("origin", "host", "secure", "same"),
    [
        ("http://a:8080", "a:8080", False, True),
        ("http://A", "a:80", False, True),
        ("https://a", "a", True, True),
        ("https://a:8443", "a:8443", True, True),
        ("http://[::1]:80", "[::1]", False, True),
        ("http://a:8080", "a:8081", False, False),
        ("http://a", "a", True, False),
        ("https://a", "a", False, False),
        ("https://a.evil", "a", True, False),
        ("https://evila", "a", True, False),
        ("null", "a", True, False),
        ("", "", True, False),
        ("http://", "", False, False),
        ("http://[", "[", False, False),
        ("file://a", "a", False, False),
    ],
)
def test_same_origin(origin, host, secure, same):
    assert is_same_origin(origin, host, secure=secure) is same


def test_tls_is_seen_through_a_proxy():
    assert is_secure("https", {})
    assert is_secure("http", {"x-forwarded-proto": "HTTPS, http"})
    assert is_secure("ws", {"x-forwarded-proto": "wss"})
    assert not is_secure("http", {"x-forwarded-proto": "http"})
    assert not is_secure("ws", {})


def test_cookies_have_their_marks():
    strict = set_cookie("t", secure=True, max_age_s=5)
    assert strict == "__Host-cronium=t; Path=/; Max-Age=5; HttpOnly; SameSite=Lax; Secure"
    assert set_cookie("t", secure=False, max_age_s=5).startswith("cronium_session=t; ")
    assert "Max-Age=0" in clear_cookie(secure=True)


def test_which_cookie_counts():
    both = "a=b; cronium_session=plain; __Host-cronium=strict; cronium_session=second"
    assert session_token(both, secure=True) == "strict"
    assert session_token(both, secure=False) == "plain"
    assert session_token(both) == "strict"
    assert session_token("cronium_session=plain", secure=True) is None
    for nothing in ("", "x", "cronium_session=", "=", ";;;", "x" * 20_000):
        assert session_token(nothing) is None
