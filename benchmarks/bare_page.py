"""The baseline of the start benchmark: a Gradio page with one button, served as the real one is."""

from __future__ import annotations

import sys

import fastapi
import gradio
import uvicorn


def serve(port: int) -> None:
    """Serves until it is killed."""
    with gradio.Blocks() as page:
        button = gradio.Button("Generate", elem_id="txt2img_generate")
        answer = gradio.Textbox()
        button.click(lambda: "done", outputs=answer)
    app = fastapi.FastAPI()
    gradio.mount_gradio_app(app, page, path="/", ssr_mode=False)
    uvicorn.run(app, port=port, log_level="warning")


if __name__ == "__main__":
    serve(int(sys.argv[1]))
