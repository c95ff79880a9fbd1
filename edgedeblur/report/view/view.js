"use strict";
// The mask is an array of bytes, 255 restored; the stage shows `before` and over it `after`, as opaque as the mask.
const $ = (id) => document.getElementById(id);
const facts = JSON.parse($("facts").textContent);
const pictures = { before: $("before"), full: $("full"), half: $("half-picture") };
const stage = $("view");
const pen = stage.getContext("2d");
const MASK_PIXELS = 2e6; // a mask may have any scale; this one is fast to paint everywhere
const UNDO_STEPS = 12;

let width, height, maskScale, maskWidth, maskHeight, mask;
const after = document.createElement("canvas");
const opacity = document.createElement("canvas"); // the mask as alpha
const mixed = document.createElement("canvas"); // `after` through the mask
let split = 0.5, zoom = 1, left = 0, top_ = 0, tool = "compare", shown = false, fitted = true;
let cursor = null; // where the brush is, in pixels of the picture
let undone = [];
let dirty = false;

function start() {
  begin();
  new ResizeObserver(resize).observe($("stage"));
  document.documentElement.dataset.ready = "yes";
}

/* With the pictures as they are now, all of them restored. */
function begin() {
  width = pictures.before.naturalWidth ?? pictures.before.width;
  height = pictures.before.naturalHeight ?? pictures.before.height;
  maskScale = Math.min(1, Math.sqrt(MASK_PIXELS / (width * height)));
  maskWidth = Math.max(1, Math.round(width * maskScale));
  maskHeight = Math.max(1, Math.round(height * maskScale));
  mask = new Uint8ClampedArray(maskWidth * maskHeight).fill(255);
  [undone, fitted, $("undo").disabled] = [[], true, true];
  for (const canvas of [after, mixed]) [canvas.width, canvas.height] = [width, height];
  [opacity.width, opacity.height] = [maskWidth, maskHeight];
  cursor = { x: width / 2, y: height / 2 };
  blendScales();
  showMask(0, 0, maskWidth, maskHeight);
  resize();
  for (const id of ["split", "strength", "size", "soft", "half"]) tellValue(id);
}

// Drawing

function blendScales() {
  const context = after.getContext("2d");
  context.globalAlpha = 1;
  context.drawImage(pictures.full, 0, 0);
  context.globalAlpha = $("half").value / 100;
  context.drawImage(pictures.half, 0, 0, width, height);
  mixScheduled = true;
}

let mixScheduled = false;

function mix() {
  const context = mixed.getContext("2d");
  context.globalCompositeOperation = "copy";
  context.drawImage(after, 0, 0);
  context.globalCompositeOperation = "destination-in";
  context.drawImage(opacity, 0, 0, width, height);
  mixScheduled = false;
}

function showMask(x, y, across, down) {
  if (across < 1 || down < 1) return;
  const part = new ImageData(across, down);
  for (let row = 0; row < down; row++)
    for (let column = 0; column < across; column++)
      part.data[4 * (row * across + column) + 3] = mask[(y + row) * maskWidth + x + column];
  opacity.getContext("2d").putImageData(part, x, y);
  mixScheduled = true;
  draw();
}

function draw() {
  if (dirty) return;
  dirty = true;
  requestAnimationFrame(() => { dirty = false; drawNow(); });
}

function drawNow() {
  if (mixScheduled) mix();
  const ratio = devicePixelRatio;
  pen.setTransform(1, 0, 0, 1, 0, 0);
  pen.clearRect(0, 0, stage.width, stage.height);
  pen.setTransform(zoom * ratio, 0, 0, zoom * ratio, left * ratio, top_ * ratio);
  pen.imageSmoothingEnabled = zoom * ratio < 2; // pixels are seen as pixels
  pen.drawImage(pictures.before, 0, 0);
  const at = splitAt();
  pen.save();
  pen.beginPath();
  pen.rect((at - left) / zoom, 0, width + 1e5, height);
  pen.clip();
  pen.drawImage(mixed, 0, 0);
  pen.restore();
  if (shown) drawMarks();
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  drawSlider(at);
  if (tool === "brush") drawBrush();
}

