// Brings images in from the browser, in pieces, with progress; and keeps the page fresh while
// something is on its way. Without this file the page says where to copy them to.

import { morph } from "./farrier.js";

const PIECE = 8 * 1024 * 1024;
const API = "/api/v1/images/uploads";
const zone = document.getElementById("bring");
const mine = document.getElementById("mine");
const input = document.getElementById("bring-file");
zone.querySelector(".scripted").hidden = false;

class Refused extends Error {}

async function ask(method, url, body, kind = "application/json") {
  const headers = body === undefined ? {} : { "Content-Type": kind };
  const response = await fetch(url, { method, body, headers });
  const text = await response.text();
  if (response.ok) return text ? JSON.parse(text) : response.status;
  let detail = `Farrier answered with status ${response.status}.`;
  try {
    detail = JSON.parse(text).detail || detail;
  } catch {
    // Not one of ours.
  }
  // An offset that is not the server's is found out by asking again; the rest is final.
  if (response.status === 409 && method === "PUT") throw new Error(detail);
  if (response.status >= 400 && response.status < 500) throw new Refused(detail);
  if (response.status === 507) throw new Refused(detail);
  throw new Error(detail);
}

async function send(file, name, line) {
  const wanted = { name, size: file.size, mark: `browser ${file.lastModified}` };
  let upload = await ask("POST", API, JSON.stringify(wanted));
  const url = `${API}/${encodeURIComponent(upload.id)}`;
  let failures = 0;
  while (upload.offset < file.size) {
    if (line.stopped) {
      await ask("DELETE", url);
      throw new Refused("Cancelled.");
    }
    line.show(upload.offset);
    try {
      const piece = file.slice(upload.offset, upload.offset + PIECE);
      upload = await ask("PUT", `${url}?offset=${upload.offset}`, piece, "application/octet-stream");
      failures = 0;
    } catch (error) {
      if (error instanceof Refused || ++failures > 20) throw error;
      line.say(`interrupted, trying again (${error.message})`);
      await new Promise((go) => setTimeout(go, Math.min(1000 * failures, 10000)));
      upload = (await ask("GET", url).catch((again) => {
        if (again instanceof Refused) throw again;
      })) || upload;
    }
  }
  line.show(file.size);
  line.say("checking");
  if ((await ask("POST", `${url}/finish`)) !== 202) return;
  // Reading it takes longer than an answer may: when the upload is gone, it is an image or not.
  for (;;) {
    await new Promise((go) => setTimeout(go, 2000));
    if (!(await ask("GET", url).catch((error) => !(error instanceof Refused)))) break;
  }
  await ask("GET", `/api/v1/images/${encodeURIComponent(name.split("/")[0])}`);
}

class Line {
  constructor(file) {
    this.total = file.size;
    this.started = performance.now();
    this.stopped = false;
    this.row = document.createElement("li");
    this.row.dataset.testid = "upload";
    this.bar = document.createElement("progress");
    this.bar.max = Math.max(file.size, 1);
    this.bar.value = 0;
    this.bar.setAttribute("aria-label", `Sent of ${file.name}`);
    this.name = document.createElement("span");
    this.name.className = "mono";
    this.name.textContent = file.name;
    this.text = document.createElement("span");
    this.text.className = "muted";
    this.stop = document.createElement("button");
    this.stop.className = "tiny";
    this.stop.type = "button";
    this.stop.textContent = "Cancel";
    this.stop.addEventListener("click", () => (this.stopped = true));
    this.row.append(this.name, this.bar, this.text, this.stop);
    mine.append(this.row);
  }
  show(bytes) {
    this.bar.value = bytes;
    this.first ??= bytes;
    const seconds = (performance.now() - this.started) / 1000;
    const rate = (bytes - this.first) / seconds;
    const left = rate > 0 && bytes > this.first ? `, ${Math.ceil((this.total - bytes) / rate)} s left` : "";
    this.say(`${Math.floor((100 * bytes) / Math.max(this.total, 1))} %${left}`);
  }
  say(text) {
    this.text.textContent = text;
  }
  end(text, bad) {
    this.say(text);
    this.text.className = bad ? "bad" : "muted";
    this.stop.remove();
    if (!bad) {
      this.bar.remove();
      setTimeout(() => this.row.remove(), 8000);
    }
  }
}

// What menus and addresses can name: the server takes nothing else.
function plain(name) {
  const [, stem, end] = /^(.*?)(\.iso)?$/i.exec(name);
  const words = stem.split(/[^A-Za-z0-9._+-]+/).filter(Boolean).join("-");
  return `${words.replace(/^[.-]+|[.-]+$/g, "").slice(0, 100) || "file"}${end ? ".iso" : ""}`;
}

let queue = Promise.resolve();
function bring(files) {
  for (const file of files) {
    const line = new Line(file);
    const dir = document.getElementById("bring-dir").value.trim();
    const iso = /\.iso$/i.test(file.name);
    if (!iso && !dir) {
      line.end("Name a directory for it: only ISO files stand alone.", true);
      continue;
    }
    const called = plain(file.name);
    const name = iso ? called : `${dir}/${called}`;
    line.say(called === file.name ? "waiting" : `waiting, to be called ${called}`);
    // One after the other: two at once take twice as long each.
    queue = queue.then(() =>
      send(file, name, line).then(
        () => line.end(called === file.name ? "is an image now" : `is the image ${name} now`),
        (error) => line.end(error.message, true),
      ),
    ).then(look);
  }
}

input.addEventListener("change", () => {
  bring([...input.files]);
  input.value = "";
});
for (const name of ["dragover", "dragenter"]) {
  zone.addEventListener(name, (event) => {
    event.preventDefault();
    zone.classList.add("over");
  });
}
for (const name of ["dragleave", "drop"]) {
  zone.addEventListener(name, () => zone.classList.remove("over"));
}
zone.addEventListener("drop", (event) => {
  event.preventDefault();
  // Asked before anything else: afterwards the browser has forgotten what was dropped.
  const entries = [...event.dataTransfer.items]
    .filter((item) => item.kind === "file")
    .map((item) => item.webkitGetAsEntry?.());
  const files = [...event.dataTransfer.files];
  for (const [n, file] of files.entries()) {
    if (!entries[n]?.isDirectory) continue;
    const line = new Line(file);
    line.end(`A directory cannot be dropped: choose the files in it, or copy it into ${zone.dataset.directory} on the server.`, true);
  }
  bring(files.filter((_, n) => !entries[n]?.isDirectory));
});
addEventListener("beforeunload", (event) => {
  if ([...mine.children].some((row) => row.querySelector("button"))) event.preventDefault();
});

async function look() {
  const response = await fetch(location.href, { headers: { Accept: "text/html" } }).catch(() => null);
  if (!response?.ok) return;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const wanted = page.getElementById("images");
  if (wanted) morph(document.getElementById("images"), wanted);
}

// Nobody tells a page of files that are copied into a directory: it asks, more often while
// something moves.
let asked = Date.now();
setInterval(() => {
  const every = document.getElementById("images").hasAttribute("data-busy") ? 2000 : 10000;
  if (document.hidden || Date.now() - asked < every) return;
  asked = Date.now();
  look();
}, 1000);
