// The form in this browser: kept between visits, counted, marked where a value is wrong. Python fills it.
"use strict";
window.easel = (() => {
  const KEY = "easel.txt2img";
  let filledOnce = false;

  function kept() {
    try { return JSON.parse(localStorage.getItem(KEY)) || {}; } catch { return {}; }
  }
  function keep(change) {
    // Without storage (a private window) the form is simply not kept.
    try { localStorage.setItem(KEY, JSON.stringify({ ...kept(), ...change })); } catch { /* as said */ }
  }
  const page = () => JSON.parse(document.getElementById("easel_page").dataset.page);
  const elementOf = (field) => document.getElementById(page().fields[field] || "");

  // What Python gets to fill the form from.
  const memory = () => JSON.stringify(kept());
  function forget() {
    try { localStorage.removeItem(KEY); } catch { /* there is none */ }
    filledOnce = false;
    return "{}";
  }
  function filled(told, values) {
    filledOnce = true;
    document.documentElement.dataset.form = "filled";
    for (const [field, help] of Object.entries(page().help)) elementOf(field)?.setAttribute("title", help);
    follow(told);
    remember(values);
  }
  // Gradio 6.31 tells of a menu's choice twice, once more whenever the menu is left. The second answer would come late
  // and take back what was typed meanwhile, so that only a name that is new is asked about.
  let followed = null;
  function choice(name) {
    if (name === followed) return ["", null];
    followed = name;
    return [memory(), name];
  }
  function follow(told) {
    const { checkpoint, ...change } = JSON.parse(told || "{}");
    if (checkpoint !== undefined) followed = checkpoint;
    keep(change);
  }
  // Of an older choice, or none: the menu has moved on since.
  const answered = (told) => { if (JSON.parse(told || "{}").checkpoint === followed) follow(told); };
  function remember(values) {
    if (!filledOnce) return;  // the page's own start values must not overwrite what was kept
    const names = [...Object.keys(page().fields), "overrides"];
    const now = Object.fromEntries(names.map((name, place) => [name, values[place]]));
    keep({ values: now });
    countTokens(now);
    document.dispatchEvent(new CustomEvent("easel:form", { detail: now }));
  }

  const COUNTERS = { prompt: "txt2img_token_counter", negative_prompt: "txt2img_negative_token_counter" };
  let counted = "", counting = 0;
  function countTokens(values) {
    const texts = { prompt: values.prompt || "", negative_prompt: values.negative_prompt || "" };
    const asked = JSON.stringify(texts);
    if (asked === counted) return;
    counted = asked;
    clearTimeout(counting);
    counting = setTimeout(async () => {
      const query = `easel/tokens?steps=${Math.round(values.steps) || 20}`;
      const answer = await fetch(query, { method: "POST", body: asked, headers: { "Content-Type": "application/json" } })
        .catch(() => null);
      if (!answer || !answer.ok || asked !== counted) return;
      for (const [name, shown] of Object.entries(await answer.json())) {
        const counter = document.getElementById(COUNTERS[name]);
        counter.textContent = shown;
        counter.classList.toggle("easel-wrong", shown === "?");
      }
    }, 150);
  }

  function showError({ message, hint, field }) {
    const place = document.getElementById("txt2img_error");
    place.textContent = [message, hint].filter(Boolean).join(" ");
    place.hidden = false;
    place.scrollIntoView({ block: innerWidth < 700 ? "center" : "nearest" });
    const wrong = field && elementOf(field);
    if (!wrong) return;
    wrong.classList.add("easel-wrong");
    const input = wrong.querySelector("textarea, input");
    input?.setAttribute("aria-invalid", "true");
    input?.setAttribute("aria-describedby", "txt2img_error");
  }
  function clearError() {
    const place = document.getElementById("txt2img_error");
    place.hidden = true;
    place.textContent = "";
    for (const wrong of document.querySelectorAll(".easel-wrong:not(.easel-counter)")) wrong.classList.remove("easel-wrong");
    for (const input of document.querySelectorAll("[aria-invalid]")) {
      input.removeAttribute("aria-invalid");
      input.removeAttribute("aria-describedby");
    }
  }
  const wantsPreviews = () => kept().previews !== false;
  return { wantsPreviews, memory, forget, filled, choice, answered, follow, remember, showError, clearError };
})();
