// The dialog of one card: all that is known of the file, the words it was trained on, and the user's own notes.
"use strict";
easel.cardDialog = (() => {
  const { ask, make } = easel.cards;
  const KINDS = { lora: "LoRA", embedding: "Embedding", hypernetwork: "Hypernetwork", checkpoint: "Checkpoint" };
  // Field of the sidecar, label, kinds of file that have it (null: all), kind of box.
  const FIELDS = [
    ["description", "Description", null, "text"],
    ["sd version", "Stable Diffusion version", ["lora"], ["", "SD1", "SD2", "SDXL", "Unknown"]],
    ["vae", "VAE", ["checkpoint"], "vaes"],
    ["activation text", "Activation text", ["lora"], "line"],
    ["preferred weight", "Preferred weight (0: the usual)", ["lora", "hypernetwork"], "number"],
    ["negative text", "Negative prompt", ["lora"], "line"],
    ["notes", "Notes", null, "text"],
  ];
  let opened = null;

  function bytes(count) {
    const units = ["B", "KB", "MB", "GB", "TB"];
    let unit = 0;
    for (; count >= 1000 && unit < units.length - 1; unit++) count /= 1000;
    return `${unit ? count.toFixed(count < 10 ? 2 : 1) : count} ${units[unit]}`;
  }
  const row = (name, value) => (value || value === 0 ? [make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, String(value)))] : []);

  function facts(all) {
    const { hashes, contents, network } = all;
    return make("table", { class: "easel-facts" }, make("tbody", {},
      ...row("File", all.name),
      ...row("In a prompt", all.prompt_name),
      ...row("Family", [all.family, all.variant, contents.prediction && `${contents.prediction}-prediction`].filter(Boolean).join(", ")),
      ...row("Type", [network.type, network.dora && "DoRA"].filter(Boolean).join(", ")),
      ...row("Rank", all.rank),
      ...row("Changes", network.modules && `${network.modules} layers of ${network.parts.join(", ")}`),
      ...row("Embeddings inside", network.embeddings?.join(", ")),
      ...row("Vectors", network.vectors && `${network.vectors} of ${network.widths.join(" + ")}`),
      ...row("Layers", network.layers && `${network.layers.join(", ")} (${network.activation})`),
      ...row("Steps trained", network.step),
      ...row("On civitai", all.civitai && [all.civitai.model, all.civitai.version, all.civitai.base_model].filter(Boolean).join(", ")),
      ...row("Parts", contents.parts.join(", ")),
      ...row("Weights", [contents.dtype, contents.tensors && `${contents.tensors} tensors`, contents.format.toLowerCase()].filter(Boolean).join(", ")),
      ...row("Size", bytes(all.size)),
      ...row("Modified", new Date(all.modified * 1000).toLocaleString()),
      ...row("Cannot be used", all.problem?.text),
      ...row("Does not fit", all.unfitting),
      ...row("sha256", hashes.sha256 || (all.problem ? "" : "being computed")),
      ...row("AutoV2", hashes.AutoV2),
      ...row("AutoV3", hashes.AutoV3),
      ...row("Legacy hash", hashes.legacy),
    ));
  }
  // How many of a network's parts the chosen checkpoint has a place for. The first answer may take the server seconds.
  async function fit(address, all) {
    const checkpoint = easel.cards.checkpoint();
    if (all.kind === "checkpoint" || all.problem || all.unfitting || !checkpoint) return [];
    const found = await ask(`${address}/fit?checkpoint=${encodeURIComponent(checkpoint)}`).catch((problem) => ({ problem }));
    const name = `With ${found.checkpoint ?? checkpoint}`;
    if (found.problem) return row(name, found.problem.message);
    const made = row(name, `${found.matched} of ${found.total} ${found.parts} are used`);
    if (!found.unmatched.length) return made;
    return [...made, make("tr", {}, make("th", { scope: "row" }, "Not used"), make("td", {}, make("details", { class: "easel-unmatched" },
      make("summary", {}, `${found.total - found.matched} ${found.parts}`), ...found.unmatched.map((part) => make("div", {}, part)))))];
  }
  function triggers(view, all) {
    const wanted = [...new Set([...all.trigger_words, ...(all.civitai?.trained_words ?? [])])].map((word) => [word, 0]);
    if (!wanted.length && !all.tags.length) return [];
    const words = [...wanted, ...all.tags].map(([word, count]) => {
      const button = make("button", { type: "button", class: "easel-word", title: count ? `in ${count} pictures` : "its trigger word" },
        word, ...(count ? [make("small", {}, String(count))] : [make("small", {}, "★")]));
      button.addEventListener("click", () => {
        const box = easel.cards.area(view.tab, false);
        easel.cards.write(box, easel.promptTags.withWord(box.value, word));
        button.setAttribute("aria-pressed", "true");
        opened.say(`“${word}” is in the prompt.`);
      });
      return button;
    });
    return [make("h4", {}, "Words it was trained on"), make("div", { class: "easel-words-list" }, ...words)];
  }
  function metadata(all) {
    const entries = Object.entries(all.metadata);
    if (!entries.length) return make("p", { class: "easel-empty" }, "The file carries no metadata.");
    const shown = (value) => { try { return JSON.stringify(JSON.parse(value), null, 2); } catch { return value; } };
    return make("details", { class: "easel-metadata" }, make("summary", {}, `Metadata (${entries.length})`),
      make("table", { class: "easel-facts" }, make("tbody", {},
        ...entries.map(([key, value]) => make("tr", {}, make("th", { scope: "row" }, key), make("td", {}, make("pre", {}, shown(value))))))));
  }
  function editor(all, vaes) {
    // What the sidecar names is offered even where the file is gone.
    const choices = { vaes: ["", "None", ...new Set([...vaes, all.user_metadata.vae].filter((name) => name && name !== "None" && name !== "Automatic"))] };
    const boxes = {}, parts = [];
    const prefix = "easel_card_edit";
    for (const [field, label, kinds, form] of FIELDS) {
      if (kinds && !kinds.includes(all.kind)) continue;
      const id = `${prefix}_${field.replaceAll(" ", "_")}`, value = all.user_metadata[field] ?? "";
      const offered = Array.isArray(form) ? form : choices[form];
      const box = offered ? make("select", { id }, ...offered.map((choice) => make("option", { value: choice }, choice || (field === "vae" ? "Automatic" : "as the file says"))))
        : form === "text" ? make("textarea", { id, rows: 3 })
        : make("input", form === "number" ? { id, type: "number", min: -10, max: 10, step: 0.05 } : { id, type: "text" });
      box.value = typeof value === "object" ? "" : String(value);
      box.classList.add("easel-input");
      boxes[field] = box;
      parts.push(make("label", { for: id }, label), box);
    }
    const changes = () => Object.fromEntries(Object.entries(boxes).map(([field, box]) =>
      [field, box.type === "number" ? Number(box.value) || 0 : box.value]));
    return { form: make("form", { class: "easel-editor" }, ...parts), changes, first: Object.values(boxes)[0] };
  }
  // The picture of the gallery, as job and number.
  function shownPicture() {
    const found = /api\/jobs\/([^/]+)\/images\/(\d+)/.exec(easel.gallery.shown()?.url ?? "");
    return found && { job: decodeURIComponent(found[1]), index: Number(found[2]) };
  }

  async function open(view, card, edits) {
    const address = `api/models/${encodeURIComponent(card.kind)}/${encodeURIComponent(card.id)}`;
    opened?.dialog.close();
    const dialog = make("dialog", { class: "easel-dialog", "aria-labelledby": "easel_card_title" });
    const told = make("p", { class: "easel-told", role: "status", "aria-live": "polite" });
    const mine = { dialog, say: (words) => { told.textContent = words; } };
    opened = mine;
    const button = (text, act, style = "") => {
      const made = make("button", { type: "button", class: `easel-button ${style}` }, text);
      made.addEventListener("click", act);
      return made;
    };
    const body = make("div", { class: "easel-dialog-body" }, make("p", { class: "easel-empty" }, "Reading …"));
    dialog.append(make("header", {}, make("h3", { id: "easel_card_title" }, `${KINDS[card.kind] ?? card.kind}: ${card.label}`),
      button("×", () => dialog.close(), "easel-dialog-close")), body, told);
    dialog.querySelector(".easel-dialog-close").setAttribute("aria-label", "Close");
    dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
    const caller = document.activeElement;
    dialog.addEventListener("close", () => {
      dialog.remove();
      if (opened === mine) opened = null;
      (caller?.isConnected ? caller : view.window.querySelector(".easel-card-main"))?.focus({ preventScroll: true });
    });
    document.body.append(dialog);
    dialog.showModal();

    const read = () => ask(`${address}?checkpoint=${encodeURIComponent(easel.cards.checkpoint())}`);
    let all;
    let vaes = [];
    try {
      if (card.kind === "checkpoint") vaes = (await ask("api/models?kind=vae")).models.filter((one) => !one.problem).map((one) => one.name);
      all = await read();
    } catch (problem) { return void body.replaceChildren(make("p", { class: "easel-error", role: "alert" }, problem.message)); }
    const { form, changes, first } = editor(all, vaes);
    const change = async (rest, content, words) => {
      try {
        const fresh = await ask(`${address}/${rest}`, { method: "PUT", body: content });
        view.replace(fresh);
        if (rest === "preview") picture.src = fresh.thumbnail;
        mine.say(words);
      } catch (problem) { mine.say(problem.message); }
    };
    const picture = make("img", { class: "easel-dialog-picture", alt: "Preview", src: all.thumbnail });
    picture.addEventListener("error", () => picture.classList.add("easel-none"));
    picture.addEventListener("load", () => picture.classList.remove("easel-none"));
    const replace = button("Replace preview", () => change("preview", shownPicture(), "The picture now shown is the preview."));
    replace.disabled = !shownPicture();
    replace.title = replace.disabled ? "There is no picture shown that could become the preview." : "Takes the picture that the gallery shows.";
    const save = button("Save", () => change("user-metadata", changes(), "Saved."), "easel-primary");
    form.addEventListener("submit", (event) => { event.preventDefault(); save.click(); });
    const place = make("div", {}, facts(all));
    body.replaceChildren(
      make("div", { class: "easel-dialog-columns" }, make("div", {}, picture, place), make("div", {}, ...triggers(view, all),
        make("h4", {}, "Notes of your own"), form, make("div", { class: "easel-actions" }, save, replace))),
      metadata(all),
    );
    if (edits) first.focus();
    let fitting = [];
    const show = () => { place.replaceChildren(facts(all)); place.querySelector("tbody").append(...fitting); };
    fit(address, all).then((rows) => { fitting = rows; show(); });
    // A hash of a large file takes seconds; it is shown once it is there.
    for (let wait = 1000; !all.hashes.sha256 && !all.problem && dialog.open && wait < 60_000; wait *= 2) {
      await new Promise((done) => setTimeout(done, wait));
      const again = await read().catch(() => null);
      if (again?.hashes.sha256) { all = again; show(); break; }
    }
  }
  return { open };
})();
