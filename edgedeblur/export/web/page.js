"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const element = (id) => document.getElementById(id);
const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

/* The network on a GPU. Images are RGBA, height x width; alpha comes back as 255. */
class Network {
  static async create() {
    if (!navigator.gpu) throw new Error("this browser has no WebGPU; Chrome and Edge from 113, Safari 26 and Firefox 141 have");
    const adapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
    if (!adapter) throw new Error("WebGPU finds no GPU here");
    const network = new Network();
    network.device = await adapter.requestDevice();
    network.device.pushErrorScope("validation");
    await network.build();
    const error = await network.device.popErrorScope();
    if (error) throw new Error(error.message);
    return network;
  }

  async build() {
    const { device } = this;
    const constants = bytes(data.constants);
    this.buffers = data.buffers.map((one) => this.buffer(one, constants));
    const module = device.createShaderModule({ code: data.text });
    const pipelines = new Map();
    for (const entryPoint of new Set(data.calls.map((call) => call.kernel))) {
      pipelines.set(entryPoint, await device.createComputePipelineAsync({ layout: "auto", compute: { module, entryPoint } }));
    }
    this.calls = data.calls.map((call) => this.call(call, pipelines.get(call.kernel)));
    this.result = device.createBuffer({ size: 4 * data.height * data.width, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  }

  buffer({ place, offset, bytes: size }, constants) {
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC;
    const made = this.device.createBuffer({ size, usage });
    if (place === "constant") this.device.queue.writeBuffer(made, 0, constants, offset, size);
    if (place === "input") this.input = made;
    if (place === "output") this.output = made;
    return made;
  }

  /* The kernel's buffers in its order, and behind them the number of work groups that TVM's text asks for. */
  call({ arguments: indices, groups }, pipeline) {
    const count = this.device.createBuffer({ size: 16, usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST });
    this.device.queue.writeBuffer(count, 0, new Uint32Array([groups[0], 0, 0, 0]));
    const buffers = [...indices.map((index) => this.buffers[index]), count];
    const entries = buffers.map((buffer, binding) => ({ binding, resource: { buffer } }));
    return { pipeline, groups, group: this.device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }) };
  }

  async restore(rgba) {
    const { device, result } = this;
    device.queue.writeBuffer(this.input, 0, rgba);
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    for (const { pipeline, group, groups } of this.calls) {
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(...groups);
    }
    pass.end();
    encoder.copyBufferToBuffer(this.output, 0, result, 0, result.size);
    device.queue.submit([encoder.finish()]);
    await result.mapAsync(GPUMapMode.READ);
    const restored = new Uint8ClampedArray(result.getMappedRange().slice(0));
    result.unmap();
    for (let i = 3; i < restored.length; i += 4) restored[i] = 255;
    return restored;
  }
}

/* The image that repeats the tile, as runtime/units/self_test.c and artefact/self_test.py make it. */
function testImage() {
  const { height, width, rgb } = data.tile;
  const tile = bytes(rgb), image = new Uint8ClampedArray(4 * data.height * data.width);
  for (let y = 0, at = 0; y < data.height; y++) {
    for (let x = 0; x < data.width; x++, at += 4) {
      const from = 3 * ((y % height) * width + (x % width));
      image.set([tile[from], tile[from + 1], tile[from + 2], 255], at);
    }
  }
  return image;
}

async function digest(rgba) {
  const rgb = new Uint8Array((rgba.length / 4) * 3);
  for (let i = 0, at = 0; i < rgba.length; i += 4) rgb.set([rgba[i], rgba[i + 1], rgba[i + 2]], 3 * at++);
  const found = new Uint8Array(await crypto.subtle.digest("SHA-256", rgb));
  return Array.from(found, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

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
    const network = await Network.create();
    const found = await digest(await network.restore(testImage()));
    if (found !== data.sha256) throw new Error("this GPU's bytes are not the integer interpreter's; it is not used");
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
