"""The web application: every page of the table behind one gate that knows who asks, what they may do, and their form's token."""

from __future__ import annotations

import asyncio
import mimetypes
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from urllib.parse import quote

import orjson
import structlog
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.datastructures import URL, FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from streams.desk import openapi
from streams.desk.access import WINDOW_S, Person, TooMany, same
from streams.desk.desk import Desk
from streams.desk.gate import Gate
from streams.desk.oidc import CALLBACK, Attempt, OidcFailed
from streams.desk.page import Ask, Done, Page, Refused, View
from streams.desk.policies import PAGES as POLICIES
from streams.desk.pulse import MAX_LISTENERS
from streams.desk.remembering import PAGES as REMEMBERING
from streams.desk.rendering import STATIC, Rendering
from streams.desk.reviewing import PAGES as REVIEWING
from streams.desk.roles import Role
from streams.desk.watching import PAGES as WATCHING
from streams.errors import GiveUp, HedgerowError, TryAgain
from streams.reviews.decision import DecisionRefused
from streams.reviews.journal import Action

log = structlog.get_logger(__name__)

#: The table of pages: the only way to a handler is through a row of it.
PAGES: tuple[Page, ...] = REVIEWING + WATCHING + REMEMBERING + POLICIES
#: Those in the head of every page, for whoever may have them.
_NAMED = (
    ("/queue", "Queue"),
    ("/opinions", "Second opinions"),
    ("/overview", "Overview"),
    ("/alerts", "Alerts"),
    ("/dead-letters", "Dead letters"),
    ("/memory", "Memory"),
    ("/policies", "Policy"),
    ("/journal", "Journal"),
)
_ROLES = {page.path: page.role for page in PAGES}
_API = "/api"
_LOGIN_COOKIE = "hedgerow_login"
_OIDC_COOKIE = "hedgerow_oidc"


