// The forms in this browser: kept between visits, counted, marked where a value is wrong. Python fills them.
"use strict";
window.easel = {};
let easelFacts = null;
easel.page = () => (easelFacts ??= JSON.parse(document.getElementById("easel_page")?.dataset.page ?? "null"));
easel.tabs = () => Object.keys(easel.page()?.tabs ?? {});
// The generation tab that is seen, else the one that was.
easel.tab = () => {
  const seen = easel.tabs().find((tab) => document.getElementById(`${tab}_prompt`)?.offsetParent);
  easel.lastTab = seen ?? easel.lastTab ?? easel.tabs()[0];
  return easel.lastTab;
};

// A tab opened, and all of it there.
easel.openTab = (tab) => new Promise((done) => {
  const there = () => document.getElementById(`${tab}_results`) && (easel.sources[tab] || !document.getElementById(`${tab}_source`));
  document.getElementById(`tab_${tab}-button`)?.click();
  if (there()) return done();
  const observer = new MutationObserver(() => {
    if (!there()) return;
    observer.disconnect();
    done();
  });
  observer.observe(document.documentElement, { childList: true, subtree: true });
});

easel.Form = class {
  constructor(tab) {
    this.tab = tab;
    this.key = `easel.${tab}`;
    this.filledOnce = false;
    this.counted = "";
    this.counting = 0;
  }
  element(name) { return document.getElementById(`${this.tab}_${name}`); }
  kept() {
    try { return JSON.parse(localStorage.getItem(this.key)) || {}; } catch { return {}; }
  }
  keep(change) {
    // Without storage (a private window) the form is simply not kept.
    try { localStorage.setItem(this.key, JSON.stringify({ ...this.kept(), ...change })); } catch { /* as said */ }
  }
  forget() {
    try { localStorage.removeItem(this.key); } catch { /* there is none */ }
    this.filledOnce = false;
  }
  filled(told, values) {
    this.filledOnce = true;
    this.keep(told);
    this.remember(values);
    this.dress();
  }
  // Gradio draws a tab when it is first opened.
  dress() {
    const { tabs, help } = easel.page();
    for (const [field, words] of Object.entries(help)) document.getElementById(tabs[this.tab][field])?.setAttribute("title", words);
    this.countTokens(this.kept().values ?? {});
  }
  remember(values) {
    if (!this.filledOnce) return;  // the page's own start values must not overwrite what was kept
    const names = [...Object.keys(easel.page().tabs[this.tab]), "overrides"];
    const now = Object.fromEntries(names.map((name, place) => [name, values[place]]));
    this.keep({ values: now });
    this.countTokens(now);
    document.dispatchEvent(new CustomEvent("easel:form", { detail: { ...now, tab: this.tab } }));
  }
  countTokens(values) {
    const texts = { prompt: values.prompt || "", negative_prompt: values.negative_prompt || "" };
    const asked = JSON.stringify(texts);
    if (asked === this.counted || !this.element("token_counter")) return;
    this.counted = asked;
    clearTimeout(this.counting);
    this.counting = setTimeout(async () => {
      const query = `easel/tokens?steps=${Math.round(values.steps) || 20}`;
      const answer = await fetch(query, { method: "POST", body: asked, headers: { "Content-Type": "application/json" } })
        .catch(() => null);
      if (!answer || !answer.ok || asked !== this.counted) return;
      const counters = { prompt: "token_counter", negative_prompt: "negative_token_counter" };
      for (const [name, shown] of Object.entries(await answer.json())) {
        const counter = this.element(counters[name]);
        counter.textContent = shown;
        counter.classList.toggle("easel-wrong", shown === "?");
      }
    }, 150);
  }
  elementOf(field) {
    if (field === "init_images" || field === "mask") return this.element("source");
    if (field.startsWith("extensions.")) return easel.extensions.elementOf(this.tab, field.slice("extensions.".length));
    return document.getElementById(easel.page().tabs[this.tab][field] || "");
  }
  showError({ message, hint, field }) {
    const place = this.element("error");
    place.textContent = [message, hint].filter(Boolean).join(" ");
    place.hidden = false;
    place.scrollIntoView({ block: innerWidth < 700 ? "center" : "nearest" });
    const wrong = field && this.elementOf(field);
    if (!wrong) return;
    wrong.classList.add("easel-wrong");
    const input = wrong.querySelector("textarea, input");
    input?.setAttribute("aria-invalid", "true");
    input?.setAttribute("aria-describedby", place.id);
  }
  clearError() {
    const place = this.element("error");
    place.hidden = true;
    place.textContent = "";
    const root = document.documentElement;
    for (const wrong of root.querySelectorAll(".easel-wrong:not(.easel-counter)")) wrong.classList.remove("easel-wrong");
    for (const input of root.querySelectorAll("[aria-invalid]")) {
      input.removeAttribute("aria-invalid");
      input.removeAttribute("aria-describedby");
    }
  }
};

