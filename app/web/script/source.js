// The source of img2img and inpaint: a picture with its paint for each mode, sent to the server once, named by hashes,
// and found again by them after a reload.
"use strict";
easel.Source = class {
  static SAVE_AFTER = 150;  // ms after a stroke

  constructor(root) {
    this.root = root;
    this.tab = root.dataset.tab;
    this.key = `easel.${this.tab}.source`;
    this.slots = {};
    this.modes = [...root.querySelectorAll("[data-mode]")].map(({ dataset }) => ({ name: dataset.mode, paints: dataset.paints }));
    for (const { name, paints } of this.modes) this.slots[name] = { name, paints, picture: null, layer: null, image: null, painter: null, saved: 0, waiting: null };
    this.recall();
    const find = (selector) => root.querySelector(selector);
    this.editor = new easel.Editor(find(".easel-editor-place"), {
      changed: () => this.painted(),
      colour: () => (this.slot.paints === "mask" ? easel.Painter.MASK_COLOUR : find(".easel-brush-colour").value),
    });
    this.batch = find(".easel-batch") && new easel.Batch(this);
    this.listen();
    this.choose(this.mode);
    // A picture is fetched when its tab is first seen.
    new IntersectionObserver(([{ isIntersecting }]) => { if (isIntersecting) this.load(this.slot); }).observe(root);
  }
  get slot() { return this.slots[this.mode]; }
  element(name) { return document.getElementById(`${this.tab}_${name}`); }
  say(words) { this.root.querySelector(":scope > .easel-told").textContent = words; }

  // Memory of this browser: hashes, never pixels.
  recall() {
    let kept = {};
    try { kept = JSON.parse(localStorage.getItem(this.key)) ?? {}; } catch { /* nothing that can be read */ }
    this.mode = kept.mode in this.slots ? kept.mode : this.modes[0].name;
    for (const [name, { picture, layer }] of Object.entries(kept.slots ?? {}))
      if (name in this.slots && picture?.hash) Object.assign(this.slots[name], { picture, layer: layer ?? null });
    this.transparency = Number(kept.transparency) || 0;
    this.resize = { by: kept.resize?.by === true, scale: Number(kept.resize?.scale) || 1 };
  }
  remember() {
    const slots = Object.fromEntries(Object.values(this.slots).filter(({ picture }) => picture)
      .map(({ name, picture, layer }) => [name, { picture, layer }]));
    const { mode, transparency, resize } = this;
    try { localStorage.setItem(this.key, JSON.stringify({ mode, slots, transparency, resize })); } catch { /* then it is not kept */ }
    this.showSize();
  }

  listen() {
    const { root } = this;
    root.addEventListener("click", ({ target }) => {
      const { mode, tool, act, copy } = target.closest("button")?.dataset ?? {};
      if (mode) this.choose(mode);
      else if (tool) this.editor.choose(tool);
      else if (act === "remove") this.take(null);
      else if (act) this.editor.act(act);
      else if (copy) this.copyTo(copy);
    });
    root.addEventListener("change", ({ target }) => {
      const file = target.files?.[0];
      if (file && target.matches(".easel-picture-file")) this.open(file);
      else if (file && target.matches(".easel-mask-file")) this.openMask(file);
      if (target.type === "file" && !target.multiple) target.value = "";
    });
    const alpha = this.element("mask_alpha");
    alpha.addEventListener("input", () => { this.transparency = Number(alpha.value); this.showTransparency(); this.remember(); });
    const { resize } = this, [to, by] = this.element("resize").querySelectorAll("input[type=radio]"), scale = this.element("scale");
    [to.checked, by.checked, scale.value] = [!resize.by, resize.by, resize.scale];
    this.element("resize").addEventListener("input", () => {
      this.resize = { by: by.checked, scale: Number(scale.value) || 0 };
      this.remember();
    });
    document.addEventListener("easel:form", ({ detail }) => { if (detail.tab === this.tab) this.showSize(); });
  }

  choose(mode) {
    this.mode = mode;
    for (const button of this.root.querySelectorAll("[data-mode]")) button.setAttribute("aria-selected", button.dataset.mode === mode);
    const panel = document.getElementById(`tab_${this.tab}`) ?? this.root;
    panel.dataset.mode = mode;
    panel.dataset.paints = this.slot.paints;
    this.editor.show(this.slot.image ? this.slot : null);
    this.showTransparency();
    this.remember();
    if (this.root.offsetParent) this.load(this.slot);
  }
  showTransparency() {
    const alpha = this.element("mask_alpha");
    alpha.value = this.transparency;
    alpha.nextElementSibling.textContent = this.transparency;
    this.root.style.setProperty("--paint", this.slot.paints === "mask" ? 0.55 : 1 - this.transparency / 100);
  }

  static async image(source) {
    const image = new Image();
    image.alt = "The picture that is redrawn";
    image.draggable = false;
    image.src = source;
    await image.decode();
    return image;
  }
  // What memory names becomes pixels; once for each slot.
  load(slot) {
    if (!slot.picture || slot.image) return slot.loading ?? Promise.resolve();
    slot.loading ??= (async () => {
      const { picture, layer } = slot;
      const wanted = () => slot.picture?.hash === picture.hash;
      try {
        const image = await easel.Source.image(`api/pictures/${picture.hash}`);
        if (!wanted()) return;
        this.fill(slot, image);
        if (!layer || !slot.painter) return;
        const { width, height } = slot.painter.canvas;
        const kept = await easel.Source.image(`api/pictures/${layer}`);
        const colour = slot.paints === "mask" ? easel.Painter.MASK_COLOUR : null;
        const start = slot.name === "inpaint_upload" ? easel.maskOf(kept, width, height) : easel.Painter.copyOf(kept, width, height, colour);
        if (wanted()) slot.painter.startFrom(start);
      } catch {
        const there = await fetch(`api/pictures/${picture.hash}`).catch(() => null);
        if (there?.status !== 404) return this.say("The picture could not be fetched; it is asked for again when the page is loaded anew.");
        Object.assign(slot, { picture: null, layer: null });
        this.remember();
        this.say("The picture of last time is no longer stored.");
      } finally { slot.loading = null; }
    })();
    return slot.loading;
  }
  fill(slot, image) {
    slot.image = image;
    slot.picture = { ...slot.picture, width: image.naturalWidth, height: image.naturalHeight };
    const fits = slot.painter && slot.painter.canvas.width === image.naturalWidth && slot.painter.canvas.height === image.naturalHeight;
    if (!fits) {
      slot.painter = slot.paints ? new easel.Painter(image.naturalWidth, image.naturalHeight) : null;
      slot.saved = 0;
    }
    if (slot === this.slot) this.editor.show(slot);
    this.remember();
  }

  // picture: {hash, name} or null. A mask stays over another picture of the same size.
  async take(picture, mode = this.mode, image = null) {
    const slot = this.slots[mode];
    if (slot.picture) await this.load(slot);
    Object.assign(slot, { picture, image: null });
    if (!picture) Object.assign(slot, { painter: null, layer: null, saved: 0 });
    if (mode === this.mode && !picture) this.editor.show(null);
    this.remember();
    if (!picture) return;
    const before = slot.painter;
    if (image) this.fill(slot, image);
    else await this.load(Object.assign(slot, { layer: null }));
    if (slot.painter !== before) slot.layer = null;
    else if (slot.painter) await this.save(slot, true);
    this.remember();
  }
  async open(file, mode = this.mode === "batch" ? this.modes[0].name : this.mode) {
    this.say("");
    try {
      const address = URL.createObjectURL(file);
      const image = await easel.Source.image(address).catch(() => null);
      URL.revokeObjectURL(address);
      // The server tells what is wrong with a file that the browser cannot show.
      const hash = await easel.upload(file);
      if (!image) throw new Error(`${file.name || "The file"} is no picture that this browser can show.`);
      await this.take({ hash, name: file.name ?? "" }, mode, image);
    } catch (problem) { this.say(problem.message); }
  }
  async openMask(file) {
    const { slot } = this;
    if (!slot.painter) return this.say("Choose the picture first, then its mask.");
    this.say("");
    const address = URL.createObjectURL(file);
    const image = await easel.Source.image(address).catch(() => null);
    URL.revokeObjectURL(address);
    if (!image) return this.say(`${file.name} is no picture that this browser can show.`);
    slot.painter.put(easel.maskOf(image, slot.painter.canvas.width, slot.painter.canvas.height));
    this.painted();
  }

  painted() {
    const { slot } = this;
    clearTimeout(slot.waiting);
    slot.waiting = setTimeout(() => this.save(slot).catch((problem) => this.say(`The paint is not stored yet: ${problem.message}`)), easel.Source.SAVE_AFTER);
  }
  // The layer goes to the server when it has changed; one at a time.
  save(slot, always = false) {
    clearTimeout(slot.waiting);
    slot.saving = (slot.saving ?? Promise.resolve()).catch(() => {}).then(async () => {
      const { painter } = slot;
      if (!painter || (painter.version === slot.saved && !always)) return;
      const { version } = painter;
      // What is drawn by hand counts from half on; an uploaded mask keeps its shades.
      const painted = painter.painted(slot.name === "inpaint_upload" ? 0 : 128);
      const form = slot.paints === "mask" ? { colour: "#ffffff", ground: slot.name === "inpaint_upload" ? "#000000" : null } : {};
      const layer = painted ? await easel.upload(await painter.blob(form)) : null;
      if (slot.painter !== painter) return;
      Object.assign(slot, { layer, saved: version });
      this.remember();
    });
    return slot.saving;
  }

  // The picture under its paint, as one: the file itself where nothing is painted.
  async flat(slot) {
    if (slot.paints !== "colour" || !slot.layer) return slot.picture.hash;
    const blur = slot.name === "inpaint_sketch" ? Number(JSON.parse(easel.memory(this.tab)).values?.mask_blur_x) || 0 : 0;
    const sum = `${slot.picture.hash} ${slot.layer} ${this.transparency} ${blur}`;
    if (slot.flat?.sum === sum) return slot.flat.hash;
    const share = slot.name === "inpaint_sketch" ? 1 - this.transparency / 100 : 1;
    const canvas = easel.sketched(slot.image, slot.painter.canvas, share, blur);
    const hash = await easel.upload(await new Promise((done) => canvas.toBlob(done)));
    slot.flat = { sum, hash };
    return hash;
  }
  async maskOfColours(slot) {
    if (slot.white?.layer === slot.layer) return slot.white.hash;
    const hash = await easel.upload(await slot.painter.blob({ colour: "#ffffff" }));
    slot.white = { layer: slot.layer, hash };
    return hash;
  }
  // What goes with a request, as source_fields.py reads it.
  async sent() {
    const { slot } = this;
    if (!slot.picture) return {};
    await this.load(slot);
    if (!slot.picture) return {};
    await this.save(slot);
    const size = this.resize.by ? this.scaled().map((side) => Math.max(1, side)) : null;
    const answer = { pictures: [await this.flat(slot)], size };
    if ((slot.paints !== "mask" && slot.name !== "inpaint_sketch") || easel.extensions.ownMask(this.tab)) return answer;
    const inverted = easel.memory(this.tab).includes('"mask_mode":"Inpaint not masked"');
    if (!slot.layer && !inverted) return { problem: "Nothing is masked yet: paint over what is to be redrawn.", field: "mask" };
    if (!slot.layer) return answer;
    return { ...answer, mask: slot.paints === "mask" ? slot.layer : await this.maskOfColours(slot) };
  }

  async copyTo(mode) {
    const { slot } = this;
    if (!slot.picture) return this.say("There is no picture to copy yet.");
    await this.load(slot);
    await this.save(slot);
    const picture = { hash: await this.flat(slot), name: slot.picture.name };
    if (mode === this.mode) return;
    const tab = mode in this.slots ? this.tab : mode === "inpaint" ? "inpaint" : "img2img";
    await easel.openTab(tab);
    const other = easel.sources[tab];
    other.choose(mode);
    await other.take(picture, mode);
  }

  scaled() {
    const { width = 0, height = 0 } = this.slot.picture ?? {};
    const scale = Math.min(4, Math.max(0.05, this.resize.scale));
    return [width, height].map((side) => Math.floor((side * scale) / 8) * 8);
  }
  showSize() {
    const { width, height } = this.slot.picture ?? {};
    const place = this.element("scale_resolution_preview");
    if (!place) return;
    const form = JSON.parse(easel.memory(this.tab)).values ?? {};
    const [toWidth, toHeight] = this.resize.by ? this.scaled() : [form.width, form.height];
    place.textContent = width ? `from ${width}x${height} to ${toWidth}x${toHeight}` : "";
  }
  // For "detect size": within the sliders' reach, in the same shape.
  size() {
    const { width, height } = this.slot.picture ?? {};
    if (!width) return null;
    const shrink = Math.min(1, 2048 / Math.max(width, height));
    return [width, height].map((side) => Math.max(64, Math.round((side * shrink) / 8) * 8));
  }
};
easel.sources = {};
// A mask of this size out of a picture: its transparency where it has any, else its brightness.
easel.maskOf = (image, width, height) => {
  const canvas = easel.Painter.copyOf(image, width, height);
  const context = canvas.getContext("2d");
  const pixels = context.getImageData(0, 0, width, height), { data } = pixels;
  let clear = false;
  for (let at = 3; at < data.length && !clear; at += 4) clear = data[at] < 255;
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(easel.Painter.MASK_COLOUR.slice(at, at + 2), 16));
  for (let at = 0; at < data.length; at += 4) {
    const shade = clear ? data[at + 3] : Math.round(0.299 * data[at] + 0.587 * data[at + 1] + 0.114 * data[at + 2]);
    [data[at], data[at + 1], data[at + 2], data[at + 3]] = [red, green, blue, shade];
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
};
easel.upload = async (file) => {
  const answer = await fetch("api/pictures", { method: "POST", body: file, headers: { "Content-Type": file.type || "application/octet-stream" } })
    .catch(() => null);
  if (!answer) throw new Error("The server did not answer.");
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error([body.error?.message, body.error?.hint].filter(Boolean).join(" ") || `Status ${answer.status}.`);
  return body.hash;
};
easel.source = async (tab) => {
  try { return JSON.stringify(await easel.sources[tab].sent()); } catch (problem) { return JSON.stringify({ problem: problem.message }); }
};
easel.pictureSize = (tab, now) => easel.sources[tab]?.size() ?? now;
