"""The HTTP interfaces: A1111's under /sdapi/v1, Easel's own under /api, described under /docs."""

from app.api.application import create_application
from app.api.downloads import downloads_router
from app.api.errors import error_of, install_error_handlers
from app.api.events import events_router
from app.api.extension_installing import extension_installing_router
from app.api.extensions import extensions_router
from app.api.extras import extras_router
from app.api.jobs import jobs_router
from app.api.memory import memory_router
from app.api.models import models_router
from app.api.pictures import pictures_router
from app.api.sdapi import sdapi_router
from app.api.sdapi_extras import sdapi_extras_router
from app.api.sdapi_lists import lists_router
from app.api.sdapi_networks import networks_router
from app.api.sdapi_training import training_arguments_router
from app.api.server_folders import server_folders_router
from app.api.training import training_router
from app.api.training_data import training_data_router

__all__ = [
    "create_application",
    "downloads_router",
    "error_of",
    "events_router",
    "extension_installing_router",
    "extensions_router",
    "extras_router",
    "install_error_handlers",
    "jobs_router",
    "lists_router",
    "memory_router",
    "models_router",
    "networks_router",
    "pictures_router",
    "sdapi_extras_router",
    "sdapi_router",
    "server_folders_router",
    "training_arguments_router",
    "training_data_router",
    "training_router",
]