// What Python calls, and what the other scripts ask of the tab that is seen.
(() => {
  const forms = {};
  const form = (tab = easel.tab()) => (forms[tab] ??= new easel.Form(tab));
  const all = () => easel.tabs().map(form);
  easel.memory = (tab) => JSON.stringify(form(tab).kept());
  easel.memories = () => JSON.stringify(Object.fromEntries(all().map((one) => [one.tab, one.kept()])));
  easel.forget = (tab, checkpoint) => { form(tab).forget(); return checkpoint; };
  easel.dress = (tab) => form(tab).dress();
  easel.wantsPreviews = () => form("txt2img").kept().previews !== false;
  easel.sendsAlong = () => form("txt2img").kept().send ?? { size: true, seed: true };
  easel.showError = (error, tab) => form(tab).showError(error);
  easel.clearError = (tab) => form(tab).clearError();
  easel.remember = (tab, values) => form(tab).remember(values);
  // The kept form comes late on a slow machine. What was typed, drawn or chosen until then stays as it is.
  let touched = new Set();
  const touch = ({ type, target, isTrusted }) => { if (isTrusted && (type !== "mousedown" || target.closest?.("[role=option]"))) touched?.add(target); };
  for (const kind of ["input", "change", "mousedown"]) document.addEventListener(kind, touch, true);
  easel.touched = (id) => { const field = document.getElementById(id); return Boolean(field) && [...touched ?? []].some((node) => field.contains(node)); };
  const plain = (value) => (value === null || value === undefined || value.length === 0 ? "" : String(value));
  // told, values: as of `filled`; what is undefined leaves a widget alone.
  easel.restored = (told, values) => {
    const { restored, usual } = JSON.parse(told || "{}");
    if (!restored) return values.map(() => undefined);
    return places().map(([tab, name, id], place) => {
      const [now, kept] = [values[place], restored[place]];
      if (name === "extensions") return easel.extensions.merged(tab, kept, now);
      return easel.touched(id) || plain(now) !== plain(usual[place]) ? undefined : kept;
    });
  };
  // The tab, name and DOM id of each value: the row of models, then what each tab keeps of its own.
  function places() {
    const named = Object.entries(easel.page().tabs).map(([tab, ids]) => Object.entries(ids).map(([name, id]) => [tab, name, id]));
    return [...named[0].slice(0, 2), ...named.flatMap((fields) => [...fields.slice(2), [fields[0][0], "overrides", `${fields[0][0]}_override_settings`]])];
  }
  // values: the row of models, then what each tab keeps of its own.
  easel.filled = (told, values) => {
    const { tabs, ...rest } = JSON.parse(told || "{}");
    const models = values.slice(0, 2);
    let from = 2;
    for (const [tab, kept] of Object.entries(tabs ?? {})) {
      const to = from + Object.keys(easel.page().tabs[tab]).length - models.length + 1;
      form(tab).filled({ ...rest, ...kept }, [...models, ...values.slice(from, to)]);
      from = to;
    }
    note(Object.values(tabs ?? {})[0]);
    if (document.documentElement.dataset.form === "filled") return;
    document.documentElement.dataset.form = "filled";
    touched = null;
    document.dispatchEvent(new CustomEvent("easel:filled"));
  };

  // Gradio 6.31 tells of a menu's choice twice, once more whenever the menu is left. The second answer would come late
  // and take back what was typed meanwhile, so that only a name that is new is asked about.
  let followed = null;
  function note({ checkpoint, edits } = {}) {
    if (checkpoint !== undefined) followed = checkpoint;
    document.documentElement.toggleAttribute("data-edits", Boolean(edits));
  }
  easel.choice = (name) => {
    if (name === followed) return ["", null];
    followed = name;
    return [easel.memories(), name];
  };
  easel.follow = (told) => {
    const kept = JSON.parse(told || "{}");
    note(kept);
    for (const one of all()) one.keep(kept);
  };
  // Of an older choice, or none: the menu has moved on since.
  easel.answered = (told) => { if (JSON.parse(told || "{}").checkpoint === followed) easel.follow(told); };
})();
