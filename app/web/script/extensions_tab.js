// The Extensions tab: what is there, what is left out, and what went wrong; every text goes into the page as text.
"use strict";
easel.extensionsTab = (() => {
  const { ask, make } = easel.cards;
  const byId = (id) => document.getElementById(id);
  const STATES = { loaded: "loaded", disabled: "not loaded", failed: "failed" };
  const CHANGES = { install: "is installed", update: "is updated", remove: "is removed" };
  let listed = null, installs = null, confirmation = null;

  function fail(message) {
    byId("extensions_error").textContent = message;
    byId("extensions_error").hidden = !message;
  }
  const button = (act, name, words) => make("button", { type: "button", class: "easel-button", "data-act": act, "data-extension": name }, words);
  function item(one) {
    const box = make("input", { type: "checkbox", "aria-label": `Enable ${one.name}`, "data-name": one.name, disabled: !listed.may_change });
    box.checked = one.enabled;
    const made = make("section", { class: "easel-extension", "data-state": one.state, "aria-label": one.name },
      make("label", { class: "easel-check" }, box, make("h4", {}, one.name)),
      make("span", { class: "easel-mark" }, STATES[one.state]), one.built_in ? make("span", { class: "easel-mark" }, "built-in") : "",
      make("p", {}, one.about || "Says nothing of itself."));
    if (one.enabled !== (one.state !== "disabled")) made.append(make("p", { class: "easel-words" }, `At the next start it is ${one.enabled ? "loaded" : "left out"}.`));
    const change = installs?.waiting[one.name];
    if (one.address) made.append(make("p", { class: "easel-words" }, `From ${one.address}`));
    if (change) made.append(make("p", { class: "easel-words" }, `At the next start it ${CHANGES[change]}.`));
    else if (listed.may_change && !one.built_in && installs && !installs.refusal) made.append(make("div", { class: "easel-actions" },
      one.address ? button("update", one.name, "Update") : "", button("remove", one.name, "Remove")));
    if (one.problem) made.append(make("details", { open: true }, make("summary", {}, "What went wrong"), make("pre", {}, one.problem)));
    return made;
  }
  function show(now) {
    listed = now;
    byId("extensions_list").replaceChildren(...now.extensions.map(item));
    byId("extensions_disable_all").value = now.disable_all;
    byId("extensions_disable_all").disabled = !now.may_change;
    byId("extensions_apply").disabled = !now.may_change;
    if (!now.extensions.length) byId("extensions_list").append(make("p", { class: "easel-empty" }, "There is no extension."));
  }
  async function refresh() {
    try {
      const now = await ask("api/extensions");
      installs = now.may_change ? await ask("api/extensions/installing") : null;
      show(now);
      showInstalls();
      fail("");
    } catch (problem) { fail(problem.message); }
  }
  function showInstalls() {
    byId("extensions_install").hidden = !installs;
    if (!installs) return;
    byId("extensions_refusal").textContent = installs.refusal;
    byId("extensions_refusal").hidden = !installs.refusal;
    byId("extensions_form").hidden = Boolean(installs.refusal);
    byId("extensions_password_row").hidden = !listed.login;
    const now = installs.now, running = now?.state === "running";
    byId("extensions_stop").hidden = !running;
    byId("extensions_install_button").disabled = running;
    byId("extensions_installing").textContent = !now ? "" : running ? `Fetching ${now.name} ...` : `${now.name}: ${now.text}`;
    byId("extensions_waiting").replaceChildren(...Object.entries(installs.waiting).map(([name, change]) =>
      make("li", {}, `${name} ${CHANGES[change]} at the next start. `, button("undo", name, "Undo"))));
    if (running) setTimeout(refresh, 500);
  }
  // A confirmation is kept for some minutes; one that does not count any more is asked for again.
  async function confirmed() {
    if (!confirmation) confirmation = (await ask("api/extensions/confirmations", { method: "POST", body: { password: byId("extensions_password").value } })).confirmation;
    return confirmation;
  }
  async function change(act) {
    const kept = confirmation;
    try {
      try { await act(await confirmed()); } catch (problem) {
        if (problem.status !== 403 || !kept) throw problem;
        confirmation = null;
        await act(await confirmed());
      }
      byId("extensions_password").value = "";
      await refresh();
    } catch (problem) { fail(problem.message); }
  }
  function install() {
    const name = byId("extensions_name").value.trim(), file = byId("extensions_archive").files[0];
    return change(async (word) => {
      if (!file) return ask("api/extensions/install", { method: "POST", body: { confirmation: word, address: byId("extensions_address").value, branch: byId("extensions_branch").value, name } });
      const called = name || file.name.replace(/\.zip$/i, "").replace(/[^A-Za-z0-9_-]+/g, "-");
      const answer = await fetch(`api/extensions/archive?${new URLSearchParams({ name: called, confirmation: word })}`, { method: "POST", body: file });
      const body = await answer.json();
      if (!answer.ok) throw Object.assign(new Error(`${body.error.message} ${body.error.hint}`.trim()), { status: answer.status });
    });
  }
  async function apply() {
    const boxes = [...byId("extensions_list").querySelectorAll("input[data-name]")];
    const disabled = boxes.filter((box) => !box.checked).map((box) => box.dataset.name);
    try {
      show(await ask("api/extensions", { method: "POST", body: { disabled, disable_all: byId("extensions_disable_all").value } }));
      byId("extensions_said").textContent = "Kept. Start Easel again for it to take effect.";
      fail("");
    } catch (problem) { fail(problem.message); }
  }
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("button");
    if (button?.id === "extensions_apply") return apply();
    if (button?.id === "extensions_install_button") return install();
    if (button?.id === "extensions_stop") return ask("api/extensions/installing/stop", { method: "POST" }).then(refresh);
    if (button?.dataset.extension) return change((word) => ask(`api/extensions/${button.dataset.extension}/${button.dataset.act}`, { method: "POST", body: { confirmation: word } }));
    if (button?.textContent.trim() !== "Extensions" || !button.closest("#tabs")) return;
    // Gradio draws the tab when it is first seen.
    const wait = () => (byId("extensions_list") ? refresh() : requestAnimationFrame(wait));
    wait();
  });
  return { refresh };
})();
