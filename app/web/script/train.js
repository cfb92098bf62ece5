// The Train tab: the form sent, and one training watched: its figures, its curve, its samples; all of it again on reload.
"use strict";
easel.train = (() => {
  const { ask, make } = easel.cards;
  const KEY = "easel.train", OVER = ["done", "failed", "cancelled"];
  const byId = (id) => document.getElementById(`train_${id}`);
  const fields = () => [...document.querySelectorAll("#train [data-field]")];
  let chosen = "", source = null, now = null, curve = nothing(), families = {}, drawing = 0;

  // What the curve and the meter show of a training that has told nothing yet.
  function nothing() { return { loss: [], validation: [], drift: [], best: null, files: [], taken: null, steps: 1 }; }
  const numbers = (text) => text.split(",").map((part) => part.trim()).filter(Boolean).map(Number);
  const READ = {
    text: (input) => input.value, int: (input) => Number(input.value), float: (input) => Number(input.value), bool: (input) => input.checked,
    ints: (input) => numbers(input.value), floats: (input) => numbers(input.value), optional: (input) => (input.value.trim() === "" ? null : Number(input.value)),
  };
  const method = () => document.querySelector("#train_methods input:checked")?.value ?? "lora";
  // What an extension's method asks for besides.
  const settings = (of) => [...document.querySelectorAll("#train [data-setting]")].filter((input) => input.dataset.of === of);
  function values() {
    const read = Object.fromEntries(fields().map((input) => [input.dataset.field, READ[input.dataset.type](input)]));
    const own = settings(method()).map((input) => [input.dataset.setting, READ[input.dataset.type](input)]);
    return { ...read, method: method(), ...(own.length && { method_settings: Object.fromEntries(own) }) };
  }
  function fill(wanted) {
    if (wanted.method) document.querySelector(`#train_methods [value="${CSS.escape(wanted.method)}"]`).checked = true;
    const missing = [];
    for (const input of [...fields(), ...settings(wanted.method)]) {
      const value = input.dataset.setting ? wanted.method_settings?.[input.dataset.setting] : wanted[input.dataset.field];
      if (value === undefined) continue;
      const offered = input.tagName === "SELECT" ? [...input.options].map((option) => option.value) : [];
      const found = input.dataset.models ? offered.find((title) => title === value || stem(title) === stem(String(value))) : value;
      if (input.dataset.type === "bool") input.checked = Boolean(value);
      else if (input.tagName !== "SELECT") input.value = value === null ? "" : Array.isArray(value) ? value.join(", ") : value;
      else if (found !== undefined && offered.includes(String(found))) input.value = found;
      else if (value) missing.push(String(value));
    }
    dress();
    return missing;
  }
  const stem = (title) => title.replace(/ \[\w+\]$/, "").replace(/\.\w+$/, "").split("/").at(-1);
  function dress() {
    for (const field of document.querySelectorAll("#train [data-methods]")) field.hidden = !field.dataset.methods.split(" ").includes(method());
    const unused = { prior: method() === "textual_inversion", trigger: method() === "textual_inversion" };
    unused.class_data = unused.prior || byId("prior").value !== "pictures";
    unused.class_pictures = unused.prior_weight = unused.prior || byId("prior").value === "none";
    unused.keep_parts = !byId("shuffle_captions").checked && !Number(byId("drop_parts").value);
    unused.schedule_cycles = byId("schedule").value !== "cosine_with_restarts";
    unused.schedule_power = byId("schedule").value !== "polynomial";
    unused.keep_copies = !Number(byId("save_every").value);
    for (const [name, off] of Object.entries(unused)) byId(name).closest("label").toggleAttribute("data-unused", off);
  }
  function keep() {
    try { localStorage.setItem(KEY, JSON.stringify({ values: values(), chosen })); } catch { /* a private window keeps nothing */ }
  }
  const kept = () => { try { return JSON.parse(localStorage.getItem(KEY)) || {}; } catch { return {}; } };
  function preset() {
    const family = families[byId("checkpoint").value] ?? "SD1";
    const table = JSON.parse(document.getElementById("train").dataset.presets);
    const own = table[method()] ?? table.lora; // an extension's method brings no values
    fill(own[family] ?? own.SD1);
    keep();
  }

  function fail(problem) {
    const place = byId("error");
    place.textContent = problem.message;
    place.hidden = false;
    const own = problem.field?.match(/^method_settings\.(\w+)/)?.[1];
    const input = own ? settings(method()).find(({ dataset }) => dataset.setting === own) : problem.field && byId(problem.field);
    if (!input) return place.scrollIntoView({ block: "nearest" });
    input.closest("details")?.setAttribute("open", "");
    input.setAttribute("aria-invalid", "true");
    input.setAttribute("aria-describedby", place.id);
    input.focus();
  }
  function clear() {
    byId("error").hidden = true;
    for (const input of [...fields(), ...settings(method())]) for (const name of ["aria-invalid", "aria-describedby"]) input.removeAttribute(name);
  }
  async function send(path, body) {
    const answer = await fetch(path, { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });
    const told = await answer.json();
    if (answer.ok) return told;
    throw Object.assign(new Error([told.error?.message, told.error?.hint].filter(Boolean).join(" ")), { field: told.error?.field });
  }
  async function check() {
    clear();
    byId("plan").textContent = "Looking at the pictures …";
    try {
      const plan = await send("api/training/plan", values());
      byId("plan").textContent = [`${plan.words}.`, ...plan.remarks].join(" ");
    } catch (problem) { byId("plan").textContent = ""; fail(problem); }
  }
  async function start(event) {
    event.preventDefault();
    clear();
    keep();
    byId("start").disabled = true;
    try {
      const training = await send("api/training", values());
      chosen = training.id;
      await list();
    } catch (problem) { fail(problem); }
    byId("start").disabled = false;
  }

  const size = (bytes) => (bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${Math.round(bytes / 1e6)} MB`);
  function left(seconds) {
    if (seconds === null || seconds === undefined) return "";
    if (seconds < 90) return `${Math.ceil(seconds)} s left`;
    return seconds < 5400 ? `${Math.round(seconds / 60)} min left` : `${(seconds / 3600).toFixed(1)} h left`;
  }
  function figures(progress) {
    const done = progress.state === "done" ? 100 : progress.steps ? (100 * progress.step) / progress.steps : 0;
    byId("live").querySelector(".easel-bar div").style.width = `${done}%`;
    byId("live").querySelector(".easel-bar").setAttribute("aria-valuenow", Math.round(done));
    const words = [progress.phase, `step ${progress.step} of ${progress.steps}`, progress.loss !== null && `loss ${progress.loss.toPrecision(3)}`,
      progress.validation !== null && `held-out ${progress.validation.toPrecision(3)}`, progress.rate !== null && `learning rate ${progress.rate.toExponential(1)}`,
      progress.state === "running" && left(progress.eta), progress.memory && size(progress.memory)];
    byId("words").textContent = words.filter(Boolean).join(", ");
    now.live = progress.state;
    buttons();
    const last = curve.loss.at(-1);
    if (progress.loss !== null && progress.step && (!last || progress.step > last[0])) curve.loss.push([progress.step, progress.loss, progress.rate ?? 0]);
    if (progress.validation !== null && curve.validation.at(-1)?.[1] !== progress.validation) curve.validation.push([progress.step, progress.validation]);
    curve.steps = progress.steps || curve.steps;
    if (progress.drift !== null && progress.drift !== undefined) curve.drift.push([progress.step, progress.drift]);
    if (progress.best) curve.best = { step: progress.best, reason: progress.best_reason };
    meter();
    if (!drawing) drawing = requestAnimationFrame(() => { drawing = 0; easel.trainCurve.draw(byId("curve"), curve); });
  }
  function meter() {
    const last = curve.loss.at(-1)?.[0] ?? 0;
    easel.trainMeter.show({ ...curve, drift: curve.drift.at(-1)?.[1] ?? null, over: now.state === "done", last });
  }
  async function takeStep(step) {
    try {
      await ask(`api/training/${chosen}/take`, { method: "POST", body: { step } });
      curve.taken = step;
      meter();
    } catch (problem) { notice(problem.message); }
  }
  async function toml([file]) {
    if (!file) return;
    clear();
    try {
      const { fields: read, left_out: leftOut } = await send("api/training/toml", await file.text());
      const missing = fill(read);
      keep();
      byId("plan").textContent = [`The values of ${file.name} are in the form.`, missing.length && `Not here: ${missing.join(", ")}.`, leftOut.length && `Left out, as nothing here does it: ${leftOut.join("; ")}.`].filter(Boolean).join(" ");
    } catch (problem) { fail(problem); }
    byId("toml").value = "";
  }
  function buttons() {
    const over = OVER.includes(now.state), resting = now.live === "paused" || (now.wish === "pause" && now.state === "paused");
    const failed = now.state === "failed", slower = failed && now.error?.field === "learning_rate";
    const shows = { pause: !over && !resting, resume: failed || (!over && resting), slower, stop: !over, delete: true, try: now.state === "done" && now.made, again: true };
    for (const part of byId("actions").children) part.hidden = !shows[part.dataset.ask ?? part.dataset.part];
    byId("actions").querySelector('[data-ask="delete"]').textContent = over ? "Remove from the list" : "Cancel";
  }
  function addSample({ url, name, step, prompt }) {
    if (byId("samples").querySelector(`[data-name="${CSS.escape(name)}"]`)) return;
    const link = make("a", { href: url, target: "_blank", rel: "noopener" }, make("img", { src: url, loading: "lazy", alt: prompt || name, title: prompt }));
    // Several prompts stand side by side, a row for each step.
    const prompts = Number(/-(\d+)\.png$/.exec(name)?.[1] ?? 0) + 1;
    if (prompts > (Number(byId("samples").dataset.prompts) || 1)) {
      byId("samples").dataset.prompts = prompts;
      byId("samples").style.gridTemplateColumns = `repeat(${prompts}, minmax(0, 160px))`;
    }
    byId("samples").append(make("figure", { "data-name": name }, link, make("figcaption", {}, step ? `step ${step}` : "before")));
  }
  function notice(text) { byId("notices").append(make("p", {}, text)); }

  async function choose(id) {
    source?.close();
    source = null;
    chosen = id;
    keep();
    byId("live").hidden = !id;
    byId("nothing").hidden = Boolean(id);
    if (!id) return;
    now = await ask(`api/training/${id}`);
    now.live = now.progress?.state ?? now.state;
    curve = { ...(await ask(`api/training/${id}/curve`)), steps: now.progress?.steps ?? now.request.steps };
    byId("samples").replaceChildren();
    byId("samples").style.gridTemplateColumns = byId("samples").dataset.prompts = "";
    byId("notices").replaceChildren();
    byId("failed").hidden = !now.error;
    byId("failed").textContent = now.error?.message ?? "";
    byId("slower").value = now.request.learning_rate;
    now.samples.forEach(addSample);
    const last = curve.loss.at(-1);
    const words = { queued: "Waiting", running: "Running", paused: "Paused", done: "Done", failed: "Failed", cancelled: "Cancelled" };
    const step = last?.[0] ?? 0;
    figures(now.progress ?? { phase: words[now.state], state: now.state, step, steps: curve.steps, loss: last?.[1] ?? null, validation: null, rate: last?.[2] ?? null, eta: null, memory: null });
    source = new EventSource(`api/training/${id}/events`);
    source.addEventListener("training", ({ data }) => figures(JSON.parse(data)));
    source.addEventListener("sample", ({ data }) => {
      const { name, step: at, prompt } = JSON.parse(data);
      addSample({ name, step: at, prompt, url: `api/training/${id}/samples/${name}` });
    });
    source.addEventListener("notice", ({ data }) => notice(JSON.parse(data).text));
    source.addEventListener("started", () => { if (now.state === "queued") now.state = "running"; buttons(); });
    for (const kind of ["finished", "failed"]) source.addEventListener(kind, () => {
      source?.close();
      // Told anew: what came out, or why not.
      if (!OVER.includes(now.state)) list();
    });
  }
  async function list() {
    const { trainings } = await ask("api/training");
    const shown = { queued: "waiting", running: "running", paused: "paused", done: "done", failed: "failed", cancelled: "cancelled" };
    byId("choice").replaceChildren(...trainings.map((one) => make("option", { value: one.id }, `${one.request.name} (${shown[one.state]})`)));
    byId("choice").closest("div").hidden = !trainings.length;
    const id = trainings.some((one) => one.id === chosen) ? chosen : trainings.find((one) => !OVER.includes(one.state))?.id ?? trainings[0]?.id ?? "";
    byId("choice").value = id;
    await choose(id);
  }
  function tryIt() {
    const { request, made } = now;
    const words = [request.trigger, request.class_words].filter(Boolean).join(" ");
    const prompts = { lora: `${words} <lora:${made}:1>`, hypernetwork: `${words} <hypernet:${made}:1>`, textual_inversion: `${made}`, dreambooth: words };
    const box = document.querySelector("#txt2img_prompt textarea");
    box.value = (prompts[request.method] ?? words).trim();
    box.dispatchEvent(new Event("input", { bubbles: true }));
    if (request.method === "dreambooth") {
      easel.chosen = `${made}.safetensors`;
      document.getElementById("setting_sd_model_checkpoint_choose")?.click();
    }
    document.getElementById("tab_txt2img-button")?.click();
  }
  async function press(what) {
    if (what === "try") return tryIt();
    if (what === "again") { fill(now.request); return keep(); }
    try {
      const body = what === "resume" && now.state === "failed" ? { learning_rate: byId("slower").value.trim() } : undefined;
      const told = await ask(`api/training/${chosen}${what === "delete" ? "" : `/${what}`}`, { method: what === "delete" ? "DELETE" : "POST", body });
      if (what === "delete" && OVER.includes(now.state)) { chosen = ""; return list(); }
      Object.assign(now, { state: told.state, wish: told.wish });
      if (body || ["paused", "queued", "cancelled"].includes(told.state)) await list();
      else byId("words").textContent = { pause: "It pauses at the next step …", stop: "It ends at the next step …", delete: "It is cancelled …" }[what] ?? byId("words").textContent;
    } catch (problem) { notice(problem.message); }
  }
  async function look() {
    clear();
    byId("data_panel").open = true;
    try { await easel.trainData.show(byId("pictures"), values()); } catch (problem) { byId("pictures").replaceChildren(); fail({ message: problem.message, field: "data" }); }
  }
  async function take(files) {
    if (!files.length) return;
    clear();
    try {
      const set = byId("name").value.trim() || "pictures";
      byId("data").value = await easel.trainData.drop(set, [...files], (words) => { byId("plan").textContent = words; });
      byId("plan").textContent = "";
      keep();
      await look();
    } catch (problem) { byId("plan").textContent = ""; fail(problem); }
  }
  async function models() {
    for (const kind of ["checkpoint", "vae"]) {
      const { models: found } = await ask(`api/models?kind=${kind}`);
      const first = kind === "vae" ? [["Automatic", "Automatic"], ["None", "None"]] : [];
      const rows = [...first, ...found.filter((one) => !one.problem).map((one) => [one.title, one.name])];
      byId(kind).replaceChildren(...rows.map(([value, text]) => make("option", { value }, text)));
      if (kind === "checkpoint") families = Object.fromEntries(found.map((one) => [one.title, one.stem === "starter" ? "starter" : one.family]));
    }
  }
  async function begin() {
    const root = document.getElementById("train");
    if (!root || root.dataset.begun) return;
    root.dataset.begun = "1";
    const form = byId("form");
    form.addEventListener("submit", start);
    form.addEventListener("change", () => { dress(); keep(); });
    byId("methods").addEventListener("change", preset);
    byId("checkpoint").addEventListener("change", preset);
    byId("preset").addEventListener("click", preset);
    byId("check").addEventListener("click", check);
    byId("toml").addEventListener("change", ({ target }) => toml(target.files));
    byId("take").addEventListener("click", ({ target }) => takeStep(Number(target.dataset.step)));
    byId("take_last").addEventListener("click", () => takeStep(null));
    byId("look").addEventListener("click", look);
    byId("choice").addEventListener("change", ({ target }) => choose(target.value));
    byId("actions").addEventListener("click", ({ target }) => target.dataset.ask && press(target.dataset.ask));
    byId("files").addEventListener("change", ({ target }) => { take(target.files); });
    const zone = byId("drop");
    zone.addEventListener("dragover", (event) => { event.preventDefault(); zone.classList.add("easel-dropping"); });
    zone.addEventListener("dragleave", () => zone.classList.remove("easel-dropping"));
    zone.addEventListener("drop", (event) => { event.preventDefault(); zone.classList.remove("easel-dropping"); take(event.dataTransfer.files); });
    const before = kept();
    chosen = before.chosen ?? "";
    document.querySelector('#train_methods [value="lora"]').checked = true;
    try {
      await models();
      if (before.values) fill(before.values); else preset();
      await list();
      root.dataset.ready = "1";
    } catch (problem) {
      dress();
      byId("nothing").textContent = problem.message;
      byId("start").disabled = true;
      root.dataset.ready = "refused";
    }
  }
  // Nothing is asked of the server before the tab is seen.
  const seen = new IntersectionObserver((entries) => { if (entries.some((entry) => entry.isIntersecting)) { seen.disconnect(); begin(); } });
  const drawn = new MutationObserver(() => {
    const root = document.getElementById("train");
    if (!root) return;
    drawn.disconnect();
    seen.observe(root);
  });
  drawn.observe(document.documentElement, { childList: true, subtree: true });
  return { begin };
})();