function drawMarks() {
  const marks = document.createElement("canvas");
  [marks.width, marks.height] = [maskWidth, maskHeight];
  const context = marks.getContext("2d");
  context.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--mark");
  context.fillRect(0, 0, maskWidth, maskHeight);
  context.globalCompositeOperation = "destination-in";
  context.drawImage(opacity, 0, 0);
  pen.globalAlpha = 0.45;
  pen.drawImage(marks, 0, 0, width, height);
  pen.globalAlpha = 1;
}

function drawSlider(at) {
  const middle = stage.clientHeight / 2;
  pen.fillStyle = "#fff";
  pen.shadowColor = "#0008";
  pen.shadowBlur = 6;
  pen.fillRect(at - 1, 0, 2, stage.clientHeight);
  pen.beginPath();
  pen.arc(at, middle, 18, 0, 7);
  pen.fill();
  pen.shadowBlur = 0;
  pen.strokeStyle = "#1c2430";
  pen.lineWidth = 2;
  for (const side of [-1, 1]) {
    pen.beginPath();
    pen.moveTo(at + side * 5, middle - 5);
    pen.lineTo(at + side * 10, middle);
    pen.lineTo(at + side * 5, middle + 5);
    pen.stroke();
  }
}

function drawBrush() {
  for (const [color, wide] of [["#000a", 3], ["#fff", 1.5]]) {
    pen.beginPath();
    pen.arc(left + cursor.x * zoom, top_ + cursor.y * zoom, radius() * zoom, 0, 7);
    pen.strokeStyle = color;
    pen.lineWidth = wide;
    pen.stroke();
  }
}

// Where things are

const splitAt = () => split * stage.clientWidth;
const radius = () => 2 * Math.pow(Math.min(width, height) / 4, $("size").value / 1000); // pixels of the picture

function resize() {
  [stage.width, stage.height] = [stage.clientWidth * devicePixelRatio, stage.clientHeight * devicePixelRatio];
  if (fitted) fit();
  else hold();
}

function fit() {
  zoom = Math.min(stage.clientWidth / width, stage.clientHeight / height);
  fitted = true;
  hold();
}

function hold() { // no further out than the middle of the stage
  const across = zoom * width, down = zoom * height;
  const free = (space, length, place) =>
    length <= space ? (space - length) / 2 : Math.min(space / 2, Math.max(space / 2 - length, place));
  left = free(stage.clientWidth, across, left);
  top_ = free(stage.clientHeight, down, top_);
  $("scale").value = `${Math.round(100 * zoom * devicePixelRatio)} %`;
  draw();
}

function zoomTo(wanted, x = stage.clientWidth / 2, y = stage.clientHeight / 2) {
  const next = Math.min(40, Math.max(0.02, wanted));
  left = x - (x - left) * next / zoom;
  top_ = y - (y - top_) * next / zoom;
  [zoom, fitted] = [next, false];
  hold();
}

function inPicture(event) {
  const box = stage.getBoundingClientRect();
  return { x: (event.clientX - box.left - left) / zoom, y: (event.clientY - box.top - top_) / zoom };
}

// Painting: a stroke covers each pixel once, as much as its strongest dab does

let stroke = null;

function beginStroke() {
  remember();
  stroke = { base: mask.slice(), cover: new Float32Array(mask.length), last: null };
}

function strokeTo(point) {
  const from = stroke.last ?? point;
  const step = Math.max(0.5, radius() / 4);
  const count = Math.max(1, Math.ceil(Math.hypot(point.x - from.x, point.y - from.y) / step));
  for (let i = 1; i <= count; i++)
    dab(from.x + (point.x - from.x) * i / count, from.y + (point.y - from.y) * i / count);
  stroke.last = point;
}

