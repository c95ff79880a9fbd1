"use strict";
const element = (id) => document.getElementById(id);

function say(text, kind) {
  element("proof").textContent = text;
  element("proof").className = kind;
}

/* Draws the middle of a picture, as large as it goes, and its restoration. */
async function show(network, source, sourceWidth, sourceHeight) {
  const scale = Math.max(data.width / sourceWidth, data.height / sourceHeight);
  const [width, height] = [sourceWidth * scale, sourceHeight * scale];
  const before = element("before").getContext("2d", { willReadFrequently: true });
  before.drawImage(source, (data.width - width) / 2, (data.height - height) / 2, width, height);
  const image = before.getImageData(0, 0, data.width, data.height);
  const begun = performance.now();
  const restored = await network.restore(image.data);
  element("time").textContent = `${(performance.now() - begun).toFixed(1)} ms in this browser`;
  element("after").getContext("2d").putImageData(new ImageData(restored, data.width, data.height), 0, 0);
}

async function open(network, file) {
  try {
    const picture = await createImageBitmap(file);
    await show(network, picture, picture.width, picture.height);
  } catch (error) {
    element("time").textContent = `${file.name}: ${error.message}`;
  }
}

async function film(network) {
  const button = element("camera"), video = document.createElement("video");
  const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  video.srcObject = stream;
  await video.play();
  button.textContent = "Stop";
  let running = true;
  button.onclick = () => { running = false; };
  while (running) {
    await show(network, video, video.videoWidth, video.videoHeight);
    await new Promise(requestAnimationFrame);
  }
  stream.getTracks().forEach((track) => track.stop());
  prepareCamera(network);
}

function prepareCamera(network) {
  element("camera").textContent = "Camera";
  element("camera").onclick = () => film(network).catch((error) => {
    element("time").textContent = `camera: ${error.message}`;
    prepareCamera(network);
  });
}

function prepare(network) {
  const stage = element("stage");
  element("file").onchange = ({ target }) => target.files[0] && open(network, target.files[0]);
  stage.ondragover = (event) => { event.preventDefault(); stage.classList.add("over"); };
  stage.ondragleave = () => stage.classList.remove("over");
  stage.ondrop = (event) => {
    event.preventDefault();
    stage.classList.remove("over");
    if (event.dataTransfer.files[0]) open(network, event.dataTransfer.files[0]);
  };
  prepareCamera(network);
}

async function start() {
  element("name").textContent = data.name;
  element("size").textContent = `${data.width} x ${data.height}`;
  const stage = element("stage"), slider = element("slider");
  stage.style.setProperty("--ratio", `${data.width} / ${data.height}`);
  slider.oninput = () => stage.style.setProperty("--at", `${slider.value}%`);
  slider.oninput();
  for (const id of ["before", "after"]) Object.assign(element(id), { width: data.width, height: data.height });
  try {
    const network = await provenNetwork();
    say("bytes equal the integer interpreter's: the built-in tile has been restored as it should be", "good");
    prepare(network);
    return network;
  } catch (error) {
    say(error.message, "bad");
    element("file").disabled = element("camera").disabled = true;
    return null;
  } finally {
    document.documentElement.dataset.ready = "yes";
  }
}

const started = start();
