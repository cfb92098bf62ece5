// Extras: pictures are sent, a run is stored, and its results appear; a reload finds the run again.
"use strict";
easel.extras = (() => {
  const EVERY = 300;
  const { ask, make } = easel.cards;
  const byId = (id) => document.getElementById(id);
  const all = (selector) => byId("extras").querySelectorAll(selector);
  let mode = "single", files = [], run = null, shown = null, timer = 0;

  const say = (words) => { byId("extras_said").textContent = words; };
  function fail(message) {
    byId("extras_error").textContent = message;
    byId("extras_error").hidden = !message;
  }

  // On a narrow page Gradio keeps the last tabs in a menu, where they have no ids.
  function openTab(id, label) {
    const listed = [...document.querySelectorAll("#tabs button:not([id])")].filter((button) => button.textContent.trim() === label);
    (byId(`tab_${id}-button`) ?? listed.at(-1))?.click();
  }
  function choose(wanted) {
    mode = wanted;
    for (const tab of all("[data-mode]")) tab.setAttribute("aria-selected", tab.dataset.mode === mode);
    for (const part of all("[data-for]")) part.hidden = !part.dataset.for.split(" ").includes(mode);
    byId("extras_file").multiple = mode === "batch";
    byId("extras_image").querySelector(".easel-empty").textContent = mode === "batch"
      ? "Drop pictures here, or choose files." : "Drop a picture here, paste one, or choose a file.";
    show(mode === "batch" ? files : files.slice(0, 1));
  }
  function resize(wanted) {
    for (const tab of all("[data-resize]")) tab.setAttribute("aria-selected", tab.dataset.resize === wanted);
    for (const part of all("[data-size]")) part.hidden = part.dataset.size !== wanted;
  }
  function show(chosen) {
    files = [...chosen];
    const picture = byId("extras_picture");
    if (picture.src) URL.revokeObjectURL(picture.src);
    picture.hidden = files.length !== 1;
    if (picture.hidden) picture.removeAttribute("src");
    else picture.src = URL.createObjectURL(files[0]);
    byId("extras_image").classList.toggle("easel-filled", !picture.hidden);
    if (files.length > 1) byId("extras_image").querySelector(".easel-empty").textContent = `${files.length} pictures`;
  }
  function open(chosen) {
    const pictures = [...chosen];
    if (!pictures.length) return;
    choose(pictures.length > 1 || mode === "batch" ? "batch" : "single");
    show(pictures);
    fail("");
  }
  async function send(file) {
    openTab("extras", "Extras");
    await drawn();
    mode = "single";
    open([file]);
  }

  function wish() {
    const request = { resize: [...all("[data-resize]")].find((tab) => tab.ariaSelected === "true").dataset.resize, flips: [], captions: [] };
    for (const field of all("[data-field]")) {
      const { field: name } = field.dataset;
      if (Array.isArray(request[name])) { if (field.checked) request[name].push(field.value); }
      else if (field.type === "checkbox") request[name] = field.checked;
      else if (["number", "range"].includes(field.type)) request[name] = field.value === "" ? null : Number(field.value);
      else request[name] = field.value;
    }
    return request;
  }
  async function generate() {
    const button = byId("extras_generate");
    if (button.disabled) return;
    fail("");
    button.disabled = true;
    try {
      const body = { request: wish() };
      if (mode === "folder") {
        body.folder = byId("extras_batch_input_dir").value.trim();
        body.output_folder = byId("extras_batch_output_dir").value.trim();
        if (!body.folder) throw new Error("Name the folder that the pictures are in.");
      } else {
        if (!files.length) throw new Error("Choose a picture first.");
        body.pictures = [];
        for (const [place, file] of files.entries()) {
          say(files.length > 1 ? `Sending ${place + 1} of ${files.length}` : "");
          body.pictures.push({ hash: await kept(file), name: file.name });
        }
      }
      clear();
      follow(await ask("api/extras", { method: "POST", body }));
    } catch (problem) {
      fail(problem.message);
      button.disabled = false;
    }
    say("");
  }
  // The server keeps the file and answers its hash; `ask` would write it as JSON.
  async function kept(file) {
    const answer = await fetch("api/pictures", { method: "POST", body: file }).catch(() => null);
    const body = await answer?.json().catch(() => null);
    if (answer?.ok) return body.hash;
    throw new Error(`${file.name}: ${[body?.error?.message ?? "the server did not take it.", body?.error?.hint].filter(Boolean).join(" ")}`);
  }

  function clear() {
    shown = null;
    all(".easel-stage")[0].replaceChildren();
    all(".easel-thumbnails")[0].replaceChildren();
    byId("html_info_extras").textContent = "";
    layout();
  }
  function layout() {
    const stage = all(".easel-stage")[0];
    stage.hidden = !shown;
    all(".easel-gallery .easel-empty")[0].hidden = Boolean(shown);
    all(".easel-thumbnails")[0].hidden = all(".easel-thumbnails li").length < 2;
    byId("image_buttons_extras").hidden = !shown;
  }
  function add(picture, number) {
    if (all(".easel-thumbnails li")[number]) return;
    const label = `${picture.name}, ${picture.width} × ${picture.height}`;
    const button = make("button", { type: "button", "aria-label": label }, make("img", { src: picture.url, alt: label, loading: "lazy" }));
    button.addEventListener("click", () => look(picture));
    all(".easel-thumbnails")[0].append(make("li", {}, button));
    if (!shown) look(picture);
    layout();
  }
  function look(picture) {
    shown = picture;
    const label = `${picture.name}, ${picture.width} × ${picture.height}`;
    const image = make("img", { src: picture.url, alt: label, width: picture.width, height: picture.height });
    image.style.setProperty("--picture-width", picture.width);
    all(".easel-stage")[0].replaceChildren(make("a", { href: picture.url, target: "_blank", rel: "noopener" }, image));
    byId("html_info_extras").textContent = [`${label} (${picture.path})`, picture.info, picture.notice].filter(Boolean).join("\n");
    byId("extras_download").href = picture.url;
    byId("extras_download").download = picture.name;
    layout();
  }
  function follow(now) {
    run = now;
    const over = !["waiting", "running"].includes(run.state);
    run.pictures.forEach(add);
    byId("extras_progress").hidden = over;
    byId("extras_interrupt").hidden = over;
    byId("extras_generate").disabled = !over;
    const share = Math.round(run.progress * 100);
    const bar = byId("extras_progress").querySelector(".easel-bar");
    bar.setAttribute("aria-valuenow", share);
    bar.firstElementChild.style.width = `${share}%`;
    byId("extras_progress_words").textContent = [run.total > 1 ? `${Math.min(run.done + 1, run.total)} of ${run.total}` : "", run.words || "Waiting"].filter(Boolean).join(": ");
    if (run.failures.length) fail(run.failures.map(({ name, message }) => `${name}: ${message}`).join("\n"));
    clearTimeout(timer);
    if (over) say(run.state === "cancelled" ? "Stopped." : `${run.pictures.length} ${run.pictures.length === 1 ? "picture" : "pictures"} saved.`);
    else timer = setTimeout(poll, EVERY);
  }
  async function poll() {
    try { follow(await ask(`api/extras/${run.id}`)); } catch { timer = setTimeout(poll, 4 * EVERY); }
  }
  async function sendOn(to) {
    const answer = shown && await fetch(shown.url).catch(() => null);
    if (!answer?.ok) return fail("The picture could not be fetched.");
    const file = new File([await answer.blob()], shown.name, { type: answer.headers.get("content-type") });
    if (to === "extras") return send(file);
    if (to === "pnginfo") {
      openTab("pnginfo", "PNG Info");
      // Its content is drawn when it is first seen.
      while (!byId("pnginfo")) await new Promise(requestAnimationFrame);
      return easel.pngInfo.open(file);
    }
    easel.sendPicture(to, file);
  }
  // From the galleries of the generation tabs.
  async function sendShown(tab) {
    const picture = easel.galleryOf(tab).shown();
    const answer = picture && await fetch(picture.url).catch(() => null);
    if (!answer?.ok) return;
    send(new File([await answer.blob()], picture.path?.split("/").at(-1) ?? "picture.png", { type: answer.headers.get("content-type") }));
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("button");
    if (!button) return;
    const { mode: wanted, resize: size, extrasTo, toExtras } = button.dataset;
    if (toExtras) sendShown(toExtras);
    if (!button.closest("#extras")) return;
    if (wanted) choose(wanted);
    else if (size) resize(size);
    else if (extrasTo) sendOn(extrasTo);
    else if (button.id === "extras_generate") generate();
    else if (button.id === "extras_interrupt") ask(`api/extras/${run.id}/cancel`, { method: "POST" }).catch((problem) => fail(problem.message));
  });
  document.addEventListener("input", ({ target }) => {
    if (target.type === "range" && target.closest("#extras")) target.closest("label").querySelector("output").value = Number(target.value);
  });
  document.addEventListener("change", (event) => {
    if (event.target.id === "extras_file") open(event.target.files);
  });
  const isOver = (event) => event.target.closest?.("#extras_image") && event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragover", (event) => { if (isOver(event)) event.preventDefault(); }, true);
  document.addEventListener("drop", (event) => {
    if (!isOver(event)) return;
    event.preventDefault();
    event.stopPropagation();
    open([...event.dataTransfer.files].filter((file) => file.type.startsWith("image/")));
  }, true);
  document.addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files ?? [])].find(({ type }) => type.startsWith("image/"));
    if (!file || !byId("extras")?.offsetParent) return;
    event.preventDefault();
    open([file]);
  });

  // Gradio draws a tab when it is first seen.
  const drawn = () => new Promise((found) => {
    if (byId("extras")) return found();
    const observer = new MutationObserver(() => {
      if (!byId("extras")) return;
      observer.disconnect();
      found();
    });
    observer.observe(document.body, { childList: true, subtree: true });
  });
  async function begin() {
    await drawn();
    try {
      const { upscalers, faces } = await ask("api/extras/upscalers");
      for (const menu of all("select[data-field^=upscaler_]")) menu.replaceChildren(...upscalers.map((name) => make("option", {}, name)));
      byId("extras_faces").textContent = faces;
      byId("extras_faces").hidden = !faces;
      byId("extras_gfpgan_visibility").disabled = Boolean(faces);
      const [last] = await ask("api/extras");
      if (last && ["waiting", "running"].includes(last.state)) follow(last);
    } catch (problem) { fail(problem.message); }
  }
  return { begin, send };
})();