function dab(x, y) {
  const across = maskWidth / width, reach = radius() * across;
  const hard = reach * (1 - $("soft").value / 100);
  const target = 255 * $("strength").value / 100;
  [x, y] = [x * across, y * maskHeight / height];
  const x0 = Math.max(0, Math.floor(x - reach)), x1 = Math.min(maskWidth, Math.ceil(x + reach) + 1);
  const y0 = Math.max(0, Math.floor(y - reach)), y1 = Math.min(maskHeight, Math.ceil(y + reach) + 1);
  for (let row = y0; row < y1; row++)
    for (let column = x0; column < x1; column++) {
      const away = Math.hypot(column + 0.5 - x, row + 0.5 - y);
      if (away > reach) continue;
      const at = row * maskWidth + column;
      const cover = away <= hard ? 1 : (reach - away) / (reach - hard);
      if (cover <= stroke.cover[at]) continue;
      stroke.cover[at] = cover;
      mask[at] = stroke.base[at] + (target - stroke.base[at]) * cover;
    }
  showMask(x0, y0, x1 - x0, y1 - y0);
}

function remember() {
  undone.push(mask.slice());
  if (undone.length > UNDO_STEPS) undone.shift();
  $("undo").disabled = false;
}

function change(of) {
  remember();
  mask = mask.map(of);
  showMask(0, 0, maskWidth, maskHeight);
}

function undo() {
  if (!undone.length) return;
  mask = undone.pop();
  $("undo").disabled = !undone.length;
  showMask(0, 0, maskWidth, maskHeight);
}

// Export

function maskCanvas() {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [maskWidth, maskHeight];
  const image = new ImageData(maskWidth, maskHeight);
  for (let at = 0; at < mask.length; at++) {
    image.data.fill(mask[at], 4 * at, 4 * at + 3);
    image.data[4 * at + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

function save() {
  maskCanvas().toBlob((blob) => {
    const name = `${facts.name}.mask.png`;
    download(blob, name);
    tell(`${name} saved; the command above restores with it`);
  }, "image/png");
}

function download(blob, name) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1e4);
}

const quoted = (word) => /^[\w@%+=:,.\/-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\"'\"'")}'`;

function command() {
  const half = $("half").value > 0 ? ` --half-scale ${$("half").value / 100}` : "";
  return `${facts.command} --roi-file ${quoted(`${facts.name}.mask.png`)}${half}`;
}

async function copy() {
  try {
    await navigator.clipboard.writeText(command());
  } catch { // pages from files may have no clipboard
    getSelection().selectAllChildren($("command"));
    document.execCommand("copy");
  }
  tell("copied");
}

function tell(text) { $("status").textContent = text; }

// Controls

const VALUES = {
  split: (value) => `${Math.round(value / 10)} %`,
  strength: (value) => `${value} %`,
  size: () => `${Math.max(1, Math.round(2 * radius()))} px`,
  soft: (value) => `${value} %`,
  half: (value) => `${value} %`,
};

function tellValue(id) {
  $(`${id}-value`).value = VALUES[id]($(id).value);
  $("command").textContent = command();
}

function set(id, value) {
  $(id).value = value;
  $(id).dispatchEvent(new Event("input"));
}

function choose(name) {
  tool = name;
  for (const button of document.querySelectorAll("[data-tool]"))
    button.setAttribute("aria-pressed", button.dataset.tool === name);
  stage.style.cursor = { compare: "ew-resize", brush: "crosshair", pan: "grab" }[name];
  draw();
}

function toggleMarks() {
  shown = !shown;
  $("show").setAttribute("aria-pressed", shown);
  draw();
}

for (const id of Object.keys(VALUES))
  $(id).addEventListener("input", () => {
    tellValue(id);
    if (id === "split") split = $("split").value / 1000;
    if (id === "half") blendScales();
    draw();
  });
for (const button of document.querySelectorAll("[data-tool]"))
  button.addEventListener("click", () => choose(button.dataset.tool));
for (const [id, act] of Object.entries({
  in: () => zoomTo(zoom * 1.5), out: () => zoomTo(zoom / 1.5), fit, pixels: () => zoomTo(1 / devicePixelRatio),
  all: () => change(() => 255), none: () => change(() => 0), invert: () => change((value) => 255 - value),
  undo, save, copy, show: toggleMarks,
}))
  $(id).addEventListener("click", act);

const dark = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark";
const nameTheme = () => { $("theme").textContent = isDark() ? "Light" : "Dark"; draw(); };
dark.addEventListener("change", nameTheme);
$("theme").addEventListener("click", () => {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  nameTheme();
});
nameTheme();

