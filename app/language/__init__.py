"""What a prompt says: its grammar, schedule, tags, styles and tokens, without torch."""

from app.language.tokens import BOS, COMMA, EOS, VOCABULARY_SIZE, Tokenizer

__all__ = ["BOS", "COMMA", "EOS", "VOCABULARY_SIZE", "Tokenizer"]
