(() => {
  "use strict";
  const page = document.getElementById("page");
  const happened = document.getElementById("happened");
  const token = location.hash.slice(1);
  // The token is used up in a moment; the address bar and the history need not have it.
  history.replaceState(null, "", location.pathname);

  // The key is nowhere but here: a page that is loaded again needs a new address from the terminal.
  let key = "";
  let project = "";
  let acting = false;
  // One value at most is shown, and not for long.
  const SHOWN = 60_000;
  let shown = null;

  const ask = async (path, body = "") => {
    const headers = { "Content-Type": "application/octet-stream" };
    if (key !== "") headers["Prun-Key"] = key;
    if (project !== "") headers["Prun-Project"] = project;
    return fetch(path, { method: "POST", headers, body, cache: "no-store", credentials: "omit", redirect: "error", referrerPolicy: "no-referrer" });
  };

  const end = (why) => {
    key = "";
    hide();
    const title = document.createElement("h1");
    title.textContent = "This page is closed";
    const notice = document.createElement("p");
    notice.className = "card";
    notice.setAttribute("role", "alert");
    notice.textContent = why;
    page.replaceChildren(title, notice);
  };

  const say = (text, tone = "") => {
    happened.closest("section").hidden = false;
    const line = document.createElement("p");
    line.textContent = text;
    if (tone !== "") line.className = tone;
    happened.append(line);
    while (happened.children.length > 200) happened.firstChild.remove();
    happened.scrollTop = happened.scrollHeight;
  };

  const hide = () => {
    if (shown === null) return;
    clearTimeout(shown.timer);
    shown.value.textContent = shown.mask;
    shown.value.classList.remove("shown");
    shown.button.textContent = "Reveal";
    shown.button.setAttribute("aria-label", `Reveal ${shown.name}`);
    shown = null;
  };

  const lock = (locked) => {
    acting = locked;
    page.setAttribute("aria-busy", String(locked));
    for (const button of page.querySelectorAll(".act, [data-project]")) button.disabled = locked;
  };

  const look = async () => {
    const response = await ask("/look");
    if (!response.ok) return end(await response.text());
    hide();
    const focused = document.activeElement?.id ?? "";
    // Written by prun, which escapes every text; the page's policy lets no script in it run.
    page.innerHTML = await response.text();
    document.title = `${page.querySelector("h1").textContent} · prun`;
    lock(acting);
    if (focused !== "") document.getElementById(focused)?.focus({ preventScroll: true });
  };

  const value = async (button) => {
    const { list, name, reason } = button.dataset;
    if (shown !== null && shown.button === button) return hide();
    hide();
    const response = await ask(`/value/${list}`, `${reason}\n${name}`);
    if (!response.ok) return say(await response.text(), "bad");
    let text;
    try {
      text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(await response.arrayBuffer());
    } catch {
      return say(`${name} is no text; prun injected --reveal ${name} writes its bytes`, "bad");
    }
    if (reason === "copy") {
      try {
        await navigator.clipboard.writeText(text);
        say(`${name} is in the clipboard`, "good");
      } catch {
        say(`the browser lets nothing into the clipboard; reveal ${name} and copy it by hand`, "bad");
      }
      return;
    }
    const place = document.getElementById(`${list}-${name}-value`);
    shown = { button, name, value: place, mask: place.textContent, timer: setTimeout(hide, SHOWN) };
    place.textContent = text;
    place.classList.add("shown");
    button.textContent = "Hide";
    button.setAttribute("aria-label", `Hide ${name}`);
    say(`${name} is shown for a minute`);
  };

  const lines = async function* (response) {
    const decoder = new TextDecoder();
    const reader = response.body.getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const pieces = (rest + decoder.decode(value, { stream: true })).split("\n");
      rest = pieces.pop();
      yield* pieces.filter((piece) => piece !== "");
    }
  };

  const act = async (path, body) => {
    if (acting) return;
    lock(true);
    let done = false;
    try {
      const response = await ask(path, body);
      if (!response.ok) say(await response.text(), "bad");
      else for await (const line of lines(response)) {
        const news = JSON.parse(line);
        if ("line" in news) say(news.line, /^error\b/.test(news.line) ? "bad" : "");
        else done = news.end === "done";
      }
      await look();
    } finally {
      lock(false);
    }
    say(done ? "done" : "it was not done", done ? "good" : "bad");
  };

  page.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button === null || key === "") return;
    const data = button.dataset;
    const work = "reason" in data ? value(button)
      : "act" in data ? act(data.act, data.body ?? "")
      : "look" in data ? look()
      : "project" in data ? (project = data.project, look())
      : null;
    if ("fill" in data) {
      document.getElementById("set-name").value = data.fill;
      document.getElementById("set-value").focus();
    }
    work?.catch(() => say("prun did not answer", "bad"));
  });

  page.addEventListener("submit", (event) => {
    event.preventDefault();
    const [name, text] = ["set-name", "set-value"].map((id) => document.getElementById(id));
    const body = `${name.value.trim()}\n${text.value}`;
    text.value = "";
    act("/set", body).catch(() => say("prun did not answer", "bad"));
  });

  // A field of one line would drop the line ends, and a key without them is no key.
  page.addEventListener("paste", (event) => {
    const text = event.clipboardData?.getData("text") ?? "";
    if (event.target.id !== "set-value" || !/[\r\n]./s.test(text)) return;
    event.preventDefault();
    const name = document.getElementById("set-name").value.trim() || "NAME";
    say(`a value of several lines is set in the terminal: pbuild secrets set ${name} <FILE`, "bad");
  });

  const live = async () => {
    let why = "prun ui has ended. Start it again in the terminal, and open the address that it prints.";
    try {
      for await (const line of lines(await ask("/live"))) {
        if (line.startsWith("replaced")) why = "Another page was opened with a newer address, so this one is closed.";
      }
    } catch { /* The connection is gone: that is what this waits for. */ }
    end(why);
  };

  const enter = async () => {
    const again = "An address opens the page once. The terminal where prun ui runs shows the next one.";
    if (token === "") return end(again);
    const response = await ask("/enter", token);
    if (!response.ok) return end(again);
    key = await response.text();
    live();
    await look();
  };
  enter().catch(() => end("prun ui does not answer."));
})();
