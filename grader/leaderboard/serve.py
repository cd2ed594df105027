"""The board as a local web application: Flask, served by waitress, on 127.0.0.1 and nowhere else.

Who sees what is in the address. `/` is the public board. `/s/LINK/` is a student's: LINK is signed and ends
(handles.py); the student's own row is marked, and there is a page for each own submission, with what a student may
see. `/staff/` is for who has logged in with the staff's token, and has everything. Nothing of a visitor is kept but
the staff's signed cookie.

What each answer holds to: every value is escaped, no script is allowed (content security policy), nothing is framed
or cached, GET changes nothing, POST needs the session's token and comes from these pages, and hosts other than our
own name are refused (a stranger's name could be made to lead to 127.0.0.1).
"""

from __future__ import annotations

import base64
import hmac
import secrets
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import waitress
from flask import Flask, Response, abort, redirect, request
from werkzeug.exceptions import HTTPException

from grader.errors import UsageError
from grader.leaderboard import board as boards
from grader.leaderboard.handles import Key, LinkError, sign
from grader.leaderboard.render import POLICY, board_page, page
from grader.leaderboard.store import Store
from grader.leaderboard.views import PUBLIC, Visitor, frame, run_page, runs_page

HOST = "127.0.0.1"
SESSION = 12 * 3600  # seconds that a login lasts
COOKIE = "neuralization_staff"
HEADERS = {
    "Content-Security-Policy": f"{POLICY}; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # a student's link is in the address
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
MESSAGES = {
    403: "You may not see this.", 404: "There is nothing here.", 405: "That cannot be done here.",
    413: "That is too long.", 500: "The board made a mistake. Its log says which.",
}  # fmt: skip


def make_server(database: Path, key: Key, token: bytes, port: int, url: str | None) -> Any:
    """A server that listens on 127.0.0.1 and runs by its `run()`."""
    app = make_app(database, key, token, url)
    return waitress.create_server(app, host=HOST, port=port, ident=None, threads=4)


def make_app(database: Path, key: Key, token: bytes, url: str | None = None, clock: Callable = boards.utc_now) -> Flask:
    """The application.

    Args:
        url: the address of a web server in front of it; its host is accepted, and links begin with it.
        clock: the present, in UTC.
    """
    app = Flask(__name__, static_folder=None)
    hosts = [HOST, "localhost", *([urlsplit(url).hostname] if url else [])]
    app.config.update(MAX_CONTENT_LENGTH=16 << 10, TRUSTED_HOSTS=hosts)
    sessions = Sessions(sign(token, "sessions"), clock)
    address = lambda: url or request.host_url.rstrip("/")

    def visitor(link: str | None) -> Visitor:
        """Who asks; ends the request where a link or a session is not good."""
        if link is not None:
            try:
                return Visitor("student", f"/s/{link}", key.handle_of_link(link, clock().timestamp()))
            except LinkError as error:
                abort(403, str(error))
        if not request.path.startswith("/staff"):
            return PUBLIC
        session = request.cookies.get(COOKIE, "")
        if not sessions.good(session):
            abort(redirect("/staff/login") if request.method == "GET" else 403)
        return Visitor("staff", "/staff", csrf=sessions.csrf(session))

    def shown(path: str, *prefixes: str) -> Callable:
        """Give a page to all visitors of these prefixes; the view gets the open store and the visitor."""

        def decorator(view: Callable) -> Callable:
            @wraps(view)
            def with_store(link: str | None = None, **values: Any) -> str:
                who = visitor(link)
                with Store(database) as store:
                    own = who.handle and store.group_of(who.handle)
                    return view(store, replace(who, handle=own), **values)

            for prefix in prefixes:
                app.add_url_rule(prefix + path, f"{prefix}{path}", with_store, methods=["GET"])
            return with_store

        return decorator

    @shown("/", "", "/s/<link>", "/staff")
    def public(store: Store, who: Visitor) -> str:
        return board_page(boards.public_board(store), "Public board", clock(), who.handle, **frame(store, who, "/"))

    @shown("/private", "", "/s/<link>", "/staff")
    def private(store: Store, who: Visitor) -> str:
        board = boards.private_board(store)
        if board is None:
            abort(404, "The final board opens after the deadline.")
        return board_page(board, "Final board", clock(), who.handle, **frame(store, who, "/private"))

    @shown("/runs", "/s/<link>", "/staff")
    def runs(store: Store, who: Visitor) -> str:
        return runs_page(store, who, max(1, request.args.get("page", 1, type=int)))

    @shown("/run/<int:number>", "/s/<link>", "/staff")
    def run(store: Store, who: Visitor, number: int) -> str:
        link = lambda handle, end: f"{address()}/s/{key.link(handle, end)}/"
        return run_page(store, who, number, clock(), link) or abort(404)

    @app.get("/staff/login")
    def login_form() -> str:
        with Store(database) as store:
            return page("login.html", wrong=False, **frame(store, PUBLIC, "/staff/login"))

    @app.post("/staff/login")
    def login() -> Response | tuple[str, int]:
        from_these_pages(address())
        given = request.form.get("token", "").strip().encode("utf-8", "replace")
        if not hmac.compare_digest(given, token.hex().encode()):
            with Store(database) as store:
                return page("login.html", wrong=True, **frame(store, PUBLIC, "/staff/login")), 403
        answer = redirect("/staff/", 303)
        secure = address().startswith("https:")
        answer.set_cookie(
            COOKIE, sessions.new(), SESSION, path="/staff", secure=secure, httponly=True, samesite="Strict"
        )
        return answer

    @app.post("/staff/logout")
    def logout() -> Response:
        may_change(visitor(None), address())
        answer = redirect("/", 303)
        answer.delete_cookie(COOKIE, path="/staff")
        return answer

    @app.post("/staff/run/<int:number>/<any(remove, restore):action>")
    def decide(number: int, action: str) -> Response:
        may_change(visitor(None), address())
        reason = request.form.get("reason", "").strip()
        if not 0 < len(reason) <= 500:
            abort(400, "A reason is needed, of at most 500 characters.")
        with Store(database) as store:
            try:
                store.decide(number, action, reason, clock())
            except UsageError:
                abort(404)
        return redirect(f"/staff/run/{number}", 303)

    @app.errorhandler(HTTPException)
    def failed(error: HTTPException) -> Response | tuple[str, int]:
        if error.response is not None:  # a redirection
            return error.response
        own_words = error.description if error.description != type(error).description else None
        text = own_words or MESSAGES.get(error.code, "That request makes no sense here.")
        said = page("message.html", title=error.name, message=text, links=[], viewer="public", base="", csrf="")
        return said, error.code

    @app.after_request
    def with_headers(answer: Response) -> Response:
        answer.headers.update(HEADERS)
        return answer

    return app


# Sessions of the staff


class Sessions:
    """Signed cookies: the second at which the session ends, a random part, and the HMAC of both."""

    def __init__(self, key: bytes, clock: Callable):
        self._key, self._clock = key, clock

    def new(self) -> str:
        value = f"{int(self._clock().timestamp()) + SESSION}.{secrets.token_hex(16)}"
        return f"{value}.{self._sign('session', value)}"

    def good(self, session: str) -> bool:
        value, _, signature = session.rpartition(".")
        if not hmac.compare_digest(signature.encode("utf-8", "replace"), self._sign("session", value).encode()):
            return False
        return self._clock().timestamp() < int(value.split(".")[0])

    def csrf(self, session: str) -> str:
        return self._sign("csrf", session)

    def _sign(self, *parts: str) -> str:
        return base64.urlsafe_b64encode(sign(self._key, *parts)).decode().rstrip("=")


def from_these_pages(address: str) -> None:
    """End a POST that a page of another address has sent."""
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site not in (None, "same-origin") or (origin is not None and origin != address):
        abort(403, "This came from another site.")


def may_change(who: Visitor, address: str) -> None:
    from_these_pages(address)
    if who.kind != "staff" or not hmac.compare_digest(request.form.get("csrf", "").encode(), who.csrf.encode()):
        abort(403, "This form is not of your session. Load the page again.")
