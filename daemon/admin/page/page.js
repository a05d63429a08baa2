// Keeps the page up to date. The page comes with all its values; this asks for them again every two
// seconds while somebody looks, and puts what is different in its place.
"use strict";

const PERIOD_MS = 2000;
const PATIENCE_MS = 5000;

const lost = document.getElementById("lost");
let timer = 0;
let failures = 0;

function say(element, text) {
  if (element.textContent !== text) {
    element.textContent = text;
  }
}

function set(element, name, value) {
  if (element.getAttribute(name) !== value) {
    element.setAttribute(name, value);
  }
}

function tell(time, value, text) {
  say(time, text);
  set(time, "datetime", value);
}

function show_row(element, row) {
  say(element.querySelector("[data-field=now]"), row.now);
  say(element.querySelector("[data-field=note]"), row.note);
  set(element.querySelector("svg"), "aria-label", row.summary);
  set(element.querySelector("path"), "d", row.path);
}

function show_card(element, card) {
  set(element, "data-state", card.state);
  say(element.querySelector("[data-field=state]"), card.state);
  say(element.querySelector("[data-field=why]"), card.why);
  tell(element.querySelector("[data-field=since]"), card.since, card.since_text);
  const strip = element.querySelector(".strip");
  if (strip) {
    set(strip, "aria-label", card.strip_summary);
    strip.querySelectorAll("path").forEach((path, level) => set(path, "d", card.strip[level]));
  }
  element.querySelectorAll("tbody tr").forEach((row, number) => show_row(row, card.rows[number]));
}

function has_same_parts(cards, page) {
  return (
    cards.length === page.cards.length &&
    page.cards.every(
      (card, number) =>
        cards[number].id === card.name &&
        cards[number].querySelectorAll("tbody tr").length === card.rows.length,
    )
  );
}

function show(page) {
  const cards = document.querySelectorAll(".card");
  if (!has_same_parts(cards, page)) {
    location.reload(); // another daemon, with other services
    return;
  }
  say(document.getElementById("headline"), page.headline);
  set(document.querySelector(".top"), "data-state", page.state);
  tell(document.getElementById("updated"), page.updated, page.updated_text);
  document.title = page.title;
  document.querySelectorAll(".top li").forEach((link, number) => {
    set(link, "data-state", page.cards[number].state);
    say(link.querySelector(".word"), page.cards[number].state);
  });
  cards.forEach((element, number) => show_card(element, page.cards[number]));
}

async function refresh() {
  try {
    const reply = await fetch("page.json", { signal: AbortSignal.timeout(PATIENCE_MS) });
    if (!reply.ok) {
      throw new Error(`status ${reply.status}`);
    }
    show(await reply.json());
    failures = 0;
    lost.hidden = true;
  } catch {
    failures += 1;
    if (failures > 1) {
      say(lost, "The daemon does not answer. What is shown here is what it was at last.");
      lost.hidden = false;
    }
  }
  later();
}

function later() {
  clearTimeout(timer);
  if (!document.hidden) {
    timer = setTimeout(refresh, PERIOD_MS);
  }
}

document.addEventListener("visibilitychange", later);
later();
