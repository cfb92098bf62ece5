// The style editor: a dialog over the table of styles, with A1111's buttons.
"use strict";
easel.styles = (() => {
  let styles = [], prompts = ["", ""];
  const byId = (id) => document.getElementById(id);

  const DIALOG = `
    <h3>Styles</h3>
    <label>Style <input id="txt2img_edit_style_name" list="txt2img_edit_style_names" autocomplete="off" maxlength="200"
      placeholder="Choose one, or type a new name"></label>
    <datalist id="txt2img_edit_style_names"></datalist>
    <label>Prompt <textarea id="txt2img_edit_style_prompt" rows="3"
      placeholder="{prompt} stands for your prompt; without it this is added behind"></textarea></label>
    <label>Negative prompt <textarea id="txt2img_edit_style_neg_prompt" rows="3"></textarea></label>
    <div id="txt2img_edit_style_error" class="easel-error" role="alert" hidden></div>
    <p id="txt2img_edit_style_words" class="easel-words" role="status"></p>
    <div class="easel-actions">
      <button type="button" class="easel-button" id="txt2img_edit_style_save">Save</button>
      <button type="button" class="easel-button" id="txt2img_edit_style_delete">Delete</button>
      <button type="button" class="easel-button" id="txt2img_edit_style_copy">Copy from main prompts</button>
      <button type="button" class="easel-button" id="txt2img_edit_style_close">Close</button>
    </div>`;

  function dialog() {
    const made = document.createElement("dialog");
    made.id = "txt2img_edit_style";
    made.className = "easel-style-editor";
    made.setAttribute("aria-label", "Styles");
    made.innerHTML = DIALOG;
    document.body.append(made);
    byId("txt2img_edit_style_name").addEventListener("input", fill);
    const act = { save, delete: remove, copy, close: () => made.close() };
    for (const [name, function_] of Object.entries(act)) byId(`txt2img_edit_style_${name}`).addEventListener("click", function_);
    return made;
  }
  const field = (name) => byId(`txt2img_edit_style_${name}`);
  const known = () => styles.find((style) => style.name === field("name").value.trim());

  function fill() {
    const style = known();
    if (style) {
      field("prompt").value = style.prompt;
      field("neg_prompt").value = style.negative_prompt;
    }
    tell("");
  }
  function tell(words, wrong = "") {
    field("words").textContent = words;
    field("error").textContent = wrong;
    field("error").hidden = !wrong;
    field("delete").disabled = !known();
    field("save").textContent = known() ? "Save" : "Save as new";
  }
  async function ask(method, query = "", body = undefined) {
    const headers = { "Content-Type": "application/json" };
    const answer = await fetch(`easel/styles${query}`, { method, body: body && JSON.stringify(body), headers }).catch(() => null);
    const said = await answer?.json().catch(() => null);
    if (!answer?.ok) {
      tell("", [said?.error?.message ?? "The server did not answer.", said?.error?.hint].filter(Boolean).join(" "));
      return false;
    }
    styles = said.styles;
    field("names").replaceChildren(...styles.map((style) => Object.assign(document.createElement("option"), { value: style.name })));
    return true;
  }
  async function save() {
    const style = { name: field("name").value, prompt: field("prompt").value, negative_prompt: field("neg_prompt").value };
    if (!await ask("POST", "", style)) return;
    tell(`“${style.name.trim()}” is saved.`);
    changed();
  }
  async function remove() {
    const style = known();
    if (!style || !confirm(`Delete the style “${style.name}”?`)) return;
    if (!await ask("DELETE", `?name=${encodeURIComponent(style.name)}`)) return;
    for (const name of ["name", "prompt", "neg_prompt"]) field(name).value = "";
    tell(`“${style.name}” is deleted.`);
    changed();
  }
  function copy() {
    [field("prompt").value, field("neg_prompt").value] = prompts;
  }
  const changed = () => { for (const each of easel.tabs()) byId(`${each}_styles_changed`).click(); };

  async function edit(tab, texts) {
    const opened = byId("txt2img_edit_style") || dialog();
    prompts = texts;
    opened.dataset.tab = tab;
    opened.showModal();
    if (await ask("GET")) fill();
  }
  return { edit };
})();
