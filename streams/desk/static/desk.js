// Comfort on top of pages that work without it: keys, the count-down of undo, claims that go on, rows that stay fresh.
"use strict";
(() => {
  const $ = (selector) => document.querySelector(selector);
  const decide = $("#decide"), undo = $("#undo-form"), help = $("#help");

  // Keys.
  let digits = "", timer;
  const buttons = decide ? [...decide.querySelectorAll("[data-number]")] : [];
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
  if (location.hash === "#search") $("#search")?.focus();

  // Undo, until it is over.
  if (undo) {
    const end = performance.now() + Number(undo.dataset.leftMs), left = $("#undo-left");
    const tick = setInterval(() => {
      const seconds = Math.ceil((end - performance.now()) / 1000);
      if (seconds > 0) { left.textContent = `(${seconds} s)`; return; }
      undo.hidden = true;
      clearInterval(tick);
    }, 250);
  }

  // A form is sent once, and a ticket that is left is free again.
  let leaving = false;
  document.addEventListener("submit", (event) => {
    if (event.target.method !== "post") return;
    if (event.target.dataset.sent) { event.preventDefault(); return; }
    event.target.dataset.sent = "1";
    leaving = true;
  });
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
  if (decide && Number(decide.dataset.claimUntil)) {
    let until = Number(decide.dataset.claimUntil);
    const fields = (more) => new URLSearchParams({
      csrf: decide.elements.csrf.value, review_id: decide.elements.review_id.value, ...more,
    });
    addEventListener("pagehide", () => { if (!leaving) navigator.sendBeacon("/release", fields({ until_ms: until })); });
    setInterval(async () => {
      if (document.hidden) return;
      const body = JSON.stringify({ review_id: decide.elements.review_id.value });
      const headers = { "content-type": "application/json", "x-csrf-token": decide.elements.csrf.value };
      const answer = await fetch("/api/claim", { method: "POST", body, headers }).catch(() => null);
      if (answer?.ok) until = (await answer.json()).until_ms;
    }, 60000);
  }

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
