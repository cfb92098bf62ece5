// The painter: one layer of paint over a picture, stroke by stroke, with undo. Knows nothing of pointers or of the page.
// A mask's layer says what is redrawn by its opacity alone; its colour is for the eye.
"use strict";
easel.Painter = class {
  static MASK_COLOUR = "#ff2fb9";

  constructor(width, height) {
    this.canvas = document.createElement("canvas");
    [this.canvas.width, this.canvas.height] = [width, height];
    this.context = this.canvas.getContext("2d", { willReadFrequently: true });
    this.start = null;      // what was there before the first operation: a canvas, or nothing
    this.done = [];
    this.undone = [];
    this.stroke = null;
    this.version = 0;
  }
  static copyOf(image, width, height, colour = null) {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [width, height];
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0, width, height);
    if (colour) {
      context.globalCompositeOperation = "source-in";
      context.fillStyle = colour;
      context.fillRect(0, 0, width, height);
    }
    return canvas;
  }

  begin(point, { size, colour, erase }) {
    this.stroke = { kind: "stroke", size, colour, erase, points: [point] };
    this.draw(this.stroke);
  }
  extend(points) {
    if (!this.stroke) return;
    const from = this.stroke.points.length - 1;
    this.stroke.points.push(...points);
    this.draw(this.stroke, from);
  }
  end() {
    if (!this.stroke) return;
    this.keep(this.stroke);
    this.stroke = null;
  }
  // A second finger means that the first did not paint.
  abandon() {
    if (!this.stroke) return;
    this.stroke = null;
    this.redraw();
  }
  clear() { this.carryOut({ kind: "clear" }); }
  invert() { this.carryOut({ kind: "invert" }); }
  // image: a canvas of this size, in the colour of paint.
  put(image) { this.carryOut({ kind: "put", image }); }
  startFrom(image) {
    this.start = image;
    this.redraw();
  }
  carryOut(operation) {
    this.draw(operation);
    this.keep(operation);
  }
  keep(operation) {
    this.done.push(operation);
    this.undone = [];
    this.version++;
  }
  undo() { return this.step(this.done, this.undone); }
  redo() { return this.step(this.undone, this.done); }
  step(from, to) {
    if (!from.length) return false;
    to.push(from.pop());
    this.version++;
    this.redraw();
    return true;
  }

  redraw() {
    const { context, canvas } = this;
    context.clearRect(0, 0, canvas.width, canvas.height);
    const from = Math.max(0, this.done.findLastIndex(({ kind }) => kind === "clear" || kind === "put"));
    if (this.start && !["clear", "put"].includes(this.done[from]?.kind)) context.drawImage(this.start, 0, 0);
    for (const operation of this.done.slice(from)) this.draw(operation);
  }
  // from: the point up to which a stroke stands already, none where it is drawn from its first touch on.
  draw(operation, from = null) {
    const { context, canvas } = this;
    const { kind } = operation;
    context.save();
    if (kind === "clear" || kind === "put") context.clearRect(0, 0, canvas.width, canvas.height);
    if (kind === "put") context.drawImage(operation.image, 0, 0);
    if (kind === "invert") {
      context.globalCompositeOperation = "source-out";
      context.fillStyle = easel.Painter.MASK_COLOUR;
      context.fillRect(0, 0, canvas.width, canvas.height);
    }
    if (kind === "stroke") {
      const { points, size, colour, erase } = operation;
      context.globalCompositeOperation = erase ? "destination-out" : "source-over";
      context.strokeStyle = colour;
      context.lineWidth = size;
      context.lineCap = context.lineJoin = "round";
      // Piece by piece, so that a stroke drawn again is the same to the pixel as when the hand drew it.
      const line = (one, other) => {
        context.beginPath();
        context.moveTo(...one);
        context.lineTo(...other);
        context.stroke();
      };
      if (from === null) line(points[0], points[0]);
      for (let at = (from ?? 0) + 1; at < points.length; at++) line(points[at - 1], points[at]);
    }
    context.restore();
  }

  // Whether any pixel is painted more than this much (of 255).
  painted(above) {
    const { data } = this.context.getImageData(0, 0, this.canvas.width, this.canvas.height);
    for (let at = 3; at < data.length; at += 4) if (data[at] > above) return true;
    return false;
  }
  // The layer as a PNG file. colour: in place of its own; ground: below it, else it is transparent.
  blob({ colour = null, ground = null } = {}) {
    const { width, height } = this.canvas;
    const copy = colour ? easel.Painter.copyOf(this.canvas, width, height, colour) : this.canvas;
    if (!ground) return new Promise((done) => copy.toBlob(done));
    const context = copy.getContext("2d");
    context.globalCompositeOperation = "destination-over";
    context.fillStyle = ground;
    context.fillRect(0, 0, width, height);
    return new Promise((done) => copy.toBlob(done));
  }
};
