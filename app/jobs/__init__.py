"""Jobs: stored before they are answered, worked through by one engine, watched by whoever likes."""

from app.jobs.bus import Bus, Told
from app.jobs.engine import BeforeGroup, Engine, MakeEngine
from app.jobs.faces import face_files_of
from app.jobs.hashing import AddHashes, HashAhead
from app.jobs.inflight import Inflight
from app.jobs.job import Job
from app.jobs.jobs import Jobs
from app.jobs.lease import DeviceLease
from app.jobs.lock import DataFolderLock, Holder, read_holder
from app.jobs.lookups import answers_to, lookups_of, network_with_hash
from app.jobs.networks import LibraryWords
from app.jobs.pictures import PicturesBySettings
from app.jobs.recovery import recover
from app.jobs.resolve import Expander, Resolver, identity_of
from app.jobs.results import Results
from app.jobs.store import QueueEntry, Store
from app.jobs.training import Training, TrainingWish
from app.jobs.training_process import Child, StartChild, start_detached
from app.jobs.training_store import TrainingStore
from app.jobs.training_supervisor import TrainingSupervisor
from app.jobs.trainings import Planner, Trainings
from app.jobs.watch import AsyncWatch, Watch
from app.jobs.worker import Worker
from app.jobs.writer import PictureFiles, Writer

__all__ = [
    "AddHashes",
    "AsyncWatch",
    "BeforeGroup",
    "Bus",
    "Child",
    "DataFolderLock",
    "DeviceLease",
    "Engine",
    "Expander",
    "HashAhead",
    "Holder",
    "Inflight",
    "Job",
    "Jobs",
    "LibraryWords",
    "MakeEngine",
    "PictureFiles",
    "PicturesBySettings",
    "Planner",
    "QueueEntry",
    "Resolver",
    "Results",
    "StartChild",
    "Store",
    "Told",
    "Training",
    "TrainingStore",
    "TrainingSupervisor",
    "TrainingWish",
    "Trainings",
    "Watch",
    "Worker",
    "Writer",
    "answers_to",
    "face_files_of",
    "identity_of",
    "lookups_of",
    "network_with_hash",
    "read_holder",
    "recover",
    "start_detached",
]
