// Weights by keyboard: Ctrl+Up and Ctrl+Down in a prompt, by A1111's rules. Pure but for the last function.
"use strict";
easel.changedWeight = (text, start, end, up) => {
  const DELIMITERS = ".,\\/!?%^*;:{}=`~() \t\r\n";
  const PAIRS = { "(": ")", "[": "]", "<": ">" };
  const round = (value) => String(Number(value.toFixed(2)));

  // The innermost pair of brackets around the caret: [place of the opening one, place of the closing one].
  function around(place) {
    const open = [];
    let found = null;
    for (let at = 0; at < text.length; at++) {
      if (text[at] === "\\") { at++; continue; }
      if (text[at] in PAIRS) open.push(at);
      else if (Object.values(PAIRS).includes(text[at]) && open.length && PAIRS[text[open.at(-1)]] === text[at]) {
        const from = open.pop();
        if (from < place && place <= at && (!found || from > found[0])) found = [from, at];
      }
    }
    return found;
  }
  const replaced = (from, to, inside, before) => ({
    text: text.slice(0, from) + inside + text.slice(to),
    start: from + before[0],
    end: from + before[1],
  });

  let pair = null;
  if (start === end) pair = around(start);
  else if (text[start - 1] in PAIRS && around(start)?.[0] === start - 1) pair = around(start);

  if (pair && text[pair[0]] === "<") {
    const [from, to] = pair;
    const number = /:(-?\d*\.?\d+)$/.exec(text.slice(from, to));
    const head = text.slice(from, to - (number ? number[0].length : 0));
    const weight = (number ? Number(number[1]) : 1) + (up ? 0.05 : -0.05);
    return replaced(from, to, `${head}:${round(weight)}`, [1, head.length]);
  }
  if (pair) {
    let [from, to] = pair;
    const opening = text[from];
    let depth = 1;
    let inside = text.slice(from + 1, to);
    const number = opening === "(" ? /:(-?\d*\.?\d+)\s*$/.exec(inside) : null;
    let weight;
    if (number) {
      weight = Number(number[1]);
      inside = inside.slice(0, number.index);
    } else {
      // ((x)) and [[x]] become a number first.
      while (text[from - 1] === opening && text[to + 1] === PAIRS[opening]) { from--; to++; depth++; }
      weight = Math.round((opening === "(" ? 1.1 : 1 / 1.1) ** depth * 10) / 10;
    }
    weight += up ? 0.1 : -0.1;
    if (round(weight) === "1") return replaced(from, to + 1, inside, [0, inside.length]);
    return replaced(from, to + 1, `(${inside}:${round(weight)})`, [1, 1 + inside.length]);
  }
  if (start === end) {
    while (start > 0 && !DELIMITERS.includes(text[start - 1])) start--;
    while (end < text.length && !DELIMITERS.includes(text[end])) end++;
  } else {
    while (end > start && /\s/.test(text[end - 1])) end--;
    while (start < end && /\s/.test(text[start])) start++;
  }
  if (start === end) return null;
  const words = text.slice(start, end);
  return replaced(start, end, `(${words}:${up ? "1.1" : "0.9"})`, [1, 1 + words.length]);
};
easel.weighByKey = (area, up) => {
  const changed = easel.changedWeight(area.value, area.selectionStart, area.selectionEnd, up);
  if (!changed) return;
  area.value = changed.text;
  area.setSelectionRange(changed.start, changed.end);
  area.dispatchEvent(new Event("input", { bubbles: true }));
};
