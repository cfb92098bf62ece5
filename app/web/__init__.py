"""The page: Gradio lays out the form, script.js watches jobs; nothing else of the program knows Gradio."""

from app.web.page import mount_page
from app.web.share import NoTunnel, open_tunnel

__all__ = ["NoTunnel", "mount_page", "open_tunnel"]
