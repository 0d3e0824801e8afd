"""Partners' URLs cannot be turned on ourselves."""

import pytest

from switchboard import egress
from switchboard.errors import SwitchboardError


@pytest.fixture(autouse=True)
def _deployed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_STACK", "false")
    monkeypatch.setenv("STAGE", "prod")


GOOD = [
    "https://partner.example.com/hook",
    "https://partner.example.com:8443/hook?a=b",
    "https://xn--bcher-kva.example/",
    "https://93.184.216.34/",
    "https://[2606:2800:220:1:248:1893:25c8:1946]/",
    "https://PARTNER.example.com",
]
BAD = [
    "",
    "hook",
    "//partner.example.com/",
    "http://partner.example.com/",
    "ftp://partner.example.com/",
    "file:///etc/passwd",
    "https://",
    "https:///path",
    "https://user@partner.example.com/",
    "https://user:password@partner.example.com/",
    "https://partner.example.com:8080/",
    "https://partner.example.com:0/",
    "https://partner.example.com:99999/",
    "https://partner.example.com/#fragment",
    "https://partner.example.com/a b",
    "https://partner.example.com/\n",
    "https://partner.example.com\\@127.0.0.1/",
    "https://partner.example.com/ü",
    "https://①②⑦.⓪.⓪.①/",
    "https://localhost/",
    "https://LOCALHOST./",
    "https://a.localhost/",
    "https://printer.local/",
    "https://metadata.google.internal/",
    "https://single/",
    "https://127.0.0.1/",
    "https://127.0.0.1:8443/",
    "https://127.1/",
    "https://0/",
    "https://0.0.0.0/",
    "https://0x7f000001/",
    "https://0x7f.0.0.1/",
    "https://0177.0.0.1/",
    "https://2130706433/",
    "https://10.1.2.3/",
    "https://100.64.0.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://172.16.0.1/",
    "https://192.168.1.1/",
    "https://198.18.0.1/",
    "https://224.0.0.1/",
    "https://255.255.255.255/",
    "https://168.63.129.16/",
    "https://[::1]/",
    "https://[::]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:8.8.8.8]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[2002:7f00:1::]/",
    "https://[2001::1]/",
    "https://[fe80::1]/",
    "https://[fe80::1%25eth0]/",
    "https://[fd00:ec2::254]/",
    "https://[ff02::1]/",
    "https://[not-an-address]/",
    "https://partner.example.com/" + "x" * 2000,
]


@pytest.mark.parametrize("url", GOOD)
def test_an_ordinary_url_is_allowed(url: str) -> None:
    assert egress.check_url(url) == url


@pytest.mark.parametrize("url", BAD)
def test_anything_else_is_refused_at_its_field(url: str) -> None:
    with pytest.raises(SwitchboardError) as refused:
        egress.check_url(url)
    assert refused.value.code == "invalid"
    assert [field.pointer for field in refused.value.fields] == ["/url"]


@pytest.mark.parametrize("addresses", [["93.184.216.34", "127.0.0.1"], ["10.0.0.1"], ["::1"], ["nonsense"]])
def test_one_bad_address_is_enough(monkeypatch: pytest.MonkeyPatch, addresses: list[str]) -> None:
    monkeypatch.setattr(egress, "resolve_host", lambda host, port: addresses)
    with pytest.raises(egress.Refused):
        egress.resolve("partner.example.com", 443)
    with pytest.raises(SwitchboardError):
        egress.check_host("https://partner.example.com/")


def test_a_name_that_does_not_resolve_yet_may_be_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(host: str, port: int) -> list[str]:
        raise OSError

    monkeypatch.setattr(egress, "resolve_host", nobody)
    egress.check_host("https://partner.example.com/")


LOCAL = ["http://127.0.0.1:8600/sink/x?a=b", "https://127.0.0.1:8600", "http://127.0.0.1:1/"]
NOT_LOCAL = [
    "http://127.0.0.1/",
    "http://localhost:8600/",
    "http://127.0.0.2:8600/",
    "http://127.1:8600/",
    "http://[::1]:8600/",
    "http://0x7f000001:8600/",
    "http://user@127.0.0.1:8600/",
    "http://127.0.0.1:8600@partner.example.com/",
    "http://127.0.0.1:99999/",
    "http://127.0.0.1:0/",
    "http://127.0.0.1:8600/#x",
    "http://partner.example.com/",
    "http://10.0.0.1:80/",
]


@pytest.mark.parametrize("url", LOCAL)
def test_a_local_stack_allows_one_spelling_of_loopback(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("LOCAL_STACK", "true")
    with pytest.raises(SwitchboardError):
        egress.check_url(url)  # the setting alone does nothing in prod
    monkeypatch.setenv("STAGE", "local")
    assert egress.check_url(url) == url
    assert egress.resolve("127.0.0.1", 8600) == ["127.0.0.1"]


@pytest.mark.parametrize("url", NOT_LOCAL)
def test_and_no_other(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("LOCAL_STACK", "true")
    monkeypatch.setenv("STAGE", "local")
    with pytest.raises(SwitchboardError):
        egress.check_url(url)
