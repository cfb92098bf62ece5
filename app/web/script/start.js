// Starting: buttons and keys of the page, once Gradio has drawn it.
"use strict";
(() => {
  const PROMPTS = ".easel-prompt textarea";
  const press = (id) => document.getElementById(id)?.click();

  document.addEventListener("click", (event) => {
    const [, tab, name] = /^([a-z0-9]+)_(\w+)$/.exec(event.target.closest?.("button, a")?.id ?? "") ?? [];
    if (!easel.tabs().includes(tab)) return;
    if (name === "interrupt" || name === "skip") easel.watchOf(tab).stop(name);
    else if (name === "generate") {
      // A double click means one job.
      if (easel.pending) event.stopImmediatePropagation();
      else if (document.documentElement.dataset.form !== "filled") {
        event.stopImmediatePropagation();
        hold(tab);
      }
      else if (easel.sources[tab]?.mode === "batch") {
        event.stopImmediatePropagation();
        easel.sources[tab].batch.run();
      }
      else easel.sent(tab);
    } else if (name === "copy_info") {
      const copied = navigator.clipboard?.writeText(document.getElementById(`html_info_${tab}`).textContent);
      copied?.then(() => { document.getElementById(`${tab}_announcement`).textContent = "Copied."; });
    }
  }, true);

  // Pressed before the kept form is there: the job is of the whole form, so that it begins with it.
  function hold(tab) {
    const button = document.getElementById(`${tab}_generate`);
    if (button.ariaBusy === "true") return;
    button.ariaBusy = "true";
    easel.sent(tab);
    document.addEventListener("easel:filled", () => {
      button.ariaBusy = null;
      clearTimeout(easel.pending);
      easel.pending = 0;
      button.click();
    }, { once: true });
  }

  // Captured, since Gradio's own boxes take Enter.
  document.addEventListener("keydown", (event) => {
    const control = event.ctrlKey || event.metaKey;
    const dialogOpen = document.querySelector("dialog[open]") !== null;
    if (control && event.key === "Enter") press(`${easel.tab()}_generate`);
    else if (event.altKey && event.key === "Enter") press(`${easel.tab()}_skip`);
    else if (event.key === "Escape" && !dialogOpen && easel.watchOf(easel.tab()).running()
      && event.target.getAttribute?.("aria-expanded") !== "true") press(`${easel.tab()}_interrupt`);
    else if (control && (event.key === "ArrowUp" || event.key === "ArrowDown") && event.target.matches?.(PROMPTS))
      easel.weighByKey(event.target, event.key === "ArrowUp");
    else if (event.altKey && !control && (event.key === "ArrowLeft" || event.key === "ArrowRight") && event.target.matches?.(PROMPTS))
      easel.movePhraseByKey(event.target, event.key === "ArrowRight");
    else return;
    event.preventDefault();
    event.stopPropagation();
  }, true);

  function name(names) {
    for (const [id, words] of Object.entries(names)) {
      const button = document.getElementById(id);
      button?.setAttribute("aria-label", words);
      button?.setAttribute("title", words);
    }
  }
  // A tab's turn comes when it is first opened.
  const begun = new Set();
  function beginTab(tab) {
    begun.add(tab);
    name(easel.page().names[tab]);
    easel.dress(tab);
    const source = document.getElementById(`${tab}_source`);
    if (source) easel.sources[tab] = new easel.Source(source);
    easel.takeUp(tab);
  }
  function begin() {
    if (!easel.page()) return;
    if (!begun.size && document.getElementById(`${easel.tabs()[0]}_results`)) {
      name({ refresh_sd_model_checkpoint: "Look for model files again" });
      // The server's wish; the address may still ask for other colours, as in A1111.
      const { theme } = document.documentElement.dataset;
      if (theme && !new URL(location).searchParams.has("__theme")) document.body.classList.toggle("dark", theme === "dark");
      easel.cards.begin();
      easel.inMemory.begin();
    easel.extras.begin();
    }
    for (const tab of easel.tabs()) if (!begun.has(tab) && document.getElementById(`${tab}_results`)) beginTab(tab);
    if (begun.size === easel.tabs().length) observer.disconnect();
  }
  const observer = new MutationObserver(begin);
  observer.observe(document.documentElement, { childList: true, subtree: true });
  begin();
})();
