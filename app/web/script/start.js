// Starting: buttons and keys of the page, once Gradio has drawn it.
"use strict";
(() => {
  const PROMPTS = "#txt2img_prompt textarea, #txt2img_neg_prompt textarea";
  const press = (id) => document.getElementById(id)?.click();

  document.addEventListener("click", (event) => {
    const id = event.target.closest?.("button, a")?.id;
    if (id === "txt2img_interrupt") easel.watch.stop("interrupt");
    else if (id === "txt2img_skip") easel.watch.stop("skip");
    else if (id === "txt2img_generate") {
      // A double click means one job.
      if (easel.pending) event.stopImmediatePropagation();
      else easel.sent();
    } else if (id === "txt2img_copy_info") {
      const copied = navigator.clipboard?.writeText(document.getElementById("html_info_txt2img").textContent);
      copied?.then(() => { document.getElementById("txt2img_announcement").textContent = "Copied."; });
    }
  }, true);

  // Captured, since Gradio's own boxes take Enter.
  document.addEventListener("keydown", (event) => {
    const control = event.ctrlKey || event.metaKey;
    const dialogOpen = document.querySelector("dialog[open]") !== null;
    if (control && event.key === "Enter") press("txt2img_generate");
    else if (event.altKey && event.key === "Enter") press("txt2img_skip");
    else if (event.key === "Escape" && !dialogOpen && easel.watch.running()
      && event.target.getAttribute?.("aria-expanded") !== "true") press("txt2img_interrupt");
    else if (control && (event.key === "ArrowUp" || event.key === "ArrowDown") && event.target.matches?.(PROMPTS))
      easel.weighByKey(event.target, event.key === "ArrowUp");
    else if (event.altKey && !control && (event.key === "ArrowLeft" || event.key === "ArrowRight") && event.target.matches?.(PROMPTS))
      easel.movePhraseByKey(event.target, event.key === "ArrowRight");
    else return;
    event.preventDefault();
    event.stopPropagation();
  }, true);

  function begin() {
    if (!document.getElementById("txt2img_results")) return false;
    const names = {
      txt2img_res_switch_btn: "Swap width and height",
      txt2img_random_seed: "Draw a new seed each time (-1)",
      txt2img_reuse_seed: "Take the seed of the picture shown",
      refresh_sd_model_checkpoint: "Look for model files again",
      ...JSON.parse(document.getElementById("easel_page").dataset.page).names,
    };
    for (const [id, name] of Object.entries(names)) {
      const button = document.getElementById(id);
      button?.setAttribute("aria-label", name);
      button?.setAttribute("title", name);
    }
    // The server's wish; the address may still ask for other colours, as in A1111.
    const { theme } = document.documentElement.dataset;
    if (theme && !new URL(location).searchParams.has("__theme")) document.body.classList.toggle("dark", theme === "dark");
    easel.watch.takeUp();
    easel.cards.begin();
    easel.inMemory.begin();
    return true;
  }
  if (!begin()) {
    const observer = new MutationObserver(() => { if (begin()) observer.disconnect(); });
    observer.observe(document.documentElement, { childList: true, subtree: true });
  }
})();
