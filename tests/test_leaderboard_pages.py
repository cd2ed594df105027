"""The leaderboard's pages and its web application: who sees what, what is escaped, what changes nothing."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import re
import socket
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from grader.__main__ import main  # noqa: E402
from grader.leaderboard import board as boards  # noqa: E402
from grader.leaderboard.handles import Key  # noqa: E402
from grader.leaderboard.intake import parse_result  # noqa: E402
from grader.leaderboard.plots import heat_map, ticks  # noqa: E402
from grader.leaderboard.render import percent, plain, static_pages  # noqa: E402
from grader.leaderboard.store import Store, create  # noqa: E402

from fake_results import result  # noqa: E402

try:
    from grader.leaderboard import serve
except ImportError:
    serve = None
needs_serve = pytest.mark.skipif(serve is None, reason="the extra `serve` (flask, waitress) is not installed")

KEY, TOKEN = Key(b"k" * 32), b"t" * 32
NOW = datetime(2026, 11, 20, tzinfo=timezone.utc)
DEADLINE = datetime(2026, 11, 15, tzinfo=timezone.utc)
ALICE, BOB = KEY.handle("alice"), KEY.handle("bob")
EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;\x1b[31m\u202e{{ 7 * 7 }}"
VOID = {"meta", "link", "input", "br", "img"}


class Page(HTMLParser):
    """The elements and attributes of a page; fails where an element is not closed."""

    def __init__(self, text: str):
        super().__init__()
        self.text, self.tags, self.links, self.data, self.open = text, [], [], "", []
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        self.links += [value for name, value in attributes if name == "href" and value]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        if tag != "p" or "p" in self.open:
            assert self.open and self.open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        self.data += data

    def assert_harmless(self) -> None:
        """No script, no handler, no style that the policy does not name, nothing from elsewhere."""
        for tag, attributes in self.tags:
            assert tag not in ("script", "img", "iframe", "object", "embed", "base"), tag
            assert not [name for name in attributes if name.startswith("on") or name == "style"], attributes
            for name in ("href", "src", "action"):
                address = attributes.get(name) or "#"
                assert re.match(r"/(?!/)|#|data:,$|[a-z]+\.html$", address), address
        (style,) = re.findall(r"<style>(.*?)</style>", self.text, re.S)
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        policy = next(a["content"] for tag, a in self.tags if a.get("http-equiv") == "Content-Security-Policy")
        assert f"style-src 'sha256-{digest}'" in policy and "default-src 'none'" in policy
        assert "script" not in policy and "unsafe" not in policy and "@import" not in style and "url(" not in style


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Two students and two baselines; alice's second run crashed, her log and tags are hostile; a deadline."""
    path = tmp_path / "board.sqlite"
    create(path)
    evil = result("alice", 0.95)
    evil["notes"] = [EVIL]
    evil["stages"] = [s | {"log": s["log"] + EVIL, "message": EVIL, "name": s["name"] + EVIL} for s in evil["stages"]]
    evil["scores"]["endev"]["confusion"] = {EVIL: {EVIL: 3, "N": 4}, "N": {"N": 5}}
    with Store(path) as store:
        for handle, data in (
            (ALICE, evil),
            (ALICE, result("alice", None, 1)),
            (BOB, result("bob", {"endev": 0.93, "entest": 0.91, "twin": 0.9}, 2)),
            ("reference", result("reference", 0.96, 3)),
            ("majority", result("majority", 0.88, 4)),
        ):
            parsed = parse_result(data)
            store.add(parsed, handle, handle in boards.BASELINES, parsed.submitted)
        store.set("deadline", DEADLINE.isoformat())
    return path


def dump(path: Path) -> list[str]:
    with sqlite3.connect(path) as db:
        return list(db.iterdump())


# Pages without a server


def test_the_static_board_is_one_harmless_file(database: Path):
    with Store(database) as store:
        before = static_pages(store, NOW)
        boards.close(store, NOW)
        after = static_pages(store, NOW)
        on_entest = percent(store.submissions(BOB)[0].scores["entest"].accuracy["all"])
    assert list(before) == ["index.html"] and list(after) == ["index.html", "private.html"]
    for text in (*before.values(), *after.values()):
        page = Page(text)
        page.assert_harmless()
        assert ALICE in page.data and "Reference" in page.data and "Commonest tag" in page.data
        assert not re.search(r"https?://", text)
    shown = f'score">{on_entest}</td>'
    assert shown in after["private.html"] and shown not in before["index.html"] + after["index.html"]


