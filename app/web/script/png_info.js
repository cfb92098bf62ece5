// PNG Info: one picture's texts in full, buttons that send them to a tab, and why the form would make another picture.
"use strict";
easel.pngInfo = (() => {
  const byId = (id) => document.getElementById(id);
  let shown = null, opened = null, differing = [];

  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }
  function fail(message) {
    byId("pnginfo_error").textContent = message;
    byId("pnginfo_error").hidden = !message;
  }
  const part = (name, text) => [make("h4", {}, name), make("div", { class: "easel-infotext" }, text)];
  function table(rows) {
    const made = make("table", { class: "easel-recipe" });
    made.append(...rows.map(([key, value]) => make("tr", {}, make("th", { scope: "row" }, key), make("td", {}, value))));
    return made;
  }

  async function open(file) {
    fail("");
    opened = file;
    const picture = byId("pnginfo_picture");
    if (picture.src) URL.revokeObjectURL(picture.src);
    picture.hidden = !file.type.startsWith("image/");
    if (picture.hidden) picture.removeAttribute("src");
    else picture.src = URL.createObjectURL(file);
    byId("pnginfo_image").classList.toggle("easel-filled", !picture.hidden);
    show(null);
    try {
      show(await easel.recipe.read(file));
    } catch (problem) {
      fail(problem.message);
    }
  }
  function show(recipe) {
    shown = recipe;
    const said = Boolean(recipe?.text.trim());
    const parts = [];
    if (said) parts.push(...part("parameters", recipe.text));
    if (said && recipe.entries.length) parts.push(make("details", {}, make("summary", {}, "One by one"), table(recipe.entries)));
    for (const [name, text] of Object.entries(recipe?.items ?? {})) parts.push(...part(name, text));
    if (recipe && !parts.length) parts.push(make("p", { class: "easel-empty" }, "This picture carries no text."));
    byId("pnginfo_html").replaceChildren(...parts);
    const made = recipe ? buttons(said) : [];
    byId("pnginfo_send").replaceChildren(...made);
    byId("pnginfo_send").hidden = !made.length;
    byId("pnginfo_why").hidden = !said;
    forgetDifferences();
  }
  function buttons(said) {
    const isPicture = opened?.type.startsWith("image/");
    const wanted = JSON.parse(byId("pnginfo").dataset.targets).filter(({ takes_picture: takes }) => said || (takes && isPicture));
    const targets = wanted.map(({ tab, label, takes_picture: takes }) => {
      const button = make("button", { type: "button", class: "easel-button", id: `pnginfo_send_to_${tab}` }, label);
      button.addEventListener("click", () => {
        if (said) easel.recipe.paste(tab, shown.text, { program: shown.program });
        if (takes && isPicture) easel.sendPicture(tab, opened);
      });
      return button;
    });
    if (isPicture) {
      const button = make("button", { type: "button", class: "easel-button", id: "pnginfo_send_to_extras" }, "Send to Extras");
      button.addEventListener("click", () => easel.extras.send(opened));
      targets.push(button);
    }
    const copy = make("button", { type: "button", class: "easel-button", id: "pnginfo_copy" }, "Copy infotext");
    copy.addEventListener("click", () => navigator.clipboard?.writeText(shown.text).then(() => say("Copied.")));
    return said ? [...targets, copy] : targets;
  }

  const say = (words) => { byId("pnginfo_why_words").textContent = words; };
  function forgetDifferences() {
    differing = [];
    byId("pnginfo_differences").replaceChildren();
    byId("pnginfo_take").hidden = true;
    say("");
  }
  async function compare() {
    forgetDifferences();
    const { values = {} } = JSON.parse(easel.memory("txt2img"));
    const answer = await fetch("easel/why", {
      method: "POST",
      body: JSON.stringify({ text: shown.text, program: shown.program, values }),
      headers: { "Content-Type": "application/json" },
    }).catch(() => null);
    const body = await answer?.json().catch(() => null);
    if (!answer?.ok) return say([body?.error?.message ?? "The server did not answer.", body?.error?.hint].filter(Boolean).join(" "));
    differing = body.differences;
    const sure = differing.filter((one) => one.certain).length;
    if (!differing.length) return say("The form would make this very picture: nothing differs.");
    const more = differing.length - sure;
    say([sure && `${sure} ${sure === 1 ? "thing differs" : "things differ"}`, more && `${more} more may matter`]
      .filter(Boolean).join(", ") + ".");
    byId("pnginfo_differences").replaceChildren(rows());
    byId("pnginfo_take").hidden = !differing.some((one) => one.fields.length);
  }
  function rows() {
    const head = ["", "What", "The file", "Now", "Why it matters"].map((text) => make("th", { scope: "col" }, text));
    const body = differing.map((one, place) => {
      const box = make("input", { type: "checkbox", "aria-label": `Take over ${one.label}`, "data-place": place });
      box.checked = one.certain;
      const cells = [one.label, one.theirs, one.ours, one.words].map((text, column) =>
        make("td", { "data-head": head[column + 1].textContent }, text));
      return make("tr", one.certain ? {} : { class: "easel-unsure" }, make("td", {}, ...(one.fields.length ? [box] : [])), ...cells);
    });
    return make("table", { class: "easel-differences" }, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...body));
  }
  function take() {
    const chosen = [...byId("pnginfo_differences").querySelectorAll("input:checked")];
    const only = chosen.flatMap((box) => differing[Number(box.dataset.place)].fields);
    if (!only.length) return say("Nothing is chosen.");
    easel.recipe.paste("txt2img", shown.text, { program: shown.program, only: [...new Set(only)] });
    forgetDifferences();
  }

  document.addEventListener("change", (event) => {
    if (event.target.id === "pnginfo_file" && event.target.files[0]) open(event.target.files[0]);
  });
  document.addEventListener("click", (event) => {
    const id = event.target.closest?.("button")?.id;
    if (id === "pnginfo_compare") compare();
    else if (id === "pnginfo_take") take();
  });
  return { open };
})();
