// Makes pages live. Every page works without this file: it only refreshes what the server
// rendered, keeps the reader's place while doing so, and saves some clicks.

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

/* ---------- replacing parts of the page without losing the reader's place ---------- */

// Attributes and not properties: in a form, `form.id` is its field of that name.
const keyOf = (node) =>
  node.nodeType === 1 ? node.getAttribute("data-key") || node.getAttribute("id") : null;
const isField = (el) => el.matches("input:not([type=hidden]), textarea, select");

// Something the person has typed, chosen or ticked and not sent yet.
function isDirty(el) {
  if (el.type === "checkbox" || el.type === "radio") return el.checked !== el.defaultChecked;
  if (el.tagName === "SELECT") return el.dataset.touched === "1";
  return el.value !== el.defaultValue;
}

/** Turns `from` into `to` in place, matching children by `data-key` or `id`. */
export function morph(from, to) {
  if (from.nodeType !== to.nodeType || from.nodeName !== to.nodeName) {
    from.replaceWith(to.cloneNode(true));
    return;
  }
  if (from.nodeType !== 1) {
    if (from.nodeValue !== to.nodeValue) from.nodeValue = to.nodeValue;
    return;
  }
  if (isField(from)) {
    if (from === document.activeElement || isDirty(from)) return;
    syncAttributes(from, to);
    if (from.tagName === "SELECT") {
      morphChildren(from, to);
      from.value = to.value;
    } else if (from.tagName === "TEXTAREA") {
      from.value = from.defaultValue = to.defaultValue;
    } else {
      from.checked = to.checked;
      from.value = to.value;
    }
    return;
  }
  syncAttributes(from, to);
  morphChildren(from, to);
}

function syncAttributes(from, to) {
  const keep = from.tagName === "DETAILS" ? ["open"] : [];
  for (const { name } of [...from.attributes]) {
    if (!to.hasAttribute(name) && !keep.includes(name)) from.removeAttribute(name);
  }
  for (const { name, value } of [...to.attributes]) {
    if (from.getAttribute(name) !== value && !keep.includes(name)) from.setAttribute(name, value);
  }
}