def test_build_writes_whole_files(database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    board = ["leaderboard", "--board", str(tmp_path / "b")]
    assert main([*board, "settings"]) == 0
    assert main([*board, "build", "--out", str(tmp_path / "deep" / "site")]) == 0
    assert [path.name for path in (tmp_path / "deep" / "site").iterdir()] == ["index.html"]
    assert "No run has been scored yet" in (tmp_path / "deep" / "site" / "index.html").read_text()
    capsys.readouterr()
    assert main([*board, "build", "--out", str(database)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_requirements_are_enough_for_all_but_serve(tmp_path: Path, monkeypatch, capsys):
    assert any(need.startswith("jinja2") for need in importlib.metadata.requires("torch") or ())
    for name in ("flask", "waitress"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "grader.leaderboard.serve", raising=False)
    monkeypatch.delattr("grader.leaderboard.serve", raising=False)
    board = ["leaderboard", "--board", str(tmp_path / "b")]
    assert main([*board, "settings"]) == 0 and main([*board, "build", "--out", str(tmp_path)]) == 0
    assert main([*board, "serve"]) == 2
    assert "needs the extra `serve`" in capsys.readouterr().err


def test_controls_and_directions_are_shown_as_numbers():
    assert plain("a\x1b[31mb\u202ec\r\nd\te\x00\r") == "a\\u001b[31mb\\u202ec\nd\te\\u0000\\u000d"


def test_the_heat_map_has_the_tags_with_most_errors():
    tags = [f"T{n:02}" for n in range(30)]
    confusion = {tag: {tag: 100, tags[n - 1]: n} for n, tag in enumerate(tags) if n}
    drawn = heat_map(confusion)
    assert len(drawn.tags) == 16 and "T29" in drawn.tags and "T01" not in drawn.tags
    assert drawn.errors == sum(range(30)) and drawn.top[0] == ("T29", "T28", 29, 29 / 129)
    row = drawn.rows[drawn.tags.index("T29")]
    assert [cell.count for cell in row if cell.right] == [100]
    assert row[drawn.tags.index("T28")].shade == 7  # over 16 %
    assert heat_map({}) is None


@pytest.mark.parametrize("low, high", [(0.9, 0.96), (0.0, 1.0), (0.95, 0.9501), (0.9, 0.9)])
def test_ticks_are_few_round_and_inside(low: float, high: float):
    found = ticks(low, high)
    assert len(found) <= 6 and all(low - 1e-6 <= tick <= high + 1e-6 for tick in found)


# The web application


@pytest.fixture
def client(database: Path) -> Any:
    return serve.make_app(database, KEY, TOKEN, clock=lambda: NOW).test_client()


def of_student(handle: str, end: datetime = NOW + timedelta(days=1)) -> str:
    return f"/s/{KEY.link(handle, end.timestamp())}"


@pytest.fixture
def staff(client: Any) -> Any:
    assert client.post("/staff/login", data={"token": TOKEN.hex()}).status_code == 303
    return client


def csrf_of(text: str) -> str:
    return re.search(r'name="csrf" value="([^"]+)"', text).group(1)


def crawl(client: Any, start: str) -> Iterator[tuple[str, Any]]:
    """All pages that links lead to."""
    seen, waiting = set(), [start]
    while waiting:
        address = waiting.pop()
        if address not in seen and address.startswith("/"):
            seen.add(address)
            answer = client.get(address)
            yield address, answer
            waiting += Page(answer.text).links


HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@needs_serve
def test_every_answer_is_harmless_and_GET_changes_nothing(staff: Any, database: Path):
    before, met = dump(database), set()
    for start in ("/", of_student(ALICE) + "/", "/staff/"):
        for address, answer in crawl(staff, start):
            assert answer.status_code == 200, address
            met.add(address.rpartition("/s/")[2] if "/s/" not in address else address.split("/", 3)[3])
            Page(answer.text).assert_harmless()
    assert {"", "runs", "run/1", "run/2", "/staff/runs", "/staff/run/5"} <= met
    for address in ("/staff/run/1/remove", "/staff/run/1/restore", "/staff/logout"):
        assert staff.get(address).status_code == 405
        assert staff.head(address).status_code == 405
    assert dump(database) == before


@needs_serve
@pytest.mark.parametrize(
    "address", ["/", "/nothing", "/s/forged/", "/staff/", "/staff/login", "/private", "/staff/logout"]
)
def test_headers_of_every_answer(client: Any, address: str):
    answer = client.get(address)
    assert HEADERS.items() <= dict(answer.headers).items()
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "base-uri 'none'" in policy
    assert "script-src" not in policy and "unsafe" not in policy


@needs_serve
def test_hostile_texts_are_shown_as_texts(staff: Any):
    for address in (of_student(ALICE) + "/run/1", "/staff/run/1"):
        page = Page(staff.get(address).text)
        page.assert_harmless()
        assert "<script>alert(1)</script>" in page.data and "{{ 7 * 7 }}" in page.data and "onerror" in page.data
        assert "\x1b" not in page.text and "\u202e" not in page.text and "&amp;amp;" in page.text


@needs_serve
def test_a_link_of_a_partner_leads_to_the_groups_pages(client: Any, database: Path):
    """Also one that was made before the two were a group."""
    pair = KEY.group(["bob", "alice"])
    assert client.get(of_student(ALICE) + "/run/3").status_code == 404, "bob's"
    with Store(database) as store:
        store.set_groups({ALICE: pair, BOB: pair})
    for handle in (ALICE, BOB, pair):
        page = Page(client.get(of_student(handle) + "/").text)
        assert page.text.count('class="own"') == 1
        assert pair in page.data and BOB not in page.data and ALICE not in page.data
        assert client.get(of_student(handle) + "/run/1").status_code == 200
        assert client.get(of_student(handle) + "/run/3").status_code == 200
        assert client.get(of_student(handle) + "/run/4").status_code == 404, "the reference's"


@needs_serve
def test_a_student_sees_the_own_row_marked_and_own_submissions_only(client: Any):
    base = of_student(ALICE)
    board = client.get(base + "/").text
    (own,) = re.findall(r'<tr class="own">.*?</tr>', board, re.S)
    assert ALICE in own and "you" in own and BOB not in own and BOB in board
    assert f"{base}/run/1" in own and "/run/3" not in board
    assert [client.get(f"{base}/run/{number}").status_code for number in range(1, 8)] == [200, 200, *[404] * 5]
    assert client.get(base + "/staff/").status_code == 404
    assert BOB not in client.get(base + "/runs").text
    assert "No run of yours" in client.get(of_student(KEY.handle("nobody")) + "/").text


@needs_serve
def test_hidden_logs_and_test_scores_are_not_for_students(staff: Any, database: Path):
    of_bob = of_student(BOB) + "/run/3"
    page, of_staff = staff.get(of_bob).text, staff.get("/staff/run/3").text
    assert "secret words" in of_staff and "secret words" not in page and "epoch 1" in page
    with Store(database) as store:
        accuracy = f">{percent(store.submissions(BOB)[0].scores['entest'].accuracy['all'])}<"
    assert accuracy in of_staff
    assert "100 of 100" in of_staff and "of 100" not in page, "the points of a hidden stage would tell its accuracy"
    assert of_staff.count("25 of 25") == 4 and page.count("25 of 25") == 3
    assert accuracy not in page and "entest</th>" not in page and "twin" not in page
    with Store(database) as store:
        boards.close(store, NOW)
    page = staff.get(of_bob).text
    assert "100 of 100" in page and "secret words" not in page
    assert accuracy in page and "entest</th>" in page and "twin</th>" not in page


@needs_serve
def test_with_a_ladder_details_wait_for_the_deadline(staff: Any, database: Path):
    with Store(database) as store:
        store.set("ladder", "paired")
    page = staff.get(of_student(BOB) + "/run/3").text
    assert "uses a Ladder" in page and "Confusion" not in page and "Novel" not in staff.get("/").text
    assert "Confusion" in staff.get("/staff/run/3").text


@needs_serve
@pytest.mark.parametrize(
    "link",
    [
        KEY.link(ALICE, NOW.timestamp()),
        KEY.link(ALICE, (NOW - timedelta(days=9)).timestamp()),
        Key(b"x" * 32).link(ALICE, NOW.timestamp() + 99),
        KEY.link(ALICE, NOW.timestamp() + 99).replace(ALICE, BOB),
        KEY.link(ALICE, NOW.timestamp() + 99)[:-1],
        f"{ALICE}.99999999999.",
        "%00",
        "%ff%ed%a0%80",
    ],
    ids=["now", "long ago", "of another key", "of another handle", "cut", "not signed", "a control", "no UTF-8"],
)
def test_links_that_are_over_or_forged(client: Any, link: str):
    for path in ("/", "/runs", "/run/1", "/private"):
        answer = client.get(f"/s/{link}{path}")
        assert answer.status_code == 403
        assert ALICE not in answer.text and BOB not in answer.text


@needs_serve
def test_staff_pages_need_the_token(client: Any):
    for address in ("/staff/", "/staff/runs", "/staff/run/1", "/staff/private"):
        answer = client.get(address)
        assert answer.status_code == 302 and answer.location == "/staff/login"
    for token in ("", "x", TOKEN.hex()[:-1], "\ud800é"):
        wrong = client.post("/staff/login", data={"token": token.encode("utf-8", "surrogatepass")})
        assert wrong.status_code == 403 and "Set-Cookie" not in wrong.headers and "not the staff" in wrong.text
    for cookie in ("x", "99999999999.x.y", "99999999999.x."):
        client.set_cookie("neuralization_staff", cookie, path="/staff")
        assert client.get("/staff/").status_code == 302
        assert client.post("/staff/run/1/remove", data={"reason": "x"}).status_code == 403


@needs_serve
def test_the_session_is_a_guarded_cookie_and_ends(database: Path):
    now = [NOW]
    client = serve.make_app(database, KEY, TOKEN, "https://board.example.edu", clock=lambda: now[0]).test_client()
    there = {"base_url": "https://board.example.edu"}
    cookie = client.post("/staff/login", data={"token": TOKEN.hex()}, **there).headers["Set-Cookie"]
    assert all(part in cookie for part in ("HttpOnly", "SameSite=Strict", "Path=/staff", "Secure", "Max-Age=43200"))
    send = lambda: client.get("/staff/", **there)
    assert send().status_code == 200
    now[0] += timedelta(hours=12)
    assert send().status_code == 302


@needs_serve
def test_removing_needs_the_form_of_the_session_and_our_own_page(staff: Any, database: Path):
    csrf, before = csrf_of(staff.get("/staff/run/1").text), dump(database)
    post = lambda data, **headers: staff.post("/staff/run/1/remove", data=data, headers=headers).status_code
    assert post({"reason": "copied"}) == 403
    assert post({"reason": "copied", "csrf": "x" + csrf[1:]}) == 403
    assert post({"reason": "copied", "csrf": csrf}, **{"Sec-Fetch-Site": "cross-site"}) == 403
    assert post({"reason": "copied", "csrf": csrf}, Origin="https://evil.example") == 403
    assert post({"reason": "copied", "csrf": csrf}, Origin="null") == 403
    assert post({"reason": "copied", "csrf": csrf}, Origin="https://localhost.evil.example") == 403
    assert post({"reason": " ", "csrf": csrf}) == 400
    assert post({"reason": "x" * 501, "csrf": csrf}) == 400
    assert post({"reason": "x" * 30_000, "csrf": csrf}) == 413
    assert staff.post("/staff/run/99/remove", data={"reason": "x", "csrf": csrf}).status_code == 404
    assert dump(database) == before
    assert post({"reason": "copied " + EVIL, "csrf": csrf}, Origin="http://localhost") == 303
    page = Page(staff.get(of_student(ALICE) + "/run/1").text)
    page.assert_harmless()
    assert "copied <script>" in page.data and ALICE not in staff.get("/").text
    assert staff.post("/staff/run/1/restore", data={"reason": "ours", "csrf": csrf}).status_code == 303
    assert ALICE in staff.get("/").text
    assert staff.post("/staff/logout", data={"csrf": csrf}).status_code == 303
    assert staff.get("/staff/").status_code == 302


@needs_serve
def test_other_hosts_are_refused(client: Any):
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 400
    assert client.get("/", headers={"Host": "127.0.0.1:8000"}).status_code == 200


@needs_serve
def test_the_socket_is_bound_to_this_machine_only(database: Path):
    server = serve.make_server(database, KEY, TOKEN, 0, None)
    try:
        assert server.socket.getsockname()[0] == "127.0.0.1"
        with socket.socket() as other, pytest.raises(OSError):
            other.settimeout(5)
            other.connect(("127.0.0.2", int(server.effective_port)))
    finally:
        server.close()


@needs_serve
def test_serve_as_staff_start_it(tmp_path: Path):
    call: Callable[..., list] = lambda *more: [
        sys.executable,
        "-m",
        "grader",
        "leaderboard",
        "--board",
        str(tmp_path),
        *more,
    ]
    process = subprocess.Popen(call("serve", "--port", "0"), cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        address = process.stdout.readline().split()[0]
        with urllib.request.urlopen(address, timeout=60) as answer:
            assert "No run has been scored yet" in answer.read().decode()
            assert answer.headers["X-Frame-Options"] == "DENY" and "Server" not in answer.headers
    finally:
        process.terminate()
        process.communicate()
    assert (tmp_path / "staff.token").stat().st_mode & 0o777 == 0o600
