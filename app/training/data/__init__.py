"""Training data: pictures and captions of a folder, sorted into sizes, dealt out in batches."""

from app.training.data.batches import Batch, Deal
from app.training.data.buckets import Bucket, Placing, bucket_sizes, place
from app.training.data.captions import CaptionOptions, Templates, caption_for
from app.training.data.folder import Sample, read_folder

__all__ = [
    "Batch",
    "Bucket",
    "CaptionOptions",
    "Deal",
    "Placing",
    "Sample",
    "Templates",
    "bucket_sizes",
    "caption_for",
    "place",
    "read_folder",
]
