"""The Extensions tab, and the tabs that extensions bring; script/extensions_tab.js fills the first."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable

import gradio as gr

from app.hooks import Tab

logger = logging.getLogger(__name__)

_CONTENT = """
<div id="extensions" class="easel-extensions">
  <div class="easel-actions">
    <button id="extensions_apply" class="easel-button" type="button" disabled>Apply at the next start</button>
    <label>Disable all extensions
      <select id="extensions_disable_all" class="easel-input">
        <option value="none">none</option><option value="extra">extra</option><option value="all">all</option>
      </select></label>
  </div>
  <p id="extensions_said" class="easel-told" role="status" aria-live="polite"></p>
  <div id="extensions_error" class="easel-error" role="alert" hidden></div>
  <div id="extensions_list"></div>
  <section id="extensions_install" class="easel-extension" aria-label="Install an extension" hidden>
    <h4>Install an extension</h4>
    <p class="easel-words">An extension is a program: it may do whatever Easel may, with your files and on your network.
      Install only what you trust. It is fetched now and loaded at the next start.</p>
    <p id="extensions_refusal" class="easel-words" hidden></p>
    <div id="extensions_form">
      <label>Address of a git repository
        <input id="extensions_address" class="easel-input" type="url" placeholder="https://..."></label>
      <label>Branch <input id="extensions_branch" class="easel-input" type="text" placeholder="its usual one"></label>
      <label>or a .zip file <input id="extensions_archive" class="easel-input" type="file" accept=".zip"></label>
      <label>Folder
        <input id="extensions_name" class="easel-input" type="text" placeholder="as it is called there"></label>
      <label id="extensions_password_row" hidden>Your password once more
        <input id="extensions_password" class="easel-input" type="password" autocomplete="current-password"></label>
      <div class="easel-actions">
        <button id="extensions_install_button" class="easel-button" type="button">Install</button>
        <button id="extensions_stop" class="easel-button" type="button" hidden>Stop</button>
      </div>
    </div>
    <p id="extensions_installing" class="easel-told" role="status" aria-live="polite"></p>
    <ul id="extensions_waiting"></ul>
  </section>
</div>
"""


def extensions_layout() -> None:
    """The list of extensions."""
    gr.HTML(_CONTENT, js_on_load=None)


def extension_tab(owner: str, tab: Tab, failed: Callable[[str, str], None]) -> None:
    """A tab of an extension; where it cannot be drawn it says so, and the page goes on."""
    try:
        label, build = str(tab.label), tab.build
    except Exception:
        logger.exception("The extension %s registered a tab that is none", owner)
        return failed(owner, traceback.format_exc())
    id = f"ext_{owner}_{label.lower().replace(' ', '_')}"
    with gr.Tab(label, id=id, elem_id=f"tab_{id}"):
        try:
            build()
        except Exception:
            logger.exception("The extension %s could not draw its tab", owner)
            failed(owner, traceback.format_exc())
            gr.Markdown("This tab could not be drawn; the Extensions tab says why.")
