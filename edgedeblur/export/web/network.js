"use strict";
// The network of a page: needs an element "data" with what page.py writes into it, and no other.
const data = JSON.parse(document.getElementById("data").textContent);
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

/* The network, after it has given the integer interpreter's bytes here. */
async function provenNetwork() {
  const network = await Network.create();
  const found = await digest(await network.restore(testImage()));
  if (found !== data.sha256) throw new Error("this GPU's bytes are not the integer interpreter's; it is not used");
  return network;
}
