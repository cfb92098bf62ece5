// The Extensions tab: what is there, what is left out, and what went wrong; every text goes into the page as text.
"use strict";
easel.extensionsTab = (() => {
  const { ask, make } = easel.cards;
  const byId = (id) => document.getElementById(id);
  const STATES = { loaded: "loaded", disabled: "not loaded", failed: "failed" };
  let listed = null;

  function fail(message) {
    byId("extensions_error").textContent = message;
    byId("extensions_error").hidden = !message;
  }
  function item(one) {
    const box = make("input", { type: "checkbox", "aria-label": `Enable ${one.name}`, "data-name": one.name, disabled: !listed.may_change });
    box.checked = one.enabled;
    const made = make("section", { class: "easel-extension", "data-state": one.state, "aria-label": one.name },
      make("label", { class: "easel-check" }, box, make("h4", {}, one.name)),
      make("span", { class: "easel-mark" }, STATES[one.state]), one.built_in ? make("span", { class: "easel-mark" }, "built-in") : "",
      make("p", {}, one.about || "Says nothing of itself."));
    if (one.enabled !== (one.state !== "disabled")) made.append(make("p", { class: "easel-words" }, `At the next start it is ${one.enabled ? "loaded" : "left out"}.`));
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
    try { show(await ask("api/extensions")); fail(""); } catch (problem) { fail(problem.message); }
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
    if (button?.textContent.trim() !== "Extensions" || !button.closest("#tabs")) return;
    // Gradio draws the tab when it is first seen.
    const wait = () => (byId("extensions_list") ? refresh() : requestAnimationFrame(wait));
    wait();
  });
  return { refresh };
})();
