"""Who shares the next model call: rows in flight, the scheduler, the runner and the owner of all weights."""

from app.engine.engine import BeforeGroup, Engine
from app.engine.face_shelf import FaceShelf
from app.engine.loader import Loader, Needs
from app.engine.loading import Loading
from app.engine.pipeline_manager import PipelineManager
from app.engine.preview_shelf import PreviewShelf
from app.engine.row import ModelChoice, Row
from app.engine.runner import Runner
from app.engine.scheduler import Scheduler, Waiting
from app.engine.tiers import Thrift, Tier
from app.engine.upscaler_shelf import UpscalerShelf

__all__ = [
    "BeforeGroup",
    "Engine",
    "FaceShelf",
    "Loader",
    "Loading",
    "ModelChoice",
    "Needs",
    "PipelineManager",
    "PreviewShelf",
    "Row",
    "Runner",
    "Scheduler",
    "Thrift",
    "Tier",
    "UpscalerShelf",
    "Waiting",
]
