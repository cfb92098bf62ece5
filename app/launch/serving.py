"""Serving: the page and the HTTP interfaces over a workshop, until the server is stopped."""

from __future__ import annotations

import logging
import socket
import sys
import threading
import traceback
import webbrowser
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn

from app import access
from app.api import (
    create_application,
    downloads_router,
    events_router,
    extension_installing_router,
    extensions_router,
    extras_router,
    jobs_router,
    lists_router,
    memory_router,
    models_router,
    networks_router,
    pictures_router,
    sdapi_extras_router,
    sdapi_router,
    server_folders_router,
    training_arguments_router,
    training_data_router,
    training_router,
)
from app.files import Thumbnails
from app.launch.engine import device_memory
from app.launch.fits import NetworkFits
from app.launch.workshop import Workshop
from app.schema.errors import CannotWrite, InvalidField
from app.schema.flags import LaunchOptions, Login, read_logins

logger = logging.getLogger(__name__)

WARM_UP_DELAY = 4.0
"""Seconds after the page is up until torch is imported unasked; the page's own first load is over by then."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")
PORTS_TRIED = 20
SECRETS = {"gradio_auth", "api_auth", "gradio_auth_path"}


def serve(options: LaunchOptions, workshop: Workshop) -> int:
    """Serves until it is stopped; the exit status. Raises CannotWrite when no port is free."""
    app = application(options, workshop)
    listener = bind(options)
    port = listener.getsockname()[1]
    shown = "127.0.0.1" if options.host in ("0.0.0.0", "::") else options.host
    address = f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"
    server = uvicorn.Server(
        uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=3, lifespan="on", ws="none")
    )

    def once_up() -> None:
        while not server.started:
            if server.should_exit:
                return
            threading.Event().wait(0.02)
        workshop.lock.tell_address(address)
        print(f"Easel is at {address}", flush=True)
        if options.share:
            share(port)
        if options.opens_browser:
            webbrowser.open(address)
        warm_up = threading.Timer(WARM_UP_DELAY, workshop.worker.warm_up)
        warm_up.daemon = True
        warm_up.start()
        workshop.downloads.go_on()

    threading.Thread(target=once_up, name="once up", daemon=True).start()
    server.run(sockets=[listener])
    return 0


def application(options: LaunchOptions, workshop: Workshop) -> Any:
    """The FastAPI application with what the flags ask for."""
    thumbnails = Thumbnails(workshop.folders.state / "thumbnails")
    rules = access_rules(options)
    app = create_application(rules)
    app.include_router(jobs_router(workshop.jobs))
    app.include_router(events_router(workshop.jobs))
    fits = NetworkFits(workshop.resolver.tokenizer)
    app.include_router(models_router(workshop.library, workshop.jobs, thumbnails, fits))
    app.include_router(memory_router(workshop.jobs, workshop.library))
    app.include_router(downloads_router(workshop.downloads))
    app.include_router(pictures_router(workshop.blobs))
    app.include_router(server_folders_router(workshop.blobs))
    app.include_router(training_router(workshop.trainings))
    app.include_router(training_data_router(workshop.trainings, workshop.folders.data))
    app.include_router(extras_router(workshop.extras))
    include_extension_routes(app, workshop)
    listed = partial(getattr, workshop.extensions, "extensions")
    installer = workshop.installer
    installer.refusal = refusal_to_install(options)
    app.include_router(extension_installing_router(installer, rules))
    app.include_router(extensions_router(listed, workshop.settings, workshop.resolver.extensions, installer.origin))
    if options.api or options.nowebui:
        app.include_router(
            sdapi_router(workshop.jobs, workshop.library, workshop.settings, workshop.resolver, workshop.blobs)
        )
        app.include_router(sdapi_extras_router(workshop.extras))
        roots = (workshop.folders.data, workshop.folders.program)
        templates = tuple(root / "textual_inversion_templates" for root in roots)
        app.include_router(training_arguments_router(workshop.trainings, templates))
        app.include_router(networks_router(workshop.jobs, workshop.library, workshop.resolver))
        asked = partial(device_memory, options.wanted_device)
        choices = workshop.resolver.choices
        app.include_router(
            lists_router(workshop.library, workshop.resolver.styles, flags_shown(options), asked, choices)
        )
    if not options.nowebui:
        # Late, since it brings Gradio, which --nowebui does without.
        from app.web import mount_page  # noqa: PLC0415

        mount_page(
            app,
            jobs=workshop.jobs,
            library=workshop.library,
            settings=workshop.settings,
            resolver=workshop.resolver,
            styles=workshop.styles,
            theme=options.theme,
            extension_tabs=workshop.registry.owners("register_tabs"),
            extension_failed=workshop.extensions.fail,
            targets=workshop.registry.targets(),
        )
    return app


def refusal_to_install(options: LaunchOptions) -> str:
    """Why this server installs no code that is sent to it, "" where it does."""
    at_the_machine = "Put the extension's folder into extensions/ at the machine itself"
    if options.share:
        return f"No extension is installed while the server has a public link (--share). {at_the_machine}."
    if options.host not in LOOPBACK and not options.enable_insecure_extension_access:
        return (
            "No extension is installed while other machines reach the server (--listen, --server-name). "
            f"{at_the_machine}, or start with --enable-insecure-extension-access, which lets whoever knows the "
            "administrator's password run code here."
        )
    return ""


def include_extension_routes(app: Any, workshop: Workshop) -> None:
    """The routers of extensions under /ext/<extension>; one that cannot be included marks its extension."""
    for extension, router in workshop.registry.owners("register_routes"):
        try:
            app.include_router(router, prefix=f"/ext/{extension}")
        except Exception:
            logger.exception("The routes of the extension %s cannot be served", extension)
            workshop.extensions.fail(extension, traceback.format_exc())


def bind(options: LaunchOptions) -> socket.socket:
    """A listening socket at the wanted port; without a wish, the next free one after the usual. Raises CannotWrite."""
    last = options.wanted_port if options.port else options.wanted_port + PORTS_TRIED - 1
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    for port in range(options.wanted_port, last + 1):
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((options.host, port))
        except OSError as error:
            listener.close()
            problem = error
            continue
        listener.listen(128)
        return listener
    raise CannotWrite(
        f"Port {options.wanted_port} of {options.host} cannot be used: {problem.strerror}.",
        field="--port",
        hint="Stop the program that uses it, or choose another with --port.",
    )


def share(port: int) -> None:
    """Opens the public link and prints it, or what stands in its way."""
    # Late, since it brings Gradio, which --nowebui does without.
    from app.web.share import NoTunnel, open_tunnel  # noqa: PLC0415

    try:
        print(f"Public link: {open_tunnel(port)}", flush=True)
    except NoTunnel as problem:
        print(problem, file=sys.stderr, flush=True)


def access_rules(options: LaunchOptions) -> access.Access:
    """Who may ask, from the flags."""
    page: dict[str, str] = {}
    if options.gradio_auth is not None:
        page |= dict(read_logins(options.gradio_auth.get_secret_value()))
    if options.gradio_auth_path is not None:
        page |= dict(logins_in(options.gradio_auth_path))
    api = dict(read_logins(options.api_auth.get_secret_value())) if options.api_auth is not None else {}
    return access.Access(
        page_logins=page,
        api_logins=api,
        page_served=not options.nowebui,
        personal=options.host in LOOPBACK and not options.share,
        hosts=("*.gradio.live",) if options.share else (),
        origins=options.cors_allow_origins,
    )


def logins_in(path: Path) -> tuple[Login, ...]:
    """The logins of a file. Raises InvalidField when it cannot be read or holds something else."""
    hint = "It holds user:password, one a line."
    try:
        return read_logins(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        reason = f"The file of logins {path} cannot be read: {error.strerror}."
        raise InvalidField(reason, field="--gradio-auth-path", hint=hint) from error
    except ValueError as error:
        # Without the cause: a UnicodeDecodeError holds the passwords.
        what = "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error)
        reason = f"The file of logins {path} cannot be used: {what}."
        raise InvalidField(reason, field="--gradio-auth-path", hint=hint) from None


def flags_shown(options: LaunchOptions) -> Mapping[str, Any]:
    """The flags of this start as A1111's cmd-flags route tells them, without passwords."""
    return options.model_dump(mode="json", exclude=SECRETS)
