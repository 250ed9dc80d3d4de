// What pages do besides being read: times in the reader's zone, copying, and news as it comes.
// News changes nothing here by itself: the page is asked for again, and the parts that are live are exchanged for what
// the server drew, so that there is one place where values become pages.
"use strict";

(() => {
  const REFRESH_MS = 250; // together with what else has just come
  const REFRESH_AT_MOST_EVERY_MS = 1000;
  const POLL_MS = 20000; // while the stream is away
  const AGAIN_MS = 2000; // while work goes on that the stream does not tell of

  const zoned = new Intl.DateTimeFormat(undefined, {
    dateStyle: "medium", timeStyle: "medium",
  });

  function showLocalTimes(root) {
    for (const time of root.querySelectorAll("time[datetime]")) {
      const local = time.querySelector(".local");
      const at = new Date(time.dateTime);
      if (local && !Number.isNaN(at.getTime())) {
        local.textContent = zoned.format(at);
      }
    }
  }

  function offerCopying(root) {
    if (!navigator.clipboard) {
      return;
    }
    for (const button of root.querySelectorAll("button[data-copy]")) {
      button.hidden = false;
      button.addEventListener("click", async () => {
        await navigator.clipboard.writeText(button.dataset.copy);
        button.textContent = "Copied";
        setTimeout(() => { button.textContent = "Copy"; }, 1500);
      });
    }
  }

  function prepare(root) {
    showLocalTimes(root);
    offerCopying(root);
  }

  // Base units as people write them, exactly: digits are moved, nothing is computed.
  function figure(baseUnits, decimals) {
    const digits = baseUnits.padStart(decimals + 1, "0");
    const whole = digits.slice(0, digits.length - decimals);
    const part = decimals ? digits.slice(-decimals).replace(/0+$/, "") : "";
    return part ? `${whole}.${part}` : whole;
  }

  function announce(type, text) {
    const said = document.getElementById("announcement");
    try {
      const data = JSON.parse(text).data;
      const money = data.amountBaseUnits && data.decimals !== null
        ? `${figure(data.amountBaseUnits, data.decimals)} ${data.symbol || "tokens"}: ` : "";
      said.textContent = `${money}${type.replace(/[._]/g, " ")}`;
    } catch {
      said.textContent = type.replace(/[._]/g, " ");
    }
  }

  function exchange(fresh) {
    for (const old of document.querySelectorAll("[data-live][id]")) {
      const next = fresh.getElementById(old.id);
      if (!next) {
        continue;
      }
      const known = new Set([...old.querySelectorAll("[data-row]")].map((row) => row.dataset.row));
      const focusable = "a, button, input, select, summary";
      const focused = [...old.querySelectorAll(focusable)].indexOf(document.activeElement);
      const opened = [...old.querySelectorAll("details")].map((one) => one.open);
      document.adoptNode(next);
      old.replaceWith(next);
      prepare(next);
      for (const row of next.querySelectorAll("[data-row]")) {
        if (!known.has(row.dataset.row)) {
          row.classList.add("fresh");
        }
      }
      next.querySelectorAll("details").forEach((one, number) => { one.open = Boolean(opened[number]); });
      if (focused >= 0) {
        next.querySelectorAll(focusable)[focused]?.focus({ preventScroll: true });
      }
    }
    document.title = fresh.title;
  }

  let waiting = null;
  let refreshedAt = 0;

  function refreshSoon() {
    if (waiting === null) {
      const pause = Math.max(REFRESH_MS, refreshedAt + REFRESH_AT_MOST_EVERY_MS - Date.now());
      waiting = setTimeout(refresh, pause);
    }
  }

  // Not by `fetch`: only this makes a document without any string becoming HTML in this page.
  function refresh() {
    waiting = null;
    refreshedAt = Date.now();
    const asked = new XMLHttpRequest();
    asked.open("GET", location.href);
    asked.responseType = "document";
    asked.addEventListener("load", () => {
      if (new URL(asked.responseURL).pathname !== location.pathname) {
        location.reload(); // the session has ended: the server leads to where one signs in
      } else if (asked.status === 200 && asked.response) {
        exchange(asked.response);
      }
    });
    asked.send();
  }

  function showState(text, isOn) {
    const state = document.getElementById("live-state");
    state.hidden = false;
    state.textContent = text;
    state.classList.toggle("on", isOn);
  }

  function listen(types) {
    const stream = new EventSource(`/events/stream?type=${encodeURIComponent(types.join(","))}`);
    let polling = null;
    stream.addEventListener("open", () => {
      showState("Live", true);
      clearInterval(polling);
      polling = null;
      refreshSoon(); // for what came while nobody listened
    });
    stream.addEventListener("error", () => {
      showState("Not live; looking again now and then", false);
      if (polling === null) {
        polling = setInterval(refreshSoon, POLL_MS);
      }
      if (stream.readyState === EventSource.CLOSED) {
        refreshSoon(); // refused: if the session has ended, this shows it
      }
    });
    for (const type of types) {
      stream.addEventListener(type, (event) => {
        announce(type, event.data);
        refreshSoon();
      });
    }
  }

  // What is shown once was the answer to a form: loading it again would send the form again.
  const once = document.querySelector("[data-shown-once]");
  if (once) {
    history.replaceState(null, "", once.dataset.shownOnce);
  }

  setInterval(() => {
    if (document.querySelector("[data-again]") && !document.hidden) {
      refreshSoon();
    }
  }, AGAIN_MS);

  prepare(document);
  const types = (document.body.dataset.events || "").split(" ").filter(Boolean);
  if (types.length) {
    listen(types);
  }
})();
