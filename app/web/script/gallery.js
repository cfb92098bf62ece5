// The galleries, one of each tab: the pictures of one job, the live preview, the lightbox. Knows nothing of where they come from.
"use strict";
easel.makeGallery = (tab) => {
  let pictures = [], shown = null, picked = false;
  const byId = (id) => document.getElementById(id);
  const own = (name) => byId(`${tab}_${name}`);
  const part = (name) => own("gallery").querySelector(name);

  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }
  // From the text, since a number of JSON loses what a seed has beyond 53 bits.
  const seedOf = (picture) => [...picture.infotext.matchAll(/\bSeed: (\d+)/g)].at(-1)?.[1] ?? String(picture.seed);
  const described = (picture) =>
    `Picture ${picture.index + 1}, seed ${seedOf(picture)}${picture.partial ? ", not finished" : ""}`;

  function clear() {
    pictures = [];
    shown = null;
    picked = false;
    part(".easel-stage").replaceChildren();
    part(".easel-thumbnails").replaceChildren();
    byId(`html_info_${tab}`).textContent = "";
    byId(`html_log_${tab}`).textContent = "";
    own("notices").replaceChildren();
    layout();
  }
  function layout() {
    const stage = part(".easel-stage");
    stage.hidden = !stage.firstChild;
    part(".easel-empty").hidden = !stage.hidden;
    part(".easel-thumbnails").hidden = pictures.length < 2;
    byId(`image_buttons_${tab}`).hidden = !shown;
  }

  function preview(data) {
    if (picked) return;
    let image = part(".easel-stage .easel-preview");
    if (!image) {
      image = make("img", { class: "easel-preview", alt: "Live preview of the picture in work" });
      part(".easel-stage").replaceChildren(image);
    }
    image.src = data;
    layout();
  }
  const previewOver = () => {
    part(".easel-stage .easel-preview")?.remove();
    if (!part(".easel-stage").firstChild && pictures.length) show(pictures.at(-1));
    layout();
  };

  function add(picture) {
    if (pictures.some((known) => known.index === picture.index)) return;
    pictures.push(picture);
    pictures.sort((one, other) => one.index - other.index);
    const label = described(picture);
    const image = make("img", { src: picture.url, alt: label, loading: "lazy" });
    const button = make("button", { type: "button", "aria-label": label, "data-index": picture.index }, image);
    button.addEventListener("click", () => { picked = true; show(picture); });
    const list = part(".easel-thumbnails");
    list.insertBefore(make("li", {}, button), list.children[pictures.indexOf(picture)] || null);
    if (!picked) show(picture);
    layout();
  }
  function show(picture) {
    shown = picture;
    const image = make("img", { src: picture.url, alt: described(picture), width: picture.width, height: picture.height });
    image.style.setProperty("--picture-width", picture.width);
    const button = make("button", { type: "button", "aria-label": `${described(picture)}: enlarge` }, image);
    button.addEventListener("click", enlarge);
    part(".easel-stage").replaceChildren(button);
    byId(`html_info_${tab}`).textContent = picture.infotext;
    own("download").href = own("open").href = picture.url;
    own("download").download = picture.path.split("/").at(-1);
    for (const thumbnail of part(".easel-thumbnails").querySelectorAll("button"))
      thumbnail.toggleAttribute("aria-current", Number(thumbnail.dataset.index) === picture.index);
    layout();
  }

  function step(by) {
    const place = pictures.indexOf(shown);
    picked = true;
    show(pictures[(place + by + pictures.length) % pictures.length]);
    fillLightbox();
  }
  function fillLightbox() {
    const dialog = byId("lightboxModal");
    dialog.easel = { step, download: own("download") };
    const image = dialog.querySelector("img");
    image.src = shown.url;
    image.alt = described(shown);
    dialog.querySelector("p").textContent = `${described(shown)} (${shown.width} × ${shown.height})`;
    for (const arrow of dialog.querySelectorAll(".easel-arrow")) arrow.hidden = pictures.length < 2;
  }
  function lightbox() {
    const button = (text, label, name, act) => {
      const made = make("button", { type: "button", "aria-label": label, class: name }, text);
      made.addEventListener("click", act);
      return made;
    };
    const dialog = make("dialog", { id: "lightboxModal", "aria-label": "Picture" }, make("img", { alt: "" }), make("p"));
    dialog.append(
      button("‹", "Previous picture", "easel-arrow easel-previous", () => dialog.easel.step(-1)),
      button("›", "Next picture", "easel-arrow easel-next", () => dialog.easel.step(1)),
      button("×", "Close", "easel-close", () => dialog.close()),
    );
    dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
    dialog.addEventListener("keydown", (event) => {
      if (event.key === "ArrowLeft") dialog.easel.step(-1);
      else if (event.key === "ArrowRight") dialog.easel.step(1);
      else if (event.key === "s") dialog.easel.download.click();
    });
    document.body.append(dialog);
    return dialog;
  }
  function enlarge() {
    const dialog = byId("lightboxModal") || lightbox();
    fillLightbox();
    dialog.showModal();
  }
  const seed = () => shown && seedOf(shown);
  return { add, clear, preview, previewOver, seed, shown: () => shown };
};
easel.galleries = {};
easel.galleryOf = (tab) => (easel.galleries[tab] ??= easel.makeGallery(tab));
Object.defineProperty(easel, "gallery", { get: () => easel.galleryOf(easel.tab()) });
easel.shownSeed = (tab, now) => easel.galleryOf(tab).seed() ?? now;
