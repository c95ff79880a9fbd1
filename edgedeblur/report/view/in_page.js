"use strict";
// Pictures that the page restores by itself: that which it came with, and any other; by what export/web/ brings.
const MAX_PIXELS = 4096 * 4096, MAX_SIDE = 16383; // as report/view/page.py

function canvasOf(image) {
  const canvas = Object.assign(document.createElement("canvas"), { width: image.width, height: image.height });
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

function pixelsOf(source, width, height) {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(source, 0, 0);
  return context.getImageData(0, 0, width, height);
}

async function restored(network, image) {
  const begun = performance.now();
  const telling = (what) => (done, all) => { $("here").textContent = `restoring ${what}: ${done} of ${all} tiles`; };
  const full = canvasOf(await restoreAnySize(network, image, telling("at full scale")));
  const half = canvasOf(await restoreAtHalfScale(network, image, telling("at half scale")));
  const milliseconds = Math.round(performance.now() - begun);
  $("here").textContent = `restored in this page in ${milliseconds.toLocaleString("en")} ms; the GPU's bytes are the integer interpreter's`;
  return { full, half };
}

async function openPicture(network, file) {
  const picture = await createImageBitmap(file);
  const { width: across, height: down } = picture;
  if (across * down > MAX_PIXELS || Math.max(across, down) > MAX_SIDE) {
    throw new Error(`${across}x${down} pixels; at most ${MAX_PIXELS.toLocaleString("en")}, and ${MAX_SIDE} a side`);
  }
  const image = pixelsOf(picture, across, down);
  Object.assign(pictures, { before: canvasOf(image), ...(await restored(network, image)) });
  const stem = file.name.replace(/\.[^.]*$/, "");
  facts.name = stem;
  facts.command = [...facts.words.slice(0, 2), file.name, `${stem}-restored.png`, ...facts.words.slice(4)].map(quoted).join(" ");
  document.title = `${file.name} - edgedeblur`;
  $("title").textContent = file.name;
  $("about").textContent = `${across} x ${down} pixels, restored in this page by ${data.name}`;
  begin();
}

function savePicture() {
  drawNow(); // the mask as it is now
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d");
  context.drawImage(pictures.before, 0, 0);
  context.drawImage(mixed, 0, 0);
  canvas.toBlob((blob) => download(blob, `${facts.name}-restored.png`), "image/png");
}

/* One picture after the other; while one is restored no other can be chosen. */
async function alone(work) {
  $("file").disabled = true;
  try {
    await work();
  } catch (error) {
    $("here").textContent = `not restored in this page: ${error.message}`;
  } finally {
    $("file").disabled = false;
  }
}

async function startHere() {
  let network;
  try {
    network = await provenNetwork();
  } catch (error) {
    $("here").textContent = `shown as it was restored before: ${error.message}`;
    return;
  }
  $("file").onchange = ({ target }) => target.files[0] && alone(() => openPicture(network, target.files[0]));
  await alone(async () => {
    Object.assign(pictures, await restored(network, pixelsOf(pictures.before, width, height)));
    blendScales();
    draw();
  });
}

$("file").disabled = true;
$("save-picture").onclick = savePicture;
begun.then(startHere).finally(() => { document.documentElement.dataset.here = "yes"; });
