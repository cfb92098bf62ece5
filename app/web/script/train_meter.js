// The overfit meter of a training: how far ordinary ones have changed, which step looks best, and its file to take.
"use strict";
easel.trainMeter = (() => {
  const byId = (id) => document.getElementById(`train_${id}`);
  const HEAVY = 0.5, SOME = 0.25;
  const words = (drift) => `${Math.round(100 * drift)} %: ${drift > HEAVY ? "much, it may have learnt too much" : drift > SOME ? "somewhat" : "hardly"}`;

  // told: {drift: newest or null, best: {step, reason} or null, files: steps, taken: step or null, over, last: step}.
  function show({ drift, best, files, taken, over, last }) {
    byId("meter").hidden = drift === null && !best;
    for (const part of [byId("drift"), byId("drift").labels[0]]) part.hidden = drift === null;
    byId("drift").value = Math.min(drift ?? 0, 1);
    byId("drift_words").textContent = drift === null ? "" : words(drift);
    const lies = taken === null ? "" : ` The file of step ${taken} is in use.`;
    byId("best").textContent = best ? `Best ${over ? "" : "so far "}seems step ${best.step}${best.step === last ? ", the last" : ""}. ${best.reason}${lies}` : lies;
    const offered = over && best && best.step !== last && files.includes(best.step) && taken !== best.step;
    byId("take").hidden = !offered;
    byId("take").textContent = best ? `Use the file of step ${best.step}` : "";
    byId("take").dataset.step = best?.step ?? "";
    byId("take_last").hidden = !over || taken === null;
  }
  return { show };
})();
