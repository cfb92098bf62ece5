// The editor: shows a picture with its paint, zoomed and moved about, and turns mouse, pen and fingers into strokes.
// Written here, since Gradio's own neither tells its mask without sending all of the picture nor takes one back.
"use strict";
easel.Editor = class {
  static KEYS = { q: "smaller", w: "larger", r: "fit", s: "full" };

  // changed(): a stroke is over. colour(): of the brush.
  constructor(root, { changed, colour }) {
    this.root = root;
    this.place = root.querySelector(".easel-canvas");
    this.stage = root.querySelector(".easel-canvas-stage");
    this.ring = root.querySelector(".easel-brush-ring");
    this.size = root.querySelector(".easel-brush-size");
    this.changed = changed;
    this.colour = colour;
    this.tool = "brush";
    this.view = { scale: 1, x: 0, y: 0 };
    this.pointers = new Map();
    this.slot = null;
    this.listen();
    new ResizeObserver(() => this.fit()).observe(this.place);
  }
  get painter() { return this.slot?.painter ?? null; }
  get picture() { return this.slot?.image ?? null; }
  // In pixels of the picture; the slider's ends are a 500th and half of its longer side.
  get brush() {
    const longer = Math.max(this.picture.naturalWidth, this.picture.naturalHeight);
    return Math.max(1, longer * 0.5 * (0.004 ** (1 - this.size.value / 100)));
  }

  show(slot) {
    this.slot = slot;
    this.pointers.clear();
    this.stage.replaceChildren(...(slot?.image ? [slot.image] : []), ...(slot?.painter ? [slot.painter.canvas] : []));
    this.root.toggleAttribute("data-filled", Boolean(slot?.image));
    if (slot?.image) {
      const { naturalWidth: width, naturalHeight: height } = slot.image;
      for (const layer of this.stage.children) Object.assign(layer.style, { width: `${width}px`, height: `${height}px` });
      this.place.style.setProperty("--picture-ratio", height / width);
    }
    this.fit();
  }
  fit() {
    if (!this.picture || !this.place.clientWidth) return;
    const { naturalWidth: width, naturalHeight: height } = this.picture;
    const scale = Math.min(this.place.clientWidth / width, this.place.clientHeight / height);
    this.look(scale, (this.place.clientWidth - width * scale) / 2, (this.place.clientHeight - height * scale) / 2);
  }
  look(scale, x, y) {
    this.view = { scale, x, y };
    this.stage.style.transform = `translate(${x}px, ${y}px) scale(${scale})`;
    this.stage.classList.toggle("easel-pixels", scale > 3);
  }
  zoom(factor, at = [this.place.clientWidth / 2, this.place.clientHeight / 2]) {
    const { scale, x, y } = this.view;
    const next = Math.min(40, Math.max(0.02, scale * factor));
    this.look(next, at[0] - ((at[0] - x) * next) / scale, at[1] - ((at[1] - y) * next) / scale);
  }
  full(wanted = !this.root.classList.contains("easel-full")) {
    this.root.classList.toggle("easel-full", wanted);
    this.root.querySelector('[data-act="full"]').setAttribute("aria-pressed", wanted);
    document.body.classList.toggle("easel-still", wanted);
  }
  choose(tool) {
    this.tool = tool;
    for (const button of this.root.querySelectorAll("[data-tool]")) button.setAttribute("aria-pressed", button.dataset.tool === tool);
    this.place.dataset.tool = tool;
  }
  act(name) {
    const { painter } = this;
    if (name === "in" || name === "out") this.zoom(name === "in" ? 1.4 : 1 / 1.4);
    else if (name === "fit") this.fit();
    else if (name === "full") this.full();
    else if (name === "larger" || name === "smaller") this.size.value = Number(this.size.value) + (name === "larger" ? 4 : -4);
    else if (painter && ["undo", "redo", "clear", "invert"].includes(name)) {
      painter[name]();
      this.changed();
    }
  }

  local(event) {
    const box = this.place.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }
  inPicture([x, y]) {
    const { scale } = this.view;
    return [(x - this.view.x) / scale, (y - this.view.y) / scale];
  }
  listen() {
    const { place } = this;
    place.addEventListener("pointerdown", (event) => this.down(event));
    place.addEventListener("pointermove", (event) => this.move(event));
    for (const over of ["pointerup", "pointercancel"]) place.addEventListener(over, (event) => this.up(event));
    place.addEventListener("pointerleave", () => { this.ring.hidden = true; });
    for (const over of [true, false]) this.root.addEventListener(over ? "pointerenter" : "pointerleave", () => { this.under = over; });
    place.addEventListener("contextmenu", (event) => { if (this.picture) event.preventDefault(); });
    place.addEventListener("wheel", (event) => {
      if (!this.picture || !(event.altKey || event.ctrlKey)) return;
      event.preventDefault();
      if (event.altKey) this.zoom(event.deltaY < 0 ? 1.15 : 1 / 1.15, this.local(event));
      else this.act(event.deltaY < 0 ? "larger" : "smaller");
      this.showRing(event);
    }, { passive: false });
    document.addEventListener("keydown", (event) => this.key(event), true);
    document.addEventListener("keyup", ({ key }) => { if (key === "f") this.moving = false; });
  }
  key(event) {
    const full = this.root.classList.contains("easel-full");
    if (!this.picture || !this.root.offsetParent || !(this.under || full) || event.target.matches?.("textarea, input:not([type=range]), select")) return;
    const key = event.key.toLowerCase(), control = event.ctrlKey || event.metaKey;
    if (control && (key === "z" || key === "y")) this.act(key === "y" || event.shiftKey ? "redo" : "undo");
    else if (control || event.altKey) return;
    else if (key === "escape" && full) this.full(false);
    else if (key === "f") this.moving = true;
    else if (key in easel.Editor.KEYS) this.act(easel.Editor.KEYS[key]);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  // What one pointer does: paint, or move the picture; two fingers move and zoom.
  down(event) {
    if (!this.picture || event.button === 2) return;
    event.preventDefault();
    this.place.setPointerCapture(event.pointerId);
    const at = this.local(event);
    // A hand that rests beside the pen does not paint.
    if (event.pointerType === "pen") this.penSeen = true;
    this.pointers.set(event.pointerId, at);
    if (this.pointers.size === 2) {
      this.painter?.abandon();
      this.painting = null;
    } else if (this.pointers.size === 1 && this.painter && this.tool !== "hand" && event.button === 0 && !this.moving
      && !(this.penSeen && event.pointerType === "touch")) {
      this.painting = event.pointerId;
      const erase = this.tool === "eraser" || event.buttons === 32;
      this.painter.begin(this.inPicture(at), { size: this.brush, colour: this.colour(), erase });
    }
  }
  move(event) {
    this.showRing(event);
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const at = this.local(event);
    if (this.painting === event.pointerId) {
      const events = event.getCoalescedEvents?.() ?? [];
      this.painter.extend((events.length ? events : [event]).map((one) => this.inPicture(this.local(one))));
    } else if (this.pointers.size === 1) {
      this.look(this.view.scale, this.view.x + at[0] - before[0], this.view.y + at[1] - before[1]);
    } else {
      const other = [...this.pointers].find(([id]) => id !== event.pointerId)[1];
      const distance = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]) || 1;
      const middle = (point) => [(point[0] + other[0]) / 2, (point[1] + other[1]) / 2];
      const [from, to] = [middle(before), middle(at)];
      this.look(this.view.scale, this.view.x + to[0] - from[0], this.view.y + to[1] - from[1]);
      this.zoom(distance(at) / distance(before), to);
    }
    this.pointers.set(event.pointerId, at);
  }
  up(event) {
    this.pointers.delete(event.pointerId);
    if (this.painting !== event.pointerId) return;
    this.painting = null;
    this.painter.end();
    this.changed();
  }
  showRing(event) {
    const shown = this.painter && this.tool !== "hand" && event.pointerType !== "touch";
    this.ring.hidden = !shown;
    if (!shown) return;
    const [x, y] = this.local(event), side = this.brush * this.view.scale;
    Object.assign(this.ring.style, { width: `${side}px`, height: `${side}px`, transform: `translate(${x - side / 2}px, ${y - side / 2}px)` });
  }
};