function morphChildren(from, to) {
  const keyed = new Map();
  for (const child of from.childNodes) {
    const key = keyOf(child);
    if (key) keyed.set(key, child);
  }
  let at = from.firstChild;
  for (const wanted of [...to.childNodes]) {
    const key = keyOf(wanted);
    const known = key && keyed.get(key);
    if (known) {
      keyed.delete(key);
      if (known === at) at = at.nextSibling;
      else from.insertBefore(known, at);
      morph(known, wanted);
    } else if (!key && at && !keyOf(at) && at.nodeName === wanted.nodeName) {
      const next = at.nextSibling;
      morph(at, wanted);
      at = next;
    } else {
      const added = from.insertBefore(document.importNode(wanted, true), at);
      if (key && added.matches?.("[data-fresh]")) arrived(added);
    }
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

let news = [];
function arrived(element) {
  element.classList.add("fresh");
  element.addEventListener("animationend", () => element.classList.remove("fresh"), { once: true });
  news.push(element.dataset.fresh);
}

function announce() {
  if (!news.length) return;
  const box = $("#news");
  if (box) box.textContent = news.length > 3 ? `${news.length} new entries` : news.join(", ");
  news = [];
}

/* ---------- fetching this page again ---------- */

let latest = 0;
async function load(url, topics) {
  const mine = ++latest;
  const response = await fetch(url, { headers: { Accept: "text/html" } });
  const html = await response.text();
  if (mine !== latest) return;
  if (new URL(response.url).pathname === "/login") return location.reload();
  if (response.ok) apply(html, topics);
}

function apply(html, topics) {
  const page = new DOMParser().parseFromString(html, "text/html");
  for (const region of $$("[data-live]")) {
    const wanted = page.getElementById(region.getAttribute("id"));
    if (wanted && (!topics || topicsOf(region).some((t) => topics.includes(t)))) morph(region, wanted);
  }
  announce();
  refreshTimes();
  refreshSelection();
}

const topicsOf = (region) => region.dataset.live.split(" ");
const shows = (topics) => $$("[data-live]").some((r) => topicsOf(r).some((t) => topics.includes(t)));

let pending = null;
let busy = false;
function refresh(topics) {
  pending = [...new Set([...(pending || []), ...topics])];
  if (busy || document.hidden) return;
  busy = true;
  const now = pending;
  pending = null;
  load(location.href, now)
    .catch(() => {})
    .finally(() => {
      busy = false;
      if (pending) setTimeout(() => refresh([]), 250);
    });
}
document.addEventListener("visibilitychange", () => !document.hidden && pending && refresh([]));

// Browsers open six connections to one server at most, so only a page that is looked at holds
// one. The server greets with "everything changed": what was missed is fetched then.
let source = null;
function connect() {
  if (source || document.hidden) return;
  source = new EventSource("/live");
  source.addEventListener("changed", (event) => {
    const topics = event.data.split(" ");
    if (shows(topics)) refresh(topics);
  });
  source.addEventListener("open", () => document.body.classList.remove("is-offline"));
  source.addEventListener("error", (event) => {
    document.body.classList.add("is-offline");
    if (event.target.readyState !== EventSource.CLOSED) return;
    // Refused for good: mostly the session has ended, and this page asked for again says so.
    disconnect();
    setTimeout(() => load(location.href).catch(() => {}).finally(connect), RETRY);
  });
}
function disconnect() {
  source?.close();
  source = null;
}
const RETRY = 3000;

if ($("[data-live]")) {
  connect();
  document.addEventListener("visibilitychange", () => (document.hidden ? disconnect() : connect()));
  addEventListener("pagehide", disconnect);
  // A page that comes back from the browser's cache has no connection any more.
  addEventListener("pageshow", (event) => event.persisted && location.reload());
}

/* ---------- filter as you type ---------- */

let typing;
document.addEventListener("input", (event) => {
  const form = event.target.closest("form[data-filter]");
  if (event.target.tagName === "SELECT") event.target.dataset.touched = "1";
  if (!form) return;
  clearTimeout(typing);
  typing = setTimeout(() => {
    const query = new URLSearchParams([...new FormData(form)].filter(([, value]) => value));
    const url = `${form.getAttribute("action")}${query.size ? `?${query}` : ""}`;
    history.replaceState(null, "", url);
    load(url).catch(() => {});
  }, 180);
});
document.addEventListener("submit", (event) => {
  if (!event.target.matches("form[data-filter]")) return;
  event.preventDefault();
});

/* ---------- forms that come back to this page ---------- */

const sending = new WeakSet();

document.addEventListener("submit", async (event) => {
  const form = event.target;
  const button = event.submitter;
  const question = questionOf(form, button) || button?.dataset.confirm || form.dataset.confirm;
  if (question && !confirm(question)) return event.preventDefault();
  if (!form.matches("form[data-stay]") || event.defaultPrevented) return;
  event.preventDefault();
  const body = new URLSearchParams(new FormData(form, button));
  if (sending.has(form)) return;
  sending.add(form);
  try {
    const response = await fetch(form.getAttribute("action"), { method: "POST", body });
    const html = await response.text();
    const page = new DOMParser().parseFromString(html, "text/html");
    // A refusal has an address that only answers POST: it is told here.
    if (!response.ok) return complain(problemOf(page) || `Farrier answered with status ${response.status}.`);
    const target = new URL(response.url);
    if (target.pathname === "/login") return location.reload();
    if (target.pathname !== location.pathname) return location.assign(response.url);
    for (const select of $$("select", form)) delete select.dataset.touched;
    for (const box of $$('input[type="checkbox"]')) {
      if (box.form === form) box.checked = box.defaultChecked;
    }
    document.activeElement?.matches?.("select") && document.activeElement.blur();
    latest++;
    apply(html);
    toast($("#toast", page));
  } catch {
    // Sending it again could do it twice.
    complain("Farrier does not answer; check whether this was carried out.");
  } finally {
    sending.delete(form);
  }
});

// What is done to all that match reaches machines on other pages too: their number is named.
function questionOf(form, button) {
  const all = $('select[name="scope"] option:checked', form);
  if (all?.value !== "all") return "";
  const many = all.dataset.count === "1" ? "the 1 matching machine" : `all ${all.dataset.count} matching machines`;
  const profile = form.elements.profile.value;
  switch (button?.value) {
    case "assign":
      return profile && `Assign ${profile} to ${many}?`;
    case "unassign":
      return `Take the assignment of ${many} away?`;
    case "install":
      return profile && `Install ${profile} once on ${many}?`;
    case "cancel":
      return `Call off what was ordered of ${many}?`;
    case "label":
    case "unlabel":
      return `Change the labels of ${many}?`;
    case "forget":
      return `Forget ${many}? Their assignments and labels are lost.`;
    default:
      return `Adopt ${many}?`;
  }
}

// A file of this computer into a text area: without a script it is pasted.
for (const field of $$("[data-file]")) {
  field.hidden = false;
  $("input", field).addEventListener("change", async (event) => {
    const [file] = event.target.files;
    if (file) $(field.dataset.file).value = await file.text();
  });
}

function problemOf(page) {
  return ($("#problem", page) || $(".error", page))?.textContent.trim();
}

function complain(text) {
  const note = document.createElement("div");
  note.className = "note bad";
  note.dataset.testid = "notice";
  const words = document.createElement("span");
  words.className = "grow";
  words.textContent = text;
  note.append(words);
  const box = document.createElement("div");
  box.append(note);
  toast(box);
}

function toast(wanted) {
  const box = $("#toast");
  if (!box) return;
  if (wanted) box.replaceChildren(...[...wanted.childNodes].map((n) => document.importNode(n, true)));
  // It has been shown; a reload must not show it again.
  document.cookie = "farrier_notice=; Max-Age=0; Path=/; SameSite=Strict";
  clearTimeout(toast.timer);
  if (box.textContent.trim()) toast.timer = setTimeout(() => box.replaceChildren(), 7000);
}
toast();
document.addEventListener("click", (event) => {
  if (event.target.closest("[data-close]")) event.target.closest(".note").remove();
});

/* ---------- selecting rows ---------- */

function refreshSelection() {
  const bulk = $("#bulk");
  if (!bulk) return;
  const boxes = $$('input[name="id"]');
  const ticked = boxes.filter((b) => b.checked).length;
  const all = $("[data-check-all]");
  if (all) {
    all.hidden = false;
    all.checked = boxes.length > 0 && ticked === boxes.length;
    all.indeterminate = ticked > 0 && ticked < boxes.length;
  }
  const label = $('#bulk option[value="selected"]');
  if (label) label.textContent = ticked === 1 ? "1 selected row" : `${ticked} selected rows`;
}
let lastBox = null;
document.addEventListener("click", (event) => {
  const box = event.target;
  if (box.matches?.("[data-check-all]")) {
    for (const b of $$('input[name="id"]')) b.checked = box.checked;
  } else if (box.matches?.('input[name="id"]')) {
    const boxes = $$('input[name="id"]');
    if (event.shiftKey && lastBox) {
      const [a, b] = [boxes.indexOf(lastBox), boxes.indexOf(box)].sort((x, y) => x - y);
      for (const between of boxes.slice(a, b + 1)) between.checked = box.checked;
    }
    lastBox = box;
  } else return;
  refreshSelection();
});
refreshSelection();

/* ---------- times, theme, copying ---------- */

function ago(ms) {
  const s = Math.floor(ms / 1000);
  if (s < 5) return "just now";
  if (s < 60) return `${s} s ago`;
  if (s < 3600) return `${Math.floor(s / 60)} min ago`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ago`;
  return `${Math.floor(s / 86400)} d ago`;
}
// The server's clock and the browser's may differ: ages count from what the server said.
const skew = Number(document.documentElement.dataset.now) - Date.now() || 0;
function refreshTimes() {
  for (const time of $$("time[data-ago]")) {
    const text = ago(Date.now() + skew - Date.parse(time.dateTime));
    if (time.textContent !== text) time.textContent = text;
  }
  for (const time of $$("time[data-clock]")) {
    const at = new Date(time.dateTime);
    time.textContent = at.toLocaleTimeString(undefined, { hour12: false });
  }
}
setInterval(refreshTimes, 5000);
refreshTimes();

const themeButton = $("[data-theme-switch]");
if (themeButton) {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => {
    const chosen = document.documentElement.dataset.theme;
    return chosen ? chosen === "dark" : system.matches;
  };
  const show = () => themeButton.setAttribute("aria-pressed", String(isDark()));
  themeButton.hidden = false;
  themeButton.addEventListener("click", () => {
    const theme = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    try {
      localStorage.setItem("theme", theme);
    } catch {
      // Not stored: the choice holds for this page.
    }
    show();
  });
  show();
}

// Clipboards are only open to https and localhost; elsewhere the button stays hidden.
if (navigator.clipboard) {
  for (const button of $$("[data-copy]")) button.hidden = false;
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    await navigator.clipboard.writeText($(button.dataset.copy).textContent);
    button.textContent = "Copied";
  });
}

// "/" goes to the filter, as on many sites.
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches("input, textarea, select")) return;
  const search = $('input[type="search"]');
  if (search) {
    event.preventDefault();
    search.focus();
    search.select();
  }
});
