// Refreshes the page while somebody looks at it. Parts that are the same stay as they are, and so
// does what is being typed: the form for accounts is none of the parts.
"use strict";
(() => {
  const every = 5000;
  const self = document.body.dataset.self;

  // local has a time say, when pointed at, what the clock on the wall says.
  const local = (root) => root.querySelectorAll("time[title]").forEach((t) => { t.title = new Date(t.dateTime).toLocaleString(document.documentElement.lang); });

  function take(text) {
    const fresh = new DOMParser().parseFromString(text, "text/html");
    local(fresh);
    document.title = fresh.title;
    for (const part of document.querySelectorAll("[data-live]")) {
      const next = fresh.getElementById(part.id);
      if (!next || next.isEqualNode(part)) continue;
      const focus = part.contains(document.activeElement) ? document.activeElement.id : "";
      const taken = document.adoptNode(next);
      part.replaceWith(taken);
      if (focus) document.getElementById(focus)?.focus({ preventScroll: true });
    }
  }

  async function refresh() {
    let well = false;
    try {
      const answer = await fetch(self, { headers: { Accept: "text/html" }, cache: "no-store", redirect: "error", signal: AbortSignal.timeout(10000) });
      if (answer.ok) {
        take(await answer.text());
        well = true;
      }
    } catch { /* said below */ }
    document.getElementById("lost").hidden = well;
  }

  let under = false;
  async function tick() {
    if (under || document.hidden || !getSelection().isCollapsed) return; // nobody looks, or somebody copies
    under = true;
    await refresh();
    under = false;
  }

  local(document);
  setInterval(tick, every);
  document.addEventListener("visibilitychange", tick);
})();
