// Cards: pages of models below the form, drawn only where the eye is; thousands of them cost no more than a screenful.
// Every text of a file goes into the page as text, never as HTML.
"use strict";
easel.cards = (() => {
  const PAGE = 100, GAP = 10, OVERSCAN = 2;
  const SORTS = [["path", "Path"], ["name", "Name"], ["created", "Date created"], ["modified", "Date modified"]];
  const WORDS = { lora: "LoRAs", embedding: "embeddings", hypernetwork: "hypernetworks", checkpoint: "checkpoints" };
  const views = [];
  let checkpoint = "";

  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes))
      if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
    element.append(...children);
    return element;
  }
  async function ask(path, options = {}) {
    const { body, ...rest } = options;
    const sent = body === undefined ? rest : { ...rest, body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
    const answer = await fetch(path, sent);
    if (answer.ok) return answer.status === 204 ? null : answer.json();
    const problem = await answer.json().catch(() => null);
    const { message, hint } = problem?.error ?? {};
    const words = [message, hint].filter(Boolean).join(" ") || `The server answered ${answer.status}.`;
    throw Object.assign(new Error(words), { status: answer.status });
  }
  const area = (tab, negative) => document.querySelector(`#${tab}_${negative ? "neg_prompt" : "prompt"} textarea`);
  function write(box, text) {
    if (!box || box.value === text) return;
    box.value = text;
    box.dispatchEvent(new Event("input", { bubbles: true }));
  }
  let lastNegative = false;
  document.addEventListener("focusin", ({ target }) => {
    const id = target.closest?.('[id$="_prompt"]')?.id;
    if (id) lastNegative = id.endsWith("_neg_prompt");
  });

  function use(view, card) {
    if (card.problem) return view.say(`${card.label} cannot be used: ${card.problem.text}`);
    if (card.kind === "checkpoint") return choose(view, card);
    if (!card.prompt_name) return view.say(`${card.label} cannot be named in a prompt: its name holds one of < > : and its hash is not known yet.`);
    const [box, negativeBox] = [area(view.tab, false), area(view.tab, true)];
    const changed = easel.promptTags.toggled(box.value, negativeBox.value, card, card.kind === "embedding" && lastNegative);
    write(box, changed.prompt);
    write(negativeBox, changed.negativePrompt);
    const inside = easel.promptTags.has(changed.prompt, card) || easel.promptTags.has(changed.negativePrompt, card);
    view.say(`${card.label} is ${inside ? "in" : "out of"} the prompt.${inside && card.unfitting ? ` ${card.unfitting}` : ""}`);
    view.mark();
  }
  function choose(view, card) {
    easel.chosen = card.name;
    document.getElementById("setting_sd_model_checkpoint_choose").click();
    view.say(`${card.label} is chosen.`);
  }

  class View {
    constructor(root) {
      this.root = root;
      ({ tab: this.tab, kind: this.kind, name: this.name } = root.dataset);
      this.prefix = `${this.tab}_${this.name}`;
      this.query = { search: "", folder: "", sort: "path", descending: false };
      this.active = 0;
      this.build();
      this.reset();
    }
    build() {
      const id = (rest) => `${this.prefix}_${rest}`;
      const button = (rest, label, text, act) => {
        const made = make("button", { type: "button", id: id(rest), class: "easel-button", title: label, "aria-label": label }, text);
        made.addEventListener("click", act);
        return made;
      };
      this.search = make("input", { type: "search", id: id("extra_search"), class: "easel-input", placeholder: "Search",
        "aria-label": `Search ${WORDS[this.kind]}`, autocomplete: "off", spellcheck: "false" });
      this.search.addEventListener("input", () => {
        clearTimeout(this.typing);
        this.typing = setTimeout(() => { this.query.search = this.search.value; this.reset(); }, 150);
      });
      const sort = make("select", { id: id("extra_sort"), class: "easel-input", "aria-label": "Order" },
        ...SORTS.map(([value, label]) => make("option", { value }, label)));
      sort.addEventListener("change", () => { this.query.sort = sort.value; this.reset(); });
      const direction = button("extra_sort_dir", "Descending order", "↓", () => {
        this.query.descending = !this.query.descending;
        direction.setAttribute("aria-pressed", this.query.descending);
        this.reset();
      });
      direction.setAttribute("aria-pressed", "false");
      const treeSwitch = button("extra_tree_view", "Folders", "☰", () => this.showTree(this.tree.hidden));
      this.treeSwitch = treeSwitch;
      const refresh = button("extra_refresh", "Look for files again", "↻", async () => {
        refresh.disabled = true;
        await ask(`api/models/refresh?kind=${encodeURIComponent(this.kind)}`, { method: "POST" }).catch((problem) => this.say(problem.message));
        refresh.disabled = false;
        this.reset();
      });
      this.count = make("span", { class: "easel-count", role: "status" });
      this.told = make("p", { class: "easel-told", role: "status", "aria-live": "polite" });
      this.tree = make("nav", { id: id("tree"), class: "easel-tree", "aria-label": "Folders", hidden: innerWidth < 700 });
      this.space = make("div", { class: "easel-space", role: "list", "aria-label": WORDS[this.kind] });
      this.empty = make("p", { class: "easel-empty", hidden: true });
      this.window = make("div", { id: id("cards"), class: "extra-network-cards easel-window" }, this.space, this.empty);
      this.window.addEventListener("scroll", () => this.draw(), { passive: true });
      this.space.addEventListener("keydown", (event) => this.key(event));
      this.root.replaceChildren(
        make("div", { class: "easel-cards-tools", role: "toolbar", "aria-label": "Cards" }, this.search, sort, direction, treeSwitch, refresh, this.count),
        this.told,
        make("div", { class: "easel-cards-body" }, this.tree, this.window),
      );
      if (this.kind === "checkpoint") this.root.append(easel.downloads.panel((kind) => arrived(kind)));
      new ResizeObserver(() => this.draw(true)).observe(this.window);
    }
    say(words) { this.told.textContent = words; }
    showTree(wanted) {
      this.tree.hidden = !wanted;
      this.treeSwitch.setAttribute("aria-pressed", wanted);
      this.draw(true);
    }

    // Begins anew at the first card; kept: where the eye is stays.
    reset(kept = false) {
      this.asked = (this.asked || 0) + 1;
      this.pages = new Map();
      if (!kept) { this.window.scrollTop = 0; this.active = 0; }
      if (kept && this.total) for (const page of this.pagesInSight()) this.fetch(page);
      else this.fetch(0);
    }
    async fetch(page) {
      if (this.pages.has(page)) return;
      this.pages.set(page, null);
      const asked = this.asked;
      const query = new URLSearchParams({ ...this.query, page, size: PAGE, checkpoint });
      let answer;
      try {
        answer = await ask(`api/models/${encodeURIComponent(this.kind)}?${query}`);
      } catch (problem) {
        if (asked !== this.asked) return;
        this.pages.delete(page);
        return this.say(`The list could not be read: ${problem.message}`);
      }
      if (asked !== this.asked) return;
      this.pages.set(page, answer.models);
      this.total = answer.total;
      this.count.textContent = answer.total === answer.all ? `${answer.all}` : `${answer.total} of ${answer.all}`;
      this.empty.hidden = answer.total > 0;
      this.empty.textContent = answer.all ? "Nothing here has this name." : `There are no ${WORDS[this.kind]} yet.`;
      this.fillTree(answer.folders);
      if (this.shown !== asked) this.clear();
      this.shown = asked;
      this.draw();
    }
    clear() {
      const focused = document.activeElement?.closest?.(".card");
      if (focused && this.space.contains(focused)) this.wantsFocus = this.active;
      this.space.replaceChildren();
      this.drawn = new Map();
    }
    fillTree(folders) {
      const told = JSON.stringify(folders);
      this.treeSwitch.hidden = !folders.length;
      if (told === this.toldFolders) return;
      this.toldFolders = told;
      const entry = (path, label, depth) => {
        const button = make("button", { type: "button", title: path || "All folders" }, label);
        button.style.paddingInlineStart = `${8 + 12 * depth}px`;
        button.toggleAttribute("aria-current", path === this.query.folder);
        button.addEventListener("click", () => {
          this.query.folder = path;
          for (const other of this.tree.children) other.toggleAttribute("aria-current", other === button);
          this.reset();
        });
        return button;
      };
      this.tree.replaceChildren(entry("", "All", 0), ...folders.map(({ path, count }) => {
        const parts = path.split("/");
        return entry(path, `${parts.at(-1)} (${count})`, parts.length);
      }));
      this.tree.classList.toggle("easel-none", !folders.length);
    }

    measure() {
      const width = this.window.clientWidth - 2;
      this.columns = Math.max(1, Math.floor((width + GAP) / ((width < 480 ? 140 : 170) + GAP)));
      this.cardWidth = (width - GAP * (this.columns - 1)) / this.columns;
      this.rowHeight = Math.round(this.cardWidth * 1.4) + GAP;
    }
    range() {
      const first = Math.max(0, Math.floor(this.window.scrollTop / this.rowHeight) - OVERSCAN);
      const last = Math.ceil((this.window.scrollTop + this.window.clientHeight) / this.rowHeight) + OVERSCAN;
      return [first * this.columns, Math.min(this.total ?? 0, last * this.columns)];
    }
    pagesInSight() {
      const [from, to] = this.range();
      return Array.from({ length: Math.floor(Math.max(to - 1, from) / PAGE) - Math.floor(from / PAGE) + 1 }, (_, step) => Math.floor(from / PAGE) + step);
    }
    cardAt(index) { return this.pages.get(Math.floor(index / PAGE))?.[index % PAGE]; }

    draw(anew = false) {
      if (!this.window.clientWidth || this.total === undefined) return;
      this.measure();
      this.drawn ??= new Map();
      this.space.style.height = `${Math.max(0, Math.ceil(this.total / this.columns) * this.rowHeight - GAP)}px`;
      const [from, to] = this.range();
      if (this.active >= this.total) this.active = 0;
      // The card that has the keyboard stays, wherever the eye goes.
      for (const [index, element] of this.drawn)
        if ((index < from || index >= to) && !element.contains(document.activeElement)) { element.remove(); this.drawn.delete(index); }
      for (let index = from; index < to; index++) {
        let element = this.drawn.get(index);
        const card = this.cardAt(index);
        if (!card) this.fetch(Math.floor(index / PAGE));
        else if (!element) {
          element = this.element(card, index);
          this.drawn.set(index, element);
          this.space.append(element);
        } else if (!anew) continue;
        if (element) this.place(element, index);
      }
      if (this.wantsFocus !== undefined && this.drawn.has(this.wantsFocus)) {
        const element = this.drawn.get(this.wantsFocus);
        element.querySelector(".easel-card-main").focus({ preventScroll: true });
        element.scrollIntoView({ block: "nearest" });
        this.wantsFocus = undefined;
      }
      this.mark();
    }
    place(element, index) {
      const [row, column] = [Math.floor(index / this.columns), index % this.columns];
      Object.assign(element.style, {
        width: `${this.cardWidth}px`,
        height: `${this.rowHeight - GAP}px`,
        transform: `translate(${column * (this.cardWidth + GAP)}px, ${row * this.rowHeight}px)`,
      });
    }
    element(card, index) {
      const facts = [card.family, card.variant].filter(Boolean).join(" ");
      const trouble = card.problem?.text || card.unfitting || "";
      const main = make("button", { type: "button", class: "easel-card-main", title: trouble || card.name });
      main.append(make("span", { class: "easel-card-empty", "aria-hidden": "true" }, card.label.slice(0, 1).toUpperCase()));
      const image = make("img", { alt: "", decoding: "async", draggable: "false" });
      image.addEventListener("load", () => image.classList.add("easel-there"));
      image.src = card.thumbnail;
      main.append(image, make("span", { class: "actions easel-card-words" },
        make("span", { class: "name" }, card.label),
        ...(facts ? [make("span", { class: "easel-badge" }, facts)] : []),
        ...(trouble ? [make("span", { class: "easel-trouble" }, trouble)]
          : card.description ? [make("span", { class: "description" }, card.description)] : [])));
      const details = make("button", { type: "button", class: "metadata-button card-button", title: "Details", "aria-label": `Details of ${card.label}` }, "ⓘ");
      const edit = make("button", { type: "button", class: "edit-button card-button", title: "Edit", "aria-label": `Edit ${card.label}` }, "✎");
      main.addEventListener("click", () => use(this, card));
      details.addEventListener("click", () => easel.cardDialog.open(this, card, false));
      edit.addEventListener("click", () => easel.cardDialog.open(this, card, true));
      const element = make("div", { class: "card", role: "listitem", "data-name": card.label, "data-id": card.id,
        "data-index": index, "aria-setsize": this.total, "aria-posinset": index + 1 }, main, make("div", { class: "button-row" }, details, edit));
      element.classList.toggle("easel-grey", Boolean(trouble));
      if (card.problem) main.setAttribute("aria-disabled", "true");
      element.addEventListener("focusin", () => { this.active = index; this.mark(); });
      return element;
    }
    // Which card the keyboard stands at, and which are in the prompt.
    mark() {
      const texts = [area(this.tab, false)?.value ?? "", area(this.tab, true)?.value ?? ""];
      const [from] = this.range();
      const stop = this.drawn?.has(this.active) ? this.active : from;
      for (const [index, element] of this.drawn || []) {
        const card = this.cardAt(index);
        for (const button of element.querySelectorAll("button")) button.tabIndex = index === stop ? 0 : -1;
        if (!card) continue;
        const pressed = card.kind === "checkpoint" ? card.name === checkpoint : texts.some((text) => easel.promptTags.has(text, card));
        element.classList.toggle("easel-pressed", pressed);
        element.querySelector(".easel-card-main").setAttribute("aria-pressed", pressed);
      }
    }
    key(event) {
      const screen = Math.max(1, Math.floor(this.window.clientHeight / this.rowHeight)) * this.columns;
      const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: this.columns, ArrowUp: -this.columns,
        PageDown: screen, PageUp: -screen, Home: -Infinity, End: Infinity };
      if (!(event.key in steps) || event.ctrlKey || event.altKey || event.metaKey || !this.total) return;
      event.preventDefault();
      this.active = Math.min(this.total - 1, Math.max(0, this.active + steps[event.key]));
      const top = Math.floor(this.active / this.columns) * this.rowHeight;
      const { scrollTop, clientHeight } = this.window;
      if (top < scrollTop) this.window.scrollTop = top;
      else if (top + this.rowHeight > scrollTop + clientHeight) this.window.scrollTop = top + this.rowHeight - clientHeight;
      this.wantsFocus = this.active;
      this.draw();
    }
    // One card as the server has it now, after it was changed here.
    replace(card) {
      for (const [page, models] of this.pages) {
        const place = models ? models.findIndex((known) => known.id === card.id) : -1;
        if (place < 0) continue;
        models[place] = { ...card, unfitting: models[place].unfitting };
        const index = page * PAGE + place;
        this.drawn?.get(index)?.remove();
        this.drawn?.delete(index);
      }
      this.draw();
    }
  }

  // A file that was downloaded stands in the library already: lists and menus are asked for again.
  function arrived(kind) {
    for (const view of views) if (view.kind === kind) { if (view.root.offsetParent) view.reset(true); else view.stale = true; }
    if (kind === "checkpoint" || kind === "vae") document.getElementById("refresh_sd_model_checkpoint").click();
  }

  // A page is built when it is first seen.
  const seen = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      const view = views.find((known) => known.root === target);
      if (!view) views.push(new View(target));
      else if (view.stale) { view.stale = false; view.reset(true); }
      else view.draw();
    }
  });
  // Gradio makes a tab's content when the tab is first opened.
  function begin() {
    const find = () => {
      for (const root of document.querySelectorAll(".easel-cards:not([data-begun])")) {
        root.dataset.begun = "";
        seen.observe(root);
      }
    };
    find();
    new MutationObserver(find).observe(document.querySelector(".gradio-container"), { childList: true, subtree: true });
  }
  document.addEventListener("easel:form", ({ detail }) => {
    const changed = (detail.checkpoint || "") !== checkpoint;
    checkpoint = detail.checkpoint || "";
    for (const view of views) {
      if (!changed) view.mark();
      else if (view.root.offsetParent) view.reset(true);
      else view.stale = true;
    }
  });
  document.addEventListener("input", ({ target }) => {
    if (target.matches?.('[id$="_prompt"] textarea')) for (const view of views) view.mark();
  });
  return { begin, ask, make, area, write, checkpoint: () => checkpoint };
})();
