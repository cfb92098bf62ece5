// Prompt tags: a network's tag and its words put into a prompt and taken out again. Pure functions.
"use strict";
easel.promptTags = (() => {
  const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  const TAGS = { lora: "(?:lora|lyco)", hypernetwork: "hypernet" };
  const tagged = (card) => card.kind in TAGS;
  // An embedding's name as a word of its own; `(name:1.1)` and `name,` count.
  const wordOf = (name) => new RegExp(`(^|[\\s,(\\[|])(${escaped(name)})(?=$|[\\s,:)\\]|])`, "i");
  const tagOf = (card) => new RegExp(`<${TAGS[card.kind]}:${escaped(card.prompt_name)}(?::[^<>]*)?>`, "i");
  const round = (weight) => String(Number(weight.toFixed(3)));

  function has(text, card) {
    if (!card.prompt_name) return false;
    return (tagged(card) ? tagOf(card) : wordOf(card.prompt_name)).test(text);
  }
  const added = (text, more) => (text.trim() ? `${text.trimEnd()} ${more}` : more);

  // The text without the piece between two places, and without the gap that it leaves.
  function cut(text, from, to) {
    const before = text.slice(0, from).replace(/[ ,]*$/, ""), after = text.slice(to).replace(/^ +/, "");
    if (!before) return after.replace(/^[ ,]+/, "");
    if (!after || /^[,.\n)\]]/.test(after)) return before + after;
    return `${before}${/,\s*$/.test(text.slice(0, from)) ? "," : ""} ${after}`;
  }
  function without(text, card) {
    for (let found = tagOf(card).exec(text); found; found = tagOf(card).exec(text)) {
      let end = found.index + found[0].length;
      const rest = text.slice(end), words = card.activation_text;
      const gap = /^[ ,]*/.exec(rest)[0].length;
      if (words && rest.slice(gap).startsWith(words)) end += gap + words.length;
      text = cut(text, found.index, end);
    }
    return text;
  }
  function withoutPiece(text, piece) {
    const at = text.indexOf(piece);
    return at < 0 ? text : cut(text, at, at + piece.length);
  }

  // What a click on a card makes of both prompts: in with it, or out. negative: an embedding goes there.
  function toggled(prompt, negativePrompt, card, negative = false) {
    const warning = card.negative_text ? `(${card.negative_text}:1)` : "";
    if (!tagged(card)) {
      const text = negative ? negativePrompt : prompt;
      const found = wordOf(card.prompt_name).exec(text);
      const from = found && found.index + found[1].length;
      const changed = found ? cut(text, from, from + found[2].length) : added(text, card.prompt_name);
      return negative ? { prompt, negativePrompt: changed } : { prompt: changed, negativePrompt };
    }
    if (has(prompt, card))
      return { prompt: without(prompt, card), negativePrompt: warning ? withoutPiece(negativePrompt, warning) : negativePrompt };
    const tag = `<${card.kind === "lora" ? "lora" : "hypernet"}:${card.prompt_name}:${round(card.preferred_weight ?? 1)}>`;
    return {
      prompt: added(prompt, card.activation_text ? `${tag} ${card.activation_text}` : tag),
      negativePrompt: warning && !negativePrompt.includes(warning) ? added(negativePrompt, warning) : negativePrompt,
    };
  }
  // A trigger word behind what is there, once.
  const withWord = (text, word) => {
    if (text.split(",").some((part) => part.trim().toLowerCase() === word.toLowerCase())) return text;
    return text.trim() ? `${text.replace(/[\s,]+$/, "")}, ${word}` : word;
  };
  return { has, toggled, withWord };
})();
