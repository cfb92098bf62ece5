// Downloads: the administrator's form for fetching a model, and how far each one is.
"use strict";
easel.downloads = (() => {
  const { ask, make } = easel.cards;
  const KINDS = [["", "as its content says"], ["checkpoint", "Checkpoint"], ["vae", "VAE"], ["lora", "LoRA"], ["embedding", "Embedding"],
    ["hypernetwork", "Hypernetwork"], ["upscaler", "Upscaler"], ["controlnet", "ControlNet"]];
  const OVER = ["done", "failed", "cancelled"];
  const STATES = { waiting: "waiting", running: "downloading", done: "done", failed: "failed", cancelled: "cancelled" };

  function left(seconds) {
    if (seconds === null || seconds === undefined) return "";
    if (seconds < 60) return `${Math.ceil(seconds)} s left`;
    return seconds < 3600 ? `${Math.round(seconds / 60)} min left` : `${(seconds / 3600).toFixed(1)} h left`;
  }
  function panel(arrived) {
    const { size } = easel.inMemory;
    const told = make("p", { class: "easel-told", role: "status", "aria-live": "polite" });
    const list = make("ul", { class: "easel-download-list" });
    const box = (name, label, input) => [make("label", { for: `easel_download_${name}` }, label), input];
    const field = (name, attributes) => make("input", { id: `easel_download_${name}`, class: "easel-input", autocomplete: "off", spellcheck: "false", ...attributes });
    const source = field("source", { type: "text", required: true, placeholder: "org/name, org/name/file.safetensors, or https://…" });
    const kind = make("select", { id: "easel_download_kind", class: "easel-input" }, ...KINDS.map(([value, label]) => make("option", { value }, label)));
    const file = make("select", { id: "easel_download_file", class: "easel-input", hidden: true, "aria-label": "File" });
    const sha256 = field("sha256", { type: "text", placeholder: "64 hex digits, where you know them" });
    const token = field("token", { type: "password", placeholder: "only where the site asks for one; it is not kept" });
    const start = make("button", { type: "submit", class: "easel-button easel-primary" }, "Download");
    const look = make("button", { type: "button", class: "easel-button" }, "List its files");
    const form = make("form", { class: "easel-editor" },
      ...box("source", "From", source), ...box("kind", "Kind", kind), file,
      make("details", {}, make("summary", {}, "Checksum and token"), make("div", { class: "easel-editor" }, ...box("sha256", "sha256", sha256), ...box("token", "Token", token))),
      make("div", { class: "easel-actions" }, start, look));
    const root = make("details", { class: "easel-downloads" }, make("summary", {}, "Download a model"), form, told, list);
    const say = (words) => { told.textContent = words; };
    const shown = new Map();
    let timer = 0;

    source.addEventListener("input", () => { file.hidden = true; file.replaceChildren(); });
    look.addEventListener("click", async () => {
      say("looking …");
      try {
        const { files } = await ask("api/downloads/files", { method: "POST", body: { source: source.value.trim(), token: token.value || null } });
        file.replaceChildren(...files.map((one) => make("option", { value: one.file }, one.size ? `${one.file} (${size(one.size)})` : one.file)));
        file.hidden = !files.length;
        say(files.length ? `${files.length} ${files.length === 1 ? "file" : "files"}.` : "There is no model in it.");
      } catch (problem) { say(problem.message); }
    });
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      start.disabled = true;
      try {
        await ask("api/downloads", { method: "POST", body: { source: source.value.trim(), file: file.hidden ? "" : file.value,
          kind: kind.value || null, sha256: sha256.value.trim() || null, token: token.value || null } });
        say("");
        source.value = sha256.value = token.value = "";
        file.hidden = true;
      } catch (problem) { say(problem.message); }
      start.disabled = false;
      refresh();
    });
    function entry(one) {
      const bar = make("div", { class: "easel-bar", role: "progressbar", "aria-label": one.name || one.source, "aria-valuemin": 0, "aria-valuemax": 100 }, make("div"));
      const words = make("span", { class: "easel-log" });
      const end = make("button", { type: "button", class: "easel-button" });
      end.addEventListener("click", () => ask(`api/downloads/${encodeURIComponent(one.id)}`, { method: "DELETE" }).catch((problem) => say(problem.message)).then(refresh));
      const name = make("strong");
      const element = make("li", { "data-id": one.id }, name, bar, words, end);
      return { element, state: one.state, update: (now) => {
        const over = OVER.includes(now.state), share = now.total ? (now.received / now.total) * 100 : over ? 100 : 0;
        element.dataset.state = now.state;
        name.textContent = [now.name || now.source, now.kind].filter(Boolean).join(" · ");
        bar.hidden = over;
        bar.firstElementChild.style.width = `${share}%`;
        bar.setAttribute("aria-valuenow", Math.round(share));
        const bytes = now.total ? `${size(now.received)} of ${size(now.total)}` : size(now.received);
        const problem = now.error ? [now.error.message, now.error.hint].filter(Boolean).join(" ") : now.remark;
        words.textContent = [STATES[now.state] ?? now.state, bytes, !over && now.speed && `${size(now.speed)}/s`, !over && left(now.eta), problem].filter(Boolean).join(", ");
        end.textContent = over ? "Remove" : "Cancel";
      } };
    }
    async function refresh() {
      clearTimeout(timer);
      if (!root.isConnected || !root.open) return;
      let downloads;
      try { ({ downloads } = await ask("api/downloads")); } catch (problem) { return say(problem.message); }
      const ids = new Set(downloads.map((one) => one.id));
      for (const [id, known] of shown) if (!ids.has(id)) { known.element.remove(); shown.delete(id); }
      downloads.forEach((one, place) => {
        let known = shown.get(one.id);
        if (!known) shown.set(one.id, known = entry(one));
        if (list.children[place] !== known.element) list.insertBefore(known.element, list.children[place] || null);
        known.update(one);
        if (one.state === "done" && known.state !== "done") arrived(one.kind);
        known.state = one.state;
      });
      if (downloads.some((one) => !OVER.includes(one.state))) timer = setTimeout(refresh, 700);
    }
    root.addEventListener("toggle", refresh);
    return root;
  }
  return { panel };
})();