class Application:
    """Serves a desk. ``secure`` says whether cookies travel by HTTPS only, ``hosts`` the only names it answers to, if any."""

    def __init__(self, desk: Desk, *, secure: bool, hosts: Sequence[str] = ()) -> None:
        self._desk = desk
        self._secure = secure
        # A browser gives a cookie of this name to nobody but the host that set it, by HTTPS.
        self._cookie = "__Host-hedgerow" if secure else "hedgerow_desk"
        self._rendering = Rendering()
        self._files = {path.name: (path.read_bytes(), mimetypes.guess_type(path.name)[0]) for path in STATIC.iterdir()}
        routes: list[BaseRoute] = [
            Route("/", self._home, methods=["GET"]),
            Route("/login", self._login, methods=["GET", "POST"]),
            Route("/oidc/start", self._oidc_start, methods=["GET"]),
            Route(CALLBACK, self._oidc_callback, methods=["GET"]),
            Route("/logout", self._logout, methods=["POST"]),
            Route("/events", self._events, methods=["GET"]),
            Route("/health", self._health, methods=["GET"]),
            Route(f"{_API}/openapi.json", self._openapi, methods=["GET"]),
            Route("/static/{name}", self._static, methods=["GET"]),
        ]
        for page in PAGES:
            routes.append(Route(page.path, partial(self._html, page), methods=[page.method]))
            if page.json:
                routes.append(Route(_API + page.path, partial(self._json, page), methods=[page.method]))
        starlette = Starlette(
            routes=routes,
            lifespan=self._lifespan,
            exception_handlers={HTTPException: self._http_error, Exception: self._defect},
        )
        self.asgi = Gate(starlette, secure=secure, hosts=hosts)
        """What a server runs."""

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        desk = self._desk
        parts = [desk.sender.run, desk.topics.run, desk.pulse.run, desk.keep_house]
        if desk.settings.memory is not None:
            parts.append(desk.nearness.run)
        tasks = [asyncio.create_task(keep_running(each)) for each in parts]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            desk.store.close()

    # Pages of the table.

    async def _html(self, page: Page, request: Request) -> Response:
        try:
            person = await self._desk.access.person(request, self._cookie)
            if person is None:
                return self._to_login(request)
            values = dict(request.query_params) if page.method == "GET" else await self._form(request, person, page)
            answer = await self._carry_out(page, request, person, values)
        except Exception as error:  # noqa: BLE001 - each becomes a page
            return await self._error(request, *self._problem(error))
        if isinstance(answer, View):
            return await self._view(request, person, answer)
        if isinstance(answer, Done):
            return self._remember(RedirectResponse(answer.to, 303), person)
        return self._remember(answer, person)

    async def _json(self, page: Page, request: Request) -> Response:
        try:
            person = await self._desk.access.person(request, self._cookie)
            if person is None:
                return _json_error(401, "Log in, or send a token: Authorization: Bearer TOKEN.")
            values = dict(request.query_params) if page.method == "GET" else await self._body(request, person)
            answer = await self._carry_out(page, request, person, values)
        except Exception as error:  # noqa: BLE001 - each becomes an answer
            return _json_error(*self._problem(error))
        if isinstance(answer, View):
            return self._remember(_as_json(answer.facts, answer.status), person)
        if isinstance(answer, Done):
            return self._remember(_as_json({**answer.facts, "next": answer.to}), person)
        return self._remember(answer, person)

    async def _carry_out(
        self, page: Page, request: Request, person: Person, values: Mapping[str, Any]
    ) -> View | Done | Response:
        if not person.role.may(page.role):
            await self._desk.access.note(Action.REFUSED, person.name, f"{page.method} {page.path}: needs {page.role}")
            raise Refused(403, f"This needs the role {page.role}; you are {person.role}.")
        fields = page.fields.model_validate(dict(values))
        ask = Ask(
            self._desk,
            person,
            {name: str(value) for name, value in request.path_params.items()},
            request.url.query,
            self._desk.now_ms(),
            "prefetch" in request.headers.get("sec-purpose", ""),
        )
        return await page.handler(ask, fields)

    async def _form(self, request: Request, person: Person, page: Page | None = None) -> dict[str, Any]:
        form = await _read_form(request)
        values = _texts(form)
        await self._check_token(request, person, values.get("csrf", ""))
        many = () if page is None else page.fields.many
        return {**values, **{name: [str(each) for each in form.getlist(name)] for name in many}}

    async def _body(self, request: Request, person: Person) -> dict[str, Any]:
        try:
            body = orjson.loads(await request.body())
        except orjson.JSONDecodeError:
            raise Refused(400, "The body is not JSON.") from None
        if not isinstance(body, dict):
            raise Refused(400, "The body is not a JSON object.")
        await self._check_token(request, person, request.headers.get("x-csrf-token", ""))
        return body

    async def _check_token(self, request: Request, person: Person, token: str) -> None:
        """Raise Refused for a form that another site may have sent. A tool's own token is no cookie: nobody else sends it."""
        if person.csrf is None:
            return
        if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"} or not same(
            token, person.csrf
        ):
            await self._desk.access.note(Action.REFUSED, person.name, f"{request.method} {request.url.path}: no token")
            raise Refused(403, "The form is not of this session any more: load the page again.")

    def _problem(self, error: Exception) -> tuple[int, str]:
        """Return the status and the sentence for what a page raised."""
        if isinstance(error, Refused):
            return error.status, str(error)
        if isinstance(error, ValidationError):
            problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
            return 400, f"{'.'.join(map(str, problem['loc'])) or 'form'}: {problem['msg']}"
        if isinstance(error, HTTPException):
            return error.status_code, error.detail
        if isinstance(error, DecisionRefused | GiveUp):
            return 409, f"{str(error)[:1].upper()}{str(error)[1:]}."
        if isinstance(error, TryAgain):
            log.warning("the review store is unavailable", problem=str(error))
            return 503, "The review store does not answer just now. Nothing was changed; try again."
        if isinstance(error, HedgerowError):
            log.error("a page cannot be served", problem=str(error))
            return 503, f"This cannot be done just now: {error}"
        log.error("a page failed", exc_info=error)
        return 500, "This page has failed. Nothing was changed; the log says why."

    # Login, and what everybody may have.

    async def _home(self, _: Request) -> Response:
        return RedirectResponse("/queue", 303)

    async def _login(self, request: Request) -> Response:
        try:
            if request.method == "POST":
                return await self._log_in(request)
            if await self._desk.access.person(request, self._cookie) is not None:
                return RedirectResponse(_inside(request.query_params.get("next", "")), 303)
            return self._login_page(request, request.query_params.get("next", ""))
        except Exception as error:  # noqa: BLE001 - each becomes a page
            return await self._error(request, *self._problem(error))

    async def _log_in(self, request: Request) -> Response:
        form = _texts(await _read_form(request))
        token = request.cookies.get(_LOGIN_COOKIE, "")
        name, to = form.get("name", ""), form.get("next", "")
        if not token or not same(token, form.get("csrf", "")):
            return self._login_page(request, to, 403, "The page was open for too long. Try again.")
        access = self._desk.access
        if not name or len(name) > 256 or not name.isprintable():
            return self._login_page(request, to, 401, "Wrong name or password.")
        try:
            session = await access.log_in(name, form.get("password", ""), access.address(request))
        except TooMany:
            minutes = WINDOW_S // 60
            response = self._login_page(
                request, to, 429, f"Too many wrong passwords. The login is closed for up to {minutes} minutes."
            )
            response.headers["retry-after"] = str(WINDOW_S)
            return response
        if session is None:
            return self._login_page(request, to, 401, "Wrong name or password.")
        done = RedirectResponse(_inside(to), 303)
        self._set_cookie(done, self._cookie, session)
        done.delete_cookie(_LOGIN_COOKIE, path="/login")
        return done

    async def _oidc_start(self, request: Request) -> Response:
        oidc = self._desk.oidc
        if oidc is None:
            return await self._error(request, 404, "There is no such page.")
        attempt = Attempt.begin(_inside(request.query_params.get("next", "")))
        try:
            to_provider = RedirectResponse(await oidc.address(attempt), 303)
        except OidcFailed as failed:
            return await self._error(request, 503, f"{failed}.")
        self._set_cookie(to_provider, _OIDC_COOKIE, attempt.cookie(), path=CALLBACK)
        return to_provider

    async def _oidc_callback(self, request: Request) -> Response:
        oidc, access = self._desk.oidc, self._desk.access
        attempt = Attempt.of(request.cookies.get(_OIDC_COOKIE, ""))
        code, state = request.query_params.get("code", ""), request.query_params.get("state", "")
        if oidc is None or attempt is None or not code or not same(state, attempt.state):
            return await self._error(request, 403, "This login was not begun here, or was refused. Try again.")
        try:
            claimed = await oidc.claimed(attempt, code)
            session = await access.let_in(claimed.name, claimed.role, access.address(request))
        except OidcFailed as failed:
            return await self._error(request, 403, f"{failed}.")
        except HedgerowError as error:
            return await self._error(request, *self._problem(error))
        if session is None:
            return await self._error(request, 403, f"{claimed.name} has no role at this desk.")
        done = RedirectResponse(_inside(attempt.next), 303)
        self._set_cookie(done, self._cookie, session)
        done.delete_cookie(_OIDC_COOKIE, path=CALLBACK)
        return done

    async def _logout(self, request: Request) -> Response:
        try:
            person = await self._desk.access.person(request, self._cookie)
            if person is not None:
                await self._form(request, person)
                await asyncio.to_thread(self._desk.claims.release_all, person.name)
                await self._desk.access.log_out(request.cookies.get(self._cookie, ""))
                await self._desk.access.note(Action.LOGOUT, person.name, self._desk.access.address(request))
        except Exception as error:  # noqa: BLE001 - each becomes a page
            return await self._error(request, *self._problem(error))
        done = RedirectResponse("/login", 303)
        done.delete_cookie(self._cookie, path="/", secure=self._secure, httponly=True, samesite="lax")
        return done

    async def _events(self, request: Request) -> Response:
        try:
            person = await self._desk.access.person(request, self._cookie)
        except HedgerowError as error:
            return _json_error(*self._problem(error))
        if person is None:
            return _json_error(401, "Log in first.")
        if request.method == "HEAD":
            return Response(media_type="text/event-stream")
        if self._desk.pulse.listeners >= MAX_LISTENERS:
            return _json_error(503, "Too many pages are open.")
        return StreamingResponse(
            self._desk.pulse.events(), media_type="text/event-stream", headers={"x-accel-buffering": "no"}
        )

    async def _static(self, request: Request) -> Response:
        """Serve one of our own files from memory: whoever waits for it sees nothing yet."""
        found = self._files.get(request.path_params["name"])
        if found is None:
            raise HTTPException(404)
        content, media_type = found
        answer = Response(content, media_type=media_type)
        # Its address names its content, so a browser that has it need not ask again. Another release's address names another.
        if f"{request.url.path}?{request.url.query}" == self._rendering.static[request.path_params["name"]]:
            answer.headers["cache-control"] = "public, max-age=31536000, immutable"
        return answer

    async def _openapi(self, request: Request) -> Response:
        try:
            person = await self._desk.access.person(request, self._cookie)
        except HedgerowError as error:
            return _json_error(*self._problem(error))
        return _json_error(401, "Log in first.") if person is None else _as_json(openapi.document(PAGES, _API))

    async def _health(self, _: Request) -> Response:
        """Say whether the store answers; a broker that does not is told, and does not make the desk useless."""
        try:
            await asyncio.to_thread(self._desk.journal.last_id)
        except HedgerowError as error:
            return _as_json({"ok": False, "store": str(error)}, 503)
        return _as_json({"ok": True, "store": "answers", "broker": self._desk.sender.problem or "answers"})

    # Answers.

    def _to_login(self, request: Request) -> Response:
        if not self._desk.access.has_login and self._desk.oidc is None:
            return Response("Only a user whom the proxy names may come in.", 403, media_type="text/plain")
        # As it came: an id may hold what means something in an address. A form leads back to the page that it was on.
        got = URL(path=request.scope["raw_path"].decode("ascii", "replace"), query=request.url.query)
        at = got if request.method == "GET" else URL(request.headers.get("referer", ""))
        path = _inside(at.path + (f"?{at.query}" if at.query else ""))
        wanted = f"?next={quote(path, safe='')}" if path != "/queue" else ""
        return RedirectResponse(f"/login{wanted}", 303)

    def _login_page(self, request: Request, to: str, status: int = 200, problem: str = "") -> Response:
        token = request.cookies.get(_LOGIN_COOKIE, "") or secrets.token_urlsafe(24)
        facts = {
            "csrf": token,
            "next": _inside(to),
            "problem": problem,
            "has_login": self._desk.access.has_login,
            "oidc": None if self._desk.oidc is None else self._desk.oidc.host,
            "me": None,
        }
        response = self._rendering.response("login.html", facts, status)
        self._set_cookie(response, _LOGIN_COOKIE, token, path="/login")
        return response

    async def _view(self, request: Request, person: Person, view: View) -> Response:
        desk = self._desk
        pending = await asyncio.to_thread(desk.store.undoable, person.name, desk.now_ms())
        stuck = desk.sender.problem or ("the broker does not answer" if desk.sender.stuck_s() > 5 else None)
        context = {
            **view.facts,
            "me": person,
            "pages": [(path, name) for path, name in _NAMED if person.role.may(_ROLES[path])],
            "path": request.url.path,
            "is_local": desk.access.is_local,
            "may": {str(role): person.role.may(role) for role in Role},
            "pending": pending,
            "now_ms": desk.now_ms(),
            "sending_problem": stuck,
        }
        return self._remember(self._rendering.response(view.template, context, view.status), person)

    async def _error(self, request: Request, status: int, message: str) -> Response:
        try:
            person = await self._desk.access.person(request, self._cookie)
        except Exception:  # noqa: BLE001 - the store may be what has failed
            person = None
        facts = {"status": status, "message": message, "me": person, "path": "", "csrf": ""}
        return self._rendering.response("error.html", facts, status)

    async def _http_error(self, request: Request, error: Exception) -> Response:
        status, message = self._problem(error)
        if status == 404:
            message = "There is no such page."
        if request.url.path.startswith(_API):
            return _json_error(status, message)
        return await self._error(request, status, message)

    async def _defect(self, _: Request, error: Exception) -> Response:
        status, message = self._problem(error)
        return self._rendering.response("error.html", {"status": status, "message": message, "me": None}, status)

    def _remember(self, response: Response, person: Person) -> Response:
        """Give the browser the token of a session that was started just now."""
        if person.new_token is not None:
            self._set_cookie(response, self._cookie, person.new_token)
        return response

    def _set_cookie(self, response: Response, name: str, value: str, path: str = "/") -> None:
        age = round(self._desk.settings.desk.session_hours * 3600)
        response.set_cookie(name, value, max_age=age, path=path, secure=self._secure, httponly=True, samesite="lax")


