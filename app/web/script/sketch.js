// Sketch: an inpaint sketch's paint laid over its picture with the mask's blur, so that it begins without an edge.
"use strict";
(() => {
  const PASSES = 3;  // of a box, which come close to a Gaussian

  // How far each pass reaches, so that all together have this sigma as nearly as whole pixels can (Kutskir 2012).
  function reaches(sigma) {
    const wanted = 12 * sigma * sigma, odd = Math.floor(Math.sqrt(wanted / PASSES + 1));
    const small = odd % 2 ? odd : odd - 1;
    const smalls = Math.round((wanted - PASSES * (small * small + 4 * small + 3)) / (-4 * small - 4));
    return Array.from({ length: PASSES }, (_, pass) => (small - 1) / 2 + (pass < smalls ? 0 : 1));
  }

  // One pass along one axis; what lies beyond the edge is the edge.
  function box(from, to, length, lines, along, across, reach) {
    const size = 2 * reach + 1;
    for (let line = 0; line < lines; line++) {
      for (let channel = 0; channel < 4; channel++) {
        const at = (place) => from[line * across + Math.min(Math.max(place, 0), length - 1) * along + channel];
        let sum = 0;
        for (let place = -reach; place <= reach; place++) sum += at(place);
        for (let place = 0; place < length; place++) {
          to[line * across + place * along + channel] = sum / size;
          sum += at(place + reach + 1) - at(place - reach);
        }
      }
    }
  }
  // Levels of RGBA pixels, blurred with about this sigma.
  function blurred(data, width, height, sigma) {
    const levels = Float32Array.from(data), other = new Float32Array(levels.length);
    for (const reach of reaches(sigma).filter(Boolean)) {
      box(levels, other, width, height, 4, 4 * width, reach);
      box(other, levels, height, width, 4 * width, 4, reach);
    }
    return levels;
  }
  // image: the picture. paint: a canvas of its size. share: how much of the paint counts, 0 to 1. sigma: pixels.
  easel.sketched = (image, paint, share, sigma) => {
    const { width, height } = paint;
    const under = easel.Painter.copyOf(image, width, height), over = easel.Painter.copyOf(under, width, height);
    over.getContext("2d").drawImage(paint, 0, 0);
    const context = under.getContext("2d");
    const pixels = (canvas) => canvas.getContext("2d").getImageData(0, 0, width, height).data;
    const result = context.getImageData(0, 0, width, height);
    // The smallest touch of paint counts whole: how much of it there is, is in the colours already.
    const touched = pixels(paint).map((level, at) => (at % 4 === 3 && level ? 255 : 0));
    const painted = blurred(pixels(over), width, height, sigma), mask = blurred(touched, width, height, sigma);
    for (let at = 0; at < result.data.length; at += 4) {
      const part = (mask[at + 3] / 255) * share;
      for (let channel = 0; channel < 3; channel++)
        result.data[at + channel] = Math.round(result.data[at + channel] * (1 - part) + painted[at + channel] * part);
    }
    context.putImageData(result, 0, 0);
    return under;
  };
})();
