// Generate forever: begins the next job of a tab as soon as none is in work; by A1111's menu on Generate, or by a button.
"use strict";
easel.makeForever = (tab) => {
  const PAUSE = 500;
  const own = (name) => document.getElementById(`${tab}_${name}`);
  let timer = 0;

  function next() {
    if (!easel.watchOf(tab).running() && !easel.pending) own("generate").click();
  }
  function set(on) {
    clearInterval(timer);
    timer = on ? setInterval(next, PAUSE) : 0;
    const button = own("forever");
    button.setAttribute("aria-pressed", String(on));
    button.textContent = on ? "■ Stop generating forever" : "∞ Generate forever";
    if (on) next();
  }
  // What failed would fail for ever, as fast as the server can say so.
  const failed = () => { if (timer) set(false); };
  return { set, failed, on: () => timer !== 0 };
};
easel.forevers = {};
easel.foreverOf = (tab) => (easel.forevers[tab] ??= easel.makeForever(tab));
(() => {
  const close = () => document.querySelector(".easel-forever-menu")?.remove();
  const tabOf = (target, names) => {
    const [, tab, name] = /^([a-z0-9]+)_(\w+)$/.exec(target.closest?.("button, a")?.id ?? "") ?? [];
    return names.includes(name) ? tab : null;
  };

  function menu(event, tab) {
    close();
    const list = document.createElement("div");
    list.id = `${tab}_context_menu`;
    list.className = "easel-menu easel-forever-menu";
    list.setAttribute("role", "menu");
    for (const [words, on] of [["Generate forever", true], ["Cancel generate forever", false]]) {
      const item = document.createElement("button");
      item.type = "button";
      item.setAttribute("role", "menuitem");
      item.textContent = words;
      item.addEventListener("click", () => { close(); easel.foreverOf(tab).set(on); });
      list.append(item);
    }
    document.body.append(list);
    list.style.left = `${Math.min(event.clientX, innerWidth - list.offsetWidth - 8)}px`;
    list.style.top = `${Math.min(event.clientY, innerHeight - list.offsetHeight - 8)}px`;
    list.firstChild.focus();
  }

  document.addEventListener("contextmenu", (event) => {
    const tab = tabOf(event.target, ["generate", "interrupt"]);
    if (!tab) return;
    event.preventDefault();
    menu(event, tab);
  }, true);
  document.addEventListener("click", (event) => {
    const tab = tabOf(event.target, ["forever"]);
    if (tab) easel.foreverOf(tab).set(!easel.foreverOf(tab).on());
    else if (!event.target.closest?.(".easel-forever-menu")) close();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
  });
})();