async def keep_running(part: Callable[[], Awaitable[None]], pause_s: float = 5.0) -> None:
    """Run a part of the desk until it is cancelled, and start it again after a defect: decisions must not wait for ever."""
    while True:
        try:
            await part()
        except Exception:  # what a part waits for by itself, it has caught
            log.exception("a part of the desk has failed and is started again")
        await asyncio.sleep(pause_s)


def _texts(form: FormData) -> dict[str, str]:
    """Return the form's texts; of several under one name the last counts."""
    return {name: value for name, value in form.multi_items() if isinstance(value, str)}


async def _read_form(request: Request) -> FormData:
    """Return the form; raises Refused for what is none."""
    try:
        return await request.form(max_files=0, max_fields=2_000)
    except (ValueError, AssertionError):
        raise Refused(400, "This is not a form.") from None


def _inside(path: str) -> str:
    """Return a path of this desk: the given one, or the queue for anything that could lead elsewhere."""
    safe = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isascii() and path.isprintable()
    return path if safe and " " not in path else "/queue"


def _as_json(facts: Mapping[str, Any], status: int = 200) -> Response:
    return Response(orjson.dumps(facts, option=orjson.OPT_NON_STR_KEYS), status, media_type="application/json")


def _json_error(status: int, message: str) -> Response:
    return JSONResponse({"error": message}, status)
