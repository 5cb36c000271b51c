from __future__ import annotations

import pytest

from powmonman.config import forms


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.7", ("192.0.2.7", 7444)),
        ("192.0.2.7:17444", ("192.0.2.7", 17444)),
        ("pi.lan", ("pi.lan", 7444)),
        ("pi.lan.:1", ("pi.lan.", 1)),
        ("my_pi", ("my_pi", 7444)),
        ("2001:db8::7", ("2001:db8::7", 7444)),
        ("[2001:db8::7]", ("2001:db8::7", 7444)),
        ("[2001:DB8:0::7]:65535", ("2001:db8::7", 65535)),
        ("fe80::1%eth0", ("fe80::1%eth0", 7444)),
        ("[fe80::1%eth0]:17444", ("fe80::1%eth0", 17444)),
    ],
)
def test_an_address_is_split_into_host_and_port(text: str, address: tuple[str, int]) -> None:
    assert address == forms.server_address(text, 7444)


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "pi lan", "pi.lan:", "pi.lan:0", "pi.lan:65536", "pi.lan:x", "pi.lan:٣", ":7444",
        "https://pi.lan", "192.0.2.300", "192.0.2", "1", "192.0.2.7/24", "-pi", "pi..lan",
        "x" * 64, "a." * 127 + "a", "[2001:db8::7", "[2001:db8::7]7444", "[pi.lan]:7444",
        "2001:db8::7:::", "fe80::1%", "fe80::1%a b", "[]", "pi.lan\n", "pi\0lan", "zürich",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match=r"^[a-zA-Z].{10}"):
        forms.server_address(text, 7444)


@pytest.mark.parametrize("port", ["", "0", "65536", "9" * 5000, "x", "-1", "7_444"])
def test_a_port_out_of_range_is_told_in_words(port: str) -> None:
    with pytest.raises(ValueError, match=r"^the port must be a number from 1 to 65535$"):
        forms.server_address(f"pi.lan:{port}", 7444)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("PI.lan", "pi.lan."),
        ("[2001:db8::7]", "2001:0db8:0::7"),
        ("[fe80::1%eth0]", "fe80::1%eth0"),
    ],
)
def test_two_spellings_of_a_server_are_the_same(one: str, other: str) -> None:
    canonical = forms.SERVER_ADDRESS.canonical
    assert canonical(one) == canonical(other)
    assert canonical(one) != canonical("192.0.2.7")


def test_a_fingerprint_is_the_same_with_and_without_colons() -> None:
    plain = "0aB1" * 16
    pairs = ":".join(plain[at : at + 2] for at in range(0, 64, 2))
    assert forms.FINGERPRINT.canonical(plain) == forms.FINGERPRINT.canonical(pairs.lower())


@pytest.mark.parametrize("text", ["0a" * 31, "0a" * 33, ":" * 64, "0a:" * 32, "0g" * 32, "0" * 63])
def test_what_is_no_fingerprint_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        forms.FINGERPRINT.canonical(text)


@pytest.mark.parametrize("text", ["", "127.0.0.2", "::", "fe80::1%eth0"])
def test_a_server_listens_on_an_address(text: str) -> None:
    forms.LISTEN_ADDRESS.canonical(text)


@pytest.mark.parametrize("text", ["localhost", "192.0.2.7:7444", "[::1]", "1.2.3", "eth0"])
def test_a_server_listens_on_nothing_else(text: str) -> None:
    with pytest.raises(ValueError, match="address"):
        forms.LISTEN_ADDRESS.canonical(text)


@pytest.mark.parametrize("text", ["", "-a", ".a", "a b", "a/b", "a\n", "x" * 64, "ü"])
def test_a_name_is_plain(text: str) -> None:
    with pytest.raises(ValueError, match="up to 63"):
        forms.NAME.canonical(text)
