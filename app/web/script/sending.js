// Sending: a picture of a gallery or of PNG Info becomes the source of a tab; dropped and pasted pictures too.
"use strict";
(() => {
  const ALONG = ["prompt", "negative_prompt", "styles", "steps"];

  // file: the picture's bytes. It goes into the mode that is open there, or the first where that takes none.
  easel.sendPicture = async (tab, file) => {
    await easel.openTab(tab);
    const source = easel.sources[tab];
    if (source.mode === "batch") source.choose(source.modes[0].name);
    await source.open(file);
    if (easel.sendsAlong().size) document.getElementById(`${tab}_detect_image_size_btn`).click();
  };
  easel.sendShown = async (from, to) => {
    const picture = easel.galleryOf(from).shown();
    if (!picture) return;
    const only = [...ALONG, ...(easel.sendsAlong().seed ? ["seed"] : [])];
    if (picture.infotext && from !== to) easel.recipe.paste(to, picture.infotext, { only });
    const answer = await fetch(picture.url).catch(() => null);
    if (!answer?.ok) return easel.showError({ message: "The picture could not be fetched." }, to);
    await easel.sendPicture(to, new File([await answer.blob()], picture.path?.split("/").at(-1) ?? "picture.png"));
  };

  document.addEventListener("click", (event) => {
    const to = event.target.closest?.("[data-send]")?.dataset.send;
    if (to) easel.sendShown(event.target.closest("[data-send]").id.split("_send_to_")[0], to);
  });

  const sourceAt = (event) => easel.sources[event.target.closest?.(".easel-source")?.dataset.tab];
  const pictureOf = (transfer) => [...(transfer?.files ?? [])].find((file) => file.type.startsWith("image/") || /\.(avif|webp)$/i.test(file.name));
  document.addEventListener("dragover", (event) => {
    if (!sourceAt(event) || !event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    event.target.closest(".easel-source").classList.add("easel-dropping");
  }, true);
  document.addEventListener("drop", (event) => {
    const source = sourceAt(event);
    const file = source && source.mode !== "batch" && pictureOf(event.dataTransfer);
    if (!file) return;
    event.preventDefault();
    event.stopPropagation();
    source.open(file);
  }, true);
  document.addEventListener("paste", (event) => {
    const file = pictureOf(event.clipboardData);
    const source = Object.values(easel.sources).find(({ root }) => root.offsetParent);
    if (!file || !source || event.target.closest?.(".easel-prompt") || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    source.open(file);
  });
})();
