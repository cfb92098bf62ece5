// Batch: each file, chosen here or named in a folder of the server, becomes a job of its own, with its mask; results carry
// its name.
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
  // A file of this machine or, by its name, of a folder on the server: once only, as {hash, infotext}.
  stored(one) {
    const ask = () => (one instanceof File
      ? easel.upload(one).then((hash) => ({ hash }))
      : easel.cards.ask("api/server-folders/pictures", { method: "POST", body: one }));
    return this.sent.get(one) ?? this.sent.set(one, ask()).get(one);
  }
  async described(one) { return one instanceof File ? (await easel.recipe.read(one)).text : (await this.stored(one)).infotext; }
  async send(file, masks, texts) {
    const mask = this.maskOf(file, masks);
    const take = [...this.place.querySelectorAll("[data-take]:checked")].map(({ dataset }) => dataset.take);
    const reads = this.place.querySelector(".easel-batch-info").checked && take.length;
    const telling = texts.find((one) => easel.Batch.stem(one.name) === easel.Batch.stem(file.name)) ?? file;
    const { values = {} } = JSON.parse(easel.memory(this.source.tab));
    const item = {
      values, take, picture: (await this.stored(file)).hash, mask: mask && (await this.stored(mask)).hash, name: easel.Batch.stem(file.name),
      output_folder: this.place.querySelector(".easel-batch-folder").value.trim(), output_directory: this.server("output"),
      text: reads ? await this.described(telling) : "",
    };
    return easel.cards.ask("easel/batch", { method: "POST", body: item });
  }
  server(name) { return this.place.querySelector(`[data-server="${name}"]`).value.trim(); }
  // What was chosen of a kind, then what the server's folder of that kind holds.
  async all(name) {
    const folder = this.server(name);
    if (!folder) return this.files(name);
    const { pictures } = await easel.cards.ask("api/server-folders", { method: "POST", body: { folder } });
    return [...this.files(name), ...pictures.map((one) => ({ folder, name: one }))];
  }
  async run() {
    if (this.running) return;
    easel.clearError(this.source.tab);
    let chosen = [];
    try { chosen = await Promise.all(["pictures", "masks", "infos"].map((name) => this.all(name))); } catch (problem) { return easel.showError(problem, this.source.tab); }
    const [files, masks, texts] = chosen;
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
