"""Training data: pictures and captions of a folder, sorted into sizes, dealt out in batches."""

from app.training.data.batches import Batch, Deal
from app.training.data.buckets import Bucket, Placing, bucket_sizes, place
from app.training.data.captions import CaptionOptions, Templates, caption_for
from app.training.data.folder import Sample, passed_over, read_folder
from app.training.data.material import (
    Material,
    Placed,
    caption_of,
    class_caption_of,
    class_captions,
    deal_of,
    read_material,
    word_of,
)

__all__ = [
    "Batch",
    "Bucket",
    "CaptionOptions",
    "Deal",
    "Material",
    "Placed",
    "Placing",
    "Sample",
    "Templates",
    "bucket_sizes",
    "caption_for",
    "caption_of",
    "class_caption_of",
    "class_captions",
    "deal_of",
    "passed_over",
    "place",
    "read_folder",
    "read_material",
    "word_of",
]
