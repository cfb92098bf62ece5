// The pictures of a training: dropped, looked at with their crops and sizes, their captions edited in a table.
"use strict";
easel.trainData = (() => {
  const { ask, make } = easel.cards;
  const query = (folder, name) => `api/training-data/picture?${new URLSearchParams({ folder, name })}`;

  function row(folder, picture, say) {
    const [left, top, right, bottom] = picture.crop.map((share) => `${(100 * share).toFixed(2)}%`);
    const frame = make("i", {});
    Object.assign(frame.style, { left, top, width: `calc(${right} - ${left})`, height: `calc(${bottom} - ${top})` });
    const image = make("img", { src: query(folder, picture.name), loading: "lazy", alt: picture.name });
    const caption = make("textarea", { class: "easel-input", "aria-label": `Caption of ${picture.name}`, rows: "2" });
    caption.value = picture.caption;
    caption.addEventListener("change", async () => {
      try {
        await ask("api/training-data/caption", { method: "PUT", body: { folder, name: picture.name, caption: caption.value } });
        say(`The caption of ${picture.name} is written.`);
      } catch (problem) { say(problem.message); }
    });
    const times = picture.repeats > 1 ? `, ${picture.repeats} times` : "";
    const facts = `${picture.width}x${picture.height}, trained at ${picture.bucket.join("x")}${times}`;
    return make("tr", {}, make("td", {}, make("span", { class: "easel-train-crop" }, image, frame)),
      make("td", {}, make("div", {}, picture.name), make("small", {}, facts), caption));
  }
  async function show(place, values) {
    const said = make("p", { class: "easel-log", role: "status" }, "Looking …");
    place.replaceChildren(said);
    const { pictures } = await ask("api/training-data/pictures", { method: "POST", body: values });
    const sizes = new Map();
    for (const { bucket } of pictures) sizes.set(bucket.join("x"), (sizes.get(bucket.join("x")) ?? 0) + 1);
    said.textContent = `${pictures.length} pictures in ${sizes.size} ${sizes.size === 1 ? "size" : "sizes"}: ${[...sizes].map(([size, count]) => `${count} at ${size}`).join(", ")}. The frame shows what is kept.`;
    const table = make("table", { class: "easel-train-table" });
    table.append(...pictures.map((picture) => row(values.data, picture, (words) => { said.textContent = words; })));
    place.append(table);
  }
  // Files into a set of their own; the folder that they are in now.
  async function drop(set, files, say) {
    let folder = "", done = 0;
    for (const file of files) {
      say(`Taking ${++done} of ${files.length} …`);
      const answer = await fetch(`api/training-data/dropped/${encodeURIComponent(set)}/${encodeURIComponent(file.name)}`, { method: "PUT", body: file });
      const told = await answer.json();
      if (!answer.ok) throw new Error([told.error?.message, told.error?.hint].filter(Boolean).join(" "));
      ({ folder } = told);
    }
    return folder;
  }
  return { show, drop };
})();
