// Generate forever: begins the next job as soon as none is in work; by A1111's menu on Generate, or by a button.
"use strict";
easel.forever = (() => {
  const PAUSE = 500;
  const BUTTONS = "#txt2img_generate, #txt2img_interrupt";
  const byId = (id) => document.getElementById(id);
  let timer = 0;

  function next() {
    if (!easel.watch.running() && !easel.pending) byId("txt2img_generate").click();
  }
  function set(on) {
    clearInterval(timer);
    timer = on ? setInterval(next, PAUSE) : 0;
    const button = byId("txt2img_forever");
    button.setAttribute("aria-pressed", String(on));
    button.textContent = on ? "■ Stop generating forever" : "∞ Generate forever";
    if (on) next();
  }
  // What failed would fail for ever, as fast as the server can say so.
  const failed = () => { if (timer) set(false); };

  function menu(event) {
    close();
    const list = document.createElement("div");
    list.id = "txt2img_context_menu";
    list.className = "easel-menu";
    list.setAttribute("role", "menu");
    for (const [words, on] of [["Generate forever", true], ["Cancel generate forever", false]]) {
      const item = document.createElement("button");
      item.type = "button";
      item.setAttribute("role", "menuitem");
      item.textContent = words;
      item.addEventListener("click", () => { close(); set(on); });
      list.append(item);
    }
    document.body.append(list);
    list.style.left = `${Math.min(event.clientX, innerWidth - list.offsetWidth - 8)}px`;
    list.style.top = `${Math.min(event.clientY, innerHeight - list.offsetHeight - 8)}px`;
    list.firstChild.focus();
  }
  const close = () => byId("txt2img_context_menu")?.remove();

  document.addEventListener("contextmenu", (event) => {
    if (!event.target.closest?.(BUTTONS)) return;
    event.preventDefault();
    menu(event);
  }, true);
  document.addEventListener("click", (event) => {
    if (event.target.closest?.("#txt2img_forever")) set(!timer);
    else if (!event.target.closest?.("#txt2img_context_menu")) close();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
  });
  return { set, failed, on: () => timer !== 0 };
})();