// Mouse, pen and fingers: two fingers zoom and move, whatever the tool

const pointers = new Map();
let pinch = null;

stage.addEventListener("pointerdown", (event) => {
  stage.setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  if (pointers.size === 2) {
    if (stroke) { undo(); stroke = null; } // the first finger was no stroke
    pinch = spread();
  } else if (pointers.size === 1 && tool === "brush" && event.button === 0) {
    cursor = inPicture(event);
    beginStroke();
    strokeTo(cursor);
  } else if (tool === "compare") moveSplit(event);
});
stage.addEventListener("pointermove", (event) => {
  if (tool === "brush" && pointers.size < 2) { cursor = inPicture(event); draw(); }
  const before = pointers.get(event.pointerId);
  if (!before) return;
  pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  if (pinch) {
    const now = spread(), box = stage.getBoundingClientRect();
    left += now.x - pinch.x;
    top_ += now.y - pinch.y;
    zoomTo(zoom * now.length / pinch.length, now.x - box.left, now.y - box.top);
    pinch = now;
  } else if (stroke) strokeTo(cursor);
  else if (tool === "compare" && event.buttons === 1) moveSplit(event);
  else {
    left += event.clientX - before.x;
    top_ += event.clientY - before.y;
    fitted = false;
    hold();
  }
});
for (const kind of ["pointerup", "pointercancel"])
  stage.addEventListener(kind, (event) => {
    pointers.delete(event.pointerId);
    if (pointers.size < 2) pinch = null;
    stroke = null;
  });
stage.addEventListener("wheel", (event) => {
  event.preventDefault();
  const box = stage.getBoundingClientRect();
  zoomTo(zoom * Math.exp(-event.deltaY / (event.deltaMode ? 20 : 400)), event.clientX - box.left, event.clientY - box.top);
}, { passive: false });

function spread() {
  const [one, other] = pointers.values();
  return { x: (one.x + other.x) / 2, y: (one.y + other.y) / 2, length: Math.max(1, Math.hypot(one.x - other.x, one.y - other.y)) };
}

function moveSplit(event) {
  const box = stage.getBoundingClientRect();
  set("split", 1000 * Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)));
}

// Keyboard

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const KEYS = {
  c: () => choose("compare"), b: () => choose("brush"), m: () => choose("pan"), k: toggleMarks, z: undo, s: save,
  e: () => set("strength", +$("strength").value ? 0 : 100),
  "[": () => set("size", +$("size").value - 40), "]": () => set("size", +$("size").value + 40),
  "+": () => zoomTo(zoom * 1.25), "=": () => zoomTo(zoom * 1.25), "-": () => zoomTo(zoom / 1.25),
  0: fit, 1: () => zoomTo(1 / devicePixelRatio),
};

addEventListener("keydown", (event) => {
  const control = event.ctrlKey || event.metaKey;
  if (event.altKey || (control && event.key !== "z")) return;
  const inControl = event.target.matches("input, button, summary");
  const [x, y] = ARROWS[event.key] ?? [];
  if (x !== undefined) {
    if (inControl) return;
    moveBy(x, y, event.shiftKey ? 10 : 1);
  } else if (event.key === " ") {
    if (inControl || tool !== "brush") return;
    beginStroke();
    strokeTo(cursor);
    stroke = null;
  } else if (KEYS[event.key.toLowerCase()]) KEYS[event.key.toLowerCase()]();
  else return;
  event.preventDefault();
});

function moveBy(x, y, steps) {
  if (tool === "compare") set("split", +$("split").value + 10 * x * steps);
  else if (tool === "brush") {
    const step = steps * Math.max(1, 4 / zoom);
    cursor = { x: Math.min(width, Math.max(0, cursor.x + x * step)), y: Math.min(height, Math.max(0, cursor.y + y * step)) };
    draw();
  } else {
    [left, top_, fitted] = [left - 20 * x * steps, top_ - 20 * y * steps, false];
    hold();
  }
}

choose("compare");
const begun = Promise.all(Object.values(pictures).map((picture) => picture.decode())).then(start);
