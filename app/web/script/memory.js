// What is in memory: models on their tiers, live while it is open; unload, reload and pin for the administrator.
"use strict";
easel.inMemory = (() => {
  const { ask, make } = easel.cards;
  const EVERY = 2000;
  const TIERS = { device: "graphics memory", host: "main memory" };
  let root = null, timer = 0, asking = false;

  function size(bytes) {
    const units = ["B", "KB", "MB", "GB", "TB"];
    let unit = 0;
    for (; bytes >= 1000 && unit < units.length - 1; unit++) bytes /= 1000;
    return `${unit > 1 && bytes < 100 ? bytes.toFixed(1) : Math.round(bytes)} ${units[unit]}`;
  }
  const button = (text, act) => {
    const made = make("button", { type: "button", class: "easel-button" }, text);
    made.addEventListener("click", async () => {
      made.disabled = true;
      try { await ask(`api/memory/${act}`, { method: "POST" }); say(""); } catch (problem) { say(problem.message); }
      // The engine obeys between two groups of work.
      setTimeout(refresh, 250);
    });
    return made;
  };
  const say = (words) => { root.querySelector(".easel-told").textContent = words; };

  function tier(one) {
    const bar = make("div", { class: "easel-bar", role: "meter", "aria-label": TIERS[one.name], "aria-valuemin": 0,
      "aria-valuemax": one.total, "aria-valuenow": one.used }, make("div"));
    bar.firstElementChild.style.width = `${one.total ? Math.min(100, (one.used / one.total) * 100) : 0}%`;
    return make("div", { class: "easel-tier" }, make("span", {}, `${TIERS[one.name] ?? one.name} (${one.device}): ${size(one.used)} of ${size(one.budget)} that models may take, ${size(one.total)} in all`), bar);
  }
  function model(one, mayChange) {
    const where = [one.device_bytes && `${size(one.device_bytes)} in graphics memory`, one.host_bytes && `${size(one.host_bytes)} in main memory`,
      one.mapped_bytes && `${size(one.mapped_bytes)} of it shared with the file`].filter(Boolean).join(", ");
    const marks = [one.kind === "vae" ? "VAE" : "checkpoint", `${one.precision}${one.raised ? " (raised after NaN)" : ""}`,
      one.in_use && "in use", one.pinned && "pinned"].filter(Boolean);
    const item = make("li", { class: "easel-model", "data-tier": one.tier, "data-pinned": one.pinned },
      make("strong", {}, one.name), make("span", {}, `${marks.join(" · ")}: ${where || "nothing yet"}`));
    if (mayChange && one.id) {
      const place = `${encodeURIComponent(one.file_kind)}/${encodeURIComponent(one.id)}`;
      item.append(make("span", { class: "easel-model-buttons" },
        button(one.pinned ? "Unpin" : "Pin", `${place}/${one.pinned ? "unpin" : "pin"}`), button("Unload", `${place}/unload`)));
    }
    return item;
  }
  function show({ models, tiers, may_change: mayChange }) {
    document.documentElement.toggleAttribute("data-admin", mayChange);
    const taken = models.reduce((sum, one) => sum + one.device_bytes + one.host_bytes, 0);
    const names = [...new Set(models.map((one) => one.name))];
    root.querySelector("summary").textContent = models.length ? `In memory: ${names.join(", ")} (${size(taken)})` : "In memory: no model";
    const list = root.querySelector(".easel-models");
    // Drawn again only when something else is to be seen, so that a button keeps the keyboard.
    const told = JSON.stringify([models, tiers, mayChange]);
    if (told === list.dataset.told) return;
    list.dataset.told = told;
    const place = list.contains(document.activeElement) ? [...list.querySelectorAll("button")].indexOf(document.activeElement) : -1;
    list.replaceChildren(...tiers.map(tier), make("ul", {}, ...models.map((one) => model(one, mayChange))),
      make("p", { class: "easel-log" }, models.length ? "Everything else is on the disk alone." : "Models are loaded when a picture needs them."),
      ...(mayChange ? [make("div", { class: "easel-actions" }, button("Unload all", "unload"), button("Load the last one again", "reload"))] : []));
    if (place >= 0) list.querySelectorAll("button")[place]?.focus();
  }
  async function refresh() {
    clearTimeout(timer);
    if (!root?.isConnected || asking) return;
    asking = true;
    try { show(await ask("api/memory")); } catch { /* a server that is away is said elsewhere */ }
    asking = false;
    if (root.open) timer = setTimeout(() => (document.hidden ? undefined : refresh()), EVERY);
  }
  function begin() {
    root = document.getElementById("easel_memory");
    if (!root) return;
    root.addEventListener("toggle", refresh);
    document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
    document.addEventListener("easel:ended", refresh);
    refresh();
  }
  return { begin, size };
})();
