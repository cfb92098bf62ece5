// Batch: each chosen file goes to the server, with its mask, and becomes a job of its own; results carry its name.
"use strict";
easel.Batch = class {
  constructor(source) {
    this.source = source;
    this.place = source.root.querySelector(".easel-batch");
    this.running = false;
  }
  files(name) {
    const chosen = [...this.place.querySelectorAll(`[data-files="${name}"]`)].flatMap(({ files }) => [...files]);
    return chosen.filter((file) => /\.(png|jpe?g|webp|avif|tiff?)$/i.test(file.name)).sort((one, other) => one.name.localeCompare(other.name));
  }
  say(words) { this.place.querySelector(".easel-batch-words").textContent = words; }
  static stem(name) { return name.replace(/\.[^.]*$/, "") || name; }

  // A single mask serves all; else each file has that of its own name.
  maskOf(file, masks) {
    if (masks.length === 1) return masks[0];
    return masks.find((mask) => easel.Batch.stem(mask.name) === easel.Batch.stem(file.name)) ?? null;
  }
  async send(file, masks, texts) {
    const upload = (one) => (this.sent.get(one) ?? this.sent.set(one, easel.upload(one)).get(one));
    const mask = this.maskOf(file, masks);
    const take = [...this.place.querySelectorAll("[data-take]:checked")].map(({ dataset }) => dataset.take);
    const reads = this.place.querySelector(".easel-batch-info").checked && take.length;
    const described = texts.find((one) => easel.Batch.stem(one.name) === easel.Batch.stem(file.name)) ?? file;
    const { values = {} } = JSON.parse(easel.memory(this.source.tab));
    const item = {
      values, take, picture: await upload(file), mask: mask && (await upload(mask)), name: easel.Batch.stem(file.name),
      output_folder: this.place.querySelector(".easel-batch-folder").value.trim(),
      text: reads ? (await easel.recipe.read(described)).text : "",
    };
    return easel.cards.ask("easel/batch", { method: "POST", body: item });
  }
  async run() {
    if (this.running) return;
    const [files, masks, texts] = ["pictures", "masks", "infos"].map((name) => this.files(name));
    easel.clearError(this.source.tab);
    if (!files.length) return easel.showError({ message: "There is no picture to redraw yet.", hint: "Choose files or a folder.", field: "init_images" }, this.source.tab);
    this.running = true;
    this.sent = new Map();
    const failed = [];
    for (const [place, file] of files.entries()) {
      this.say(`Sending ${place + 1} of ${files.length}: ${file.name}`);
      try { easel.watchOf(this.source.tab).add((await this.send(file, masks, texts)).id); } catch (problem) { failed.push(`${file.name}: ${problem.message}`); }
    }
    this.running = false;
    this.say([`${files.length - failed.length} of ${files.length} files are on their way.`, ...failed].join("\n"));
  }
};
