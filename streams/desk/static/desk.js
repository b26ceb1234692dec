// Comfort on top of pages that work without it: keys, the count-down of undo, claims that go on, rows that stay fresh.
"use strict";
(() => {
  const $ = (selector) => document.querySelector(selector);
  const help = $("#help");
  let undo = $("#undo-form");

  // The ticket on the page, which changes without the page being loaded again.
  let decide, buttons, until, ahead, leaving, digits, timer, draft;
  const wire = () => {
    decide = $("#decide");
    buttons = decide ? [...decide.querySelectorAll("[data-number]")] : [];
    until = Number(decide?.dataset.claimUntil ?? 0);
    ahead = decide?.dataset.ahead ? look(decide.dataset.ahead).catch(() => null) : null;
    leaving = false;
    digits = "";
    // A note outlives a login that has ended while it was written.
    draft = decide && `note ${decide.dataset.me} ${decide.elements.review_id.value}`;
    if (decide) decide.elements.note.value ||= sessionStorage.getItem(draft) ?? "";
  };
  document.addEventListener("input", ({ target }) => {
    if (decide && target === decide.elements.note) sessionStorage.setItem(draft, target.value);
  });
  // Fetches the ticket that follows, so that it can be shown at once. Without one it gives null.
  const look = async (path) => {
    const answer = await fetch(path);
    if (!answer.ok) return null;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const address = new URL(answer.url);
    address.searchParams.delete("ahead");
    return page.querySelector("#decide") ? { page, address } : null;
  };
  const call = (path, body) => fetch(path, {
    method: "POST", body: JSON.stringify(body), keepalive: true,
    headers: { "content-type": "application/json", "x-csrf-token": $("[name=csrf]").value },
  }).catch(() => null);
  const say = (text) => {
    const line = $("#said");
    line.textContent = text;
    line.hidden = !text;
  };

  // Keys.
  const press = (number) => buttons.find((button) => button.dataset.number === number)?.click();
  const digit = (key) => {
    clearTimeout(timer);
    digits += key;
    const more = digits !== "0" && buttons.some((b) => b.dataset.number !== digits && b.dataset.number.startsWith(digits));
    if (!more) { press(digits); digits = ""; return; }
    timer = setTimeout(() => { press(digits); digits = ""; }, 700);
  };
  const keys = {
    u: () => undo && !undo.hidden && undo.requestSubmit(),
    s: () => $("#skip-form")?.requestSubmit(),
    n: () => { location.href = "/next" + location.search; },
    q: () => { location.href = "/queue"; },
    "?": () => help?.showModal(),
    "/": () => { const field = $("#search"); field ? field.focus() : (location.href = "/queue#search"); },
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || help?.open) return;
    if (event.target.closest("input, textarea, select")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (/^[0-9]$/.test(event.key) && decide) { event.preventDefault(); digit(event.key); return; }
    if (event.key === "Enter" && digits) { event.preventDefault(); clearTimeout(timer); press(digits); digits = ""; return; }
    if (keys[event.key]) { event.preventDefault(); keys[event.key](); }
  });
  const hint = $("#help-button");
  if (hint) { hint.hidden = false; hint.addEventListener("click", () => help.showModal()); }
  if (location.hash === "#search") $("#search")?.focus();

  // Undo, until it is over.
  let tick;
  const count = (leftMs) => {
    const end = performance.now() + leftMs;
    const show = () => {
      const seconds = Math.ceil((end - performance.now()) / 1000);
      undo.hidden = seconds <= 0;
      $("#undo-left").textContent = `(${seconds} s)`;
      if (undo.hidden) clearInterval(tick);
    };
    clearInterval(tick);
    tick = setInterval(show, 250);
    show();
  };
  if (undo) count(Number(undo.dataset.leftMs));
  const offer = (what, values, leftMs) => {
    undo?.remove();
    undo = Object.assign(document.createElement("form"), { id: "undo-form", className: "banner", method: "post", action: "/undo" });
    undo.setAttribute("role", "status");
    for (const [name, value] of Object.entries(values)) {
      undo.append(Object.assign(document.createElement("input"), { type: "hidden", name, value }));
    }
    const text = Object.assign(document.createElement("span"), { textContent: what });
    const button = Object.assign(document.createElement("button"), { innerHTML: '<kbd>u</kbd> Undo <span id="undo-left"></span>' });
    button.dataset.testid = "undo";
    undo.append(text, button);
    $("#main").before(undo);
    count(leftMs);
  };

  // A decision: once it is stored the next ticket is shown, which is here already or on its way.
  const send = async (form, button) => {
    const fields = new FormData(form), ticket = $("h1").textContent;
    const body = {
      review_id: fields.get("review_id"), filter: fields.get("filter"), note: fields.get("note"), also: fields.getAll("also"),
      ...(button.name === "none" ? { none: true } : { label: button.value }),
    };
    const answer = await call("/api/decide", body);
    if (answer?.status === 401) { location.reload(); return; }
    const done = await answer?.json().catch(() => null);
    if (!answer?.ok || !done) {
      say(`${ticket} is not decided: ${done?.error ?? "The desk does not answer."}`);
      delete form.dataset.sent;
      leaving = false;
      return;
    }
    const following = await ahead;
    if (!following || done.next !== following.address.pathname + following.address.search) { location.href = done.next; return; }
    const { page, address } = following;
    const values = { csrf: fields.get("csrf"), review_id: body.review_id, filter: body.filter };
    offer(`${ticket}: ${done.label ?? "none of these"}`, values, Number(form.dataset.undoMs));
    document.title = page.title;
    $("#main").replaceWith(page.querySelector("#main"));
    history.pushState(null, "", address);
    at = location.pathname;
    wire();
    say(done.left.length ? `Decided by somebody else meanwhile, or open there, and left out: ${done.left.join(", ")}` : "");
    scrollTo(0, 0);
    $("#main").focus();
    const next = decide, claim = await call("/api/claim", { review_id: next.elements.review_id.value });
    if (next !== decide || !claim) return;
    const held = await claim.json();
    if (claim.ok && held.mine) until = held.until_ms;
    else location.reload();
  };

  // A form is sent once, and a ticket that is left is free again.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "post") return;
    if (form.dataset.sent) { event.preventDefault(); return; }
    form.dataset.sent = "1";
    leaving = true;
    if (form === decide && ahead && event.submitter) { event.preventDefault(); send(form, event.submitter); }
  });
  let at = location.pathname;
  addEventListener("popstate", () => { if (location.pathname !== at) location.reload(); });
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
  addEventListener("pagehide", () => {
    if (leaving || !until) return;
    const { csrf, review_id } = decide.elements;
    navigator.sendBeacon("/release", new URLSearchParams({ csrf: csrf.value, review_id: review_id.value, until_ms: until }));
  });
  // The claim goes on while the page is looked at. Whoever comes back to it hears at once if somebody else has the ticket.
  const keep = async () => {
    if (document.hidden || !until) return;
    const form = decide, answer = await call("/api/claim", { review_id: form.elements.review_id.value });
    const held = await answer?.json().catch(() => null);
    if (!held || form !== decide) return;
    if (held.mine) until = held.until_ms;
    else if (answer.ok || answer.status === 409) { until = 0; say(held.error ?? `${held.by} has this ticket open now.`); }
  };
  setInterval(keep, 60000);
  document.addEventListener("visibilitychange", keep);
  wire();

  // The queue reads itself again when somebody has done something.
  const live = $("[data-live]");
  if (live) {
    const events = new EventSource("/events");
    let busy = false, again = false;
    const refresh = async () => {
      if (busy) { again = true; return; }
      busy = true;
      const address = new URL(location.href);
      address.searchParams.set("live", "1");
      const answer = await fetch(address).catch(() => null);
      if (answer?.ok) {
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const fresh = page.querySelector("[data-live]"), at = document.activeElement?.dataset?.ticket;
        if (fresh && fresh.innerHTML !== live.innerHTML) {
          live.replaceChildren(...fresh.childNodes);
          if (at !== undefined) [...live.querySelectorAll("[data-ticket]")].find((row) => row.dataset.ticket === at)?.focus();
        }
        const count = page.querySelector("[data-testid=queue-count]"), shown = $("[data-testid=queue-count]");
        if (count && shown) shown.textContent = count.textContent;
      }
      busy = false;
      if (again) { again = false; refresh(); }
    };
    events.addEventListener("queue", refresh);
    addEventListener("pagehide", () => events.close());
  }
})();
