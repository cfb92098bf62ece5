"""Files on disk: told by content, named as A1111 names them, saved whole or not at all."""
