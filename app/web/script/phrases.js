// Phrases by keyboard: Alt+Left and Alt+Right move what stands between two commas. Pure but for the last function.
"use strict";
easel.movedPhrase = (text, start, end, right) => {
  // Places of commas outside brackets, so that (a, b:1.2) moves as a whole.
  const commas = [-1];
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    if (text[at] === "\\") at++;
    else if ("([<{".includes(text[at])) depth++;
    else if (")]>}".includes(text[at])) depth = Math.max(0, depth - 1);
    else if (text[at] === "," && depth === 0) commas.push(at);
  }
  commas.push(text.length);
  const phrases = commas.slice(0, -1).map((comma, place) => text.slice(comma + 1, commas[place + 1]));
  const first = Math.max(0, commas.findLastIndex((comma) => comma < start));
  const last = Math.max(first, commas.findLastIndex((comma) => comma < end && comma < text.length));
  const from = Math.min(first, phrases.length - 1), to = Math.min(last, phrases.length - 1);
  if (right ? to >= phrases.length - 1 : from <= 0) return null;

  // Blanks stay where they are; only the words change places.
  const edges = phrases.map((phrase) => /^(\s*)[^]*?(\s*)$/.exec(phrase));
  const words = phrases.map((phrase) => phrase.trim());
  const block = words.splice(from, to - from + 1);
  const place = right ? from + 1 : from - 1;
  words.splice(place, 0, ...block);
  const parts = words.map((word, at) => edges[at][1] + word + edges[at][2]);
  const before = parts.slice(0, place).reduce((sum, part) => sum + part.length + 1, 0) + edges[place][1].length;
  const length = parts.slice(place, place + block.length).join(",").length - edges[place][1].length
    - edges[place + block.length - 1][2].length;
  return { text: parts.join(","), start: before, end: before + length };
};
easel.movePhraseByKey = (area, right) => {
  const moved = easel.movedPhrase(area.value, area.selectionStart, area.selectionEnd, right);
  if (!moved) return;
  area.value = moved.text;
  area.setSelectionRange(moved.start, moved.end);
  area.dispatchEvent(new Event("input", { bubbles: true }));
};
