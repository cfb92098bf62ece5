// Recipes on their way into a form: from the prompt, from a file dropped or pasted, from PNG Info.
"use strict";
easel.recipe = (() => {
  const DROPS = ".easel-prompt";
  const tabAt = (element) => /^([a-z0-9]+)_/.exec(element.closest('[id$="_toprow"]')?.id ?? "")?.[1] ?? easel.tab();
  const byId = (id) => document.getElementById(id);
  let wish = { text: "" };

  // What the server gets to fill the form of a tab from; "" means the last generation.
  const fromPrompt = (tab) => JSON.stringify({ text: byId(`${tab}_prompt`).querySelector("textarea").value });
  const asked = () => JSON.stringify(wish);
  async function paste(tab, text, { program = "", only = null } = {}) {
    await easel.openTab(tab);
    wish = { text, program, only };
    byId(`${tab}_paste_text`).click();
  }
  function pasted(tab, told) {
    const { notices, filled, kept } = JSON.parse(told);
    if (filled) easel.follow(JSON.stringify(kept));
    easel.clearError(tab);
    notify(tab, notices);
    byId(`${tab}_announcement`).textContent = filled ? "The form is filled in." : "Nothing was filled in.";
    document.dispatchEvent(new CustomEvent("easel:pasted", { detail: { tab, filled } }));
  }
  function notify(tab, lines) {
    byId(`${tab}_notices`).replaceChildren(...lines.map((text) => {
      const line = document.createElement("p");
      line.textContent = text;
      return line;
    }));
  }

  // The recipe in a picture or text file, as the server reads it; throws in words.
  async function read(file) {
    const answer = await fetch("easel/recipe", {
      method: "POST",
      body: file,
      headers: { "Content-Type": file.type || (file.name?.endsWith(".txt") ? "text/plain" : "application/octet-stream") },
    }).catch(() => null);
    if (!answer) throw new Error("The server did not answer.");
    const body = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Error([body.error?.message, body.error?.hint].filter(Boolean).join(" ") || `Status ${answer.status}.`);
    return body;
  }
  async function take(tab, file) {
    easel.clearError(tab);
    try {
      const { text, program } = await read(file);
      if (text.trim()) paste(tab, text, { program });
      else notify(tab, [`${file.name || "The picture"} does not say how it was made.`]);
    } catch (problem) {
      easel.showError({ message: problem.message }, tab);
    }
  }

  const pngInfo = () => byId("pnginfo_image")?.offsetParent !== null && byId("pnginfo_image") !== null;
  const fileOf = (transfer) => [...(transfer?.files ?? [])].find((file) => /^(image|text)\//.test(file.type) || /\.(txt|avif)$/i.test(file.name));
  const place = (event) => event.target.closest?.(`${DROPS}, #pnginfo`);

  document.addEventListener("dragover", (event) => {
    if (!place(event) || !event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    place(event).classList.add("easel-dropping");
  }, true);
  for (const over of ["dragleave", "drop"]) document.addEventListener(over, (event) => {
    for (const marked of document.querySelectorAll(".easel-dropping")) marked.classList.remove("easel-dropping");
  }, true);
  document.addEventListener("drop", (event) => {
    const file = place(event) && fileOf(event.dataTransfer);
    if (!file) return;
    event.preventDefault();
    event.stopPropagation();
    if (event.target.closest("#pnginfo")) easel.pngInfo.open(file);
    else take(tabAt(event.target), file);
  }, true);
  document.addEventListener("paste", (event) => {
    const file = fileOf(event.clipboardData);
    if (!file || document.querySelector("dialog[open]")) return;
    const inPrompt = event.target.closest?.(DROPS);
    if (!inPrompt && !pngInfo()) return;
    event.preventDefault();
    event.stopPropagation();
    if (inPrompt) take(tabAt(event.target), file);
    else easel.pngInfo.open(file);
  }, true);
  return { fromPrompt, asked, paste, pasted, read, fileOf };
})();
easel.clearedPrompts = (texts) => {
  if (texts.every((text) => !text) || confirm("Clear both prompts?")) return ["", ""];
  return texts;
};
