"""The acceptance of training on pictures: things and styles that the starter does not know, judged by pixels."""
