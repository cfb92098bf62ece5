"""The page: Gradio lays out the form, scripts watch the jobs; only here is Gradio known."""

from app.web.page import mount_page
from app.web.share import NoTunnel, open_tunnel

__all__ = ["NoTunnel", "mount_page", "open_tunnel"]
