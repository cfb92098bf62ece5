// The curve of a training: loss, smoothed loss, loss on held-out pictures and learning rate, as lines of an SVG.
"use strict";
easel.trainCurve = (() => {
  const W = 600, H = 220, LEFT = 46, RIGHT = 46, TOP = 12, BOTTOM = 24;
  const NS = "http://www.w3.org/2000/svg";
  const short = (value) => (value !== 0 && (Math.abs(value) < 0.001 || Math.abs(value) >= 1000) ? value.toExponential(1) : String(+value.toPrecision(3)));

  // Exponential, corrected for its beginning, so that the first points are no outliers.
  function smoothed(points, share) {
    let mean = 0, weight = 0;
    return points.map(([step, loss]) => {
      mean = mean * share + loss * (1 - share);
      weight = weight * share + (1 - share);
      return [step, mean / weight];
    });
  }
  function line(points, x, y, name) {
    const path = document.createElementNS(NS, "path");
    path.setAttribute("class", name);
    path.setAttribute("d", points.map(([step, value], place) => `${place ? "L" : "M"}${x(step).toFixed(1)} ${y(value).toFixed(1)}`).join("") + (points.length === 1 ? "h0" : ""));
    return path;
  }
  function label(text, x, y, anchor) {
    const element = document.createElementNS(NS, "text");
    for (const [name, value] of Object.entries({ x, y, "text-anchor": anchor })) element.setAttribute(name, value);
    element.textContent = text;
    return element;
  }
  // loss: [step, loss, rate]; validation: [step, loss]; steps: of the whole training.
  function draw(svg, { loss, validation, steps }) {
    svg.replaceChildren();
    const seen = loss.filter(([, value]) => Number.isFinite(value));
    if (!seen.length) return;
    const smooth = smoothed(seen, seen.length > 60 ? 0.95 : 0.8);
    const sorted = seen.map(([, value]) => value).sort((a, b) => a - b);
    // The highest hundredth would press the rest flat; it is drawn at the edge.
    const top = Math.max(sorted[Math.floor((sorted.length - 1) * 0.99)], ...smooth.map(([, value]) => value), ...validation.map(([, value]) => value));
    const low = Math.min(sorted[0], ...validation.map(([, value]) => value));
    const span = top - low || 1;
    const rates = Math.max(...seen.map(([, , rate]) => rate || 0)) || 1;
    const x = (step) => LEFT + (W - LEFT - RIGHT) * (step / Math.max(steps, 1));
    const y = (value) => TOP + (H - TOP - BOTTOM) * (1 - (Math.min(value, top) - low) / span);
    const z = (rate) => TOP + (H - TOP - BOTTOM) * (1 - rate / rates);
    svg.append(line([[0, low], [steps, low]], x, y, "axis"), line(seen, x, y, "loss"), line(seen.map(([step, , rate]) => [step, rate || 0]), x, z, "rate"), line(smooth, x, y, "smooth"));
    if (validation.length) svg.append(line(validation, x, y, "held"));
    svg.append(label(short(top), LEFT - 6, TOP + 8, "end"), label(short(low), LEFT - 6, H - BOTTOM, "end"), label(short(rates), W - RIGHT + 6, TOP + 8, "start"),
      label("0", LEFT, H - 6, "middle"), label(`${steps} steps`, W - RIGHT, H - 6, "end"));
    svg.setAttribute("aria-label", `Loss over steps: ${short(smooth.at(-1)[1])} at step ${smooth.at(-1)[0]} of ${steps}`);
  }
  return { draw, smoothed };
})();
