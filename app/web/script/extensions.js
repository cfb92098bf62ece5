// Extensions' accordions: one JSON text and their widgets follow each other; hires fix tells its size and takes pictures on.
"use strict";
(() => {
  const facts = (tab) => Object.entries(easel.page().extensions[tab] ?? {});
  const parsed = (text) => { try { return JSON.parse(text || "{}") ?? {}; } catch { return {}; } };
  const waiting = {};

  // values: of each extension whether it is on, then its fields; those of the Script menu, which comes last, have fields only.
  function collected(tab, values) {
    const found = {};
    let place = 0;
    for (const [name, [accordion, fields, script]] of facts(tab)) {
      const on = script ? values.at(-1) === script : values[place++];
      const said = Object.fromEntries(fields.map(([field], number) => [field, values[place + number] ?? ""]));
      place += fields.length;
      if (on) found[name] = said;
      document.getElementById(accordion)?.classList.toggle("easel-on", Boolean(on));
    }
    return JSON.stringify(found);
  }
  function spread(tab, text, values) {
    const wanted = parsed(text);
    const spread = [];
    let chosen = "None";
    for (const [name, [, fields, script]] of facts(tab)) {
      const said = wanted[name];
      if (!script) spread.push(Boolean(said));
      else if (said) chosen = script;
      for (const [field, usual] of fields)
        spread.push(said ? (said[field] ?? usual ?? "") : values[spread.length]);
    }
    if (facts(tab).some(([, [, , script]]) => script)) spread.push(chosen);
    return spread;
  }

  // What was kept of the extensions, under what was touched before it came: those turned on, their widgets one by one.
  function merged(tab, kept, now) {
    const [before, after] = [parsed(kept), parsed(now)];
    const picked = facts(tab).some(([name, [, , script]]) => script && name in after);
    for (const [name, [, fields, script]] of facts(tab)) {
      if (picked && script && !(name in after)) delete before[name];
      if (!(name in before) || !(name in after)) continue;
      for (const [field, usual, id] of fields)
        if (field in before[name] && !easel.touched(id) && (after[name][field] ?? "") === (usual ?? "")) after[name][field] = before[name][field];
    }
    return JSON.stringify({ ...before, ...after });
  }

  // As the extension reckons: a factor, one side, or two that are covered and cut.
  function hiresSize(width, height, hires) {
    const [wide, high] = [Number(hires.resize_width) || 0, Number(hires.resize_height) || 0];
    if (wide || high) return [wide || Math.floor((high * width) / height), high || Math.floor((wide * height) / width)];
    const factor = Number(hires.upscale_by) || 2;
    return [Math.floor(width * factor), Math.floor(height * factor)];
  }
  function tellSize({ tab, width, height, extensions }) {
    const label = document.getElementById(`${tab}_hr_label`);
    if (!label) return;
    const hires = parsed(extensions).hires_fix;
    label.textContent = hires ? `from ${width}x${height} to ${hiresSize(width, height, hires).join("x")}` : "";
  }
  document.addEventListener("easel:form", ({ detail }) => tellSize(detail));

  // The picture that is shown, once more through the second pass alone, with its own seed.
  async function upscale(tab) {
    const picture = easel.galleryOf(tab).shown();
    if (!picture) return;
    const file = await fetch(picture.url).catch(() => null);
    const answer = file?.ok && await fetch("api/pictures", { method: "POST", body: await file.blob() }).catch(() => null);
    if (!answer?.ok) return easel.showError({ message: "The picture could not be taken up." }, tab);
    const { hash } = await answer.json();
    waiting[tab] = { hash, width: picture.width, height: picture.height, seed: easel.galleryOf(tab).seed() };
    document.getElementById(`${tab}_generate`).click();
  }
  // values: of the form's fields in their order, as Generate is about to send them.
  function sent(tab, values) {
    const wanted = waiting[tab];
    delete waiting[tab];
    const names = Object.keys(easel.page().tabs[tab]);
    const changed = [...values];
    const put = (name, value) => { changed[names.indexOf(name)] = value; };
    // What was pasted may name an extension that this tab does not show.
    const shown = Object.keys(easel.page().extensions[tab] ?? {});
    const extensions = Object.fromEntries(
      Object.entries(parsed(values[names.indexOf("extensions")])).filter(([name]) => shown.includes(name)));
    put("extensions", JSON.stringify(extensions));
    if (!wanted) return changed;
    const [, [, fields]] = facts(tab).find(([name]) => name === "hires_fix");
    const usual = Object.fromEntries(fields.map(([field, value]) => [field, value ?? ""]));
    extensions.hires_fix = { ...(extensions.hires_fix ?? usual), first_picture: wanted.hash };
    put("extensions", JSON.stringify(extensions));
    for (const name of ["width", "height", "seed"]) put(name, wanted[name]);
    put("batch_count", 1);
    put("batch_size", 1);
    return changed;
  }
  document.addEventListener("click", (event) => {
    const tab = event.target.closest?.("[data-upscale]")?.dataset.upscale;
    if (tab) upscale(tab);
  });
  // The widget of `hires_fix.steps` and its kin.
  const elementOf = (tab, field) => {
    const [name, ...rest] = field.split(".");
    const [accordion, fields] = easel.page().extensions[tab]?.[name] ?? [];
    return document.getElementById(fields?.find(([known]) => known === rest.at(-1))?.[2] ?? accordion ?? "");
  };
  // Whether a chosen extension makes its own mask, so that none need be painted.
  function ownMask(tab) {
    const chosen = parsed(JSON.parse(easel.memory(tab)).values?.extensions);
    return facts(tab).some(([name, [, , , masks]]) => masks && name in chosen);
  }
  easel.extensions = { collected, spread, merged, sent, elementOf, ownMask };
})();
